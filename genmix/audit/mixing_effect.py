"""What mixing does to a synthetic set: fidelity and diversity before and after, against unseen lesions."""

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from genmix import NotEnough
from genmix.audit import fidelity
from genmix.audit.card import AuditedSet
from genmix.audit.features import load_features
from genmix.audit.fidelity import BETTER, distances, kernel, pairwise, subset
from genmix.audit.heldout import mixing_effect_lesions
from genmix.audit.intervals import jackknife, jackknife_groups, mean_over_classes
from genmix.data.cohort import Cohort, read_rows
from genmix.data.sampling import first_per_class, sample_rows
from genmix.mixing.rules import blend
from genmix.run.log import log
from genmix.run.parallel import processes_for

PER_CLASS = 150  # images of a class in each set: enough for the intervals, few enough for the time
STEPS = ('synthetic', 'unmixed', 'mixed', 'unmixed_same', 'mixed_same')
CHANGES = ('mixing', 'blending', 'blending_same')
COLUMNS = ['generator', 'label', 'metric', 'step', 'value', 'low', 'high', 'n']


def sets_before_and_after(train, synthetic, mixtures):
    """{'synthetic', 'unmixed', 'mixed', 'unmixed_same', 'mixed_same': Cohort}: a generator's set, the parents
    of larger weight, its GenMix set; then both for pairs of one class.

    mixtures   a GenMixSet; a mixture has the class of its parent of larger weight

    `unmixed` separates what real lesions bring by being in the set from what blending brings.  A blend of two
    classes is like neither, so that it cannot look better among lesions of one class: `..._same` have the
    same real parents and weights, and synthetic parents of their class.
    """
    a, b, lam = mixtures.a, mixtures.b, mixtures.lam
    partners = sample_rows(train.labels[a], synthetic.labels, np.random.default_rng(0))
    within = blend(train.images[a], synthetic.images[partners], lam)

    def both(other, blended):
        heavier = lam >= 0.5
        parents = np.where(heavier[:, None, None], train.images[a], synthetic.images[other])
        labels = np.where(heavier, train.labels[a], synthetic.labels[other])
        owners = ['synthetic'] * len(labels)
        return [Cohort(x, labels, owners, train.class_names) for x in (parents, blended)]

    return dict(zip(STEPS, (synthetic, *both(b, mixtures.x), *both(partners, within))))


def mixing_effects(real, sets):
    """DataFrame(generator, label, metric, step, value, low, high, n), one row per number.

    real   Cohort of unseen lesions      sets   {generator: {step: Cohort}} of `sets_before_and_after`

    step is one of the STEPS, or a difference: `mixing` (mixed - synthetic), `blending` (mixed - unmixed) and
    `blending_same` (mixed_same - unmixed_same), on the same real lesions.  diversity is a share of that of
    the real lesions.  low and high: 95 % intervals by a jackknife over groups of patients and of images.
    `all` is the mean over the classes.
    """
    least = min(PER_CLASS, min(c.counts.min() for steps in sets.values() for c in steps.values()))
    real = _with_features(real)
    mean, axes = fidelity.principal_axes(real.features, min(fidelity.AXES, max(2, least // 4)))
    few = {(g, step): first_per_class(c, least) for g, steps in sets.items() for step, c in steps.items()}
    side_by_side = Parallel(processes_for(sum(map(len, few.values()))))
    audited = dict(zip(few, side_by_side(delayed(_with_features)(c) for c in few.values())))

    def of_class(g, label):
        steps = {step: audited[g, step].of(label) for step in sets[g]}
        table = _changes(real.of(label), steps, lambda x: (x - mean) @ axes)
        return table.assign(generator=g, label=real.cohort.class_names[label], n=int(least))

    threads = Parallel(cpu_count(), prefer='threads')
    jobs = [(g, label) for g in sets for label in range(len(real.cohort.class_names))]
    table = pd.concat(threads(delayed(of_class)(*job) for job in jobs), ignore_index=True)
    whole = mean_over_classes(table, ['generator', 'metric', 'step'])
    return pd.concat([table, whole], ignore_index=True)[COLUMNS]


def cached_mixing_effects(study, train, dataset, synthetic, mixtures):
    """`mixing_effects` of the GenMix sets of a run, in stage audit/mixing as gains.csv.

    synthetic   {generator: Cohort}      mixtures   {generator: GenMixSet}

    None, with a log line, where too few lesions are held out for it.
    """
    try:
        real = mixing_effect_lesions(study, train, dataset)
    except NotEnough as error:
        log.info(f'what mixing does to the sets is not measured: {error}')
        return None
    sets = {g: sets_before_and_after(train, synthetic[g], mix) for g, mix in mixtures.items()}

    def build(out):
        mixing_effects(real, sets).to_csv(out / 'gains.csv', index=False)

    inputs = [real.content_hash, *(c.content_hash for steps in sets.values() for c in steps.values())]
    folder = study.stage('audit/mixing', build, {'per_class': PER_CLASS}, inputs)
    return read_rows(folder / 'gains.csv')


def _with_features(cohort):
    return AuditedSet(cohort, load_features()(cohort.images))


def _changes(real, steps, project):
    """One class of one generator: DataFrame(metric, step, value, low, high).

    real   AuditedSet      steps   {step: AuditedSet}      project   features -> coordinates along the axes
    """
    r, made = real.features, [s.features for s in steps.values()]
    products = [pairwise(kernel, r, x) for x in made]
    apart = [pairwise(distances, r, x) for x in made]
    along_axes = [pairwise(distances, project(r), project(x)) for x in made]

    known = {}  # leaving out a group of one step changes no other step: two thirds are asked for again

    def metrics(step, i, j):
        rows = step, i.tobytes(), j.tobytes()
        if rows not in known:
            within_real, within, _ = subset(along_axes[step], i, j)
            known[rows] = [
                fidelity.mmd2(*subset(products[step], i, j)),
                fidelity.mean_distance(within) / fidelity.mean_distance(within_real),
                fidelity.prdc_from_distances(*subset(apart[step], i, j))['coverage'],
            ]
        return known[rows]

    def statistic(i, *rows):
        found = np.array([metrics(step, i, j) for step, j in enumerate(rows)])
        synthetic, unmixed, mixed, unmixed_same, mixed_same = found
        return np.concatenate([*found, mixed - synthetic, mixed - unmixed, mixed_same - unmixed_same])

    groups = [jackknife_groups(s.cohort) for s in (real, *steps.values())]
    names = pd.MultiIndex.from_product([[*steps, *CHANGES], BETTER], names=['step', 'metric'])
    numbers = dict(zip(('value', 'low', 'high'), jackknife(statistic, *groups)))
    return pd.DataFrame(numbers, names).reset_index()


def summarise_mixing_effects(table):
    """Two sentences: in how many comparisons mixing, and blending by itself, is better or worse (95 %)."""
    changes, sentences = table[(table.label == 'all') & table.step.isin(['mixing', 'blending'])], []
    sign = changes.metric.map(BETTER).map({'higher': 1, 'lower': -1})
    better = np.where(sign > 0, changes.low > 0, changes.high < 0)
    worse = np.where(sign > 0, changes.high < 0, changes.low > 0)
    for step, what in (('mixing', 'Real parents and blending together'), ('blending', 'Blending by itself')):
        own = (changes.step == step).to_numpy()
        named = [f'{r.metric} of {r.generator}' for r in changes[own & worse].itertuples()]
        sentences.append(
            f'**{what}**: better in {(own & better).sum()} of {own.sum()} comparisons, worse in {len(named)}'
            + (f' ({", ".join(named)})' if named else '')
            + ', otherwise undecided.'
        )
    return sentences
