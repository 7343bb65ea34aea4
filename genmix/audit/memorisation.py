"""Does a generator copy?  Synthetic images against the training lesions, over D4 symmetries and shifts.

Images are uint8 (n, H, W); each number is read beside the same number of held-out real lesions.
"""

from collections import namedtuple

import numpy as np
import pandas as pd

from genmix.audit.fidelity import distances
from genmix.data.images import symmetries

CELLS = 16  # side of the grid to which images are averaged before copies are looked for
QUANTILE = 0.01  # of held-out real lesions that are this near to a training lesion by chance
Match = namedtuple('Match', 'index view distance relative')


def coarse(images):
    """Images (..., H, W) averaged to a CELLS x CELLS grid, minus their mean: float32 (..., CELLS^2).

    Noise averages out and brightness does not count.  Distances are in gray levels, root mean square.
    """
    *lead, h, w = images.shape
    grid = images.reshape(*lead, CELLS, h // CELLS, CELLS, w // CELLS)
    x = grid.mean((-3, -1), dtype=np.float32).reshape(*lead, -1)
    return (x - x.mean(-1, keepdims=True)) / CELLS


def coarse_views(images):
    """What a copy may look like, as `coarse` images (72, n, CELLS^2): the images themselves come first.

    The 8 symmetries, each shifted by -1, 0 and 1 pixels (of 64) both ways.
    """
    step, views = max(1, images.shape[1] // 64), symmetries(images)
    shifts = [(y, x) for y in (0, -step, step) for x in (0, -step, step)]
    return np.concatenate([coarse(np.roll(views, shift, (-2, -1))) for shift in shifts])


def match(views, queries, own=False, others=20, block=128):
    """The training lesion nearest to each query over all its views: a Match of arrays (m,).

    views      (v, n, d): n training lesions in v views (`coarse_views`, or features of their symmetries)
    queries    (m, d)
    own        queries are the training lesions themselves: none is matched with itself
    relative   distance over the mean distance to the `others` next lesions (Carlini 2023, arXiv 2301.13188):
               a blurred image is near to everything, a copy is near to one
    """
    v, n, d = views.shape
    found, others = [], min(others, n - 1 - own)
    for start in range(0, len(queries), block):
        far = distances(queries[start : start + block], views.reshape(v * n, d)).reshape(-1, v, n)
        near = far.min(1)
        rows = np.arange(len(near))
        if own:
            near[rows, start + rows] = np.inf
        index, nearest = near.argmin(1), np.partition(near, range(others + 1), axis=1)
        relative = nearest[:, 0] / nearest[:, 1 : others + 1].mean(1).clip(1e-9)
        found.append((index, far[rows, :, index].argmin(1), nearest[:, 0], relative))
    return Match(*map(np.concatenate, zip(*found)))


def copy_ratio(views, heldout, synthetic, quantile=QUANTILE):
    """Share of synthetic images as near to a training lesion as a share `quantile` of held-out ones is.

    views (v, n, d) as in `match`; heldout, synthetic (m, d) in the same space.  About `quantile` for real
    lesions, 1 for a copier.
    """
    return are_copies(match(views, heldout).relative, match(views, synthetic).relative, quantile).mean()


def are_copies(heldout, synthetic, quantile=QUANTILE):
    """bool (m,) from the `relative` distances of held-out and synthetic images."""
    return synthetic < np.quantile(heldout, quantile)


def authenticity(views, synthetic):
    """Share of synthetic images farther from their training lesion than that one is from the next.

    0 for a copier.  Alaa 2022, arXiv 2102.08921.
    """
    return are_authentic(match(views, synthetic), match(views, views[0], own=True)).mean()


def are_authentic(found, spacing):
    """bool (m,) from the matches of synthetic images and those of the training lesions among themselves."""
    return found.distance > spacing.distance[found.index]


def ct_statistic(views, heldout, synthetic):
    """C_T: are synthetic images nearer to the training lesions than held-out ones are, cell by cell?

    A z-score (Meehan 2020, arXiv 2004.05675): about 0 for real lesions, far below 0 for copies, above 0 for
    images farther off than real ones.
    """
    cell, h, s = cells_of(views), match(views, heldout), match(views, synthetic)
    return ct_of_cells(h.distance, cell[h.index], s.distance, cell[s.index])


def cells_of(views, min_lesions=30):
    """Cell of each training lesion, int (n,), by k-means; a query falls into the cell of its match.

    As many cells as have `min_lesions` lesions on average, 5 at most.
    """
    from sklearn.cluster import KMeans  # slow to import, as is scipy.stats below

    n_cells = int(np.clip(views.shape[1] // min_lesions, 1, 5))
    return KMeans(n_cells, n_init=4, random_state=0).fit_predict(views[0])


def counting_cells(heldout_cell, synthetic_cell, min_images=20):
    """Cells with `min_images` images of each kind or more: only they count."""
    return [
        cell
        for cell in np.unique(heldout_cell)
        if min((heldout_cell == cell).sum(), (synthetic_cell == cell).sum()) >= min_images
    ]


def ct_of_cells(heldout, heldout_cell, synthetic, synthetic_cell, cells=None):
    """`ct_statistic` from distances and cells; `cells` count, default `counting_cells`.  NaN where none does.

    In each cell a Mann-Whitney z-score; their mean is weighted by the held-out images.
    """
    from scipy.stats import rankdata

    z, weight = [], []
    for cell in counting_cells(heldout_cell, synthetic_cell) if cells is None else cells:
        h, s = heldout[heldout_cell == cell], synthetic[synthetic_cell == cell]
        n, m = len(h), len(s)
        if n and m:
            u = rankdata(np.concatenate([s, h]))[:m].sum() - m * (m + 1) / 2
            z.append((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
            weight.append(n)
    return float(np.dot(z, weight) / sum(weight)) if weight else np.nan


def nearest_pairs(train, synthetic, n=8):
    """The `n` synthetic images most like a copy: DataFrame(synthetic, train, view, distance, relative).

    train, synthetic   uint8 (., H, W); the columns of these names are rows of them
    view               the symmetry, 0 to 7, in which the training lesion was matched: see `matched_views`
    distance           in gray levels
    """
    found = match(coarse_views(train), coarse(synthetic))
    columns = {'synthetic': np.arange(len(synthetic)), 'train': found.index, 'view': found.view % 8}
    table = pd.DataFrame(columns | {'distance': found.distance, 'relative': found.relative})
    return table.nsmallest(n, 'relative').reset_index(drop=True)


def matched_views(train, pairs):
    """Training lesions of `nearest_pairs`, flipped and rotated as they were matched: uint8 (n, H, W)."""
    return np.stack([symmetries(train[[i]])[view, 0] for i, view in zip(pairs.train, pairs['view'])])


def nearest_images(train, synthetic, n=8):
    """`nearest_pairs` as images: [(synthetic, training lesion as it was matched), ...] of uint8 (H, W)."""
    pairs = nearest_pairs(train, synthetic, n)
    return list(zip(synthetic[pairs.synthetic], matched_views(train, pairs)))
