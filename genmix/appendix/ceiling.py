"""The ceiling of a frozen base: what it paints when the condition itself is optimised.

Textual Inversion learns a few vectors of the prompt, which the text encoder turns into a condition, tokens x
width numbers.  Here these numbers themselves are learned for each class, on many lesions of population `dev`,
and the denoiser stays as it is.  What such a condition cannot paint, no token of that base can.
"""

from types import SimpleNamespace

import numpy as np
import torch

from genmix.generators.latent.backbones import CONDITION_LR_SCALE, PromptBase
from genmix.generators.latent.diffusion import Diffusion
from genmix.generators.latent.fine_tuning import fine_tuning_loss
from genmix.generators.latent.training_loop import TrainingLoop

START = 'a picture of a dark spot'  # the encoding that every class starts from
TRAINING = {'batch_size': 16, 'lr': 0.02 / CONDITION_LR_SCALE, 'ema': 0.97, 'min_snr': 0.0}
TRAINING |= {'condition_dropout': 0.0, 'd4_augmentation': False}
CHECKPOINT_EVERY = 100  # training steps
SAMPLING_STEPS = 12
GUIDANCES = (1.0, 2.0, 3.0)


def optimise_condition(pipeline, cohort, folder, steps, seed=0):
    """A Diffusion with the denoiser of a StableDiffusionPipeline and conditions learned from `cohort`.

    Classes are drawn equally often.  Writes folder/log.csv; a training begun again in the same folder resumes
    from its last checkpoint there.
    """
    names = cohort.class_names
    base = PromptBase(pipeline, names, [START] * len(names))
    base.net.requires_grad_(False).added.requires_grad_(True)
    config = SimpleNamespace(steps=steps, seed=seed, **TRAINING)
    loop = TrainingLoop(folder / 'training', {'condition': base.net}, config, CHECKPOINT_EVERY)
    nets = loop.run(fine_tuning_loss(base, base.net, cohort, config), 'free condition')
    loop.finish(folder / 'log.csv')
    about = {'classes': names, 'side': cohort.images.shape[1], 'sampling_steps': SAMPLING_STEPS}
    return Diffusion(base, nets['condition'], about).for_sampling()


def ceiling_sheet(model, cohort, n=10, seed=0):
    """Samples of `optimise_condition` and lesions beside them: {title: uint8 (n, H, W)}, class by class.

    Of each class samples of the same noise at every scale of GUIDANCES, then n of its lesions.
    """
    noise = torch.randn((n, *model.base.shape), generator=torch.Generator().manual_seed(seed))
    rows = {}
    for k, name in enumerate(cohort.class_names):
        rows |= {f'{name}, guidance {g:g}': model.denoise(noise, k, g) for g in GUIDANCES}
        rows[f'{name}, lesions'] = cohort.images[cohort.labels == k][:n]
    return rows


def write_ceiling(pipeline, cohort, folder, steps, seed=0):
    """Write folder/sheet.npz, what `ceiling_sheet` shows of a base, and log.csv."""
    model = optimise_condition(pipeline, cohort, folder, steps, seed)
    np.savez(folder / 'sheet.npz', **ceiling_sheet(model, cohort, seed=seed))
