"""Intervals, p values and words for a paired difference, whatever its unit of inference is.

cohorts                Student's t over one value a cohort (`over_units`)
one cohort             runs and patients are crossed factors: runs + patients - interaction (`crossed`)
folds of real images   the corrected resampled t (`corrected_t`)

Each returns the same dict: mean, low, high (95 % confidence interval), p (two-sided, against 0), p_equivalent
(against a difference of SMALLEST or more), minimum_detectable_effect.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtr

from genmix.audit.intervals import t_quantile

SMALLEST = 0.01  # smallest effect of interest: one point of balanced accuracy; PROTOCOL.md says why
WORDS = ('higher', 'lower', 'equivalent', 'undecided')
LEVEL = 0.95


def student(mean: float, error: float, freedom: float, level=LEVEL) -> dict[str, float]:
    """Interval, p values and minimum detectable effect of a mean with its standard error.

    p_equivalent is that of two one-sided tests, the larger of both: Schuirmann 1987, Journal of
    Pharmacokinetics and Biopharmaceutics 15:657.  Without any error p is 1, and a difference below
    SMALLEST is equivalent; where the error is NaN, nothing is known.
    """
    half = float(t_quantile((1 + level) / 2, freedom) * error)
    inside = SMALLEST - abs(mean)
    if error > 1e-12:
        p = 2 * stdtr(freedom, -abs(mean) / error)
        equivalent = stdtr(freedom, -inside / error)
    else:
        p, equivalent = 1.0, 0.0 if inside > 0 and error >= 0 else 1.0
    found = {'mean': mean, 'low': mean - half, 'high': mean + half, 'p': p, 'p_equivalent': equivalent}
    found['minimum_detectable_effect'] = minimum_detectable_effect(error, freedom)
    return {name: float(value) for name, value in found.items()}


def crossed(
    runs: np.ndarray, draws: np.ndarray, patients: int, between: tuple[float, float] | None = None
) -> tuple[float, float]:
    """(standard error, degrees of freedom) of a mean over runs that were all tested on the same patients.

    runs      float (n,), the value of each run
    draws     float (B, n), the value of each run in bootstrap draws of the patients, the same for all runs
    patients  how many there are
    between   (variance, degrees of freedom) between runs, where more is known than from these n

    Runs and patients are crossed random factors, and the variance of the mean is (Owen 2007, Annals of
    Applied Statistics 1:386)

        runs / n + patients / m + interaction / (n m)  =  own + shared - both

    own     variance over runs / n, which holds the interaction
    shared  variance over draws of the mean over runs, which holds it again
    both    the interaction itself, (mean variance of one run over draws - shared) / (n - 1)

    Runs that differ less than the interaction alone makes them differ show no effect of their own: then the
    variance is `shared`.  Else the degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2:110).
    With one run, the interval holds for this run.
    """
    n, rest, shared = len(runs), max(patients - 1, 1), _variance(draws.mean(1))
    if n == 1:
        return shared**0.5, rest
    spread, freedom = between or (float(np.var(runs, ddof=1)), n - 1)
    own = spread / n
    both = max(float(np.mean([_variance(run) for run in draws.T])) - shared, 0) / (n - 1)
    if own <= both:
        return shared**0.5, rest
    variance = own + shared - both
    return variance**0.5, variance**2 / (own**2 / freedom + (shared - both) ** 2 / rest)


def _variance(draws):
    """Variance of draws (B,) that are not NaN; NaN where fewer than two remain."""
    draws = draws[np.isfinite(draws)]
    return float(np.var(draws, ddof=1)) if len(draws) > 1 else float('nan')


def over_units(values: Sequence[float] | np.ndarray, level=LEVEL) -> dict[str, float]:
    """Student's t over independent units (n,), n >= 2: cohorts, or disjoint sub-samples of a set of images.

    For sub-samples that are tested on the same images, the interval is one for these test images.
    """
    values = np.asarray(values, float)
    return student(values.mean(), values.std(ddof=1) / len(values) ** 0.5, len(values) - 1, level)


def predicted(values: Sequence[float] | np.ndarray, level=LEVEL) -> tuple[float, float]:
    """(low, high): where one new unit falls with probability `level`, after the values of n others.

    t(n - 1) times sqrt(1 + 1 / n) standard deviations around the mean: Geisser 1993, Predictive Inference.
    """
    values = np.asarray(values, float)
    n = len(values)
    half = t_quantile((1 + level) / 2, n - 1) * values.std(ddof=1) * (1 + 1 / n) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def corrected_t(differences: Sequence[float] | np.ndarray, ratio: float, level=LEVEL) -> dict[str, float]:
    """The corrected resampled t of a mean over J folds, with their `size_ratio`.

    differences   float (J,), one per fold, J >= 2

    Nadeau and Bengio 2003, Machine Learning 52:239.  Folds share lesions, so their differences are
    correlated: the variance of the mean is (1 / J + ratio) S^2 instead of S^2 / J, with J - 1 degrees of
    freedom.
    """
    differences = np.asarray(differences, float)
    n = len(differences)
    return student(differences.mean(), differences.std(ddof=1) * (1 / n + ratio) ** 0.5, n - 1, level)


def size_ratio(splits: pd.DataFrame) -> float:
    """n_test / n_rest in lesions, the mean over the folds of splits.csv.

    The rest is all that may be trained on: what a training draws from it at random (train_fraction < 1) makes
    folds share fewer lesions, not more, so that the correction must not grow.
    """
    folds = [splits[c] for c in splits if c.startswith('fold')]
    return float(np.mean([(f == 'test').sum() / (f != 'test').sum() for f in folds]))


def superiority(values: Sequence[float] | np.ndarray) -> float:
    """P(A > B): share of units (n,) whose difference is above 0; 0 counts half.

    Bouthillier 2021, Proceedings of Machine Learning and Systems 3, who ask for .75 to call A better.
    """
    values = np.asarray(values, float)
    return float(((values > 0) + (values == 0) / 2).mean())


def minimum_detectable_effect(error: float, freedom: float, power=0.8, level=LEVEL) -> float:
    """The true difference that a two-sided test at `level` finds with probability `power`, in its unit.

    (t of the level + t of the power) times the standard error: Bloom 1995, Evaluation Review 19:547.
    """
    return float((t_quantile((1 + level) / 2, freedom) + t_quantile(power, freedom)) * error)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p values (m,), in the order given, of Holm's procedure: 1979, Scand. J. Statist. 6:65."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def verdict(low: float, high: float, p: float, p_equivalent=1.0, level=0.05, level_equivalent=0.05) -> str:
    """One of the WORDS.

    'equivalent' where a difference of SMALLEST or more is ruled out, also where 0 is: it is too small to
    matter.  Else 'higher' or 'lower' where the interval excludes 0 and p is below `level`, else 'undecided'.
    """
    if p_equivalent < level_equivalent:
        return 'equivalent'
    if p < level and low > 0:
        return 'higher'
    return 'lower' if p < level and high < 0 else 'undecided'
