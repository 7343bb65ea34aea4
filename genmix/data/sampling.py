"""Rows by class: random ones, the first ones; labels as one-hot vectors."""

import numpy as np

from genmix import StudyError
from genmix.data.cohort import Cohort


def one_hot(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Hard labels int (n,) as soft labels float32 (n, n_classes)."""
    return np.eye(n_classes, dtype=np.float32)[np.asarray(labels)]


def sample_rows(wanted: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each wanted class a random row of `labels` (n,) with that class: int64 (len(wanted),).

    Raises StudyError when a class has no row.
    """
    rows = np.empty(len(wanted), np.int64)
    for k in np.unique(wanted):
        own, here = np.flatnonzero(labels == k), wanted == k
        if not len(own):
            raise StudyError(f'Class number {k} has no image to draw from: sample some, or use pairing=any.')
        rows[here] = rng.choice(own, here.sum())
    return rows


def first_rows(cohort: Cohort, per_class: int) -> np.ndarray:
    """Rows of the first `per_class` lesions of each class, class after class: int64."""
    rows = [np.flatnonzero(cohort.labels == k)[:per_class] for k in range(len(cohort.class_names))]
    return np.concatenate(rows)


def first_per_class(cohort: Cohort, per_class: int) -> Cohort:
    """The first `per_class` lesions of each class, in their order."""
    return cohort[np.sort(first_rows(cohort, per_class))]
