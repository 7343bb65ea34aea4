"""Classical augmentation of a batch of images, and the size at which a classifier sees them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from genmix.run.device import send


def affine_warp(x, rng, strength=1.0, zoom=0.15, shift=0.08):
    """Classical augmentation of a batch in one warp: flips, any rotation, zoom, shift; borders are reflected.

    x float (n, 1, H, W); `zoom` and `shift` are the largest relative changes.  `rng` is a NumPy Generator.
    strength   in (0, 1], the share of each that is used: of the half turn either way, of zoom and shift, and
               of the flips, so that half of it is the share of images that are flipped
    """
    n, _, h, w = x.shape
    turn, zoom, shift = math.pi * strength, zoom * strength, shift * strength
    angle, scale = rng.uniform(-turn, turn, n), rng.uniform(1 - zoom, 1 + zoom, n)
    cos, sin, flip = np.cos(angle) * scale, np.sin(angle) * scale, rng.choice([-1.0, 1.0], n)
    move = rng.uniform(-2 * shift, 2 * shift, (2, n))  # the grid spans [-1, 1]
    if strength < 1:
        flip = np.where(rng.random(n) < strength, flip, 1.0)
    # A place in the image as one complex number: F.affine_grid by broadcasting, several times faster.
    along, down, move = (
        send(torch.as_tensor(a + 1j * b, dtype=torch.complex64), x.device)[:, None, None]
        for a, b in ((cos * flip, sin * flip), (-sin, cos), move)
    )
    gy, gx = (_pixel_centres(side, x) for side in (h, w))
    grid = torch.view_as_real((along * gx + down * gy[:, None]).add_(move))
    return F.grid_sample(x, grid, padding_mode='reflection', align_corners=False)


def _pixel_centres(side, like):
    return (torch.arange(side, dtype=like.dtype, device=like.device) * 2 + 1) / side - 1


def resized(x, size):
    """Float images (n, 1, H, W) at the network's input size: averaged down, or interpolated up.

    It comes after the warp: averaging hides what interpolation did to the noise, so that warped and plain
    images look alike.
    """
    if x.shape[-1] == size:
        return x
    if x.shape[-1] > size:
        return F.interpolate(x, size=(size, size), mode='area')
    return F.interpolate(x, size=(size, size), mode='bilinear', align_corners=False)
