"""The generator card: what a set teaches, its fidelity and its copies, beside those of held-out lesions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from genmix import StudyError
from genmix.audit import copies, fidelity
from genmix.audit.features import pixel_features
from genmix.audit.findings import METRICS
from genmix.audit.intervals import VALUE, jackknife, jackknife_groups, mean_over_classes, proportion
from genmix.data.cohort import Cohort

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
}  # of the metrics of a feature space, in the order in which they are computed
MIN_PER_CLASS = 4  # images of a class in every set
SECOND = '_pixels'  # ends the names of the metrics of the second feature space


@dataclass(frozen=True)
class AuditedSet:
    """A Cohort with all that the card needs of its images.

    features    float32 (n, d), of a network
    predicted   classes int64 (n,) by the reference classifier; None leaves class agreement out
    found       `TrainingLesions.search_set` of the cohort; None leaves the search for copies out
    """

    cohort: Cohort
    features: np.ndarray
    predicted: np.ndarray | None = None
    found: pd.DataFrame | None = None

    def of(self, label: int, n: int | None = None) -> 'AuditedSet':
        """The first `n` images of a class, None for all."""
        rows = np.flatnonzero(self.cohort.labels == label)[:n]
        predicted = None if self.predicted is None else self.predicted[rows]
        found = None if self.found is None else self.found[self.found.image.isin(rows)]
        return AuditedSet(self.cohort[rows], self.features[rows], predicted, found)


@dataclass(frozen=True)
class Space:
    """A feature space, as real lesions span it.

    suffix   of the names of its metrics      mean, scale   of features that are measured: (x - mean) / scale
    origin   (d,) and axes (d, a): principal axes, along which FID and diversity are measured
    """

    suffix: str
    origin: np.ndarray
    axes: np.ndarray
    mean: float | np.ndarray = 0.0
    scale: float = 1.0

    def of(self, audited):
        """Features float32 (n, d) of an AuditedSet."""
        x = pixel_features(audited.cohort.images) if self.suffix else audited.features
        return (x - self.mean) / self.scale

    def metrics(self, real, synthetic, k):
        """Of one class, from two AuditedSets: {metric: (value, low, high, d)}, clipped to their RANGES."""
        r, s = self.of(real), self.of(synthetic)
        products = fidelity.pairwise(fidelity.kernel, r, s)
        apart = fidelity.pairwise(fidelity.distances, r, s)
        r, s = ((x - self.origin) @ self.axes for x in (r, s))
        along_axes = fidelity.distances(s, s)
        radii = [fidelity.radius(within, k) for within in apart[:2]]

        def statistic(i, j):
            known = [whole if m.all() else None for whole, m in zip(radii, (i, j))]
            return [
                *fidelity.prdc_from_distances(*fidelity.subset(apart, i, j), k, known).values(),
                fidelity.mmd2(*fidelity.subset(products, i, j)),
                fidelity.fid(r[i], s[j])[0],
                fidelity.mean_distance(along_axes[np.ix_(j, j)]),
            ]

        value, low, high = jackknife(statistic, *map(jackknife_groups, (real.cohort, synthetic.cohort)))
        low, high = np.clip([low, high], *zip(*RANGES.values()))
        d = [self.axes.shape[m in ('fid', 'diversity')] for m in RANGES]
        return dict(zip([m + self.suffix for m in RANGES], zip(value, low, high, d)))


def spaces(evaluation, n_axes):
    """Both Spaces, from the AuditedSet of real lesions: the network's, and that of pixels."""
    pixels = pixel_features(evaluation.cohort.images)
    mean, scale = pixels.mean(0), pixels.std()  # so that KID's kernel is neither flat nor all cubic
    network = Space('', *fidelity.principal_axes(evaluation.features, n_axes))
    second = fidelity.principal_axes((pixels - mean) / scale, n_axes)
    return network, Space(SECOND, *second, mean, scale)


def generator_card(sets, evaluation, reference, tstr=None, k=fidelity.K, d=fidelity.AXES):
    """The generator card, DataFrame in the columns of CARD: a row per generator, class or `all`, and metric.

    sets                    {generator: AuditedSet}
    evaluation, reference   disjoint AuditedSets of held-out lesions; the reference value of a metric is that
                            of `reference` against `evaluation`, as if it were synthetic
    tstr                    {generator, and 'reference': classes of `evaluation`} of `judge.tstr_labels`

    Rows are in the order of METRICS.  Within a class all sets and `reference` are cut to as many images as
    the smallest has, or has searched for copies (column n), since coverage, FID, C_T and others depend on
    it; n of tstr is the real lesions tested.  `all` is the mean over the classes, so that the class balance
    of a set does not count.  low and high are 95 % intervals: Wilson's for shares of images, a jackknife over
    groups of patients otherwise.  Column d: dimensions of the space.
    Raises StudyError when a set has fewer than MIN_PER_CLASS images of a class.
    """
    every, tstr = {**sets, 'reference': reference}, tstr or {}
    least = _smallest_counts(evaluation.cohort, [s.cohort for s in every.values()])
    both = spaces(evaluation, min(d, max(2, least.min() // 4)))

    def of_class(label):
        base, tables = evaluation.of(label), {}
        cut = {name: s.of(label, least[label]) for name, s in every.items()}
        searched = min(0 if s.found is None else len(s.found) for s in (base, *cut.values()))
        for name, audited in cut.items():
            rows = _rows(base, audited, both, k, searched)
            if name in tstr:
                right = tstr[name][evaluation.cohort.labels == label] == label
                rows['tstr'] = (*proportion(right), 0, len(right))
            table = pd.DataFrame.from_dict(rows, orient='index', columns=[*VALUE, 'd', 'n'])
            tables[name] = table.assign(generator=name, label=evaluation.cohort.class_names[label])
        beside = tables.pop('reference')[list(VALUE)].set_axis(list(REFERENCE), axis=1)
        return [table.join(beside) for table in tables.values()]

    side_by_side = Parallel(cpu_count(), prefer='threads')
    return _with_all(sum(side_by_side(delayed(of_class)(label) for label in range(len(least))), []))


def _with_all(tables):
    """One card from the tables of all classes and generators, with rows `all`, in the order of METRICS."""
    table = pd.concat(tables).rename_axis('metric').reset_index()
    table = table.dropna(subset=['value', 'reference'])  # C_T of too few lesions
    whole = mean_over_classes(table, ['generator', 'metric'], (VALUE, REFERENCE))
    card = pd.concat([table, whole], ignore_index=True)
    orders = {'generator': card.generator.unique(), 'label': card.label.unique(), 'metric': list(METRICS)}
    ordered = {column: pd.Categorical(card[column], order) for column, order in orders.items()}
    rows = card.assign(**ordered).sort_values(list(orders)).index
    return card.loc[rows, CARD].reset_index(drop=True)


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


def _rows(real, synthetic, both, k, searched):
    """One class, two AuditedSets: {metric: (value, low, high, d, n)}."""
    n = len(synthetic.cohort)
    rows = {m: (*v, n) for space in both for m, v in space.metrics(real, synthetic, k).items()}
    if synthetic.predicted is not None:
        rows['class_agreement'] = (*proportion(synthetic.predicted == synthetic.cohort.labels), 0, n)
    if searched:
        found = synthetic.found.head(searched)
        shares = copies.shares(real.found, found)
        rows |= {m: (*proportion(flags), 0, searched) for m, flags in shares.items()}
        rows['c_t'] = (*_c_t(real, synthetic.cohort, found), 0, searched)
    return rows


def _c_t(real, cohort, found):
    """(C_T, low, high) of one class, from images of `cohort` that were searched."""
    known = real.found
    cells = copies.counting_cells(known.cell, found.cell)  # of the whole sample in every group
    near, cell, s_near, s_cell = (f[c].to_numpy() for f in (known, found) for c in ('relative', 'cell'))

    def statistic(i, j):
        return [copies.ct_statistic(near[i], cell[i], s_near[j], s_cell[j], cells)]

    groups = jackknife_groups(real.cohort[: len(known)]), jackknife_groups(cohort[: len(found)])
    return [float(v[0]) for v in jackknife(statistic, *groups)]
