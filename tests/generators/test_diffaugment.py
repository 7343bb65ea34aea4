import numpy as np
import torch

from genmix.generators.gan.diffaugment import diffaugment, random_symmetry


def test_random_symmetry_reaches_all_eight_symmetries():
    x = torch.arange(9.0).reshape(1, 1, 3, 3).expand(400, -1, -1, -1)
    assert len({tuple(image.flatten().tolist()) for image in random_symmetry(x)}) == 8


def test_augmentations_keep_what_they_should():
    x = torch.rand(6, 1, 16, 16) * 2 - 1
    assert torch.equal(random_symmetry(x).flatten(1).sort()[0], x.flatten(1).sort()[0])  # pixels only move
    assert torch.allclose(diffaugment(x, shift=0, gain=0), x, atol=1e-6)
    moved = diffaugment(x, shift=0.25, gain=0)
    nearest = (moved.flatten(1)[:, :, None] - x.flatten(1)[:, None, :]).abs().min(2)[0]
    assert not torch.allclose(moved, x, atol=0.1)
    assert nearest.max() < 1e-6  # whole pixels: nothing is interpolated
    scaled = diffaugment(x, shift=0, gain=0.2)
    for a, b in zip(x, scaled):  # one gain and one offset per image
        assert np.corrcoef(a.flatten(), b.flatten())[0, 1] > 1 - 1e-6
