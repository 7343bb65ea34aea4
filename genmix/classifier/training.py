"""VGG-16 on lesions: the network, the training loop (a fastai Learner), predictions.

Images stay uint8 in memory; a batch is augmented in one affine warp, then mixed, in channels_last and bfloat16 where that pays.
"""

import math
from functools import partial

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper

from genmix.mixing.rules import blend
from genmix.run.device import DEVICE, seed_all


def affine_warp(x, rng, zoom=0.15, shift=0.08):
    """Classical augmentation of a whole batch in one warp: flips, any rotation, zoom, shift; borders are reflected.

    x float (n, 1, H, W); `zoom` and `shift` are the largest relative changes.  `rng` is a NumPy Generator.
    """
    n, _, h, w = x.shape
    angle, scale = rng.uniform(-math.pi, math.pi, n), rng.uniform(1 - zoom, 1 + zoom, n)
    cos, sin, flip = np.cos(angle) * scale, np.sin(angle) * scale, rng.choice([-1.0, 1.0], n)
    move = rng.uniform(-2 * shift, 2 * shift, (2, n))  # the grid spans [-1, 1]
    # A place in the image as one complex number: F.affine_grid by broadcasting, several times faster.
    along, down, move = (
        torch.as_tensor(a + 1j * b, dtype=torch.complex64, device=x.device)[:, None, None]
        for a, b in ((cos * flip, sin * flip), (-sin, cos), move)
    )
    gy, gx = (
        (torch.arange(side, dtype=x.dtype, device=x.device) * 2 + 1) / side - 1 for side in (h, w)
    )  # pixel centres
    grid = torch.view_as_real((along * gx + down * gy[:, None]).add_(move))
    return F.grid_sample(x, grid, padding_mode='reflection', align_corners=False)


class SoftLabelBatches(Callback):
    """Turns rows (a, b, lambda) of the pool into images and soft labels: augment each parent, then mix.

    A stored GenMix image is one row, so one warp serves both of its parents.
    """

    def __init__(self, pool, classical, size, seed):
        self.pool, self.classical, self.size, self.rng = pool, classical, size, np.random.default_rng(seed)

    def before_batch(self):
        a, b, lam = *self.learn.xb, *self.learn.yb
        mixed = (a != b).nonzero()[:, 0]
        x = self.images(torch.cat([a, b[mixed]]))
        y, x, other = self.pool.soft[a], x[: len(a)], x[len(a) :]
        if len(mixed):
            x = x.index_copy(0, mixed, blend(x[mixed], other, lam[mixed].cpu().numpy()))
            y = blend(y, self.pool.soft[b], lam.cpu().numpy())
        self.learn.xb, self.learn.yb = (x,), (y,)

    def images(self, rows):
        x = self.pool.images[rows].float()
        return resized(affine_warp(x, self.rng) if self.classical else x, self.size)


def resized(x, size):
    """Float images (n, 1, H, W) at the network's input size: averaged down, or interpolated up.

    It comes after the warp: averaging hides what interpolation did to the grain, so that warped and plain images look alike.
    """
    if x.shape[-1] == size:
        return x
    up = x.shape[-1] < size
    return F.interpolate(
        x, size=(size, size), mode='bilinear' if up else 'area', **({'align_corners': False} if up else {})
    )


class LossLog(Callback):
    """The training loss of every step (accuracy under mixing means nothing)."""

    def before_fit(self):
        self.kept = []

    def after_batch(self):
        self.kept.append(self.learn.loss.detach())


def train(arm, pool, draws, model, lr=2e-3, weight_decay=0.02, seed=0, size=32):
    """Train `model` on the batches of `draws` (one pass); returns the loss of every step.

    AdamW under a one-cycle schedule.  `seed` drives augmentation and dropout.
    """
    seed_all(seed)
    model.to(DEVICE).train()
    log = LossLog()
    optimiser = partial(OptimWrapper, opt=partial(torch.optim.AdamW, fused=True))
    learn = Learner(
        DataLoaders(draws, [], device=DEVICE),
        model,
        loss_func=nn.CrossEntropyLoss(),
        opt_func=optimiser,
        lr=lr,
        wd=weight_decay,
        cbs=[SoftLabelBatches(pool, arm.classical, size, seed + 1), log],
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, cbs=ParamScheduler({'lr': combined_cos(0.25, lr / 25, lr, lr / 1e4)}))
    return torch.stack(log.kept).float().cpu().numpy()


@torch.inference_mode()
def predict(model, images, size=32, batch_size=512, of='forward'):
    """Class probabilities float32 (n, K) of uint8 images (n, H, W); `of='features'` gives the last hidden layer instead."""
    model.eval()
    out = []
    for part in torch.from_numpy(np.ascontiguousarray(images)).split(batch_size):
        x = resized(part.unsqueeze(1).to(DEVICE).float(), size)
        out.append(getattr(model, of)(x).cpu())
    out = torch.cat(out)
    return (out.softmax(1) if of == 'forward' else out).numpy()
