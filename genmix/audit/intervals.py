"""Confidence intervals: jackknife over groups of patients, Wilson's for shares, means over classes."""

import numpy as np
import pandas as pd
from scipy import special

GROUPS = 10  # left out one by one for an interval
VALUE = ('value', 'low', 'high')


def t_quantile(p, freedom):
    """The quantile at `p` of Student's t, floats or arrays; scipy.stats is ten times as slow to import."""
    return special.stdtrit(freedom, p)


def jackknife(statistic, *groups, level=0.95):
    """(value, low, high), arrays (m,), of a statistic of samples: the delete-a-group jackknife (Kott 2001).

    statistic   takes one boolean mask per sample, of the rows that stay, and returns (m,)
    groups      one array per sample, the group of each row: each group is left out in turn, and the variances
                of the samples add up; Student's t with the sum of their degrees of freedom

    A bootstrap would repeat images, which every statistic of nearest neighbours takes for copies.
    """
    everyone = [np.ones(len(group), bool) for group in groups]
    value, variance, freedom = np.asarray(statistic(*everyone)), 0.0, 0
    for i, group in enumerate(groups):
        names = np.unique(group)
        left = np.array([statistic(*everyone[:i], group != name, *everyone[i + 1 :]) for name in names])
        variance = variance + (len(names) - 1) / len(names) * ((left - left.mean(0)) ** 2).sum(0)
        freedom += len(names) - 1
    half = t_quantile((1 + level) / 2, freedom) * np.sqrt(variance)
    return value, value - half, value + half


def jackknife_groups(cohort, groups=GROUPS):
    """Group of each lesion, int (n,) from 0 to groups - 1.

    A patient's lesions share a group; lesions without patients (synthetic ones) are assigned one by one.
    """
    patients = np.unique(cohort.patients, return_inverse=True)[1]
    units = patients if patients.max() else np.arange(len(cohort))
    return np.random.default_rng(0).permutation(units.max() + 1)[units] % groups


def wilson(share, n, level=0.95):
    """(low, high) of Wilson's interval for a share of n, floats or arrays (Newcombe 1998, method 3).

    It takes images for independent.  n need not be whole: answers over answers per lesion, for instance.
    """
    z = special.ndtri(0.5 + 0.5 * level)
    denominator = 2 * (n + z**2)
    centre = (2 * n * share + z**2) / denominator
    half = z / denominator * np.sqrt(4 * n * share * (1 - share) + z**2)
    return np.where(share == 0, 0.0, centre - half)[()], np.where(share == 1, 1.0, centre + half)[()]


def proportion(flags, level=0.95):
    """(value, low, high) of the share of True in bool (n,), by `wilson`."""
    share = float(np.mean(flags))
    return share, *wilson(share, len(flags), level)


def mean_over_classes(table, by, columns=(VALUE,)):
    """Rows `all` for a table with one row per class: one row for each group of the columns `by`.

    columns   triples of a value and both ends of its interval: values are averaged, half-widths are added in
              squares

    Column n is summed; any other column keeps its first value.
    """
    rows = []
    for _, part in table.groupby(by, sort=False):
        row = part.iloc[0].to_dict() | {'label': 'all', 'n': part.n.sum()}
        for value, low, high in columns:
            row[value] = part[value].mean()
            row[low] = row[value] - np.sqrt(((part[value] - part[low]) ** 2).sum()) / len(part)
            row[high] = row[value] + np.sqrt(((part[high] - part[value]) ** 2).sum()) / len(part)
        rows.append(row)
    return pd.DataFrame(rows)
