"""Held-out lesions by use: to audit generators, to measure what mixing does."""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from genmix import NotEnough
from genmix.data import build as cohorts
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.run.log import log, quiet
from genmix.run.parallel import processes_for

# Seeds in population `dev`, one for each use: no other part of the study draws them.
AUDIT_SEEDS = {'evaluation': 701, 'reference': 702, 'judge_training': 700}
MIXING_SEED = 707
MIN_UNUSED = 50  # unused lesions of the rarest class from which on the audit spares the test patients
MIN_PER_CLASS = 4  # lesions of a class in every set: fewer give no covariance


def audit_lesions(study, dataset, evaluation, reference, judge_training):
    """{'evaluation', 'reference', 'judge_training': Cohort}: no generator has seen the first two.

    evaluation       every set is measured against these
    reference        measured as if they were a synthetic set: the reference value of each metric
    judge_training   the reference classifier is trained on these

    Phantoms: so many lesions per class, fresh from population `dev`, in stages audit/lesions/<name>.  Real
    data: held-out lesions in two halves by patient, and the training split; the numbers do not count.
    Held out of a sub-sample is what its run calibrates on, which no cohort trains or is tested on.
    Raises NotEnough when a half lacks lesions of a class.
    """
    if dataset != 'phantom':
        held, train = _held_out(study)
        return dict(zip(AUDIT_SEEDS, (*_halves(held), train)))
    size = cohorts.part(study).images.shape[1]
    wanted = dict(zip(AUDIT_SEEDS, (evaluation, reference, judge_training)))
    cached = all(
        study.key(f'audit/lesions/{name}') for name in wanted
    )  # then processes are not worth a start
    side_by_side = Parallel(1 if cached else processes_for(3 * sum(wanted.values())))
    largest_first = sorted(wanted.items(), key=lambda item: -item[1])
    side_by_side(delayed(_draw_stage)(study, name, n, size) for name, n in largest_first)
    return {name: Cohort.load(study.folder / 'audit' / 'lesions' / name) for name in wanted}


def mixing_effect_lesions(study, train, dataset, per_class=250):
    """Lesions that no generator and no mixture has seen, a Cohort: fresh phantoms or half of the held-out.

    Raises NotEnough where the held-out lesions are too few.
    """
    if dataset == 'phantom':
        return _fresh_phantoms(per_class, train.images.shape[1], MIXING_SEED)
    return _halves(_held_out(study)[0])[0]


def _fresh_phantoms(per_class, size, seed):
    return plan.draw('dev', [per_class] * len(plan.CLASS_NAMES), image_size=size, seed=seed)


@quiet()
def _draw_stage(study, name, per_class, size):
    params = {'per_class': per_class, 'size': size, 'seed': AUDIT_SEEDS[name]}
    study.stage(f'audit/lesions/{name}', lambda out: _fresh_phantoms(**params).save(out), params, code=plan)


def _held_out(study):
    """(held-out lesions, training lesions) of the first fold, Cohorts without a common patient.

    Lesions of patients that this run leaves unused, where they are enough, so that generators may be improved
    by the card without the test patients.  An official split may leave a part of a patient unused: not those.
    Of a sub-sample: the images apart from cohorts and test population.
    """
    if study.key('calibration'):
        return Cohort.load(study.need('calibration', '01_data')), cohorts.part(study)
    cohort, splits = cohorts.open_cohort(study)
    role = pd.Series(splits.fold0.to_numpy(), index=splits.id)[cohort.ids].to_numpy()
    trains, tested = (np.isin(cohort.patients, cohort.patients[role == part]) for part in ('train', 'test'))
    rows = np.flatnonzero((role == 'unused') & ~trains & ~tested)
    if cohort[rows].counts.min() < MIN_UNUSED:
        rows = np.flatnonzero((role != 'train') & ~trains)
        log.info('the held-out lesions of the audit include the test patients: too few patients are unused')
    return cohort[rows], cohort[role == 'train']


def _halves(held):
    """Two halves of a Cohort, by patient.  Raises NotEnough."""
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import

    counts = pd.Series(
        [len(set(held.patients[held.labels == k])) for k in range(len(held.class_names))], held.class_names
    )
    enough = counts.min() > 1
    if enough:
        by_patient = StratifiedGroupKFold(2, shuffle=True, random_state=0)
        halves = [held[rows] for rows in next(by_patient.split(held.images, held.labels, held.patients))]
        counts = min((half.counts for half in halves), key=min)
        enough = counts.min() >= MIN_PER_CLASS
    if not enough:
        raise NotEnough(
            f'The audit needs {MIN_PER_CLASS} held-out lesions of each class in two groups of patients, and '
            f'{counts.idxmin()} has too few: lower train_fraction, or collect more.'
        )
    return halves
