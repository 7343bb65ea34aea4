"""The generator card: fidelity, memorisation and TSTR of synthetic sets beside those of held-out lesions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from genmix import StudyError
from genmix.audit import fidelity, memorisation
from genmix.audit.intervals import VALUE, jackknife, jackknife_groups, mean_over_classes, proportion
from genmix.data.cohort import Cohort
from genmix.data.names import in_markdown

CARD = ['generator', 'label', 'metric', 'value', 'reference', 'n', 'low', 'high']
CARD += ['reference_low', 'reference_high', 'd']
REFERENCE = ('reference', 'reference_low', 'reference_high')
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
MIN_PER_CLASS = 4  # images of a class in every set


@dataclass(frozen=True)
class AuditedSet:
    """A Cohort with the features of its images and the classes that the reference classifier predicts.

    features   float32 (n, d)      predicted   int64 (n,); None leaves class agreement out
    """

    cohort: Cohort
    features: np.ndarray
    predicted: np.ndarray | None = None

    def __getitem__(self, rows) -> 'AuditedSet':
        predicted = None if self.predicted is None else self.predicted[rows]
        return AuditedSet(self.cohort[rows], self.features[rows], predicted)

    def of(self, label: int, n: int | None = None) -> 'AuditedSet':
        """The first `n` images of a class, None for all."""
        return self[np.flatnonzero(self.cohort.labels == label)[:n]]


class TrainingLesions:
    """The lesions a generator was trained on, ready for comparison.

    cohort     those lesions
    features   (8, n, d) of their `symmetries`, to look for copies in features as well; None does without
    """

    def __init__(self, cohort, features=None):
        self.views, self.features = memorisation.coarse_views(cohort.images), features
        self.spacing = memorisation.match(self.views, self.views[0], own=True)
        self.cell = memorisation.cells_of(self.views)

    def compare(self, audited):
        """{fact: array (n,)} of the images of an AuditedSet.

        relative, distance (see `memorisation.match`), cell, authentic; relative_features where there are
        features, and agrees where there are predicted classes: whether they equal the labels.
        """
        found = memorisation.match(self.views, memorisation.coarse(audited.cohort.images))
        facts = {
            'relative': found.relative,
            'distance': found.distance,
            'cell': self.cell[found.index],
            'authentic': memorisation.are_authentic(found, self.spacing),
        }
        if self.features is not None:
            facts['relative_features'] = memorisation.match(self.features, audited.features).relative
        if audited.predicted is not None:
            facts['agrees'] = audited.predicted == audited.cohort.labels
        return facts


@dataclass(frozen=True)
class _ClassSample:
    """Images of one class: an AuditedSet, its facts, its coordinates (n, d) along the principal axes."""

    audited: AuditedSet
    facts: dict
    coordinates: np.ndarray


def generator_card(sets, evaluation, reference, training, tstr=None, k=fidelity.K, d=fidelity.AXES):
    """The generator card, DataFrame in the columns of CARD: a row per generator, class or `all`, and metric.

    sets                    {generator: AuditedSet}
    evaluation, reference   disjoint AuditedSets of held-out lesions; the reference value of a metric is that
                            of `reference` against `evaluation`, as if it were synthetic
    training                TrainingLesions that the generators learned from
    tstr                    {generator, and 'reference': classes of `evaluation`} of `judge.tstr_labels`

    Within a class all sets and `reference` are cut to as many images as the smallest has (column n), since
    coverage, FID and others depend on it; n of tstr is the real lesions tested.  `all` is the mean over the
    classes, so that the class balance of a set does not count.  low and high are 95 % intervals: Wilson's for
    shares of images, a jackknife over groups of patients otherwise.  Column d: dimensions of the space.
    Raises StudyError when a set has fewer than MIN_PER_CLASS images of a class.
    """
    every, tstr = {**sets, 'reference': reference}, tstr or {}
    least = _smallest_counts(evaluation.cohort, [s.cohort for s in every.values()])
    mean, axes = fidelity.principal_axes(evaluation.features, min(d, max(2, least.min() // 4)))

    def sample(audited):
        return _ClassSample(audited, training.compare(audited), (audited.features - mean) @ axes)

    def of_class(label):
        base, tables = sample(evaluation.of(label)), {}
        for name, audited in every.items():
            table = _metrics(base, sample(audited.of(label, least[label])), k).assign(n=int(least[label]))
            if name in tstr:
                right = tstr[name][evaluation.cohort.labels == label] == label
                table.loc['tstr'] = [*proportion(right), np.nan, len(right)]
            tables[name] = table.assign(generator=name, label=evaluation.cohort.class_names[label])
        beside = tables.pop('reference')[list(VALUE)].set_axis(list(REFERENCE), axis=1)
        return [table.join(beside) for table in tables.values()]

    side_by_side = Parallel(cpu_count(), prefer='threads')
    return _with_all(sum(side_by_side(delayed(of_class)(label) for label in range(len(least))), []))


def _with_all(tables):
    """One card from the tables of all classes and generators, with rows `all`."""
    table = pd.concat(tables).rename_axis('metric').reset_index()
    table = table.dropna(subset=['value', 'reference'])  # C_T of too few lesions
    table['d'] = table.d.fillna(0).astype(int)
    whole = mean_over_classes(table, ['generator', 'metric'], (VALUE, REFERENCE))
    return pd.concat([table, whole], ignore_index=True)[CARD]


def _smallest_counts(evaluation, cohorts):
    """Images of each class in the smallest of `cohorts`, int (K,).  Raises StudyError where too few."""
    least = np.min([c.counts for c in cohorts], axis=0)
    smallest = np.minimum(least, evaluation.counts.to_numpy())
    if smallest.min() < MIN_PER_CLASS:
        raise StudyError(
            f'The card needs at least {MIN_PER_CLASS} images of each class in every set, but '
            f'{evaluation.class_names[smallest.argmin()]} has {smallest.min()}.'
        )
    return least


def _metrics(real, synthetic, k):
    """One _ClassSample against held-out lesions of the same class: a table metric -> value, low, high, d."""
    rows = {metric: proportion(flags) for metric, flags in _flags(real.facts, synthetic.facts).items()}
    rows |= _jackknifed(real, synthetic, k)
    along, grid = synthetic.coordinates.shape[1], memorisation.CELLS**2
    space = {'fid': along, 'diversity': along, 'copy_ratio': grid, 'authenticity': grid, 'c_t': grid}
    table = pd.DataFrame.from_dict(rows, orient='index', columns=list(VALUE))
    return table.assign(d=[space.get(metric, synthetic.audited.features.shape[1]) for metric in rows])


def _flags(known, facts):
    """{metric: bool (n,)} for the metrics that are a share of the synthetic images."""
    copies = {'copy_ratio': 'relative', 'copy_ratio_features': 'relative_features'}
    flags = {m: memorisation.are_copies(known[f], facts[f]) for m, f in copies.items() if f in facts}
    if 'agrees' in facts:
        flags['class_agreement'] = facts['agrees']
    return flags | {'authenticity': facts['authentic']}


def _jackknifed(real, synthetic, k):
    """{metric: (value, low, high)} of the other metrics, intervals clipped to their RANGES."""
    r, s = real.audited, synthetic.audited
    products = fidelity.pairwise(fidelity.kernel, r.features, s.features)
    apart = fidelity.pairwise(fidelity.distances, r.features, s.features)
    along_axes = fidelity.distances(synthetic.coordinates, synthetic.coordinates)
    (far, cell), (s_far, s_cell) = ((f['distance'], f['cell']) for f in (real.facts, synthetic.facts))
    cells = memorisation.counting_cells(cell, s_cell)  # of the whole sample, also where a group is left out

    def statistic(i, j):
        return [
            *fidelity.prdc_from_distances(*fidelity.subset(apart, i, j), k).values(),
            fidelity.mmd2(*fidelity.subset(products, i, j)),
            fidelity.fid(real.coordinates[i], synthetic.coordinates[j])[0],
            fidelity.mean_distance(along_axes[np.ix_(j, j)]),
            memorisation.ct_of_cells(far[i], cell[i], s_far[j], s_cell[j], cells),
        ]

    value, low, high = jackknife(statistic, jackknife_groups(r.cohort), jackknife_groups(s.cohort))
    return dict(zip(RANGES, zip(value, *np.clip([low, high], *zip(*RANGES.values())))))


def overlaps_reference(card):
    """Whether the interval of each row of a card meets that of real lesions: bool Series."""
    return (card.low <= card.reference_high) & (card.reference_low <= card.high)


COPYING = {
    'copy_ratio': 'copies by pixels',
    'copy_ratio_features': 'copies by features',
    'authenticity': 'authenticity',
    'c_t': 'C_T',
}


def copying_rows(card):
    """Rows of a card that indicate copying: beyond real lesions, with intervals that do not overlap."""
    below, above = card.high < card.reference_low, card.low > card.reference_high
    worse = np.where(card.metric.isin(['authenticity', 'c_t']), below, above)
    return card[card.metric.isin(COPYING) & worse]


def relative(card):
    """Values and intervals of a card as shares of `reference`; NaN where real lesions reach 0."""
    columns = ['value', 'low', 'high', 'reference_low', 'reference_high']
    return card[columns].div(card.reference.where(card.reference != 0), axis=0)


def summarise_card(card):
    """Markdown on each generator, one item each.  tstr comes from one network per set and is not counted."""
    lines = []
    for g in card.generator.unique():
        own = card[(card.generator == g) & (card.metric != 'tstr')]
        r = relative(card[(card.generator == g) & (card.label == 'all')].set_index('metric')).value
        tstr = f', TSTR {r["tstr"]:.2f}' if 'tstr' in r.index else ''
        found = ', '.join(
            f'{COPYING[row.metric]} ({in_markdown(row.label)})' for row in copying_rows(own).itertuples()
        )
        copying = (
            f'Closer to its training lesions than held-out ones: {found}.' if found else 'No sign of copying.'
        )
        lines.append(
            f'**{g}**: relative to real lesions, class agreement {r["class_agreement"]:.2f}, diversity '
            f'{r["diversity"]:.2f}, coverage {r["coverage"]:.2f}{tstr}. {copying} Of its {len(own)} numbers '
            f'{overlaps_reference(own).sum()} are not distinguishable from real lesions (95 % CIs overlap).'
        )
    return lines
