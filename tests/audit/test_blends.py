from itertools import combinations

import numpy as np
import pytest

from genmix.audit.blends import Blends
from genmix.audit.registration import in_disc, small, smooth
from genmix.data.images import symmetries


def blended(train, n, share, rng):
    """Blends of two lesions, each in a random symmetry: (images, rows of both, symmetries of both)."""
    rows = np.stack([rng.choice(len(train), 2, replace=False) for _ in range(n)])
    views = rng.integers(8, size=(n, 2))
    x = np.float32(symmetries(train))[views, rows]
    return (share * x[:, 0] + (1 - share) * x[:, 1]).round().astype(np.uint8), rows, views


@pytest.mark.parametrize('share', (0.5, 0.6, 0.75))
def test_both_lesions_of_a_blend_are_named_with_their_symmetries(world, share):
    train = world['train'].images
    x, rows, views = blended(train, 40, share, np.random.default_rng(1))
    found = Blends(train).match(x)
    pairs = np.stack([found.first, found.second], 1)  # image, parent, (lesion, symmetry)
    wanted = np.stack([rows, views], 2)
    same = (pairs == wanted).all((1, 2)) | (pairs[:, ::-1] == wanted).all((1, 2))
    assert same.mean() > 0.9
    assert np.median(found.distance) < 0.05 and np.median(found.relative) < 0.2


def left_by(vector, *views):
    """(what least squares leaves of a vector, weights)."""
    columns = np.stack(views, 1)
    weights = np.linalg.lstsq(columns, vector)[0]
    return np.linalg.norm(vector - columns @ weights), weights


def test_least_squares_by_hand():
    """The pair leaves what numpy's least squares leaves, the least of all pairs with positive weights."""
    rng = np.random.default_rng(2)
    train, x = (rng.integers(0, 255, (n, 32, 32), np.uint8) for n in (5, 3))
    blends = Blends(train)
    found, views = blends.match(x), blends.views.numpy()
    vectors = in_disc(smooth(small(x))).numpy()
    pairs = [(a, b) for i, j in combinations(range(5), 2) for a in views[:, i] for b in views[:, j]]
    for i, vector in enumerate(vectors):
        chosen = [views[symmetry, lesion] for lesion, symmetry in (found.first[i], found.second[i])]
        assert left_by(vector, *chosen)[0] == pytest.approx(found.distance[i], abs=1e-4)
        every = [left for left, weights in (left_by(vector, *pair) for pair in pairs) if (weights > 0).all()]
        assert found.distance[i] == pytest.approx(min(every), abs=1e-4)


def test_no_blend_of_a_lesion_with_itself_and_two_lesions_are_enough(world):
    train = world['train'].images
    found = Blends(train).match(train[:10])
    assert (found.first[:, 0] != found.second[:, 0]).all()
    few = Blends(train[:2]).match(train[2:4])
    assert np.isfinite(few.relative).all()
