"""The generator card: every number of `genmix.quality` and `genmix.copies` beside the same number for held-out real lesions, with intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from genmix import StudyError
from genmix.audit.fidelity import (
    AXES,
    K,
    distances,
    fid,
    kernel,
    mean_distance,
    mmd2,
    prdc_from_distances,
    principal_axes,
)
from genmix.audit.intervals import jackknife, jackknife_groups, proportion
from genmix.audit.memorisation import (
    CELLS,
    are_authentic,
    are_copies,
    cells_of,
    coarse,
    coarse_views,
    counting_cells,
    ct_of_cells,
    match,
)
from genmix.data.cohort import Cohort


@dataclass(frozen=True)
class AuditedSet:
    """A set of lesions as the card sees it.

    features  float32 (n, d)      predicted  labels (n,) that the reference classifier gives them, None where there is none
    """

    cohort: Cohort
    features: np.ndarray
    predicted: np.ndarray = None

    def __getitem__(self, rows):
        return AuditedSet(
            self.cohort[rows], self.features[rows], None if self.predicted is None else self.predicted[rows]
        )

    def of(self, label, n=None):
        return self[np.flatnonzero(self.cohort.labels == label)[:n]]


class TrainingLesions:
    """The lesions a generator was trained on, ready for comparison.

    cohort   those lesions      features   of their `turned` images (8, n, d), for a second look for copies; None does without
    """

    def __init__(self, cohort, features=None):
        self.views, self.features = coarse_views(cohort.images), features
        self.spacing, self.cell = match(self.views, self.views[0], own=True), cells_of(self.views)

    def compare(self, seen):
        """Facts of each image of a Seen set: agrees, relative, relative_features, distance, cell, authentic (whichever can be told)."""
        found = match(self.views, coarse(seen.cohort.images))
        facts = {
            'relative': found.relative,
            'distance': found.distance,
            'cell': self.cell[found.index],
            'authentic': are_authentic(found, self.spacing),
        }
        if self.features is not None:
            facts['relative_features'] = match(self.features, seen.features).relative
        if seen.predicted is not None:
            facts['agrees'] = seen.predicted == seen.cohort.labels
        return facts


def generator_card(sets, real, second, training, lessons=None, k=K, d=AXES):
    """The generator card, a table in the columns of CARD: one row a generator, label (each class, then `all`) and metric.

    sets       {generator: Seen}           real, second   disjoint Seen sets of held-out lesions: `reference` is `second` judged against `real`
    training   Training on the lesions that the generators learned from
    lessons    {generator, and `second`: labels that a network taught by this set alone gives to `real`}, for metric tstr

    Within a class all sets and `second` are cut to as many images as the smallest has (column n), since coverage, FID and the like depend
    on it; n of tstr is the real lesions asked.  `all` is the mean over the classes (its n their sum), so that the class balance of a set
    does not count.  low and high enclose 95 %: Wilson's interval for shares of images, a jackknife over groups of patients otherwise.
    Column d: dimensions of the space.
    Raises StudyError when a set has fewer than 4 images of a class.
    """
    names, rows = real.cohort.class_names, []
    least = np.min([s.cohort.counts for s in (second, *sets.values())], axis=0)
    if (scarce := np.minimum(least, real.cohort.counts.to_numpy())).min() < 4:
        raise StudyError(
            f'The card needs at least 4 images of each class in every set, but {names[scarce.argmin()]} has {scarce.min()}.'
        )
    mean, axes = principal_axes(real.features, min(d, max(2, least.min() // 4)))

    def of_class(label):
        def facts(seen):
            return (seen, training.compare(seen), (seen.features - mean) @ axes)

        asked, taught = real.cohort.labels == label, lessons or {}
        base = facts(real.of(label))

        def judged(name, seen):
            table = _judged(base, facts(seen.of(label, least[label])), k).assign(n=int(least[label]))
            if name in taught:
                table.loc['tstr'] = [*proportion(taught[name][asked] == label), np.nan, int(asked.sum())]
            return table

        reference = (
            judged('second', second)[['value', 'low', 'high']]
            .add_prefix('reference_')
            .rename(columns={'reference_value': 'reference'})
        )
        return [judged(g, s).join(reference).assign(generator=g, label=names[label]) for g, s in sets.items()]

    for tables in Parallel(cpu_count(), prefer='threads')(
        delayed(of_class)(label) for label in range(len(names))
    ):
        rows += tables
    table = (
        pd.concat(rows).rename_axis('metric').reset_index().dropna(subset=['value', 'reference'])
    )  # C_T of too few lesions
    table['d'] = table.d.fillna(0).astype(int)
    whole = pd.DataFrame(
        [_over_classes(part) for _, part in table.groupby(['generator', 'metric'], sort=False)]
    )
    return pd.concat([table, whole], ignore_index=True)[CARD]


INF = np.inf
RANGES = {
    'precision': (0, 1),
    'recall': (0, 1),
    'density': (0, INF),
    'coverage': (0, 1),
    'kid': (-INF, INF),
    'fid': (0, INF),
    'diversity': (0, INF),
    'c_t': (-INF, INF),
}  # of the metrics with a jackknife interval, in the order in which they are computed
CARD = [
    'generator',
    'label',
    'metric',
    'value',
    'reference',
    'n',
    'low',
    'high',
    'reference_low',
    'reference_high',
    'd',
]


def _judged(real, synthetic, k):
    """One set against held-out real lesions of the same class: a table metric -> value, low, high, d."""
    (r, known, r_axes), (s, facts, s_axes) = real, synthetic
    copies = {'copy_ratio': 'relative', 'copy_ratio_features': 'relative_features'}
    flags = {metric: are_copies(known[fact], facts[fact]) for metric, fact in copies.items() if fact in facts}
    flags |= {
        metric: facts[fact]
        for metric, fact in {'class_agreement': 'agrees', 'authenticity': 'authentic'}.items()
        if fact in facts
    }
    rows = {metric: proportion(flag) for metric, flag in flags.items()}

    def pairs(of, a, b):
        return (of(a, a), of(b, b), of(a, b))

    products, apart = pairs(kernel, r.features, s.features), pairs(distances, r.features, s.features)
    spread, cells = (
        distances(s_axes, s_axes),
        counting_cells(known['cell'], facts['cell']),
    )  # of the whole sample, also where a group is left out

    def statistic(i, j):
        def cut(rr, ss, rs):
            return (rr[np.ix_(i, i)], ss[np.ix_(j, j)], rs[np.ix_(i, j)])

        return [
            *prdc_from_distances(*cut(*apart), k).values(),
            mmd2(*cut(*products)),
            fid(r_axes[i], s_axes[j])[0],
            mean_distance(spread[np.ix_(j, j)]),
            ct_of_cells(
                known['distance'][i], known['cell'][i], facts['distance'][j], facts['cell'][j], cells
            ),
        ]

    value, low, high = jackknife(statistic, jackknife_groups(r.cohort), jackknife_groups(s.cohort))
    rows |= dict(zip(RANGES, zip(value, *np.clip([low, high], *zip(*RANGES.values())))))
    table = pd.DataFrame.from_dict(rows, orient='index', columns=['value', 'low', 'high'])
    space = {
        'fid': s_axes.shape[1],
        'diversity': s_axes.shape[1],
        'copy_ratio': CELLS**2,
        'authenticity': CELLS**2,
        'c_t': CELLS**2,
    }
    return table.assign(d=[space.get(metric, s.features.shape[1]) for metric in rows])


def _over_classes(part):
    """The row `all` of one generator and metric: means over the classes, half-widths added in squares."""
    row = part.iloc[0].to_dict() | {'label': 'all', 'n': part.n.sum()}
    for value, low, high in (('value', 'low', 'high'), ('reference', 'reference_low', 'reference_high')):
        row[value] = part[value].mean()
        row[low] = row[value] - np.sqrt(((part[value] - part[low]) ** 2).sum()) / len(part)
        row[high] = row[value] + np.sqrt(((part[high] - part[value]) ** 2).sum()) / len(part)
    return row


def overlaps_reference(card):
    """True for each row of a card whose interval meets that of real lesions."""
    return (card.low <= card.reference_high) & (card.reference_low <= card.high)


COPYING = {
    'copy_ratio': 'copies by pixels',
    'copy_ratio_features': 'copies by features',
    'authenticity': 'authenticity',
    'c_t': 'C_T',
}


def copying_rows(card):
    """Rows of a card (of one generator or several) that speak of copies more than real lesions do, beyond both intervals."""
    worse = np.where(
        card.metric.isin(['authenticity', 'c_t']),
        card.high < card.reference_low,
        card.low > card.reference_high,
    )
    return card[card.metric.isin(COPYING) & worse]


def relative(card):
    """The columns value, low, high, reference_low and reference_high of a card as shares of `reference`; NaN where real lesions reach 0."""
    columns = ['value', 'low', 'high', 'reference_low', 'reference_high']
    return card[columns].div(card.reference.where(card.reference != 0), axis=0)


def summarise_card(card):
    """One sentence or two for each generator of a card, from its numbers.  tstr comes from one network a set and is not counted."""
    lines = []
    for g in card.generator.unique():
        own = card[(card.generator == g) & (card.metric != 'tstr')]
        r = relative(card[(card.generator == g) & (card.label == 'all')].set_index('metric')).value
        taught = f', teaches a classifier {r["tstr"]:.2f} of what they teach' if 'tstr' in r.index else ''
        found = ', '.join(f'{COPYING[row.metric]} ({row.label})' for row in copying_rows(own).itertuples())
        lines.append(
            f'**{g}**: as a share of real lesions {r["class_agreement"]:.2f} right class, {r["diversity"]:.2f} diversity, {r["coverage"]:.2f} coverage{taught}. '
            + (
                f'Nearer to its training lesions than held-out ones are, by {found}. '
                if found
                else 'It cannot be told to copy more than chance. '
            )
            + f'{overlaps_reference(own).sum()} of its {len(own)} numbers cannot be told from real lesions.'
        )
    return lines
