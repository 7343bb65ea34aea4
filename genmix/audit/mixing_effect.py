"""What mixing does to a synthetic set: quality and diversity before and after, against lesions that no generator has seen."""

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from genmix import NotEnough
from genmix.audit import audit, features, fidelity, intervals
from genmix.audit.fidelity import BETTER
from genmix.audit.intervals import jackknife, jackknife_groups
from genmix.data import sampling
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.run import parallel
from genmix.run.log import log

UNSEEN_SEED = 707  # of the dev phantoms drawn here
PER_CLASS = 150  # images of a class in each set: enough for the intervals, few enough for the seconds


def unseen_lesions(study, train, dataset, per_class=250):
    """Lesions that no generator and no mixture has seen: dev phantoms, or half of the held-out patients (NotEnough where they are too few)."""
    if dataset == 'phantom':
        return plan.draw(
            'dev', [per_class] * len(train.class_names), image_size=train.images.shape[1], seed=UNSEEN_SEED
        )
    return audit.heldout_sets(study, dataset, 0, 0, 0)['real']


def sets_before_and_after(train, synthetic, mixtures):
    """{'synthetic', 'unmixed', 'mixed'}: one generator's set, its GenMix set, and between them the heavier parent of each mixture, as Cohorts.

    `unmixed` tells what the real lesions bring by being there from what blending brings.  A mixture has the class of its heavier parent.
    """
    heavier = mixtures.lam >= 0.5
    parent = np.where(heavier[:, None, None], train.images[mixtures.a], synthetic.images[mixtures.b])
    labels = np.where(heavier, train.labels[mixtures.a], synthetic.labels[mixtures.b])

    def cohort(x):
        return Cohort(x, labels, ['synthetic'] * len(labels), train.class_names)

    return {'synthetic': synthetic, 'unmixed': cohort(parent), 'mixed': cohort(mixtures.x)}


def mixing_effects(real, sets):
    """Table generator, label, metric, step, value, low, high, n: one row a number.

    real   Cohort of unseen lesions      sets   {generator: {'synthetic', 'unmixed', 'mixed': Cohort}}

    step is one of the three sets, or a difference: `mixing` (mixed - synthetic) and `blending` (mixed - unmixed), on the same real lesions.
    diversity is a share of that of the real lesions.  low and high enclose 95 %, by a jackknife over groups of patients and of images.
    `all` is the mean over the classes.
    """
    k = len(real.class_names)
    least = min(PER_CLASS, min(c.counts.min() for steps in sets.values() for c in steps.values()))
    r = _seen(real)
    mean, axes = fidelity.principal_axes(r, min(fidelity.AXES, max(2, least // 4)))
    jobs = [(g, label) for g in sets for label in range(k)]
    few = {
        (g, step): sampling.first_per_class(c, least)
        for g, steps in sets.items()
        for step, c in steps.items()
    }
    seen = dict(
        zip(
            few,
            Parallel(parallel.processes_for(sum(map(len, few.values()))))(
                delayed(_seen)(c) for c in few.values()
            ),
        )
    )

    def of_class(g, label):
        rows, own = (
            real.labels == label,
            {step: seen[g, step][few[g, step].labels == label] for step in sets[g]},
        )
        return _changes(r[rows], real[np.flatnonzero(rows)], own, mean, axes).assign(
            generator=g, label=real.class_names[label], n=int(least)
        )

    tables = Parallel(cpu_count(), prefer='threads')(delayed(of_class)(*job) for job in jobs)
    table = pd.concat(tables, ignore_index=True)
    return pd.concat([table, _over_classes(table)], ignore_index=True)[
        ['generator', 'label', 'metric', 'step', 'value', 'low', 'high', 'n']
    ]


def cached_mixing_effects(study, train, dataset, synthetic, mixtures):
    """`gains` of the GenMix sets of a run, kept in stage audit/mixing as gains.csv; None, with a line, where no lesions are held out for it.

    synthetic   {generator: Cohort}      mixtures   {generator: MixedSet}
    """
    try:
        real = unseen_lesions(study, train, dataset)
    except NotEnough as error:
        log.info(f'what mixing does to the sets is not measured: {error}')
        return None
    sets = {g: sets_before_and_after(train, synthetic[g], mix) for g, mix in mixtures.items()}
    inputs = [real.content_hash, *(c.content_hash for steps in sets.values() for c in steps.values())]
    folder = study.stage(
        'audit/mixing',
        lambda out: mixing_effects(real, sets).to_csv(out / 'gains.csv', index=False),
        {'per_class': PER_CLASS},
        inputs,
    )
    return pd.read_csv(folder / 'gains.csv')


def _seen(cohort):
    return features.load_features()(cohort.images)


def _changes(r, owners, own, mean, axes):
    """One class of one generator: a table metric, step, value, low, high."""
    steps, groups = (
        list(own),
        [
            jackknife_groups(owners),
            *(np.random.default_rng(0).permutation(len(x)) % intervals.GROUPS for x in own.values()),
        ],
    )

    def project(x):
        return (x - mean) @ axes

    pairs = {
        step: (
            fidelity.distances(x, x),
            fidelity.distances(r, x),
            fidelity.kernel(x, x),
            fidelity.kernel(r, x),
            fidelity.distances(project(x), project(x)),
        )
        for step, x in own.items()
    }
    rr, kr, spread = (
        fidelity.distances(r, r),
        fidelity.kernel(r, r),
        fidelity.distances(project(r), project(r)),
    )

    def statistic(i, *rows):
        found = []
        for step, j in zip(steps, rows):
            ss, rs, kss, krs, apart = pairs[step]
            found += [
                fidelity.mmd2(kr[np.ix_(i, i)], kss[np.ix_(j, j)], krs[np.ix_(i, j)]),
                fidelity.mean_distance(apart[np.ix_(j, j)]) / fidelity.mean_distance(spread[np.ix_(i, i)]),
                fidelity.prdc_from_distances(rr[np.ix_(i, i)], ss[np.ix_(j, j)], rs[np.ix_(i, j)])[
                    'coverage'
                ],
            ]
        synthetic, unmixed, mixed = np.reshape(found, (3, len(BETTER)))
        return np.concatenate([found, mixed - synthetic, mixed - unmixed])

    numbers = zip(*jackknife(statistic, *groups))
    return pd.DataFrame(
        [
            (metric, step, *number)
            for (step, metric), number in zip(
                [(s, m) for s in (*steps, 'mixing', 'blending') for m in BETTER], numbers
            )
        ],
        columns=['metric', 'step', 'value', 'low', 'high'],
    )


def _over_classes(table):
    """Rows `all`: means over the classes, half-widths added in squares."""
    half = (table.high - table.value) ** 2
    by = table.assign(half=half).groupby(['generator', 'metric', 'step'], sort=False)
    whole = by.agg(
        value=('value', 'mean'), half=('half', 'sum'), n=('n', 'sum'), classes=('half', 'size')
    ).reset_index()
    width = np.sqrt(whole.half) / whole.classes
    return whole.assign(label='all', low=whole.value - width, high=whole.value + width)


def summarise_mixing_effects(table):
    """One sentence for each generator, computed: what mixing did to its set, and what of that is due to blending itself."""
    lines, whole = [], table[table.label == 'all'].set_index(['generator', 'metric', 'step'])

    def way(change):
        return 'up' if change.low > 0 else 'down' if change.high < 0 else 'not for sure'

    for g in table.generator.unique():
        said = [
            f'{metric} {whole.loc[(g, metric, "synthetic")].value:.2f} → {whole.loc[(g, metric, "mixed")].value:.2f} '
            f'({way(whole.loc[(g, metric, "mixing")])}; by blending itself {way(whole.loc[(g, metric, "blending")])})'
            for metric in BETTER
        ]
        lines.append(f'**{g}**: {", ".join(said)}')
    return lines
