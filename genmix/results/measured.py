import pandas as pd

from genmix.results import claims
from genmix.run.study import home

KEPT = ('metrics', 'arms', 'contrasts', 'claims', 'luck')  # files of results/ that measured/study/ holds


def measured():
    return home() / 'measured'


def read_table(study, path):
    """A table of this run, None where the run has none."""
    path = study.folder / path
    return pd.read_csv(path) if path.exists() else None


def long_run(dataset='phantom'):
    """{name: table} of the committed long run, None for other data than the phantoms it was made on and where there is none."""
    folder = measured() / 'study'
    return (
        {name: pd.read_csv(folder / f'{name}.csv') for name in KEPT}
        if dataset == 'phantom' and (folder / 'metrics.csv').exists()
        else None
    )


def sweep_results():
    """(scores, sets) of the committed map, None where there is none."""
    files = [measured() / f'{name}.csv' for name in ('sweep', 'sweep_sets')]
    return (
        tuple(pd.read_csv(f, dtype={'quality': str}, keep_default_na=False) for f in files)
        if files[0].exists()
        else None
    )


def long_run_verdicts(parts, long):
    """[verdict] of the long run for each claim of `parts`, '-' where it has none."""
    found = claims.verdicts(long['claims'])
    return [found.get(claim, '-') for claim in dict.fromkeys(parts.claim)]
