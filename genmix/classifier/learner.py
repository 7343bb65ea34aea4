"""What fastai runs to train a classifier: a Learner on DEVICE, and callbacks that mix batches and log losses.

A module of its own, since fastai is slow to import: who only predicts does without.
"""

import numpy as np
import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner

from genmix.data.augmentation import affine_warp, resized
from genmix.mixing.rules import Pairs, apply
from genmix.run.device import DEVICE, send


class SoftLabelBatches(Callback):
    """Turns rows (a, b, lambda) of the pool into images and soft labels: augment each parent, then mix.

    strength   of the classical augmentation, 0 for none

    A stored GenMix image is one row, so one warp serves both of its parents.  Rows come on the CPU, where it
    is known without waiting for a GPU which of them are mixed.
    """

    def __init__(self, pool, strength, size, seed):
        self.pool, self.strength, self.size, self.rng = pool, strength, size, np.random.default_rng(seed)

    def before_batch(self):
        a, b, lam, *mask = *self.learn.xb, *self.learn.yb
        mixed = (a != b).nonzero()[:, 0]
        lam_mixed, n = lam[mixed].numpy(), len(a)
        mask = resized(mask[0][mixed, None], self.size)[:, 0].numpy() if mask else None
        rows, where = (send(i, self.pool.soft.device) for i in (torch.cat([a, b[mixed]]), mixed))
        x, y = self.images(rows), self.pool.soft[rows]
        (x, other), (y, y_other) = (x[:n], x[n:]), (y[:n], y[n:])
        if len(mixed):
            pairs = Pairs(a[mixed], b[mixed], lam_mixed, mask)
            x_mixed, y_mixed = apply(pairs, (x[where], other), (y[where], y_other))
            x, y = x.index_copy(0, where, x_mixed), y.index_copy(0, where, y_mixed)
        self.learn.xb, self.learn.yb = (x,), (y,)

    def images(self, rows):
        x = self.pool.images[rows].float()
        return resized(affine_warp(x, self.rng, self.strength) if self.strength else x, self.size)


class LossLog(Callback):
    """The training loss of every step (accuracy under mixing means nothing)."""

    def before_fit(self):
        self.losses = []

    def after_batch(self):
        self.losses.append(self.learn.loss.detach())


class ResidentLearner(Learner):
    """A Learner whose model is on DEVICE: fastai by itself takes the first GPU, whatever was asked for.

    Batches stay where they are: SoftLabelBatches moves them.  Of fastai's own callbacks only the one that
    trains is kept: its Recorder waits for the GPU after every step.
    """

    def __init__(self, batches, model, cbs, **settings):
        dls = DataLoaders(batches, [])
        dls._device = DEVICE
        super().__init__(dls, model, cbs=[TrainEvalCallback(), *cbs], default_cbs=False, **settings)

    def _set_device(self, b):
        return b
