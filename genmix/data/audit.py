"""Which images are the same picture, or nearly: asked before anything is split.

Public image sets carry copies, re-compressed copies and neighbouring slices of one scan.  Where patients are unknown,
such images must stand on one side of a split, or a classifier is graded on what it has already seen.
"""
import hashlib
import warnings

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

SIDE = 32           # pixels a side of the reduced images that are compared
# Measured at 64 px.  On 1,097 chest CT slices of 110 patients 0.90 links every copy moved by one pixel or re-compressed
# (JPEG quality 50); 99.7 % of the linked slices have the same class (of random pairs 42 %), and the largest cluster is a
# run of 31 slices.  At 0.80 a quarter of that set chains into one cluster; at 0.95 half the moved copies are lost.
# Among centred lesions 0.90 also joins some strangers, round cysts above all: that costs a split a little freedom, while
# parting copies would make it dishonest.
NEAR = 0.90
CROWD, SHARE = 50, 0.1      # a cluster above 50 images and above a tenth of the set is taken for a chain


def exact_duplicates(images):
    """Groups of images with the same pixels: a list of int arrays (two indices or more each), in order of appearance."""
    groups = pd.Series(range(len(images))).groupby(_copy_of(images)).indices.values()
    return sorted((rows for rows in groups if len(rows) > 1), key=lambda rows: rows[0])


def duplicate_clusters(images, exact=True, near=NEAR):
    """Cluster index of each image, int64 (n,), numbered 0, 1, ... by first appearance; copies share a cluster.

    images  uint8 (n, H, W)
    exact   join images whose pixels are equal
    near    join images whose detail correlates above this (0-1), directly or by a chain of others; None: exact copies only

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

    A DataFrame with one row an image, copies together: copies (which group), id, patient, class; empty when all agree.
    """
    table = cohort.manifest.assign(copies=_copy_of(cohort.images))
    disagree = table.groupby('copies')[column].transform('nunique') > 1
    columns = list(dict.fromkeys(['copies', 'id', 'patient', 'class', column]))
    return table.loc[disagree, columns].sort_values('copies', kind='stable', ignore_index=True)


def _copy_of(images):
    """int64 (n,): equal numbers for equal pixels, by first appearance."""
    return pd.factorize(np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images], object))[0]


def _detail(images):
    """float32 (n, SIDE * SIDE), rows of length one: what is particular to each image, at a resolution that forgives noise.

    A narrow blur forgives a shift by one pixel.  Taking a wide blur away removes what all images of a set share (the
    body's outline, a dark disc in the middle), which alone makes unrelated lesions correlate at 0.9.
    """
    small = np.stack([np.asarray(Image.fromarray(i.astype(np.float32)).resize((SIDE, SIDE), Image.BOX)) for i in images])
    detail = gaussian_filter(small, (0, 0.7, 0.7)) - gaussian_filter(small, (0, 4, 4))
    detail = detail.reshape(len(images), -1)
    detail -= detail.mean(1, keepdims=True)
    # below half a gray level there is only rounding: the floor keeps flat images from matching each other
    return detail / np.maximum(np.linalg.norm(detail, axis=1, keepdims=True), 0.5 * SIDE)


def _strongest_links(detail, near, block=256):
    """Pairs correlating above `near` as a sparse (n, n) of distances, thinned to the strongest that connect the same images.

    A spanning tree has the clusters of every higher threshold too, and keeps to n links however alike the images are.
    """
    n = len(detail)
    links = coo_array((n, n), dtype=np.float32)
    for start in range(0, n, block):
        close = np.triu(detail[start:start + block] @ detail[start:].T, 1)
        row, column = np.nonzero(close > near)
        distance = np.maximum(1 - close[row, column], 1e-6)        # a zero would mean "no link"
        ends = np.concatenate([links.row, row + start]), np.concatenate([links.col, column + start])
        links = coo_array((np.concatenate([links.data, distance]), ends), shape=(n, n))
        links = coo_array(minimum_spanning_tree(links.tocsr()))
    return links


def _cut_chains(links, copy_of, near):
    """Cluster index of each node of `links`, after cutting the weaker links of clusters too large to be one patient."""
    limit, strict, largest = max(CROWD, SHARE * len(copy_of)), near, 0
    while True:
        cluster = connected_components(links, directed=False)[1]
        sizes = np.bincount(cluster[copy_of])
        largest = largest or sizes.max()
        if sizes.max() <= limit or strict >= 0.99:      # above 0.99 they are copies, however many
            break
        strict = (1 + strict) / 2
        keep = (sizes[cluster[links.row]] <= limit) | (links.data < 1 - strict)
        links = coo_array((links.data[keep], (links.row[keep], links.col[keep])), shape=links.shape)
    if strict > near:
        warnings.warn(f'{largest} of {len(copy_of)} images chain into one near-duplicate cluster at correlation {near:.3g}: '
                      f'{strict:.3g} was used among them.', stacklevel=3)
    return cluster
