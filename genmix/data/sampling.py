"""Rows by class: random, the first ones, and labels as one-hot vectors."""

import numpy as np

from genmix import StudyError


def one_hot(labels, n_classes):
    """Hard labels int (n,) as soft labels float32 (n, K)."""
    return np.eye(n_classes, dtype=np.float32)[np.asarray(labels)]


def sample_rows(wanted, labels, rng):
    """For each wanted class a random row of `labels` with that class: int (n,).

    Raises StudyError when a class has no row.
    """
    rows = np.empty(len(wanted), np.int64)
    for k in np.unique(wanted):
        own, here = np.flatnonzero(labels == k), wanted == k
        if not len(own):
            raise StudyError(f'Class number {k} has no image to draw from: sample some, or use pairing=any.')
        rows[here] = rng.choice(own, here.sum())
    return rows


def first_per_class(cohort, per_class):
    """The first `per_class` lesions of each class of a Cohort, in their order."""
    rows = [np.flatnonzero(cohort.labels == k)[:per_class] for k in range(len(cohort.class_names))]
    return cohort[np.sort(np.concatenate(rows))]
