"""Speed as a ratio within one run: `make bench`.

Each fast path beside the plain one that it replaces, on the same network and the same data.
"""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from genmix.classifier.config import TrainingConfig
from genmix.classifier.training import fit_classifier
from genmix.classifier.vgg import Classifier
from genmix.data.augmentation import affine_warp
from genmix.data.phantom import plan
from genmix.generators.gan.dcgan_networks import UpsampleConv
from genmix.mixing.arms import arms_for
from genmix.mixing.batches import Pool

BATCH = 64


def compare(benchmark, fast, plain, rounds=3, label=''):
    """Benchmark `fast`; time `plain` in the same run; keep and print how many times faster."""
    plain()
    slow = []
    for _ in range(rounds):
        start = time.perf_counter()
        plain()
        slow.append(time.perf_counter() - start)
    benchmark.pedantic(fast, rounds=rounds, warmup_rounds=1)
    before, after = min(slow), benchmark.stats.stats.min
    benchmark.extra_info['times faster than the plain way'] = round(before / after, 2)
    ms = f'{1e3 * before:.0f} ms -> {1e3 * after:.0f} ms'
    print(f'\n{label or benchmark.name}: {before / after:.2f} times faster ({ms})')


@pytest.fixture(scope='module')
def cohort():
    return plan.draw('dev', (768, 512, 768), seed=7)


def plain_training(cohort, folder):
    """One epoch as one writes it in ten minutes: ImageDataLoaders from PNG files; returns a function."""
    from fastai.vision.all import ImageDataLoaders, Learner, PILImageBW, Resize, aug_transforms

    for i, (image, label) in enumerate(zip(cohort.images, cohort.labels)):
        own = folder / 'train' / cohort.class_names[label]
        own.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(own / f'{i}.png')
    warps = aug_transforms(flip_vert=True, max_rotate=180, max_zoom=1.15, max_lighting=0, max_warp=0)
    how = {'img_cls': PILImageBW, 'item_tfms': Resize(32), 'batch_tfms': warps, 'num_workers': 0}
    loaders = ImageDataLoaders.from_folder(folder, valid_pct=0, bs=BATCH, seed=0, **how)
    model = Classifier(3, 0.125, 32, bf16=False).to(memory_format=torch.contiguous_format)
    learner = Learner(loaders, model, loss_func=torch.nn.CrossEntropyLoss(), lr=1e-3)

    def epoch():
        with learner.no_bar(), learner.no_logging():
            learner.fit(1)

    return epoch


def test_classifier_training(benchmark, cohort, tmp_path):
    """Our in-memory loop against PNG files in fp32: one epoch of 2,048 images of 64 px, input 32 px."""
    model, arm, pool = Classifier(3, 0.125, 32), arms_for()['classical'], Pool(cohort)
    optimisation = {'batch_size': BATCH, 'lr': 2e-3, 'weight_decay': 0.02}
    config = TrainingConfig(steps=len(cohort) // BATCH, input_size=32, **optimisation)
    plain = plain_training(cohort, tmp_path)
    compare(benchmark, lambda: fit_classifier(model, arm, pool, config, seed=0), plain)


def test_affine_warp(benchmark, cohort):
    """The whole-batch warp against torchvision's affine, image by image."""
    from torchvision.transforms import RandomAffine

    x = torch.from_numpy(cohort.images[:BATCH]).unsqueeze(1).float()
    one, rng = RandomAffine(180, (0.08, 0.08), (0.85, 1.15)), np.random.default_rng(0)
    compare(benchmark, lambda: affine_warp(x, rng), lambda: torch.stack([one(image) for image in x]))


def test_folded_upsampling(benchmark):
    """UpsampleConv against interpolation followed by a 3 x 3 convolution, forward and backward."""
    layer, x = UpsampleConv(96, 48), torch.randn(32, 96, 16, 16)
    weight = layer.weight.detach().transpose(0, 1).flip(2, 3).clone().requires_grad_()

    def plain():
        return F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)

    torch.testing.assert_close(layer(x), plain(), rtol=1e-4, atol=1e-4)
    compare(benchmark, lambda: layer(x).sum().backward(), lambda: plain().sum().backward())
