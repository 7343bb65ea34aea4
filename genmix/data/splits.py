"""Splits into training and test: by patient, before anything is learned."""

import warnings

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.cohort import Cohort

TRIES = 5  # shuffles tried before the number of parts is lowered
GOLDEN = (5**0.5 - 1) / 2


def make_splits(
    cohort: Cohort, n_folds: int = 5, folds: int = 1, train_fraction: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """Assign patients to training and test, keeping class proportions: a DataFrame, one row per lesion.

    Columns: id, patient, label, and fold0 ... fold<folds - 1> with 'train' | 'unused' | 'test'.  All lesions
    of a patient have one role; every class is in train and in test of every fold.

    n_folds         parts the patients are split into; fold k tests on one of them, about 1 / n_folds
    folds           columns wanted, 1 to n_folds
    train_fraction  fraction of the training patients that is used, in (0, 1], the rest is 'unused'; a smaller
                    fraction keeps a subset of a larger one, with at least one patient of each class
    seed            of the shuffling

    Parts come from sklearn's StratifiedGroupKFold; one without a patient of each class cannot test and is
    skipped.  Where too few are left, patients are shuffled again, then split into one part less (a larger
    hold-out), with a warning.

    Raises StudyError when a class has fewer than 2 patients, when no split has every class on both sides, or
    when an argument is out of range.
    """
    _check(cohort, n_folds, folds, train_fraction)
    table = _table(cohort)
    for k, test in enumerate(_test_parts(table, len(cohort.class_names), n_folds, folds, seed)):
        train = ~table.patient.isin(test)
        keep = _first_patients(table[train], train_fraction, seed)
        table[f'fold{k}'] = np.select([~train, table.patient.isin(keep)], ['test', 'train'], 'unused')
    return table


def official_splits(cohort: Cohort, train_fraction: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """The split that a set was published with, in the form of `make_splits`, fold0 alone.

    cohort.extra.official is 'train', 'val' or 'test'.  The test part stays as it is; `val` is unused, and so
    are training images that share a patient (a cluster of near-duplicates) with the test part, which would be
    a leak.  Raises StudyError when a class is then missing from training or test.
    """
    table, part = _table(cohort), cohort.extra.official.to_numpy()
    test = part == 'test'
    train = (part == 'train') & ~np.isin(cohort.patients, cohort.patients[test])
    for k, name in enumerate(cohort.class_names):
        if not (table.label[train] == k).any() or not (table.label[test] == k).any():
            raise StudyError(
                f'Class "{name}" is missing from the official training or test part: '
                'choose folds=2 or more, which splits the patients anew.'
            )
    keep = table.patient.isin(_first_patients(table[train], train_fraction, seed)).to_numpy()
    table['fold0'] = np.select([test, train & keep], ['test', 'train'], 'unused')
    return table


def subsamples(cohort: Cohort, parts: int, images: int, seed: int = 0) -> np.ndarray:
    """Disjoint sub-samples of about `images` lesions: the number of that of each lesion, int (n,), or -1.

    Patients stay whole, and classes keep their proportions, also among those that are in none, -1
    (StratifiedGroupKFold over as many patients as are needed).  Every class needs `parts` patients.
    """
    table, number = _table(cohort), np.full(len(cohort), -1)
    lesions = _spread(table, seed).sum(axis=1)
    own = table.patient.isin(lesions.index[lesions.cumsum() <= parts * images]).to_numpy()
    number[own] = _parts(table[own], parts, np.random.RandomState(seed))
    return number


def select(cohort: Cohort, splits: pd.DataFrame, fold: int = 0, role: str = 'train') -> Cohort:
    """The lesions of `cohort` that have `role` ('train', 'unused' or 'test') in a fold of `splits`.

    Raises StudyError when the splits were made for another cohort, or have no such fold or role.
    """
    if not np.array_equal(cohort.ids, splits['id'].astype(str)):
        raise StudyError(
            'These splits belong to another cohort (lesion ids differ): make them again with make_splits.'
        )
    if f'fold{fold}' not in splits:
        raise StudyError(f'The splits have no fold {fold}: make them with folds={fold + 1} or more.')
    if role not in ('train', 'unused', 'test'):
        raise StudyError(f'Role "{role}" is unknown: ask for train, unused or test.')
    return cohort[(splits[f'fold{fold}'] == role).to_numpy()]


def check_split(synthetic: Cohort, cohort: Cohort) -> None:
    """StudyError unless `synthetic` was learned from exactly the training lesions of `cohort`."""
    if set(synthetic.extra['split']) != {cohort.fingerprint}:
        raise StudyError(
            f'The {synthetic.source} images were learned from another training split than this one: '
            'run its notebook again for this run, so that no test patient is seen by the generator.'
        )


def _table(cohort):
    return pd.DataFrame({'id': cohort.ids, 'patient': cohort.patients, 'label': cohort.labels})


def _check(cohort, n_folds, folds, train_fraction):
    if n_folds < 2:
        raise StudyError(f'n_folds is {n_folds}: a split needs at least 2 parts.')
    if not 1 <= folds <= n_folds:
        raise StudyError(f'folds is {folds}: choose 1 to n_folds = {n_folds}.')
    if not 0 < train_fraction <= 1:
        raise StudyError(f'train_fraction is {train_fraction}: choose a share above 0 and up to 1.')
    for k, name in enumerate(cohort.class_names):
        n = len(np.unique(cohort.patients[cohort.labels == k]))
        if n < 2:
            raise StudyError(
                f'Class "{name}" has {n} patient{"s" * (n != 1)}: a split needs at least 2 '
                '(one for training, one for testing); add patients or drop the class.'
            )
        if n < folds:
            raise StudyError(
                f'Class "{name}" has {n} patients but folds is {folds}: each fold tests on other patients; '
                f'choose folds={n} or fewer.'
            )


def _parts(table, parts, random):
    """int (n,): which of `parts` each lesion falls into, patients whole, classes in proportion."""
    from sklearn.model_selection import StratifiedGroupKFold  # slow, and not needed to read volumes

    part = np.empty(len(table), int)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # of a class rarer than the parts, which is handled here
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=random)
        for k, (_, rows) in enumerate(folds.split(table, table.label, table.patient)):
            part[rows] = k
    return part


def _test_parts(table, n_classes, n_folds, folds, seed):
    """The patients of each fold's test part: a list of `folds` arrays."""
    random = np.random.RandomState(seed)  # its first shuffle is that of random_state=seed
    largest = min(n_folds, table.label.value_counts().max(), table.patient.nunique())  # sklearn's limits
    for parts in range(largest, max(folds, 2) - 1, -1):
        for _ in range(TRIES):
            part = _parts(table, parts, random)
            classes = [
                (table.label[part == k].nunique(), table.label[part != k].nunique()) for k in range(parts)
            ]
            able = [k for k in range(parts) if classes[k] == (n_classes, n_classes)]
            if len(able) >= folds:
                if parts < n_folds:
                    warnings.warn(
                        f'Patients of the rarest class are too few for {n_folds} parts: '
                        f'split into {parts}, so a test part holds about 1/{parts}.',
                        stacklevel=3,
                    )
                return [table.patient[part == k].unique() for k in able[:folds]]
    raise StudyError(
        f'The patients cannot be split into {folds} fold(s) with every class in train and test: '
        'add patients of the rarest class, or lower folds.'
    )


def _first_patients(table, fraction, seed):
    """The patients of the training lesions `table` that a fraction keeps: the first ones of `_spread`, at
    least one of each class.
    """
    order = _spread(table, seed)
    first = order.gt(0).idxmax().nunique()
    return order.index[: max(round(fraction * len(order)), first)]


def _spread(table, seed):
    """Lesions per class of each patient of `table`, patients in an order of which any stretch is typical.

    Patients are sorted by which lesions they have, rarest class first, and selected along that list by a
    sequence of golden-ratio steps (low discrepancy): any number of them lies evenly along it, so kinds and
    sizes of patients keep their proportions, and smaller fractions are nested in larger ones.  One patient of
    each class goes first, so that no class is lost.
    """
    random = np.random.RandomState(seed)
    counts = pd.crosstab(table.patient, table.label)
    counts = counts[counts.astype(bool).sum().sort_values(kind='stable').index]
    counts = counts.iloc[random.permutation(len(counts))].sort_values(list(counts))
    place = (np.arange(len(counts)) * GOLDEN + random.random_sample()) % 1
    order = counts.iloc[np.argsort(place)]
    first = order.gt(0).idxmax().unique()
    return order.iloc[np.argsort(~order.index.isin(first), kind='stable')]
