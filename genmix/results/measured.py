"""Readers of the tables in `measured/`, which were measured once and are committed, and of those of a run."""

import pandas as pd

from genmix.data.cohort import read_rows
from genmix.results import claims
from genmix.results.cohorts import Cohorts
from genmix.run.study import home

# Tables of results/ that measured/study/ holds.
KEPT = ('metrics', 'arms', 'contrasts', 'claims', 'selection_error')


def measured():
    return home() / 'measured'


def read_table(study, path):
    """A table of this run (DataFrame), None where the run has none."""
    path = study.folder / path
    return read_rows(path) if path.exists() else None


def long_run(dataset='phantom'):
    """{name: table} of the committed long run, None where there is none and for data other than phantoms."""
    folder = measured() / 'study'
    if dataset != 'phantom' or not (folder / 'metrics.csv').exists():
        return None
    return {name: read_rows(folder / f'{name}.csv') for name in KEPT}


def cohorts(dataset='phantom') -> Cohorts:
    """The finished cohorts of the long run; none for data other than phantoms."""
    return Cohorts.read(measured() / 'study') if dataset == 'phantom' else Cohorts([])


def tuning():
    """measured/tuning.csv, what each method was tuned to (`contrasts.tuned`); None where it is missing."""
    path = measured() / 'tuning.csv'
    return read_rows(path) if path.exists() else None


def sweep_results():
    """(scores, sets) of the committed sweep over scarcity and quality, None where there is none."""
    scores, sets = (measured() / f'{name}.csv' for name in ('sweep', 'sweep_sets'))
    if not scores.exists():
        return None
    return tuple(pd.read_csv(path, dtype={'quality': str}, keep_default_na=False) for path in (scores, sets))


def long_run_verdicts(parts, long):
    """[verdict] of the long run for each claim of `parts`, '-' where it has none."""
    found = claims.verdicts(long['claims'])
    return [found.get(claim, '-') for claim in dict.fromkeys(parts.claim)]
