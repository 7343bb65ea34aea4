import numpy as np
import pytest
import torch

from genmix.audit import registration
from genmix.audit.registration import Registration, placed
from genmix.data import images
from genmix.data.augmentation import affine_warp


@pytest.fixture(scope='module')
def lesions(world):
    return world['train'].images


@pytest.fixture(scope='module')
def search(lesions):
    return Registration(lesions)


def warped(x, degrees, zoom, dx, dy):
    """Images (n, 64, 64) turned and zoomed about their centre, then shifted by (dx, dy) pixels."""
    a = np.radians(degrees)
    rows = [[np.cos(a), np.sin(a), -dx / 32], [-np.sin(a), np.cos(a), -dy / 32]]
    theta = torch.tensor(np.array(rows) / zoom, dtype=torch.float32)
    grid = torch.nn.functional.affine_grid(
        theta.repeat(len(x), 1, 1), (len(x), 1, 64, 64), align_corners=False
    )
    x = torch.from_numpy(np.float32(x))[:, None]
    x = torch.nn.functional.grid_sample(x, grid, padding_mode='reflection', align_corners=False)
    return x[:, 0].round().byte().numpy()


def test_symmetries_are_those_of_the_images_and_can_be_undone(lesions):
    x = lesions[:3]
    ours = registration.symmetries(torch.from_numpy(x))
    assert np.array_equal(ours, images.symmetries(x))
    for k, views in enumerate(ours):
        assert np.array_equal(registration._undone(views[1], k), x[1])


def test_a_lesion_is_its_own_match_whatever_its_brightness_and_contrast(lesions, search):
    paler = np.uint8(np.float32(lesions[:20]) * 0.6 + 60)
    for x in (lesions[:20], paler):
        found = search.match(x)
        assert np.array_equal(found.index, np.arange(20))
        assert found.distance.max() < 0.02 and found.relative.max() < 0.2
    alone = search.match(lesions[:20], own=True)
    assert (alone.index != np.arange(20)).all() and alone.distance.min() > 0.05


@pytest.mark.parametrize(
    'degrees, zoom, dx, dy', [(10, 1, 0, 0), (45, 0.9, 3, 0), (170, 1.15, -3, 4), (0, 1, 5, 5)]
)
def test_a_moved_lesion_is_found_and_shown_as_it_was_moved(lesions, search, degrees, zoom, dx, dy):
    """The found pose, applied to the lesion, gives the moved image back; the plain lesion does not."""
    moved = warped(lesions[:40], degrees, zoom, dx, dy)
    found = search.match(moved)
    right = found.index == np.arange(40)
    assert right.mean() > 0.85 and np.median(found.distance) < 0.1
    shown, middle = placed(lesions[found.index], found.pose), (slice(None), slice(12, 52), slice(12, 52))
    error = np.abs(np.float32(shown) - moved)[middle].mean((1, 2))[right]
    plain = np.abs(np.float32(lesions[:40]) - moved)[middle].mean((1, 2))[right]
    assert np.median(error) < 4 < np.median(plain)


def test_mirrored_lesions_are_placed_as_mirrored(lesions, search):
    for view in images.symmetries(lesions[:5]):
        found = search.match(view)
        assert np.array_equal(found.index, np.arange(5))
        assert np.abs(np.float32(placed(lesions[:5], found.pose)) - view)[:, 4:60, 4:60].mean() < 2.5


def test_the_distance_is_what_the_lesion_leaves_unexplained(lesions):
    """sqrt(1 - r^2) of an unmoved lesion under noise, or a little less where another pose fits the noise."""
    x = np.float32(images.resize_uint8(lesions[:30], 32))
    exact = Registration(images.resize_uint8(lesions, 32))
    smooth = registration.in_disc(registration.smooth(torch.from_numpy(x)))
    noise = np.random.default_rng(0).normal(0, 6, x.shape)
    noisy = (x + noise).clip(0, 255).round().astype(np.uint8)
    other = registration.in_disc(registration.smooth(torch.from_numpy(np.float32(noisy))))
    wanted = (1 - (smooth * other).sum(1) ** 2).sqrt().numpy()
    found = exact.match(noisy).distance
    assert np.allclose(found, wanted, rtol=0.15) and (found <= wanted + 1e-3).all()


def test_sizes_other_than_64_and_flat_images(lesions):
    for side in (32, 128):
        x = images.resize_uint8(lesions, side)
        assert np.array_equal(Registration(x).match(x[:8]).index, np.arange(8))
    flat = np.zeros((2, 64, 64), np.uint8)
    assert np.allclose(Registration(lesions).match(flat).distance, 1)
    assert np.isfinite(Registration(np.concatenate([flat, lesions[:3]])).match(lesions[:3]).relative).all()


def test_the_augmentation_of_the_classifier_does_not_hide_a_lesion(lesions, search):
    x = torch.from_numpy(np.float32(lesions[:60]))[:, None]
    hidden = affine_warp(x, np.random.default_rng(0))[:, 0].round().byte().numpy()
    assert (search.match(hidden).index == np.arange(60)).mean() > 0.8
