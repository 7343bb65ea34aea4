"""A large set of images, divided: disjoint cohorts, images to choose settings on, and a test population."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data import checks
from genmix.data.build import READERS, CohortConfig, read_from, read_set, reader_of
from genmix.data.cohort import Cohort
from genmix.data.splits import subsamples
from genmix.run.limits import bounded, check_fields
from genmix.run.provenance import code_key

STAGE, DEV, POPULATION = 'divided', 'dev', 'population'
FEWEST = 20  # images of a cohort
LARGEST = 10  # a patient has at most one image in so many of a cohort
MOST_TESTED = 3000  # images of the population: as many as phantoms have, so that files of cohorts stay small


@dataclass(frozen=True, kw_only=True)
class Division:
    """cohorts: how many disjoint ones; images: of each, about; dev: how many more to choose settings on."""

    cohorts: int = bounded(at_least=2)
    images: int = bounded(at_least=FEWEST)
    dev: int = bounded(at_least=2)

    def __post_init__(self):
        check_fields(self)


def divide(study, config: CohortConfig, division: Division, **reading):
    """Stage `divided` of a run: sub-folders 00, 01, ... of the cohorts, dev, population, each a saved Cohort;
    audit.csv and flagged.csv of the whole set.  Returns its folder.

    config, reading   as of `build.make_cohort`; patients and clusters of near-duplicates are what the checks
                      of `make_cohort` find them to be

    Raises StudyError for what reader and checks find wrong, and for a set that is too small.
    """
    if config.dataset not in READERS.keys() - {'phantom', 'subsample'}:
        raise StudyError(
            f'dataset={config.dataset} cannot be divided: choose folder, ct or medmnist (phantoms are drawn '
            'anew for each cohort of `make study`).'
        )
    reader, reading = reader_of(config, reading)

    def build(out):
        cohort, found, flagged = checks.examine(*read_set(study, reader, config, reading))
        for name, part in parts_of(cohort, division).items():
            (out / name).mkdir(exist_ok=True)
            part.save(out / name)
        for name, rows in (('audit', found), ('flagged', flagged)):
            rows.to_csv(out / f'{name}.csv', index=False)

    asked = asdict(config) | asdict(division) | reading
    inputs = [code_key(reader), *read_from(study, reader, config, reading)]
    return study.stage(STAGE, build, asked, inputs)


def parts_of(cohort: Cohort, division: Division) -> dict[str, Cohort]:
    """{name: Cohort} of the parts of a set, stratified by class, patients whole (`splits.subsamples`).

    Of a patient, or a cluster of near-duplicates, that has more images than a tenth of a cohort, only so many
    are used: it would be most of what one cohort knows of a class.  `dev` has a column `cohort`: each of its
    sub-samples is as large as one of the cohorts.  An official split is forgotten, since each cohort has its
    own.  StudyError where the set is too small.
    """
    _check_images(cohort, division)
    kept = _kept(cohort, division.images)
    source = cohort.source + (f'; {(~kept).sum()} of large clusters left out' if not kept.all() else '')
    cohort = cohort[kept]
    _check_classes(cohort, division.images)
    cohort = replace(cohort, extra=cohort.extra.drop(columns='official', errors='ignore'))
    first, parts = division.cohorts, division.cohorts + division.dev
    number = subsamples(cohort, parts, division.images)
    rest = np.flatnonzero(number == -1)
    rows = {f'{k:02d}': np.flatnonzero(number == k) for k in range(first)}
    rows |= {DEV: np.flatnonzero(number >= first), POPULATION: rest[_spread_over(rest, MOST_TESTED)]}
    found = {name: cohort[own] for name, own in rows.items()}
    found[DEV] = replace(found[DEV], extra=found[DEV].extra.assign(cohort=number[rows[DEV]] - first))
    return {name: replace(part, source=f'{source}; {_said(name, first)}') for name, part in found.items()}


def _spread_over(rows, most):
    """Places of at most `most` rows, at equal distances."""
    return np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)


def _said(name, cohorts):
    return f'sub-sample {int(name) + 1} of {cohorts}' if name.isdigit() else f'part {name}'


def _kept(cohort, images):
    """bool (n,): the images that are used when cohorts have `images`; not more than a share of a patient."""
    return (pd.Series(cohort.patients).groupby(cohort.patients).cumcount() < images / LARGEST).to_numpy()


def _check_images(cohort, division):
    """StudyError where a set has too few images, with what would fit."""
    each, needed = division.images, division.cohorts + division.dev + 1
    n = int(_kept(cohort, each).sum())
    if n >= needed * each:
        return
    most, smaller = n // each - division.dev - 1, n // needed
    while _kept(cohort, smaller).sum() < needed * smaller:
        smaller -= 1
    fixes = [f'COHORTS={most} or fewer'] if most >= 2 else []
    fixes += [f'smaller cohorts, IMAGES={smaller} or fewer'] if smaller >= FEWEST else []
    fix = f'choose {", or ".join(fixes)}' if fixes else 'it is too small to be divided'
    raise StudyError(
        f'The set has {n} images to use; {division.cohorts} cohorts of {each}, {division.dev} more to choose '
        f'settings on and a test population as large as one of them take {needed * each}: {fix}.'
    )


def _check_classes(cohort, images):
    """StudyError where a set has too few patients of a class for cohorts of `images`."""
    n = len(cohort)
    for k, name in enumerate(cohort.class_names):
        patients = len(np.unique(cohort.patients[cohort.labels == k]))
        if patients * images < checks.FEW * n:
            raise StudyError(
                f'Class "{name}" has {patients} patients, and a cohort of {images} of {n} images would have '
                f'{patients * images // n} of them, where a split needs {checks.FEW}: choose larger cohorts '
                '(IMAGES=...), or drop the class.'
            )
