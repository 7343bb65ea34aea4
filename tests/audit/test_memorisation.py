import numpy as np
import pytest

from genmix.audit.fidelity import distances
from genmix.audit.memorisation import (
    authenticity,
    coarse,
    coarse_views,
    copy_ratio,
    ct_statistic,
    nearest_images,
    nearest_pairs,
)
from genmix.data.images import symmetries


def test_views_are_the_eight_symmetries_images_first(world):
    x = world['train'].images[:3]
    assert symmetries(x).shape == (8, 3, 64, 64) and np.array_equal(symmetries(x)[0], x)
    assert len(np.unique(symmetries(x)[:, 0].reshape(8, -1), axis=0)) == 8
    assert coarse_views(x).shape == (72, 3, 256) and np.allclose(coarse_views(x)[0], coarse(x))


def test_coarse_distance_is_in_gray_levels():
    x = np.zeros((2, 32, 32), np.uint8)
    x[0, :16], x[1, 16:] = 20, 20
    assert distances(coarse(x), coarse(x))[0, 1] == pytest.approx(20)


def test_a_copier_is_flagged_and_fresh_phantoms_are_not(world):
    views = coarse_views(world['train'].images)
    heldout, copies, fresh = (coarse(world[w].images) for w in ('heldout', 'copies', 'fresh'))
    assert copy_ratio(views, heldout, copies) > 0.95 and copy_ratio(views, heldout, fresh) < 0.05
    assert authenticity(views, copies) < 0.05 and authenticity(views, fresh) > 0.5
    assert np.isnan(ct_statistic(views, heldout[:9], copies[:9]))  # too few per cell: not 0
    assert ct_statistic(views, heldout, copies) < -10 and abs(ct_statistic(views, heldout, fresh)) < 3


def test_an_average_of_real_lesions_is_no_copy(world):
    """Near to everything is not near to one."""
    views, heldout = coarse_views(world['train'].images), world['heldout'].images
    blurred = np.float32(heldout[:300]).reshape(3, 100, 64, 64).mean(0).astype(np.uint8)
    assert copy_ratio(views, coarse(heldout), coarse(blurred)) < 0.08


def test_nearest_pairs_name_the_source(world):
    pairs = nearest_pairs(world['train'].images, world['copies'].images, 8)
    assert (pairs.train == world['source'][pairs.synthetic]).all() and pairs.relative.is_monotonic_increasing
    row = pairs.iloc[0]
    shown = symmetries(world['train'].images[[int(row.train)]])[int(row['view']), 0]
    difference = np.float32(shown) - world['copies'].images[int(row.synthetic)]
    assert np.abs(difference).mean() < 16


def test_nearest_images_show_the_training_lesion_as_it_was_matched(world):
    rotated, train = symmetries(world['train'].images[[7]])[5], world['train'].images
    pairs = nearest_images(train, np.concatenate([rotated, world['fresh'].images[1:]]), 1)
    assert np.array_equal(pairs[0][0], rotated[0]) and np.array_equal(pairs[0][1], rotated[0])
