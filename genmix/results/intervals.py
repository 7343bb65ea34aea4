import numpy as np
from scipy import stats


def percentile_interval(draws, level=0.95):
    """(low, high): percentile interval of bootstrap draws; draws that are NaN say nothing."""
    draws = draws[~np.isnan(draws)]
    return (
        tuple(map(float, np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])))
        if len(draws)
        else (np.nan, np.nan)
    )


def standard_error(runs, draws):
    """(standard error, degrees of freedom) of the mean of a paired difference.

    runs   float (n,), the difference in each classifier run      draws   bootstrap draws of its mean over patients and runs, in which the share
           of the runs is widened to Student's 97.5 % point (`evaluate.weights_of_runs`)

    The variance over patients is what the draws have beyond that of the runs.  Degrees of freedom after Satterthwaite (1946), in which
    patients count only as far as they stand out: runs that agree by luck must not seem many.
    """
    n, total = len(runs), np.nanvar(draws) if np.isfinite(draws).any() else np.nan
    own = np.var(runs, ddof=1) / n if n > 1 else 0.0
    widened = own * (stats.t.ppf(0.975, n - 1) / stats.norm.ppf(0.975)) ** 2 if n > 1 else 0.0
    freedom = (n - 1) * (1 + max(total - 1.4 * widened, 0) / own) ** 2 if own > 0 else np.inf
    return np.sqrt(own + max(total - widened, 0)), freedom


def p_value(runs, draws):
    """p of a paired difference, from Student's t with `error_of(runs, draws)`: float.

    Counting draws beyond zero would not do: a handful of runs drawn again has no tails, and a correction for many comparisons asks for just
    these.
    """
    error, freedom = standard_error(runs, draws)
    return float(2 * stats.t.sf(abs(np.mean(runs)) / error, freedom)) if error > 1e-12 else 1.0


def minimum_detectable_effect(error, freedom, power=0.8, level=0.95):
    """The true difference that a two-sided test at `level` would find with probability `power`: float, in the unit of `error`.

    (t of the level + t of the power) times the standard error, as in Bloom 1995, Evaluation Review 19:547.
    """
    return float((stats.t.ppf((1 + level) / 2, freedom) + stats.t.ppf(power, freedom)) * error)


def corrected_t(differences, ratio, level=0.95):
    """dict(mean, low, high, p, detectable) of a mean over J resamplings: the corrected resampled t of Nadeau and Bengio (2003, Machine Learning 52:239).

    differences  float (J,), one a fold, J >= 2      ratio  n_test / n_train

    Folds share training lesions, so their differences are alike and J of them say less than J independent ones: the variance of the mean is
    (1 / J + ratio) S^2 instead of S^2 / J, with J - 1 degrees of freedom.  Where all differences are equal nothing can be said: p is 1.
    """
    differences = np.asarray(differences, float)
    n, mean, sd = len(differences), differences.mean(), differences.std(ddof=1)
    error = sd * (1 / n + ratio) ** 0.5
    half = stats.t.ppf((1 + level) / 2, n - 1) * error
    p = 2 * stats.t.sf(abs(mean) / error, n - 1) if sd > 1e-12 else 1.0
    return {
        'mean': float(mean),
        'low': float(mean - half),
        'high': float(mean + half),
        'p': float(p),
        'detectable': minimum_detectable_effect(error, n - 1),
    }


def size_ratio(splits):
    """n_test / n_train in lesions, the mean over the folds of splits.csv."""
    folds = [splits[c] for c in splits if c.startswith('fold')]
    return float(np.mean([(f == 'test').sum() / (f == 'train').sum() for f in folds]))


def holm(p):
    """Holm's step-down adjusted p values, in the order given (Holm 1979)."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def verdict(low, high, p, level=0.05):
    """'higher', 'lower' or 'undecided': both the interval and the (adjusted) p must speak."""
    if p < level and low > 0:
        return 'higher'
    return 'lower' if p < level and high < 0 else 'undecided'
