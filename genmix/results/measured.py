"""Readers of the tables in `measured/`, which were measured once and are committed, and of those of a run.

`measured/SHA256SUMS` has the checksum of each; tools.checksums writes it (and sha256sum -c reads it).
"""

import hashlib
import json
from pathlib import Path

import pandas as pd

from genmix import StudyError
from genmix.data.cohort import read_rows
from genmix.results import claims
from genmix.results.claim_parts import Sources, failing_of
from genmix.results.cohorts import Cohorts
from genmix.run.study import home

SUMS = 'SHA256SUMS'


def measured():
    return home() / 'measured'


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """{name relative to `folder`: SHA-256} of its SHA256SUMS, {} where there is none."""
    path = folder / SUMS
    lines = path.read_text(encoding='utf-8').splitlines() if path.exists() else []
    return {name: known for known, _, name in (line.partition('  ') for line in lines)}


def as_committed(path: Path) -> Path:
    """`path`, a file of measured/; StudyError when it is no longer what its checksum was taken of."""
    name = path.relative_to(measured()).as_posix()
    known = checksums(measured()).get(name)
    if known and known != digest(path):
        raise StudyError(
            f'measured/{name} is not as it was measured: restore it with `git checkout measured`; if it was '
            f'measured anew, run `python -m tools.checksums {name}`.'
        )
    return path


def read_table(study, path):
    """A table of this run (DataFrame), None where the run has none."""
    path = study.folder / path
    return read_rows(path) if path.exists() else None


def failing(study):
    """{generator: why its card fails the gate of the audit} of a run; {} where it has no card."""
    card = read_table(study, 'audit/generator_card.csv')
    return failing_of([] if card is None else [card])


def cohorts(dataset='phantom') -> Cohorts:
    """The finished cohorts of the long run; none for data other than phantoms.

    StudyError where a file is not as it was written, or where cohorts were not made alike.
    """
    if dataset != 'phantom':
        return Cohorts([])
    found = Cohorts.read(measured() / 'study')
    for cohort in found.found:
        as_committed(measured() / 'study' / f'cohort-{cohort.about["cohort"]}.npz')
    return found.made_alike()


def real_sets() -> dict[str, tuple[dict, Cohorts]]:
    """{name: (set.json, its finished cohorts)} of each divided set of real images (`results.real_sets`).

    StudyError where a file is not as it was written, or where cohorts were not made alike.
    """
    found = {}
    for path in sorted((measured() / 'real').glob('*/set.json')):
        about, cohorts = json.loads(as_committed(path).read_text(encoding='utf-8')), Cohorts.read(path.parent)
        for cohort in cohorts.found:
            as_committed(path.with_name(f'cohort-{cohort.about["cohort"]}.npz'))
        found[path.parent.name] = about, cohorts.made_alike()
    return found


def tuning():
    """measured/tuning.csv, what each method was tuned to (`contrasts.tuned`); None where it is missing."""
    path = measured() / 'tuning.csv'
    return pd.read_csv(as_committed(path), keep_default_na=False) if path.exists() else None


def data_size():
    """measured/data_size.csv, by how many lesions each generator learned from; None where it is missing."""
    path = measured() / 'data_size.csv'
    return pd.read_csv(as_committed(path)) if path.exists() else None


def effect_map():
    """measured/map.csv, the scores of each arm at each point of the map; None where it is missing."""
    path = measured() / 'map.csv'
    return pd.read_csv(as_committed(path)) if path.exists() else None


def noise():
    """measured/noise.csv, dev cohorts scanned with more noise; None where it is missing."""
    path = measured() / 'noise.csv'
    return pd.read_csv(as_committed(path), keep_default_na=False) if path.exists() else None


def long_run_claims(long: Cohorts) -> pd.DataFrame | None:
    """`claims.claims_table` of the cohorts, None where there are fewer than two."""
    return claims.claims_table(Sources.of_cohorts(long, data_size())) if len(long) > 1 else None


def long_run_verdicts(parts, judged: pd.DataFrame | None) -> list[str]:
    """[verdict] of the long run for each claim of `parts`, from `long_run_claims`."""
    found = {} if judged is None else claims.verdicts(judged)
    return [found.get(claim, claims.NOT_MEASURED) for claim in dict.fromkeys(parts.claim)]
