"""Which arm is better, and can it be told: intervals, p values, families of comparisons.

Works on the bootstrap draws of `genmix.evaluate.Replicates`, and with several folds on the differences of the folds.
"""
import numpy as np
import pandas as pd
from scipy import stats

PRIMARY = 'balanced_accuracy'


def spread(draws, level=.95):
    """(low, high): percentile interval of bootstrap draws; draws that are NaN say nothing."""
    draws = draws[~np.isnan(draws)]
    return tuple(map(float, np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]))) if len(draws) else (np.nan, np.nan)


def error_of(runs, draws):
    """(standard error, degrees of freedom) of the mean of a paired difference.

    runs   float (n,), the difference in each classifier run      draws   bootstrap draws of its mean over patients and runs, in which the share
           of the runs is widened to Student's 97.5 % point (`evaluate.weights_of_runs`)

    The variance over patients is what the draws have beyond that of the runs.  Degrees of freedom after Satterthwaite (1946), in which
    patients count only as far as they stand out: runs that agree by luck must not seem many.
    """
    n, total = len(runs), np.nanvar(draws) if np.isfinite(draws).any() else np.nan
    own = np.var(runs, ddof=1) / n if n > 1 else 0.
    widened = own * (stats.t.ppf(.975, n - 1) / stats.norm.ppf(.975)) ** 2 if n > 1 else 0.
    freedom = (n - 1) * (1 + max(total - 1.4 * widened, 0) / own) ** 2 if own > 0 else np.inf
    return np.sqrt(own + max(total - widened, 0)), freedom


def two_sided(runs, draws):
    """p of a paired difference, from Student's t with `error_of(runs, draws)`: float.

    Counting draws beyond zero would not do: a handful of runs drawn again has no tails, and a correction for many comparisons asks for just
    these.
    """
    error, freedom = error_of(runs, draws)
    return float(2 * stats.t.sf(abs(np.mean(runs)) / error, freedom)) if error > 1e-12 else 1.


def detectable(error, freedom, power=.8, level=.95):
    """The true difference that a two-sided test at `level` would find with probability `power`: float, in the unit of `error`.

    (t of the level + t of the power) times the standard error, as in Bloom 1995, Evaluation Review 19:547.
    """
    return float((stats.t.ppf((1 + level) / 2, freedom) + stats.t.ppf(power, freedom)) * error)


def corrected_t(differences, ratio, level=.95):
    """dict(mean, low, high, p, detectable) of a mean over J resamplings: the corrected resampled t of Nadeau and Bengio (2003, Machine Learning 52:239).

    differences  float (J,), one a fold, J >= 2      ratio  n_test / n_train

    Folds share training lesions, so their differences are alike and J of them say less than J independent ones: the variance of the mean is
    (1 / J + ratio) S^2 instead of S^2 / J, with J - 1 degrees of freedom.  Where all differences are equal nothing can be said: p is 1.
    """
    differences = np.asarray(differences, float)
    n, mean, sd = len(differences), differences.mean(), differences.std(ddof=1)
    error = sd * (1 / n + ratio) ** .5
    half = stats.t.ppf((1 + level) / 2, n - 1) * error
    p = 2 * stats.t.sf(abs(mean) / error, n - 1) if sd > 1e-12 else 1.
    return {'mean': float(mean), 'low': float(mean - half), 'high': float(mean + half), 'p': float(p), 'detectable': detectable(error, n - 1)}


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


def verdict(low, high, p, level=.05):
    """'higher', 'lower' or 'undecided': both the interval and the (adjusted) p must speak."""
    if p < level and low > 0:
        return 'higher'
    return 'lower' if p < level and high < 0 else 'undecided'


def family(replicates, pairs, test_set, metric=PRIMARY):
    """results/contrasts.csv: a, b, metric, mean, low, high, p, detectable, n, verdict, test_set, for a family of (a, b) pairs.

    p is Holm-adjusted over the family; n is the number of paired classifier runs; `detectable` is the smallest true difference that this
    design would find four times in five, before the correction for the family.
    """
    rows = [{'a': a if isinstance(a, str) else f'mean of {" ".join(a)}', 'b': b if isinstance(b, str) else f'mean of {" ".join(b)}',
             'metric': metric, **replicates.contrast(a, b, metric)} for a, b in pairs]
    if not rows:
        return pd.DataFrame(columns='a b metric mean low high p detectable n verdict test_set'.split())
    table = pd.DataFrame(rows)
    table['p'] = holm(table.p)
    table['n'] = replicates.n_seeds
    table['verdict'] = [verdict(r.low, r.high, r.p) for r in table.itertuples()]
    return table.assign(test_set=test_set)


def primary(replicates, learned, test_set):
    """The contrast declared before looking: the mean over the learned generators of GenMix(g) - g, then each g (Holm over these)."""
    each = family(replicates, [(f'genmix-{g}', g) for g in learned], test_set)
    if len(learned) < 2:
        return each
    mean = family(replicates, [([f'genmix-{g}' for g in learned], list(learned))], test_set)
    return pd.concat([mean, each], ignore_index=True)


def worded(p):
    """'p = 0.021', or 'p < 0.001'."""
    return f'p = {p:.3f}' if p >= .0005 else 'p < 0.001'


def in_words(table, test_set):
    """One sentence for each contrast of a test set, computed: what is higher, lower or undecided."""
    names = {'higher': 'is higher than', 'lower': 'is lower than', 'undecided': 'cannot be told from'}
    return [f'{r.a} {names[r.verdict]} {r.b}: {100 * r.mean:+.1f} points [{100 * r.low:+.1f}, {100 * r.high:+.1f}], '
            f'Holm {worded(r.p)}, {r.n} runs each, {test_set}' for r in table[table.test_set == test_set].itertuples()]
