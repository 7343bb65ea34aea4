"""Does a generator copy?  Statistics of how near synthetic images lie to training lesions.

Each is read beside the same number of held-out real lesions, which no generator can have copied.
"""

import numpy as np

QUANTILE = 0.01  # of held-out real lesions that are this near to a training lesion by chance


def are_copies(heldout, synthetic, quantile=QUANTILE):
    """bool (m,): nearer than a share `quantile` of held-out lesions is, by `relative` distances."""
    return synthetic < np.quantile(heldout, quantile)


def shares(heldout, synthetic):
    """{metric: bool (m,)}: the metrics of copying that are a share of the synthetic images of a class.

    heldout, synthetic   of `TrainingLesions.search`; blends are those that are no copies of one lesion
    """
    of_one, of_two = (
        are_copies(heldout[column], synthetic[column].to_numpy()) for column in ('relative', 'blend_relative')
    )
    authentic = synthetic.authentic.to_numpy(bool)
    return {'copy_ratio': of_one, 'blend_ratio': of_two & ~of_one, 'authenticity': authentic}


def are_authentic(found, spacing):
    """bool (m,): images farther from their training lesion than that one is from the next (Alaa 2022, arXiv
    2102.08921), from the matches of synthetic images and those of the training lesions among themselves.
    """
    return found.distance > spacing.distance[found.index]


def cells_of(lesions, min_lesions=30):
    """Cell of each training lesion, int (n,), by k-means of vectors (n, d); a query has that of its match.

    As many cells as have `min_lesions` lesions on average, 5 at most.
    """
    from sklearn.cluster import KMeans  # slow to import, as is scipy.stats below

    n_cells = int(np.clip(len(lesions) // min_lesions, 1, 5))
    return KMeans(n_cells, n_init=4, random_state=0).fit_predict(lesions)


def counting_cells(heldout_cell, synthetic_cell, min_images=20):
    """Cells with `min_images` images of each kind or more: only they count."""
    return [
        cell
        for cell in np.unique(heldout_cell)
        if min((heldout_cell == cell).sum(), (synthetic_cell == cell).sum()) >= min_images
    ]


def ct_statistic(heldout, heldout_cell, synthetic, synthetic_cell, cells=None):
    """C_T: are synthetic images nearer to the training lesions than held-out ones are, cell by cell?

    A z-score (Meehan 2020, arXiv 2004.05675): about 0 for real lesions, far below 0 for copies, above 0 for
    images farther off than real ones.  In each cell a Mann-Whitney z-score; their mean is weighted by the
    held-out images.

    heldout, synthetic   distances (n,), (m,).  The card takes `relative` ones: a smooth image is near to
                         every lesion, so that by plain distance fresh lesions under a blur score as if copied
    cells                those that count, default `counting_cells`.  NaN where none does
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
