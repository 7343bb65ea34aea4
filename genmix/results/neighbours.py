"""How lesions of different kinds lie among each other in a feature space, told by nearest neighbours.

Features are float (n, d), one row a lesion; labels int (n,); patients str (n,).
"""

from textwrap import fill

import numpy as np
from scipy.stats import hypergeom, norm

from genmix.audit.fidelity import distances
from genmix.mixing.arms import generator_of


def nearest(features, patients, k):
    """Rows (n, k) of the k nearest lesions of *other* patients, and whether there is one (n, k)."""
    return _nearest(distances(features, features), patients, k)


def _nearest(apart, patients, k):
    apart = np.where(patients[:, None] == patients, np.inf, apart)
    order = np.argsort(apart, axis=1, kind='stable')[:, :k]
    return order, np.isfinite(np.take_along_axis(apart, order, 1))


def medians(values, labels):
    """One row a class, in the order of the class numbers: the lesion nearest to the median of its class in values (n,); the first where all are NaN."""
    rows = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        known = own[np.isfinite(values[own])]
        rows.append(
            known[np.abs(values[known] - np.median(values[known])).argmin()] if len(known) else own[0]
        )
    return np.array(rows)


def neighbour_agreement(features, labels, patients, k=10):
    """(share (n,), chance (n,)): how many of a lesion's k nearest neighbours of other patients have its class, and how many by chance.

    A patient's own lesions never count: two lesions of one scan are alike whatever their class.  Where other patients have fewer than k
    lesions of the class, that many neighbours are asked, so that 1 can be reached; NaN where they have none.
    """
    return agreement(distances(features, features), labels, patients, k)


def agreement(apart, labels, patients, k=10):
    """`neighbour_agreement` from distances (n, n)."""
    order, there = _nearest(apart, patients, k)
    other = patients[:, None] != patients
    mates = (other & (labels[:, None] == labels)).sum(1)
    asked = np.clip(mates, 1, order.shape[1])
    same = ((labels[order] == labels[:, None]) & there).cumsum(1)
    share = same[np.arange(len(labels)), asked - 1] / asked
    return np.where(mates > 0, share, np.nan), np.where(
        mates > 0, mates / np.maximum(other.sum(1), 1), np.nan
    )


def mixing_rate(real, labels, patients, synthetic, synthetic_labels, k=10):
    """How well synthetic lesions hide among real ones of their class: float (n,) in [0, 2], one a real lesion.

    Share of synthetic among its k nearest neighbours, those of its class, over the 1/2 that random mixing would give, were as many
    synthetic as real lesions of other patients drawn: the mean over all such draws, exactly.  1: cannot be told apart (in expectation);
    0: separate; above 1: real lesions lie nearer to synthetic ones than to each other, as when those sit near the mean.  NaN where a
    class has no synthetic lesion, or no real one of another patient.
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
    """Expected share (r,) of `few` among the nearest min(k, n), when all n of them and n drawn of the m `many` are there.

    Sorted distances (r, a) and (r, b), the first n and m of a row (numbers, or (r,)) are there.  The j-th nearest of the few is among the
    nearest k when at most k - j of the many that are nearer than it were drawn: hypergeometric.
    """
    n, m = (np.broadcast_to(v, len(few))[:, None] for v in (n, m))
    few, asked = few[:, :k], np.clip(n, 1, k)
    j = np.arange(1, few.shape[1] + 1)
    nearer = np.array([np.searchsorted(row, at) for row, at in zip(many, few)], int).reshape(few.shape)
    among = hypergeom.cdf(asked - j, m, np.minimum(nearer, m), n)
    return (np.where(j <= asked, among, 0) / asked).sum(1)


def class_means(values, labels, classes):
    """Mean of a value a lesion over each of `classes` (K,), NaN values left out, then the mean of these: float (K + 1,), NaN for a class without any."""
    known = np.isfinite(values)
    means = [
        values[known & (labels == label)].mean() if (known & (labels == label)).any() else np.nan
        for label in classes
    ]
    return np.array([*means, np.mean(means) if means else np.nan])


def over_patients(values_of, labels, patients, most=np.inf, halves=20, seed=0):
    """{class number or 'all': (mean, low, high, n)} of values a lesion in [0, most]; 'all' is the mean over the classes that have any value.

    `values_of(rows)` gives the values of the lesions that stay, rows a mask (n,).  95 % from random halves of the patients, both of each
    split: over halves without replacement a mean scatters as over new patients.  Who leaves is no neighbour either, so that the interval
    knows how few neighbours there are, which patients drawn again as askers only would not tell; copies, as a full bootstrap makes them,
    would be each other's neighbours.  It says how much hangs on who is held out, not on which network or generator there was.
    """
    values = values_of(np.ones(len(labels), bool))
    known = np.isfinite(values)
    classes, n = np.unique(labels[known], return_counts=True)
    who, rng, drawn = np.unique(patients, return_inverse=True)[1], np.random.default_rng(seed), []
    for _ in range(halves):
        first = (rng.permutation(who.max() + 1) % 2).astype(bool)[who]
        drawn += [
            class_means(values_of(rows), labels[rows], classes) for rows in (first, ~first) if rows.any()
        ]
    found = {}
    for label, mean, several, count in zip(
        [*classes, 'all'], class_means(values, labels, classes), np.array(drawn).T, [*n, known.sum()]
    ):
        several = several[np.isfinite(several)]  # a half that lacks a class says nothing
        half = 1.96 * several.std() if len(several) > 2 else np.nan
        found[label] = float(mean), float(max(mean - half, 0)), float(min(mean + half, most)), int(count)
    return found


def separation(features, labels):
    """How far apart classes lie: mean distance between their centres over the mean distance of a lesion to its own centre.

    NaN for a single class, and where all lesions lie on their centres.
    """
    centres = np.stack([features[labels == label].mean(0) for label in np.unique(labels)])
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1)[np.triu_indices(len(centres), 1)]
    own = [
        np.linalg.norm(features[labels == label] - centre, axis=1).mean()
        for label, centre in zip(np.unique(labels), centres)
    ]
    return float(apart.mean() / np.mean(own)) if len(apart) and np.any(own) else np.nan


def _told(row, form):
    interval = f' [{row.low:{form}}, {row.high:{form}}]' if np.isfinite(row.low) else ''
    return f'{row.value:{form}}{interval}' if row.n else 'cannot be told'


def note(numbers, arm):
    """The numbers of one arm in short lines, to stand below its panel; `numbers` as in embedding/neighbours.csv."""
    own = numbers[
        (numbers.arm == arm) & (numbers.label == 'all') & numbers.source.isin(['held-out', generator_of(arm)])
    ]
    return '\n'.join(
        f'neighbours {_told(row, ".0%")}' if row.source == 'held-out' else f'mixing rate {_told(row, ".2f")}'
        for row in own.itertuples()
    )


def source_notes(numbers, arm):
    """{source: its mixing rate with held-out lesions, in all and in each class} in the space of one arm's network."""
    notes = {'held-out': note(numbers, arm)}
    for source, part in numbers[(numbers.arm == arm) & (numbers.metric != 'neighbour_agreement')].groupby(
        'source', sort=False
    ):
        first, *classes = part.itertuples()
        notes[source] = f'mixing rate {_told(first, ".2f")}\n' + fill(
            ', '.join(f'{row.label} {row.value:.2f}' for row in classes), 46
        )
    return notes


def summarise_neighbours(numbers):
    """What the numbers of all panels say, in sentences."""
    agreement = numbers[
        (numbers.metric == 'neighbour_agreement') & (numbers.label == 'all') & (numbers.n > 0)
    ].sort_values('value')
    if not len(agreement):
        return ['Too few held-out lesions: no class has lesions of two patients, so nothing can be told.']
    said = [_agreement_in_words(agreement.iloc[0], agreement.iloc[-1])]
    rates = numbers[(numbers.metric == 'mixing_rate') & (numbers.n > 0)]
    looks = max((rates.label != 'all').sum(), 1)
    wider = norm.ppf(1 - 0.025 / looks) / norm.ppf(
        0.975
    )  # Bonferroni: the lowest of many is below 1 by chance
    for row in rates[rates.label == 'all'].itertuples():
        own = numbers[(numbers.arm == row.arm) & (numbers.n > 0)]
        seen = own[(own.source == 'training') & (own.label == 'all')].value.iloc[0]
        worst = own[(own.source == row.source) & (own.label != 'all')].sort_values('value').iloc[0]
        apart = worst.value + wider * (worst.high - worst.value) < 1
        said.append(
            f'In the features of `{row.arm}`, synthetic lesions of {row.source} have a mixing rate of {_told(row, ".2f")} (training lesions {seen:.2f}); '
            f'lowest for {worst.label}, {_told(worst, ".2f")}'
            + (f', told apart (corrected for {looks} looks).' if apart else '.')
        )
    unseen = [
        arm for arm in rates[rates.source == 'oracle'].arm.unique() if not generator_of(arm)
    ]  # the others were trained on its images
    if unseen:
        said.append(
            f'The oracle draws from the very distribution of the real lesions, and `{unseen[0]}` has seen none of its images: '
            'how far its rates lie from 1 in these features shows what chance does, over all and in a class of few lesions.'
        )
    return said


def _agreement_in_words(least, most):
    if least.arm == most.arm:
        return f'Under `{most.arm}`, {_told(most, ".0%")} of the neighbours of a held-out lesion have its class; chance is {most.expected:.0%}.'
    decided = (
        'The intervals are apart.'
        if least.high < most.low
        else 'The intervals overlap: this order is not decided here.'
    )
    return (
        f'The neighbours of a held-out lesion have its class most often under `{most.arm}`, {_told(most, ".0%")}, '
        f'and least often under `{least.arm}`, {_told(least, ".0%")}; chance is {most.expected:.0%}. {decided}'
    )
