"""Training and prediction of a classifier: a fastai Learner whose batches are augmented, then mixed.

Images stay uint8 in memory; a batch is augmented in one affine warp, in channels_last and bfloat16 where
that pays.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn as nn

from genmix.classifier.config import TrainingConfig
from genmix.data.augmentation import resized
from genmix.mixing.arms import Arm
from genmix.mixing.batches import Batches, Pool
from genmix.mixing.config import BatchConfig
from genmix.mixing.rules import Rule
from genmix.run.device import DEVICE, seed_all
from genmix.run.gpu import in_parts


def fit_classifier(
    model: nn.Module, arm: Arm, pool: Pool, config: TrainingConfig, seed: int,
    batches: BatchConfig | None = None, rule: Rule | None = None,
) -> np.ndarray:  # fmt: skip
    """Train `model` on the batches of an arm; returns the loss of every step, float32 (steps,).

    batches, rule   for arms that need them      seed   drives batches, augmentation and dropout

    AdamW under a one-cycle schedule, cross entropy with soft labels.
    """
    from fastai.callback.schedule import ParamScheduler, combined_cos
    from fastai.optimizer import OptimWrapper

    from genmix.classifier.learner import LossLog, ResidentLearner, SoftLabelBatches

    pool = pool.to(DEVICE)
    draws = Batches(arm, pool, config.steps, config.batch_size, seed, batches, rule)
    seed_all(seed)
    model.to(DEVICE).train()
    losses, lr, strength = LossLog(), config.lr, arm.classical * config.augmentation_strength
    adamw: Any = partial(OptimWrapper, opt=partial(torch.optim.AdamW, fused=True))
    learn = ResidentLearner(
        draws,
        model,
        loss_func=nn.CrossEntropyLoss(),
        opt_func=adamw,
        lr=lr,
        wd=config.weight_decay,
        cbs=[SoftLabelBatches(pool, strength, config.input_size, seed + 1), losses],
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
