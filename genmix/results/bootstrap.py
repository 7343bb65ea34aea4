from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from genmix import StudyError
from genmix.results import calibration
from genmix.results.intervals import (
    corrected_t,
    minimum_detectable_effect,
    p_value,
    percentile_interval,
    standard_error,
)
from genmix.results.metrics import PRIMARY, class_names, from_confusion, weighted_auc

AUC_DRAWS = 400  # an AUC needs the ranks of all lesions; fewer draws are enough for its interval


@dataclass
class Replicates:
    """Bootstrap draws of every metric for every arm on one test set; patients and seeds are drawn with replacement, the same draws
    for every arm, so that differences are paired.

    point  {arm: {metric: float}}    draws  {arm: {metric: (B,)}}    n_seeds, n_patients
    by_run   {arm: {metric: (runs,)}}    by_fold  {arm: {metric: (folds,)}}, means over seeds
    ratio    n_test / n_train of the folds, None where the bootstrap is to decide
    """

    point: dict
    draws: dict
    n_seeds: int
    n_patients: int
    n_folds: int = 1
    by_run: dict = field(default_factory=dict)
    by_fold: dict = field(default_factory=dict)
    ratio: float | None = None

    @property
    def corrected(self):
        """True where contrasts come from the folds (`contrasts.corrected_t`) rather than from the bootstrap."""
        return self.n_folds > 1 and self.ratio is not None

    def interval(self, arm, metric, level=0.95):
        """(mean, low, high) of one arm: percentile interval."""
        return self.point[arm][metric], *percentile_interval(self.draws[arm][metric], level)

    def contrast(self, a, b, metric=PRIMARY, level=0.95):
        """a - b, paired: dict(mean, low, high, p, detectable).  `a` and `b` are arms, or lists of arms whose means are compared."""

        def take(source, arms):
            return np.mean([source[x][metric] for x in ([arms] if isinstance(arms, str) else arms)], axis=0)

        if self.corrected:
            return corrected_t(take(self.by_fold, a) - take(self.by_fold, b), self.ratio, level)
        difference, runs = (take(source, a) - take(source, b) for source in (self.draws, self.by_run))
        low, high = percentile_interval(difference, level)
        mean = float(take(self.point, a) - take(self.point, b))
        return {
            'mean': mean,
            'low': low,
            'high': high,
            'p': p_value(runs, difference),
            'detectable': minimum_detectable_effect(*standard_error(runs, difference)),
        }


def weights_of_runs(runs, draws, rng):
    """Bootstrap weights of runs [(seed, fold), ...]: float (draws, runs); rows sum to 1 where every seed has every fold, on average otherwise.

    Seeds and folds are drawn with replacement.  Drawing a handful again underestimates their variance, so deviations from equal weights are
    widened by sqrt(n / (n - 1)) t(n - 1) / 1.96: the interval of a plain mean over n seeds then has the width of Student's.
    """

    def weights(n):
        if n == 1:
            return np.ones((draws, 1))
        drawn = rng.multinomial(n, np.full(n, 1 / n), draws) / n
        return 1 / n + (drawn - 1 / n) * (n / (n - 1)) ** 0.5 * stats.t.ppf(0.975, n - 1) / stats.norm.ppf(
            0.975
        )

    seeds, folds = (sorted({run[i] for run in runs}) for i in (0, 1))
    of_seed, of_fold = weights(len(seeds)), weights(len(folds))
    both = of_seed[:, [seeds.index(s) for s, _ in runs]] * of_fold[:, [folds.index(f) for _, f in runs]]
    return both / both.mean(0).sum() if len(runs) < len(seeds) * len(folds) else both


def per_patient(part, who, n_patients, names):
    """What one run adds up to for each patient: float (n_patients, K * K + ...): confusion counts, then `calibration.sums` of each kind."""
    y, p, k = part.label.to_numpy(), part[[f'p_{n}' for n in names]].to_numpy(), len(names)
    counts = np.bincount((who * k + y) * k + p.argmax(1), minlength=n_patients * k * k).reshape(
        n_patients, k * k
    )
    return np.concatenate(
        [counts, *(calibration.sums(y, q, who, n_patients) for _, q, _ in calibration.of_part(part, names))],
        1,
    )


def from_totals(totals, k, needs=None):
    """{metric: (...)} from columns of `per_patient` summed over patients, (..., K * K + ...)."""
    values = from_confusion(totals[..., : k * k].reshape(*totals.shape[:-1], k, k), needs)
    for suffix, start in zip(calibration.KINDS, range(k * k, totals.shape[-1], calibration.WIDTH)):
        values |= calibration.from_sums(totals[..., start : start + calibration.WIDTH], suffix)
    return values


def weigh(parts, who, weights, names):
    """Metrics of the runs of one arm, observed {metric: (runs,)} and in each draw {metric: (B, runs)}.

    parts  predictions of each run      who  int (n,) of each run: the patient's number      weights  float (B, patients), how often each was drawn
    """
    k, n_patients = len(names), weights.shape[1]
    sums = np.stack(
        [per_patient(part, w, n_patients, names) for part, w in zip(parts, who)]
    )  # (runs, patients, M)
    drawn = (weights @ np.moveaxis(sums, 0, 1).reshape(n_patients, -1).astype(np.float32)).reshape(
        len(weights), len(parts), -1
    )
    totals = sums.sum(1)
    every = np.concatenate([np.ones((1, n_patients), np.float32), weights[:AUC_DRAWS]]).T.copy()
    auc = np.stack(
        [
            weighted_auc(part.label.to_numpy(), part[[f'p_{n}' for n in names]].to_numpy(), every[w])
            for part, w in zip(parts, who)
        ],
        1,
    )
    present = totals[:, : k * k].reshape(-1, k, k).sum(-1) > 0
    return from_totals(totals, k) | {'macro_auc': auc[0]}, from_totals(drawn, k, present) | {
        'macro_auc': auc[1:]
    }


def bootstrap(predictions, test_set, draws=2000, seed=0, ratio=None):
    """Replicates for all arms of one test set; `ratio` (n_test / n_train) lets the folds decide contrasts where there are several.

    Only seeds (and folds) that every arm has enter, so that arms are paired; each (seed, fold) counts as one run.  Intervals are
    conditional on the split and on one training of each generator unless folds > 1; those of scaled probabilities on the temperatures.
    """
    table = predictions[predictions.test_set == test_set]
    names, parts = (
        class_names(table),
        {arm: dict(list(part.groupby(['seed', 'fold']))) for arm, part in table.groupby('arm', sort=False)},
    )
    common = sorted(set.intersection(*(set(runs) for runs in parts.values())))
    if not common:
        raise StudyError('No classifier seed is common to all arms: run 08_classification to its end.')
    patients = {p: i for i, p in enumerate(table.patient.unique())}
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), draws).astype(
        np.float32
    )
    run_weights = weights_of_runs(common, draws, rng)
    fold_of = np.array([fold for _, fold in common])
    folds = np.unique(fold_of)
    result = Replicates({}, {}, len(common), len(patients), len(folds), ratio=ratio)
    for arm, runs in parts.items():
        observed, drawn = weigh(
            [runs[r] for r in common],
            [runs[r].patient.map(patients).to_numpy() for r in common],
            weights,
            names,
        )
        result.point[arm] = {m: float(np.mean(v)) for m, v in observed.items()}
        result.by_run[arm] = observed
        result.by_fold[arm] = {
            m: np.array([v[fold_of == fold].mean() for fold in folds]) for m, v in observed.items()
        }
        result.draws[arm] = {m: (v * run_weights[: len(v)]).sum(1) for m, v in drawn.items()}
        for m in {'ece', 'ece_scaled'} & set(
            drawn
        ):  # a draw is noisier than the sample, and noise only adds to an ECE: reflected
            result.draws[arm][m] = (2 * result.point[arm][m] - result.draws[arm][m]).clip(0)
    return result
