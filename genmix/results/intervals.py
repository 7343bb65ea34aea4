"""Intervals, p values and verdicts of a paired difference, from bootstrap draws or from folds."""

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtr

from genmix.audit.intervals import t_quantile

# The draws exceed the widened variance of the runs by the variance over patients.  With few runs the ratio of
# that excess to the variance of the runs is noisy, and runs that happen to agree make it, and with it the
# degrees of freedom, too large: with a margin of 1 (Satterthwaite's formula as it stands) p < 0.005 occurs in
# up to 1.1 % of studies without a difference.  The value is no published constant and rests on simulation
# alone (five normal runs, standard deviation over patients 0 to 2 times that of one run, 200,000 studies):
# with 1.4, p < 0.005 occurs in 0.47 to 0.60 % and p < 0.05 in 3.4 to 5.0 % of studies; with 1.2, p < 0.005 in
# up to 0.76 %.  The exact variance of a crossed design (runs + patients - interaction) needs no such margin.
EXCESS_MARGIN = 1.4


def percentile_interval(draws: np.ndarray, level=0.95) -> tuple[float, float]:
    """(low, high): percentile interval of bootstrap draws (B,) that are not NaN; NaN where none remains."""
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return np.nan, np.nan
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def standard_error(runs: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    """(standard error, degrees of freedom) of the mean of a paired difference.

    runs    float (n,), the difference in each classifier run
    draws   float (B,), bootstrap draws of its mean over patients and runs, in which the part of the runs is
            widened to the 97.5 % point of Student's t (`bootstrap.weights_of_runs`)

    The variance over patients is what the draws have beyond that of the runs.  Degrees of freedom after
    Satterthwaite (1946, Biometrics Bulletin 2:110), patients counted with EXCESS_MARGIN.
    """
    n, total = len(runs), np.nanvar(draws) if np.isfinite(draws).any() else np.nan
    own = np.var(runs, ddof=1) / n if n > 1 else 0.0
    widened = own * (t_quantile(0.975, n - 1) / ndtri(0.975)) ** 2 if n > 1 else 0.0
    freedom = (n - 1) * (1 + max(total - EXCESS_MARGIN * widened, 0) / own) ** 2 if own > 0 else np.inf
    return float(np.sqrt(own + max(total - widened, 0))), float(freedom)


def p_value(runs: np.ndarray, draws: np.ndarray) -> float:
    """Two-sided p of a paired difference: Student's t with the `standard_error` of runs (n,) and draws (B,).

    The share of draws beyond zero would not do: resampling a handful of runs gives no tails, and a
    correction for many comparisons needs just these.
    """
    error, freedom = standard_error(runs, draws)
    return float(2 * stdtr(freedom, -abs(np.mean(runs)) / error)) if error > 1e-12 else 1.0


def minimum_detectable_effect(error: float, freedom: float, power=0.8, level=0.95) -> float:
    """The true difference that a two-sided test at `level` finds with probability `power`, in its unit.

    (t of the level + t of the power) times the standard error: Bloom 1995, Evaluation Review 19:547.
    """
    return float((t_quantile((1 + level) / 2, freedom) + t_quantile(power, freedom)) * error)


def corrected_t(differences: np.ndarray, ratio: float, level=0.95) -> dict[str, float]:
    """The corrected resampled t of a mean over J folds: dict(mean, low, high, p, minimum_detectable_effect).

    differences   float (J,), one per fold, J >= 2      ratio   n_test / n_train

    Nadeau and Bengio 2003, Machine Learning 52:239.  Folds share training lesions, so their differences are
    correlated: the variance of the mean is (1 / J + ratio) S^2 instead of S^2 / J, with J - 1 degrees of
    freedom.  p is 1 where all differences are equal.
    """
    differences = np.asarray(differences, float)
    n, mean, sd = len(differences), differences.mean(), differences.std(ddof=1)
    error = sd * (1 / n + ratio) ** 0.5
    half = t_quantile((1 + level) / 2, n - 1) * error
    p = 2 * stdtr(n - 1, -abs(mean) / error) if sd > 1e-12 else 1.0
    smallest = minimum_detectable_effect(error, n - 1)
    found = {'mean': mean, 'low': mean - half, 'high': mean + half, 'p': p}
    return {name: float(v) for name, v in found.items()} | {'minimum_detectable_effect': smallest}


def size_ratio(splits: pd.DataFrame) -> float:
    """n_test / n_train in lesions, the mean over the folds of splits.csv."""
    folds = [splits[c] for c in splits if c.startswith('fold')]
    return float(np.mean([(f == 'test').sum() / (f == 'train').sum() for f in folds]))


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p values (m,), in the order given, of Holm's procedure: 1979, Scand. J. Statist. 6:65."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def verdict(low: float, high: float, p: float, level=0.05) -> str:
    """'higher' or 'lower' if the interval excludes 0 and the adjusted p is below `level`, or 'undecided'."""
    if p < level and low > 0:
        return 'higher'
    return 'lower' if p < level and high < 0 else 'undecided'
