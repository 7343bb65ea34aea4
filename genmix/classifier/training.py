"""Training and prediction of a classifier: a fastai Learner whose batches are augmented, then mixed.

Images stay uint8 in memory; a batch is augmented in one affine warp, in channels_last and bfloat16 where
that pays.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper

from genmix.classifier.config import TrainingConfig
from genmix.data.augmentation import affine_warp, resized
from genmix.mixing.arms import Arm
from genmix.mixing.batches import Batches, Pool
from genmix.mixing.config import BatchConfig
from genmix.mixing.rules import Pairs, Rule, apply
from genmix.run.device import DEVICE, seed_all
from genmix.run.gpu import in_parts


class SoftLabelBatches(Callback):
    """Turns rows (a, b, lambda) of the pool into images and soft labels: augment each parent, then mix.

    A stored GenMix image is one row, so one warp serves both of its parents.  Rows come on the CPU, where it
    is known without waiting for a GPU which of them are mixed.
    """

    def __init__(self, pool, classical, size, seed):
        self.pool, self.classical, self.size, self.rng = pool, classical, size, np.random.default_rng(seed)

    def before_batch(self):
        a, b, lam, *mask = *self.learn.xb, *self.learn.yb
        mixed = (a != b).nonzero()[:, 0]
        lam_mixed, n = lam[mixed].numpy(), len(a)
        mask = resized(mask[0][mixed, None], self.size)[:, 0].numpy() if mask else None
        rows, where = (i.to(self.pool.soft.device) for i in (torch.cat([a, b[mixed]]), mixed))
        x, y = self.images(rows), self.pool.soft[rows]
        (x, other), (y, y_other) = (x[:n], x[n:]), (y[:n], y[n:])
        if len(mixed):
            pairs = Pairs(a[mixed], b[mixed], lam_mixed, mask)
            x_mixed, y_mixed = apply(pairs, (x[where], other), (y[where], y_other))
            x, y = x.index_copy(0, where, x_mixed), y.index_copy(0, where, y_mixed)
        self.learn.xb, self.learn.yb = (x,), (y,)

    def images(self, rows):
        x = self.pool.images[rows].float()
        return resized(affine_warp(x, self.rng) if self.classical else x, self.size)


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


def fit_classifier(
    model: nn.Module, arm: Arm, pool: Pool, config: TrainingConfig, seed: int,
    batches: BatchConfig | None = None, rule: Rule | None = None,
) -> np.ndarray:  # fmt: skip
    """Train `model` on the batches of an arm; returns the loss of every step, float32 (steps,).

    batches, rule   for arms that need them      seed   drives batches, augmentation and dropout

    AdamW under a one-cycle schedule, cross entropy with soft labels.
    """
    pool = pool.to(DEVICE)
    draws = Batches(arm, pool, config.steps, config.batch_size, seed, batches, rule)
    seed_all(seed)
    model.to(DEVICE).train()
    losses, lr = LossLog(), config.lr
    adamw: Any = partial(OptimWrapper, opt=partial(torch.optim.AdamW, fused=True))
    learn = ResidentLearner(
        draws,
        model,
        loss_func=nn.CrossEntropyLoss(),
        opt_func=adamw,
        lr=lr,
        wd=config.weight_decay,
        cbs=[SoftLabelBatches(pool, arm.classical, config.input_size, seed + 1), losses],
    )
    learn.fit(1, cbs=ParamScheduler({'lr': combined_cos(0.25, lr / 25, lr, lr / 1e4)}))
    return torch.stack(losses.losses).float().cpu().numpy()


@torch.inference_mode()
def predict(model, images, size, batch_size=512, of='forward') -> np.ndarray:
    """Class probabilities float32 (n, K) of uint8 images (n, H, W); `of='features'`:

    penultimate features instead.
    """
    model.eval()
    images = torch.from_numpy(np.ascontiguousarray(images))

    def result(part):
        x = resized(images[part].unsqueeze(1).to(DEVICE).float(), size)
        return getattr(model, of)(x).cpu()

    out = torch.cat(in_parts(result, len(images), batch_size))
    return (out.softmax(1) if of == 'forward' else out).numpy()
