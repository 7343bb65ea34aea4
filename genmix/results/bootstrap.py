"""Bootstrap of every metric over patients and classifier runs, the same draws for all arms.

Vectorised over draws: the confusion counts of each run and patient, and the sums that calibration is made
of, are weighted, never recounted.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import ndtri

from genmix import StudyError
from genmix.audit.intervals import t_quantile
from genmix.results import calibration
from genmix.results.intervals import (
    corrected_t,
    minimum_detectable_effect,
    p_value,
    percentile_interval,
    standard_error,
)
from genmix.results.metrics import PRIMARY, class_names, from_confusion, probabilities, weighted_auc

AUC_DRAWS = 400  # an AUC needs the ranks of all lesions; fewer draws are enough for its interval
REFLECTED = {'ece', 'ece_scaled'}


@dataclass
class Replicates:
    """Bootstrap draws of every metric for every arm on one test set.

    Patients and runs are drawn with replacement, the same draws for every arm: differences are paired.

    point     {arm: {metric: float}}             draws     {arm: {metric: float (B,)}}
    by_run    {arm: {metric: float (runs,)}}     by_fold   {arm: {metric: float (folds,)}}, means over seeds
    ratio     n_test / n_train of the folds; None: contrasts come from the bootstrap, whatever the folds
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
        """Whether contrasts come from the folds (`intervals.corrected_t`) rather than from the bootstrap."""
        return self.n_folds > 1 and self.ratio is not None

    def interval(self, arm: str, metric, level=0.95) -> tuple[float, float, float]:
        """(mean, low, high) of one arm: percentile interval."""
        return self.point[arm][metric], *percentile_interval(self.draws[arm][metric], level)

    def contrast(self, a: str | list, b: str | list, metric=PRIMARY, level=0.95) -> dict[str, float]:
        """a - b, paired: dict(mean, low, high, p, minimum_detectable_effect).

        a, b   names of arms, or lists of names whose means are compared
        """

        sides = [[arms] if isinstance(arms, str) else arms for arms in (a, b)]

        def difference(source):
            first, second = (np.mean([source[name][metric] for name in side], axis=0) for side in sides)
            return first - second

        if self.corrected and self.ratio is not None:
            return corrected_t(difference(self.by_fold), self.ratio, level)
        draws, runs = difference(self.draws), difference(self.by_run)
        low, high = percentile_interval(draws, level)
        found = {'mean': float(difference(self.point)), 'low': low, 'high': high, 'p': p_value(runs, draws)}
        smallest = minimum_detectable_effect(*standard_error(runs, draws))
        return found | {'minimum_detectable_effect': smallest}


def weights_of_runs(runs: list[tuple], draws: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap weights of runs [(seed, fold), ...]: float (draws, runs).

    Rows sum to 1 where every seed has every fold, on average otherwise.

    Seeds and folds are drawn with replacement.  Redrawing n values gives a variance that is too small by (n
    - 1) / n, and normal tails instead of Student's.  So deviations from equal weights are multiplied by
    sqrt(n / (n - 1)) and by t(n - 1) / z at 97.5 %, and the interval of a plain mean over n runs has the
    width of Student's: the expanded percentile interval of Hesterberg 2015 (The American Statistician
    69:371), which widens quantiles where this widens draws.
    """

    def weights(n):
        if n == 1:
            return np.ones((draws, 1))
        drawn = rng.multinomial(n, np.full(n, 1 / n), draws) / n
        student, normal = t_quantile(0.975, n - 1), ndtri(0.975)
        return 1 / n + (drawn - 1 / n) * (n / (n - 1)) ** 0.5 * student / normal

    seeds, folds = (sorted({run[i] for run in runs}) for i in (0, 1))
    of_seed, of_fold = weights(len(seeds)), weights(len(folds))
    both = of_seed[:, [seeds.index(s) for s, _ in runs]] * of_fold[:, [folds.index(f) for _, f in runs]]
    return both / both.mean(0).sum() if len(runs) < len(seeds) * len(folds) else both


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


def confusion_counts(part, patient, n_patients, names) -> np.ndarray:
    """Confusion counts of each patient in one run: int (n_patients, K * K), for patient numbers int (n,)."""
    y, p, k = part.label.to_numpy(), probabilities(part, names), len(names)
    cells = (patient * k + y) * k + p.argmax(1)
    return np.bincount(cells, minlength=n_patients * k * k).reshape(n_patients, k * k)


def sums_per_patient(part, patient, n_patients, names) -> np.ndarray:
    """What every metric of one run is made of, per patient: float (n_patients, K * K + ...).

    Columns are `confusion_counts`, then `calibration.sums` of the probabilities as trained and as scaled.
    """
    kinds = calibration.of_part(part, names)
    sums = (calibration.sums(y, p, patient, n_patients) for y, p, _ in kinds)
    return np.concatenate([confusion_counts(part, patient, n_patients, names), *sums], 1)


def from_sums(sums, k, required=None) -> dict:
    """{metric: float (...)} from columns of `sums_per_patient` added up over patients, (..., K * K + ...)."""
    values = from_confusion(sums[..., : k * k].reshape(*sums.shape[:-1], k, k), required)
    for suffix, start in zip(calibration.KINDS, range(k * k, sums.shape[-1], calibration.WIDTH)):
        values |= calibration.from_sums(sums[..., start : start + calibration.WIDTH], suffix)
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
    return (
        from_sums(observed, k) | {'macro_auc': auc[0]},
        from_sums(drawn, k, present) | {'macro_auc': auc[1:]},
    )


def bootstrap(
    predictions: pd.DataFrame, test_set: str, draws=2000, seed=0, ratio: float | None = None
) -> Replicates:
    """Replicates of all arms on one test set.

    ratio   n_test / n_train: contrasts then come from the folds, where there are several

    Only runs (seed, fold) that every arm has enter.  Intervals are conditional on the split and on one
    training of each generator unless folds > 1; those of scaled probabilities on the temperatures.  An ECE
    is never negative, so that noise raises it, and a draw is noisier than the sample: its draws are
    reflected at the estimate, which is the basic bootstrap (Davison and Hinkley 1997, section 5.2), and
    cut at 0.
    """
    names = class_names(predictions)
    parts, runs, patients = paired_runs(predictions, test_set)
    rng, n = np.random.default_rng(seed), len(patients)
    weights = rng.multinomial(n, np.full(n, 1 / n), draws).astype(np.float32)
    run_weights = weights_of_runs(runs, draws, rng)
    fold_of = np.array([fold for _, fold in runs])
    folds = np.unique(fold_of)
    result = Replicates(len(runs), n, len(folds), ratio)
    for arm, own in parts.items():
        who = [part.patient.map(patients).to_numpy() for part in own]
        observed, drawn = weighted_metrics(own, who, weights, names)
        result.by_run[arm] = observed
        result.point[arm] = {m: float(np.mean(v)) for m, v in observed.items()}
        result.by_fold[arm] = {
            m: np.array([v[fold_of == f].mean() for f in folds]) for m, v in observed.items()
        }
        result.draws[arm] = {m: (v * run_weights[: len(v)]).sum(1) for m, v in drawn.items()}
        for m in REFLECTED & set(drawn):
            result.draws[arm][m] = (2 * result.point[arm][m] - result.draws[arm][m]).clip(0)
    return result
