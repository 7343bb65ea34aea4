"""The audit of a run: everything that the generator card needs of each set, computed side by side."""

import numpy as np
from joblib import Parallel, delayed

from genmix.audit.card import AuditedSet, TrainingLesions
from genmix.audit.features import cached_features
from genmix.audit.judge import reference_classifier, tstr_labels
from genmix.data.cohort import Cohort
from genmix.data.images import symmetries
from genmix.data.sampling import first_per_class, sample_rows
from genmix.run.log import progress, quiet
from genmix.run.parallel import processes_for


def audit_sets(study, sets, train, held, network, reference_steps, tstr_steps):
    """What the card needs: (reference classifier, {name: AuditedSet}, TrainingLesions, {name: TSTR labels}).

    sets     {generator: synthetic Cohort}      train   training split      held   of `heldout.audit_lesions`
    network  of `features.load_features`       reference_steps, tstr_steps   optimiser steps of classifiers

    Names are the generators, `evaluation` and `reference`; TSTR labels are int64, of lesions `evaluation`.
    Features and classifiers are independent jobs, each in a stage of its own: a killed audit resumes.
    """
    every = {**sets, 'evaluation': held['evaluation'], 'reference': held['reference']}
    per_class = min(c.counts.min() for c in (*sets.values(), held['reference']))
    equal = {name: first_per_class(c, per_class) for name, c in every.items() if name != 'evaluation'}
    jobs = [(reference_classifier, held['judge_training'], reference_steps)]
    jobs += [(tstr_labels, name, c, held['evaluation'], tstr_steps) for name, c in equal.items()]
    views = ('train', symmetric_views(train))
    jobs += [(cached_features, name, c, network) for name, c in (*every.items(), views)]
    side_by_side = Parallel(
        processes_for(sum(map(len, every.values()))), max_nbytes=None, return_as='generator'
    )  # mapped into memory, arrays would be read-only, of which torch warns
    found = side_by_side(delayed(_quiet_job)(function, study, *values) for function, *values in jobs)
    classifier, *found = progress(found, 'audit', len(jobs))
    tstr, features = dict(zip(equal, found)), found[len(equal) :]
    audited = {
        name: AuditedSet(c, x, classifier.label(c.images)) for (name, c), x in zip(every.items(), features)
    }
    return classifier, audited, TrainingLesions(train, features[-1].reshape(8, len(train), -1)), tstr


@quiet()  # the process of the notebook counts the jobs
def _quiet_job(function, *values):
    return function(*values)


def symmetric_views(cohort):
    """All eight symmetries of each lesion: a Cohort of 8 n images, symmetry by symmetry."""
    ids = [f'{i}-{view}' for view in range(8) for i in cohort.ids]
    images, labels = np.concatenate(symmetries(cohort.images)), np.tile(cohort.labels, 8)
    return Cohort(images, labels, np.tile(cohort.patients, 8), cohort.class_names, cohort.source, ids)


def positive_controls(cohort, per_class, seed=0):
    """Positive controls of the card, {'copier', 'collapsed': Cohort}: two bad generators that it must detect.

    The copier returns training lesions rotated, shifted by a pixel and noisy; the collapsed generator one
    lesion per class, noisy.
    """
    rng, k = np.random.default_rng(seed), len(cohort.class_names)
    labels = np.repeat(np.arange(k), per_class)
    rows = sample_rows(labels, cohort.labels, rng)
    copies = np.stack(
        [np.roll(np.rot90(cohort.images[i], rng.integers(4)), rng.integers(-1, 2, 2), (0, 1)) for i in rows]
    )
    first = np.array([np.flatnonzero(cohort.labels == label)[0] for label in labels])

    def noisy(images, name):
        x = np.float32(images)
        x = (x + rng.normal(0, 4, x.shape)).clip(0, 255).round().astype(np.uint8)
        return Cohort(x, labels, [name] * len(labels), cohort.class_names, name)

    return {'copier': noisy(copies, 'copier'), 'collapsed': noisy(cohort.images[first], 'collapsed')}
