"""How lesions of different kinds lie among each other in a feature space, by their nearest neighbours.

Features are float (n, d), one row per lesion; labels int (n,); patients str (n,).
"""

import numpy as np

from genmix.audit.fidelity import distances

Z_95 = 1.96  # 97.5 % point of the normal distribution, to two digits


def nearest(features, patients, k) -> tuple[np.ndarray, np.ndarray]:
    """Rows int (n, k) of the k nearest lesions of *other* patients, and whether there is one, bool (n, k)."""
    return _nearest(distances(features, features), patients, k)


def _nearest(apart, patients, k):
    apart = np.where(patients[:, None] == patients, np.inf, apart)
    order = np.argsort(apart, axis=1, kind='stable')[:, :k]
    return order, np.isfinite(np.take_along_axis(apart, order, 1))


def medians(values, labels) -> np.ndarray:
    """One row per class, by class number: the lesion nearest to the median of its class in values (n,).

    The first lesion of a class whose values are all NaN.
    """
    rows = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        known = own[np.isfinite(values[own])]
        if len(known):
            own = known[np.abs(values[known] - np.median(values[known])).argsort(kind='stable')]
        rows.append(own[0])
    return np.array(rows)


def neighbour_agreement(features, labels, patients, k=10) -> tuple[np.ndarray, np.ndarray]:
    """(share (n,), chance (n,)): how many of a lesion's k nearest neighbours have its class; by chance.

    The share of neighbours from the own sample, as in the two-sample test of Schilling 1986 (JASA 81:799)
    and Henze 1988 (Annals of Statistics 16:772), taken per lesion and among other patients only: two lesions
    of one scan are alike whatever their class.  Where other patients have fewer than k lesions of the class,
    k is that number, so that 1 can be reached; NaN where they have none.
    """
    return agreement(distances(features, features), labels, patients, k)


def agreement(apart, labels, patients, k=10):
    """`neighbour_agreement` from distances (n, n)."""
    order, exists = _nearest(apart, patients, k)
    other = patients[:, None] != patients
    mates = (other & (labels[:, None] == labels)).sum(1)
    k_own = np.clip(mates, 1, order.shape[1])
    same = ((labels[order] == labels[:, None]) & exists).cumsum(1)
    share = same[np.arange(len(labels)), k_own - 1] / k_own
    chance = mates / np.maximum(other.sum(1), 1)
    return np.where(mates > 0, share, np.nan), np.where(mates > 0, chance, np.nan)


def mixing_rate(real, labels, patients, synthetic, synthetic_labels, k=10) -> np.ndarray:
    """How well synthetic lesions mix with the real ones of their class: float (n,) in [0, 2].

    One value per real lesion.

    The share of synthetic lesions among its k nearest neighbours, over the 1/2 that random mixing would
    give: the two-sample statistic of Schilling 1986 (JASA 81:799) and Henze 1988 (Annals of Statistics
    16:772), per lesion.  As it depends on the sizes of the samples, as many synthetic lesions as there are
    real ones of other patients are drawn: the mean over all such draws, exactly.

    1: not distinguishable, in expectation; 0: separate; above 1: real lesions lie nearer to synthetic ones
    than to each other, as when those lie near the mean.  NaN where a class has no synthetic lesion, or no
    real one of another patient.
    """
    return mixing(distances(real, real), distances(real, synthetic), labels, patients, synthetic_labels, k)


def mixing(within, between, labels, patients, synthetic_labels, k=10):
    """`mixing_rate` from distances within real (n, n) and to synthetic lesions (n, m)."""
    rate = np.full(len(labels), np.nan)
    for label in np.unique(labels):
        own, made = np.flatnonzero(labels == label), np.flatnonzero(synthetic_labels == label)
        if not len(made):
            continue
        other = patients[own][:, None] != patients[own]
        first = np.sort(np.where(other, within[np.ix_(own, own)], np.inf), axis=1)
        second, n = np.sort(between[np.ix_(own, made)], axis=1), other.sum(1)
        fewer, share = n <= len(made), np.empty(len(own))
        share[fewer] = 1 - _share_of_fewer(first[fewer], n[fewer], second[fewer], len(made), k)
        share[~fewer] = _share_of_fewer(second[~fewer], len(made), first[~fewer], n[~fewer], k)
        rate[own] = np.where(n > 0, 2 * share, np.nan)
    return rate


def _share_of_fewer(few, n, many, m, k):
    """Expected share (r,) of `few` among the nearest min(k, n), with all n of them and n of the m `many`.

    few, many   sorted distances (r, a) and (r, b), the first n and m of a row exist (numbers, or (r,))

    The j-th nearest of the few is among the nearest k when at most k - j of the many that are nearer than it
    were drawn: hypergeometric.
    """
    from scipy.stats import hypergeom  # slow to import

    n, m = (np.broadcast_to(v, len(few))[:, None] for v in (n, m))
    few, nearest_n = few[:, :k], np.clip(n, 1, k)
    j = np.arange(1, few.shape[1] + 1)
    nearer = np.array([np.searchsorted(row, at) for row, at in zip(many, few)], int).reshape(few.shape)
    among = hypergeom.cdf(nearest_n - j, m, np.minimum(nearer, m), n)
    return (np.where(j <= nearest_n, among, 0) / nearest_n).sum(1)


def class_means(values, labels, classes) -> np.ndarray:
    """Means of values (n,) over each of `classes` (K,), then the mean of these: float (K + 1,).

    NaN values are left out; NaN for a class without any.
    """
    known = np.isfinite(values)
    own = (values[known & (labels == label)] for label in classes)
    means = [v.mean() if len(v) else np.nan for v in own]
    return np.array([*means, np.mean(means) if means else np.nan])


def over_patients(values_of, labels, patients, max_value=np.inf, halves=20, seed=0) -> dict:
    """{class number or 'all': (mean, low, high, n)} of values in [0, max_value], one per lesion.

    values_of   takes a mask (n,) of the lesions that stay and gives their values

    'all' is the mean over the classes that have any value.  95 % intervals from random halves of the
    patients, both of each split: over n / 2 of n patients, drawn without replacement, a mean has the variance
    (1 - 1 / 2) s^2 / (n / 2) = s^2 / n, that over n new patients.  Patients who are left out are no
    neighbours either, so that the interval reflects how few neighbours there are; repeating them, as a
    bootstrap does, would make copies neighbours of each other.  It covers the choice of held-out patients,
    not that of the network or of the generator.
    """
    values = values_of(np.ones(len(labels), bool))
    known = np.isfinite(values)
    classes, n = np.unique(labels[known], return_counts=True)
    who, rng, drawn = np.unique(patients, return_inverse=True)[1], np.random.default_rng(seed), []
    for _ in range(halves):
        first = (rng.permutation(who.max() + 1) % 2).astype(bool)[who]
        masks = [rows for rows in (first, ~first) if rows.any()]
        drawn += [class_means(values_of(rows), labels[rows], classes) for rows in masks]
    found, means = {}, class_means(values, labels, classes)
    for label, mean, several, count in zip([*classes, 'all'], means, np.array(drawn).T, [*n, known.sum()]):
        several = several[np.isfinite(several)]  # a half without the class does not count
        half = Z_95 * several.std() if len(several) > 2 else np.nan
        low, high = max(mean - half, 0), min(mean + half, max_value)
        found[label] = float(mean), float(low), float(high), int(count)
    return found


def separation(features, labels) -> float:
    """Mean distance between the centres of classes over the mean distance of a lesion to its own centre.

    The second is the mean over classes, as the first; NaN for a single class, and where all lesions lie on
    their centres.
    """
    classes = np.unique(labels)
    centres = np.stack([features[labels == label].mean(0) for label in classes])
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1)[np.triu_indices(len(centres), 1)]
    own = [
        np.linalg.norm(features[labels == label] - centre, axis=1).mean()
        for label, centre in zip(classes, centres)
    ]
    return float(apart.mean() / np.mean(own)) if len(apart) and np.any(own) else np.nan
