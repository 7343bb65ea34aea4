import numpy as np
from scipy import stats

GROUPS = 10  # left out one by one for an interval


def jackknife(statistic, *groups, level=0.95):
    """(value, low, high) of `statistic`, arrays (m,): a call takes one boolean mask a sample, of the rows that stay, and returns (m,).

    groups   one array a sample, the group of each row; each group is left out in turn and the variances of the samples add up.
    A bootstrap would repeat images, which every statistic of nearest neighbours takes for copies.
    """
    everyone = [np.ones(len(group), bool) for group in groups]
    value, variance, freedom = np.asarray(statistic(*everyone)), 0.0, 0
    for i, group in enumerate(groups):
        names = np.unique(group)
        left = np.array([statistic(*everyone[:i], group != name, *everyone[i + 1 :]) for name in names])
        variance = variance + (len(names) - 1) / len(names) * ((left - left.mean(0)) ** 2).sum(0)
        freedom += len(names) - 1
    half = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance)
    return value, value - half, value + half


def proportion(flags, level=0.95):
    """(value, low, high) of the share of True: Wilson's interval, which takes lesions for independent."""
    interval = stats.binomtest(int(np.sum(flags)), len(flags)).proportion_ci(level, 'wilson')
    return float(np.mean(flags)), interval.low, interval.high


def jackknife_groups(cohort, groups=GROUPS):
    """Group of each lesion, 0 to groups - 1: a patient's lesions share one, and lesions of no patient (synthetic ones) are dealt singly."""
    patients = np.unique(cohort.patients, return_inverse=True)[1]
    units = patients if patients.max() else np.arange(len(cohort))
    return np.random.default_rng(0).permutation(units.max() + 1)[units] % groups
