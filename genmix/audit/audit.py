"""The audit of a run: everything that the generator card needs of each set, computed side by side."""

from joblib import Parallel, delayed

from genmix.audit.card import AuditedSet
from genmix.audit.features import cached_features
from genmix.audit.judge import reference_classifier, tstr_labels
from genmix.audit.training_lesions import SEARCHED, TrainingLesions, cached_search
from genmix.data.sampling import first_per_class
from genmix.run.log import progress, quiet
from genmix.run.parallel import processes_for


def audit_sets(study, sets, train, held, network, reference_steps, tstr_steps, searched=SEARCHED):
    """What the card needs: (reference classifier, {name: AuditedSet}, TrainingLesions, {name: TSTR labels}).

    sets     {generator: synthetic Cohort}      train   training split      held   of `heldout.audit_lesions`
    network  of `features.load_features`       reference_steps, tstr_steps   optimiser steps of classifiers
    searched   images per class that are searched for copies

    Names are the generators, `evaluation` and `reference`; TSTR labels are int64, of lesions `evaluation`.
    Features, classifiers and searches are independent jobs, each in a stage of its own: a killed audit
    resumes.
    """
    every = {**sets, 'evaluation': held['evaluation'], 'reference': held['reference']}
    per_class = min(c.counts.min() for c in (*sets.values(), held['reference']))
    equal = {name: first_per_class(c, per_class) for name, c in every.items() if name != 'evaluation'}
    training = TrainingLesions(train)
    jobs = [(reference_classifier, held['judge_training'], reference_steps)]
    jobs += [(tstr_labels, name, c, held['evaluation'], tstr_steps) for name, c in equal.items()]
    jobs += [(cached_features, name, c, network) for name, c in every.items()]
    jobs += [(cached_search, name, c, training, searched) for name, c in every.items()]
    side_by_side = Parallel(
        processes_for(sum(map(len, every.values()))), max_nbytes=None, return_as='generator'
    )  # mapped into memory, arrays would be read-only, of which torch warns
    results = side_by_side(delayed(_quiet_job)(function, study, *values) for function, *values in jobs)
    classifier, *results = progress(results, 'audit', len(jobs))
    tstr, results = dict(zip(equal, results)), results[len(equal) :]
    audited = {
        name: AuditedSet(c, features, classifier.label(c.images), found)
        for (name, c), features, found in zip(every.items(), results, results[len(every) :])
    }
    return classifier, audited, training, tstr


@quiet()  # the process of the notebook counts the jobs
def _quiet_job(function, *values):
    return function(*values)
