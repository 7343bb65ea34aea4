"""Fidelity and diversity of a synthetic set: KID, FID, precision, recall, density, coverage, mean distance.

Sets are arrays of features, float (n, d), one row per image.  None of these numbers means anything alone:
`genmix.audit.card` puts each beside the same number of held-out real lesions.
"""

import numpy as np

K = 5  # the neighbour that sets the radius of a ball: Naeem 2020
AXES = 64  # principal axes along which diversity and FID are measured
BETTER = {'kid': 'lower', 'diversity': 'higher', 'coverage': 'higher'}  # the better direction of a metric


def distances(a, b, block=1024):
    """Euclidean distances float32 (n, m) between the rows of `a` (n, d) and `b` (m, d), block by block."""
    centre = b.mean(0)  # products of centred rows lose less to rounding
    a, b = np.float32(a - centre), np.float32(b - centre)
    out, b2 = np.empty((len(a), len(b)), np.float32), (b * b).sum(1)
    for start in range(0, len(a), block):
        part = a[start : start + block]
        squared = (part * part).sum(1)[:, None] + b2 - 2 * part @ b.T
        out[start : start + block] = np.sqrt(squared.clip(0))
    return out


def kernel(a, b):
    """Cubic kernel (x.y / d + 1)^3 of KID, (n, m)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def pairwise(of, real, synthetic):
    """`of` (`distances` or `kernel`) within real (n, n), within synthetic (m, m) and between both (n, m)."""
    return of(real, real), of(synthetic, synthetic), of(real, synthetic)


def subset(matrices, i, j):
    """Matrices of `pairwise` for some of the images: bool masks of the real and of the synthetic ones."""
    within_real, within_synthetic, between = matrices
    return _part(within_real, i, i), _part(within_synthetic, j, j), _part(between, i, j)


def _part(matrix, i, j):
    """Rows and columns of a matrix by masks; the matrix itself for all of them (np.ix_ is 3 times slower)."""
    matrix = matrix if i.all() else matrix.compress(i, 0)
    return matrix if j.all() else matrix.compress(j, 1)


def mmd2(rr, ss, rs):
    """Unbiased squared MMD from kernels of `pairwise`: float, may be below 0 (Gretton 2012, eq. 3)."""

    def within(k):
        return (k.sum(dtype=np.float64) - np.trace(k, dtype=np.float64)) / (len(k) * (len(k) - 1))

    return within(rr) + within(ss) - 2 * rs.mean(dtype=np.float64)


def kid(real, synthetic, subsets=50, size=200, rng=0):
    """(mean, sd) over random subsets of the unbiased squared MMD: Binkowski 2018, arXiv 1801.01401.

    Expected to be 0 for equal distributions, so single values may be negative.  The card takes all images at
    once instead, which varies less.
    """
    rng, size = np.random.default_rng(rng), min(size, len(real), len(synthetic))
    values = []
    for _ in range(subsets):
        r, s = (x[rng.choice(len(x), size, replace=False)] for x in (real, synthetic))
        values.append(mmd2(*pairwise(kernel, r, s)))
    return float(np.mean(values)), float(np.std(values, ddof=1))


def fid(real, synthetic):
    """(value, n, d): Frechet distance of two Gaussians (Heusel 2017, arXiv 1706.08500); n is the smaller set.

    Biased upwards unless n is many times d: reduce d first (`principal_axes`), and print both.
    """
    r, s = np.float64(real), np.float64(synthetic)
    c1, c2 = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (r, s))
    w, v = np.linalg.eigh(c1)
    root = v * np.sqrt(w.clip(0)) @ v.T
    symmetric = root @ c2 @ root  # so that no complex root appears
    cross = np.sqrt(np.linalg.eigvalsh(symmetric).clip(0)).sum()
    value = ((r.mean(0) - s.mean(0)) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * cross
    return float(value), min(len(r), len(s)), r.shape[1]


def principal_axes(real, d=AXES):
    """(mean (D,), axes float32 (D, d)): the first `d` principal axes of real lesions, largest variance first.

    (x - mean) @ axes are coordinates along them.
    """
    mean = real.mean(0)
    covariance = np.cov(np.float64(real - mean), rowvar=False)
    return mean, np.linalg.eigh(covariance)[1][:, ::-1][:, :d].astype(np.float32)


def diversity(features):
    """Mean distance between two different images of a set; 0 when one image is repeated.

    The card takes it along the principal axes of real lesions: there noise lowers it, if anything, whereas in
    pixels noise is diversity.  Still, one phantom repeated under fresh noise reaches .2 to .4 of real ones:
    read it beside coverage.
    """
    return mean_distance(distances(features, features))


def mean_distance(d):
    """Mean of the off-diagonal entries of distances (n, n)."""
    return float((d.sum(dtype=np.float64) - np.trace(d)) / max(1, len(d) * (len(d) - 1)))


def prdc(real, synthetic, k=K):
    """dict(precision, recall, density, coverage) of balls that reach to the k-th neighbour in the own set.

    precision   share of synthetic images in any real ball; recall with the roles exchanged:
                Kynkaanniemi 2019, arXiv 1904.06991
    density     real balls around a synthetic image, over k: unbounded, 1 is expected of real lesions
    coverage    share of real balls that hold a synthetic image; 1 - 2^-k is expected of as many real lesions:
                Naeem 2020, arXiv 2002.09797
    """
    return prdc_from_distances(*pairwise(distances, real, synthetic), k)


def prdc_from_distances(rr, ss, rs, k=K, radii=(None, None)):
    """`prdc` from distances of `pairwise`; radii   of both sets where they are known, by `radius`."""
    real, synthetic = (radius(d, k) if known is None else known for d, known in zip((rr, ss), radii))
    inside = rs < real[:, None]
    return {
        'precision': float(inside.any(0).mean()),
        'recall': float((rs < synthetic).any(1).mean()),
        'density': float(inside.sum(0).mean() / k),
        'coverage': float(inside.any(1).mean()),
    }


def radius(d, k=K):
    """Distance (n,) of each image to the k-th nearest other one, from distances (n, n) within a set."""
    kth = min(k, len(d) - 1)  # column 0 is the image itself
    return np.partition(d, kth, axis=1)[:, kth]
