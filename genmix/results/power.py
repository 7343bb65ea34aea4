"""How many cohorts a difference takes: the sample size of the protocol."""

import numpy as np

from genmix.results.intervals import SMALLEST

MOST = 10_000  # cohorts that a search goes up to


def power(n: int, effect: float, sd: float, level=0.05) -> float:
    """Probability that a two-sided t test over n cohorts finds a true difference `effect`.

    sd   standard deviation of the difference between cohorts, in the unit of the effect
    """
    from scipy import stats  # slow to import

    shift = abs(effect) / sd * n**0.5
    return float(stats.nct.sf(stats.t.ppf(1 - level / 2, n - 1), n - 1, shift))


def power_of_equivalence(n: int, sd: float, margin=SMALLEST, level=0.05) -> float:
    """Probability that two one-sided t tests over n cohorts call a true difference of 0 equivalent.

    Both reject where |mean| < margin - t s / sqrt(n): the mean is integrated out for each sample standard
    deviation s, which follows a chi distribution of its own.
    """
    from scipy import stats  # slow to import

    freedom = n - 1
    chance = (np.arange(2000) + 0.5) / 2000
    error = sd * np.sqrt(stats.chi2.ppf(chance, freedom) / freedom / n)
    room = (margin - stats.t.ppf(1 - level, freedom) * error).clip(0)
    return float((2 * stats.norm.cdf(room / (sd / n**0.5)) - 1).mean())


def cohorts_needed(sd: float, effect: float, wanted=0.8, level=0.05) -> int:
    """The fewest cohorts, at least 2, whose `power` for a true difference `effect` is `wanted`."""

    return _fewest(lambda n: power(n, effect, sd, level), wanted)


def cohorts_for_equivalence(sd: float, margin=SMALLEST, wanted=0.8, level=0.05) -> int:
    """The fewest cohorts, at least 2, whose `power_of_equivalence` is `wanted`."""

    return _fewest(lambda n: power_of_equivalence(n, sd, margin, level), wanted)


def _fewest(of, wanted):
    """The smallest n of 2 ... MOST with of(n) >= wanted, for a power that grows with n."""

    low, high = 2, MOST
    while low < high:
        n = (low + high) // 2
        low, high = (low, n) if of(n) >= wanted else (n + 1, high)
    return low
