"""Exact copies and near-duplicates among images, by pixels alone.

Public image sets carry copies, re-compressed copies and neighbouring slices of one scan.  Where patients are
unknown, such images must stay on one side of a split: otherwise a classifier is tested on what it has seen.
"""

import hashlib
import warnings

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

SIDE = 32  # pixels a side of the reduced images that are compared
# Measured at 64 px.  On 1,097 chest CT slices of 110 patients 0.90 links every copy moved by one pixel or
# re-compressed (JPEG quality 50); 99.7 % of the linked slices have the same class (of random pairs 42 %), and
# the largest cluster is a run of 31 slices.  At 0.80 a quarter of that set chains into one cluster; at 0.95
# half the moved copies are lost.  Among centred lesions 0.90 also joins some unrelated ones, round cysts
# above all: that leaves a split a little less freedom, while separating copies would make it a leak.
NEAR = 0.90
CROWD, SHARE = 50, 0.1  # a cluster above 50 images and above a tenth of the set is taken for a chain
# Between patients who are known to differ only the same picture counts: among 1,290 phantoms of 502 patients
# the most alike images of two patients correlate at 0.965, while BreastMNIST, whose frames follow each other,
# has a partner above 0.98 for a third.
SAME = 0.98
MANY = 30000  # images above which only exact copies are searched: near-duplicates need every pair compared


def exact_duplicates(images):
    """Groups of equal images in (n, H, W): int arrays of two indices or more, by first appearance."""
    groups = pd.Series(range(len(images))).groupby(_copy_of(images)).indices.values()
    return sorted((rows for rows in groups if len(rows) > 1), key=lambda rows: rows[0])


def duplicate_clusters(images, exact=True, near=NEAR):
    """Cluster index of each image, int64 (n,), numbered by first appearance; copies share a cluster.

    images  uint8 (n, H, W)
    exact   join images whose pixels are equal
    near    join images whose detail correlates above this (0-1), directly or by a chain of others;
            None: exact copies only

    Where images resemble each other so much that most chain into one cluster, nothing could be split: inside
    such a cluster (see CROWD and SHARE) the threshold rises stepwise, up to 0.99, and a warning says so.
    """
    copy_of = _copy_of(images) if exact else np.arange(len(images))
    if near is None or len(images) < 2:
        return copy_of
    first = np.unique(copy_of, return_index=True)[1]
    links = _strongest_links(_detail(images[first]), near)
    return pd.factorize(_cut_chains(links, copy_of, near)[copy_of])[0]


def conflicts(cohort, column='class'):
    """Exact copies that disagree about `column` of the cohort's manifest ('class', 'patient', ...).

    A DataFrame with one row per image, copies together: copies (which group), id, patient, class; empty when
    all agree.
    """
    table = cohort.manifest.assign(copies=_copy_of(cohort.images))
    disagree = table.groupby('copies')[column].transform('nunique') > 1
    columns = list(dict.fromkeys(['copies', 'id', 'patient', 'class', column]))
    return table.loc[disagree, columns].sort_values('copies', kind='stable', ignore_index=True)


def as_patients(images):
    """(names, count): a patient for each cluster of near-duplicates, 'cluster-0001' ..., where none is known.

    Above MANY images only exact copies are joined.
    """
    clusters = duplicate_clusters(images, near=NEAR if len(images) <= MANY else None)
    return np.array([f'cluster-{k + 1:04d}' for k in clusters]), int(clusters.max()) + 1


def nearest_pairs(cohort, n=6):
    """The n most alike pairs of images of different patients: [(row, row, correlation of their detail)].

    Each image appears once at most; [] for a cohort of more than MANY images.
    """
    if len(cohort) > MANY:
        return []
    detail, best, person = _detail(cohort.images), [], pd.factorize(cohort.patients)[0]
    for start in range(0, len(cohort), 256):
        close = np.triu(detail[start : start + 256] @ detail[start:].T, 1)
        close[person[start : start + 256, None] == person[None, start:]] = 0
        some = np.argpartition(-close, min(20 * n, close.size - 1), None)[: 20 * n]
        best += [(start + k // close.shape[1], start + k % close.shape[1], close.flat[k]) for k in some]
    pairs, taken = [], set()
    for i, j, value in sorted(best, key=lambda b: -b[2]):
        if not taken & {i, j} and len(pairs) < n and value > 0:
            pairs.append((int(i), int(j), float(value)))
            taken |= {i, j}
    return pairs


def _copy_of(images):
    """int64 (n,): equal numbers for equal pixels, by first appearance."""
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    return pd.factorize(np.array(digests, object))[0]


def _detail(images):
    """float32 (n, SIDE * SIDE), rows of unit length: the difference of a narrow and a wide Gaussian blur.

    The narrow blur tolerates noise and a shift by one pixel.  Subtracting the wide one removes what all
    images of a set share (the body's outline, a dark disc in the middle), which alone makes unrelated lesions
    correlate at 0.9.
    """
    small = np.stack(
        [np.asarray(Image.fromarray(i.astype(np.float32)).resize((SIDE, SIDE), Image.BOX)) for i in images]
    )
    detail = gaussian_filter(small, (0, 0.7, 0.7)) - gaussian_filter(small, (0, 4, 4))
    detail = detail.reshape(len(images), -1)
    detail -= detail.mean(1, keepdims=True)
    # half a gray level, which is only rounding, as the smallest norm: flat images do not match each other
    return detail / np.maximum(np.linalg.norm(detail, axis=1, keepdims=True), 0.5 * SIDE)


def _strongest_links(detail, near, block=256):
    """Pairs correlating above `near` as a sparse (n, n) of distances, reduced to a minimum spanning forest.

    It has the clusters of every higher threshold too, and fewer than n links however alike the images are.
    """
    n = len(detail)
    links = coo_array((n, n), dtype=np.float32)
    for start in range(0, n, block):
        close = np.triu(detail[start : start + block] @ detail[start:].T, 1)
        row, column = np.nonzero(close > near)
        distance = np.maximum(1 - close[row, column], 1e-6)  # a zero would mean "no link"
        ends = np.concatenate([links.row, row + start]), np.concatenate([links.col, column + start])
        graph = coo_array((np.concatenate([links.data, distance]), ends), shape=(n, n)).tocsr()
        links = coo_array(minimum_spanning_tree(graph))
    return links


def _cut_chains(links, copy_of, near):
    """Cluster index of each node of `links`, weaker links of clusters too large to be one patient removed."""
    limit, strict, largest = max(CROWD, SHARE * len(copy_of)), near, 0
    while True:
        cluster = connected_components(links, directed=False)[1]
        sizes = np.bincount(cluster[copy_of])
        largest = largest or sizes.max()
        if sizes.max() <= limit or strict >= 0.99:  # above 0.99 they are copies, however many
            break
        strict = (1 + strict) / 2
        keep = (sizes[cluster[links.row]] <= limit) | (links.data < 1 - strict)
        links = coo_array((links.data[keep], (links.row[keep], links.col[keep])), shape=links.shape)
    if strict > near:
        warnings.warn(
            f'{largest} of {len(copy_of)} images chain into one near-duplicate cluster '
            f'at correlation {near:.3g}: {strict:.3g} was used among them.',
            stacklevel=3,
        )
    return cluster
