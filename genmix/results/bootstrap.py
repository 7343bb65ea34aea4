"""Bootstrap of every metric over patients, the same draws for all arms and runs.

Vectorised over draws: the confusion counts of each run and patient, and the sums that calibration is made
of, are weighted, never recounted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.results import calibration
from genmix.results.intervals import LEVEL, corrected_t, crossed, student
from genmix.results.metrics import (
    PRIMARY,
    RULES,
    class_names,
    decisions,
    from_confusion,
    full_key,
    probabilities,
    weighted_auc,
)

FEW_RUNS = 4  # so few say too little about how much the trainings of one arm vary: see `Replicates.between`
AUC_DRAWS = 400  # an AUC needs the ranks of all lesions; fewer draws are enough for its interval


@dataclass
class Replicates:
    """Values and bootstrap draws of every metric for every arm on one test set.

    Patients are drawn with replacement, the same draws for every arm and run: differences are paired.
    Metrics are keyed by (metric, label, rule), `metrics.full_key`.

    point     {arm: {metric: float}}             draws     {arm: {metric: float (B, runs)}}
    by_run    {arm: {metric: float (runs,)}}     by_fold   {arm: {metric: float (folds,)}}, means over seeds
    ratio     `intervals.size_ratio` of the folds; None: contrasts are crossed, whatever the folds
    """

    n_seeds: int
    n_patients: int
    n_folds: int = 1
    ratio: float | None = None
    point: dict[str, dict] = field(default_factory=dict)
    draws: dict[str, dict] = field(default_factory=dict)
    by_run: dict[str, dict] = field(default_factory=dict)
    by_fold: dict[str, dict] = field(default_factory=dict)

    @property
    def corrected(self) -> bool:
        """Whether contrasts come from the folds (`intervals.corrected_t`) rather than from one cohort."""
        return self.n_folds > 1 and self.ratio is not None

    def interval(self, arm: str, metric, rule=RULES[0], level=LEVEL) -> tuple[float, float, float]:
        """(mean, low, high) of one arm, runs and patients crossed."""
        found = self._crossed({arm: 1.0}, full_key(metric, rule), level)
        return found['mean'], found['low'], found['high']

    def contrast(self, a: str | list, b: str | list, metric=PRIMARY, rule=RULES[0], level=LEVEL) -> dict:
        """a - b, paired: the dict of `intervals.student`.

        a, b   names of arms, or lists of names whose means are compared
        """
        return self.combine(difference(a, b), metric, rule, level)

    def combine(self, weights: Mapping[str, float], metric=PRIMARY, rule=RULES[0], level=LEVEL) -> dict:
        """The sum over arms of weight times metric, {arm: weight}: the dict of `intervals.student`."""
        key = full_key(metric, rule)
        if self.corrected and self.ratio is not None:
            return corrected_t(_sum(self.by_fold, weights, key), self.ratio, level)
        return self._crossed(weights, key, level)

    def _crossed(self, weights, key, level):
        runs, draws = (_sum(source, weights, key) for source in (self.by_run, self.draws))
        found = crossed(runs, draws, self.n_patients, self.between(weights, key))
        return student(float(runs.mean()), *found, level)

    def between(self, weights: Mapping[str, float], key: tuple) -> tuple[float, float] | None:
        """(variance, degrees of freedom) between runs of the sum over arms of weight times metric.

        With up to FEW_RUNS runs it is pooled over all arms, as if all trainings varied alike and apart from
        each other: with two, the variance of a single difference has one degree of freedom, and its interval
        a width between nothing and everything.  With more runs None: the difference has its own.
        """
        if not 1 < self.n_seeds <= FEW_RUNS:
            return None
        each = [np.var(own[key], ddof=1) for own in self.by_run.values()]
        scale = sum(w**2 for w in weights.values())
        return scale * float(np.mean(each)), len(each) * (self.n_seeds - 1)


def difference(a: str | list, b: str | list) -> dict[str, float]:
    """{arm: weight} of a - b, where lists of names stand for their means."""
    sides = [[arms] if isinstance(arms, str) else arms for arms in (a, b)]
    weights: dict[str, float] = {}
    for sign, side in zip((1, -1), sides):
        for name in side:
            weights[name] = weights.get(name, 0) + sign / len(side)
    return weights


def _sum(source, weights, key):
    return np.sum([w * source[arm][key] for arm, w in weights.items()], axis=0)


def paired_runs(predictions, test_set) -> tuple[dict[str, list], list[tuple], dict[str, int]]:
    """({arm: predictions of each run}, runs [(seed, fold), ...], {patient: number}) of one test set.

    Only runs that every arm has are there, in the same order for all.  StudyError when there is none.
    """
    table = predictions[predictions.test_set == test_set]
    parts = {arm: dict(list(own.groupby(['seed', 'fold']))) for arm, own in table.groupby('arm', sort=False)}
    common = sorted(set.intersection(*(set(runs) for runs in parts.values())))
    if not common:
        raise StudyError('No classifier seed is common to all arms: run 08_classification to its end.')
    patients = {patient: i for i, patient in enumerate(table.patient.unique())}
    return {arm: [runs[run] for run in common] for arm, runs in parts.items()}, common, patients


def confusion_counts(part, patient, n_patients, names, rule=RULES[0]) -> np.ndarray:
    """Confusion counts of each patient in one run, lesions by their weight: float (n_patients, K * K).

    patient   int (n,), the number of each lesion's patient
    """
    y, k = part.label.to_numpy(), len(names)
    cells = (patient * k + y) * k + decisions(part, names, rule)
    counts = np.bincount(cells, calibration.weights_of(part), minlength=n_patients * k * k)
    return counts.reshape(n_patients, k * k)


def sums_per_patient(part, patient, n_patients, names) -> np.ndarray:
    """What every metric of one run is made of, per patient: float (n_patients, 2 * K * K + ...).

    Columns are `confusion_counts` by each of the RULES, then `calibration.sums` of the probabilities as
    trained and as scaled.
    """
    counts = [confusion_counts(part, patient, n_patients, names, rule) for rule in RULES]
    kinds = calibration.of_part(part, names)
    sums = [calibration.sums(y, p, weight, patient, n_patients) for y, p, weight, _ in kinds]
    return np.concatenate(counts + sums, 1)


def from_sums(sums, k, required=None) -> dict:
    """{(metric, label, rule): float (...)} from columns of `sums_per_patient` added up over patients."""
    values, start = {}, 0
    for rule in RULES:
        counts = sums[..., start : start + k * k].reshape(*sums.shape[:-1], k, k)
        values |= {full_key(m, rule): v for m, v in from_confusion(counts, required).items()}
        start += k * k
    for suffix, first in zip(calibration.KINDS, range(start, sums.shape[-1], calibration.WIDTH)):
        found = calibration.from_sums(sums[..., first : first + calibration.WIDTH], suffix)
        values |= {full_key(m): v for m, v in found.items()}
    return values


def weighted_metrics(parts, patients, weights, names) -> tuple[dict, dict]:
    """Metrics of the runs of one arm: as observed {metric: (runs,)}, and of each draw {metric: (B, runs)}.

    parts      predictions of each run
    patients   int (n,) of each run, the number of each lesion's patient
    weights    float32 (B, P), how often each patient was drawn
    """
    k, (n_draws, n_patients) = len(names), weights.shape
    sums = np.stack([sums_per_patient(part, who, n_patients, names) for part, who in zip(parts, patients)])
    flat = np.moveaxis(sums, 0, 1).reshape(n_patients, -1).astype(np.float32)
    drawn = (weights @ flat).reshape(n_draws, len(parts), -1)
    observed = sums.sum(1)
    every = np.concatenate([np.ones((1, n_patients), np.float32), weights[:AUC_DRAWS]]).T.copy()
    aucs = [
        weighted_auc(part.label.to_numpy(), probabilities(part, names), every[who])
        for part, who in zip(parts, patients)
    ]
    auc = np.stack(aucs, 1)
    present = observed[:, : k * k].reshape(-1, k, k).sum(-1) > 0
    key = full_key('macro_auc')
    found = from_sums(observed, k) | {key: auc[0]}, from_sums(drawn, k, present) | {key: auc[1:]}
    return found[0], {m: v.astype(np.float32) for m, v in found[1].items()}


def bootstrap(
    predictions: pd.DataFrame, test_set: str, draws=2000, seed=0, ratio: float | None = None
) -> Replicates:
    """Replicates of all arms on one test set.

    ratio   `intervals.size_ratio`: contrasts then come from the folds, where there are several

    Only runs (seed, fold) that every arm has enter.  Intervals are conditional on the split and on one
    training of each generator unless folds > 1; those of scaled probabilities on bias and temperature.
    """
    names = class_names(predictions)
    parts, runs, patients = paired_runs(predictions, test_set)
    rng, n = np.random.default_rng(seed), len(patients)
    weights = rng.multinomial(n, np.full(n, 1 / n), draws).astype(np.float32)
    fold_of = np.array([fold for _, fold in runs])
    folds = np.unique(fold_of)
    result = Replicates(len(runs), n, len(folds), ratio)
    for arm, own in parts.items():
        who = [part.patient.map(patients).to_numpy() for part in own]
        result.by_run[arm], result.draws[arm] = weighted_metrics(own, who, weights, names)
        result.point[arm] = {m: float(np.mean(v)) for m, v in result.by_run[arm].items()}
        result.by_fold[arm] = {
            m: np.array([v[fold_of == f].mean() for f in folds]) for m, v in result.by_run[arm].items()
        }
    return result
