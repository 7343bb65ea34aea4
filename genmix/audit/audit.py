"""The audit of a run: which held-out lesions the generators are measured against, and everything the card needs to see of each set."""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.model_selection import StratifiedGroupKFold

from genmix import NotEnough
from genmix.audit.card import AuditedSet, TrainingLesions
from genmix.audit.features import cached_features
from genmix.audit.judge import reference_classifier, tstr_labels
from genmix.audit.memorisation import nearest_pairs
from genmix.data import build as cohorts
from genmix.data.cohort import Cohort
from genmix.data.images import symmetries
from genmix.data.phantom import plan
from genmix.data.sampling import first_per_class, sample_rows
from genmix.run.log import log, progress, quiet
from genmix.run.parallel import processes_for
from genmix.run.study import Study

DEV_SEEDS = {
    'real': 701,
    'second': 702,
    'many': 700,
}  # dev streams of their own: no other part of the study draws them
ENOUGH = 50  # held-out lesions of the rarest class, above which the test patients need not be looked at
LEAST = 4  # lesions of a class in every set: fewer give no covariance


def heldout_sets(study, dataset, lesions, second, many):
    """{'real', 'second', 'many'}: Cohorts; no generator has seen the first two, and `many` teaches the reference classifier.

    Phantoms: so many `lesions`, `second`, `many` a class, fresh from population `dev`, each kept as stage audit/<name>.  Real data: held-out
    lesions in two halves by patient, and the training split as `many`.  Raises NotEnough when a half lacks lesions of a class.
    """
    if dataset != 'phantom':
        return _halves(study)
    size = cohorts.part(study).images.shape[1]
    wanted = dict(zip(DEV_SEEDS, (lesions, second, many)))
    there = all(
        study.key(f'audit/{name}') for name in wanted
    )  # no processes are started to see that nothing is to be done
    list(
        Parallel(1 if there else processes_for(3 * sum(wanted.values())))(
            delayed(_draw)(study.run, study.home, name, n, size)
            for name, n in sorted(wanted.items(), key=lambda item: -item[1])
        )
    )
    return {name: Cohort.load(study.path(f'audit/{name}')) for name in wanted}


def _draw(run, home, name, per_class, size):
    def build(out):
        return plan.draw(
            'dev', [per_class] * len(plan.CLASS_NAMES), image_size=size, seed=DEV_SEEDS[name]
        ).save(out)

    with quiet():
        Study(run, home).stage(
            f'audit/{name}', build, {'per_class': per_class, 'size': size, 'seed': DEV_SEEDS[name]}, code=plan
        )


def _halves(study):
    """Two halves of the held-out lesions, by patient: those of patients that this run leaves unused, where they are enough, so that
    generators may be improved by the card without a look at the test patients."""
    cohort, splits = cohorts.open_cohort(study)
    role = pd.Series(splits.fold0.to_numpy(), index=splits.id)[cohort.ids].to_numpy()

    def of(which):
        return np.isin(
            cohort.patients, cohort.patients[role == which]
        )  # an official split may leave a part of a patient unused

    rows = np.flatnonzero((role == 'unused') & ~of('train') & ~of('test'))
    if cohort[rows].counts.min() < ENOUGH:
        rows = np.flatnonzero((role != 'train') & ~of('train'))
        log.info(
            'the held-out lesions of the audit include the test patients: too few are left unused to do without'
        )
    held = cohort[rows]
    owners = [len(set(held.patients[held.labels == k])) for k in range(len(held.class_names))]
    halves = (
        next(
            StratifiedGroupKFold(2, shuffle=True, random_state=0).split(
                held.images, held.labels, held.patients
            )
        )
        if min(owners) > 1
        else []
    )
    fewest = (
        min((held[half].counts for half in halves), key=min)
        if len(halves)
        else pd.Series(owners, held.class_names)
    )
    if not len(halves) or fewest.min() < LEAST:
        raise NotEnough(
            f'The audit needs {LEAST} held-out lesions of each class in two groups of patients, and {fewest.idxmin()} has too few: '
            'lower train_fraction, or collect more.'
        )
    return {'real': held[halves[0]], 'second': held[halves[1]], 'many': cohort[role == 'train']}


def tuning_lesions(train, dataset, per_class, seed=705):
    """Lesions to tune sampling against: fresh phantoms of population `dev`, `per_class` each; on other data the training lesions, with a line."""
    if dataset == 'phantom':
        return plan.draw(
            'dev', [per_class] * len(plan.CLASS_NAMES), image_size=train.images.shape[1], seed=seed
        )
    log.info('samples are compared with the training lesions: held-out ones are for the audit')
    return first_per_class(train, per_class)


def audit_sets(study, sets, train, held, network='efficientnet_lite0', reference_steps=800, lesson_steps=120):
    """What the card needs: (judge, {name: Seen}, Training, {name: labels a network taught by that set gives to `real`}).

    sets    {generator: synthetic Cohort}       train   training split       held   of `heldout`
    Names are the generators, `real` and `second`.  Features, the reference classifier and the lessons are independent jobs, done side by
    side and kept as stages; a killed audit goes on where it was.
    """
    every = {**sets, 'real': held['real'], 'second': held['second']}
    per_class = min(c.counts.min() for c in (*sets.values(), held['second']))
    cut = {name: first_per_class(c, per_class) for name, c in every.items() if name != 'real'}
    views = symmetric_views(train)
    call = delayed(_job)
    jobs = [call(study.run, study.home, reference_classifier, held['many'], reference_steps)]
    jobs += [
        call(study.run, study.home, tstr_labels, name, c, held['real'], lesson_steps)
        for name, c in cut.items()
    ]
    jobs += [
        call(study.run, study.home, cached_features, name, c, network)
        for name, c in (*every.items(), ('train', views))
    ]
    side_by_side = Parallel(
        processes_for(sum(map(len, every.values()))), max_nbytes=None, return_as='generator'
    )  # mapped into memory, arrays would be read-only, of which torch warns
    judge, *found = progress(side_by_side(jobs), 'audit', len(jobs))
    lessons, features = dict(zip(cut, found)), found[len(cut) :]
    seen = {name: AuditedSet(c, x, judge.label(c.images)) for (name, c), x in zip(every.items(), features)}
    return judge, seen, TrainingLesions(train, features[-1].reshape(8, len(train), -1)), lessons


def _job(run, home, function, *values):
    with quiet():  # the notebook's own process counts the jobs
        return function(Study(run, home), *values)


def symmetric_views(cohort):
    """All eight symmetries of each lesion: a Cohort of 8 n images, view by view."""
    ids = [f'{i}-{view}' for view in range(8) for i in cohort.ids]
    return Cohort(
        np.concatenate(symmetries(cohort.images)),
        np.tile(cohort.labels, 8),
        np.tile(cohort.patients, 8),
        cohort.class_names,
        cohort.source,
        ids,
    )


def positive_controls(cohort, per_class, seed=0):
    """Two bad generators that any card must see through, as Cohorts: `copier` returns training lesions turned, shifted by a pixel and
    noisy; `stuck` one lesion a class, noisy."""
    rng, k = np.random.default_rng(seed), len(cohort.class_names)
    labels = np.repeat(np.arange(k), per_class)

    def noisy(x):
        return (x + rng.normal(0, 4, x.shape)).clip(0, 255).round().astype(np.uint8)

    rows = sample_rows(labels, cohort.labels, rng)
    moved = [
        np.roll(np.rot90(cohort.images[i], rng.integers(4)), rng.integers(-1, 2, 2), (0, 1)) for i in rows
    ]
    one = np.array([np.flatnonzero(cohort.labels == label)[0] for label in labels])

    def make(images, name):
        return Cohort(noisy(np.float32(images)), labels, [name] * len(labels), cohort.class_names, name)

    return {'copier': make(np.stack(moved), 'copier'), 'stuck': make(cohort.images[one], 'stuck')}


def nearest_pairs_shown(train, synthetic, n):
    """The `n` images of `synthetic` most like a copy, with the training lesions they come nearest to, turned as they were matched:
    [(synthetic, training), ...] of uint8 (H, W)."""
    pairs = nearest_pairs(train.images, synthetic.images, n)
    return [
        (synthetic.images[r.synthetic], symmetries(train.images[[r.train]])[r.view, 0])
        for r in pairs.itertuples()
    ]
