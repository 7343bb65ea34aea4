"""Speed as a ratio within one run: `make bench`.  Each fast path beside the plain one that it replaces, same network, same data."""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from genmix.classifier.training import affine_warp, train
from genmix.classifier.vgg import Classifier
from genmix.data.phantom import plan
from genmix.generators.gan.dcgan_networks import UpsampleConv
from genmix.mixing.arms import arms_for
from genmix.mixing.batches import Batches, MixingConfig, Pool

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
    ratio = min(slow) / benchmark.stats.stats.min
    benchmark.extra_info['times faster than the plain way'] = round(ratio, 2)
    print(
        f'\n{label or benchmark.name}: {ratio:.2f} times faster ({1e3 * min(slow):.0f} ms -> {1e3 * benchmark.stats.stats.min:.0f} ms)'
    )


@pytest.fixture(scope='module')
def cohort():
    return plan.draw('dev', (768, 512, 768), seed=7)


def test_classifier_training(benchmark, cohort, tmp_path):
    """Our in-memory loop against ImageDataLoaders from PNG files, fp32: one epoch of 2,048 images of 64 px, input 32 px, width 1/8."""
    from fastai.vision.all import ImageDataLoaders, Learner, PILImageBW, Resize, aug_transforms

    for i, (image, label) in enumerate(zip(cohort.images, cohort.labels)):
        folder = tmp_path / 'train' / cohort.class_names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f'{i}.png')
    loaders = ImageDataLoaders.from_folder(
        tmp_path,
        valid_pct=0,
        bs=BATCH,
        img_cls=PILImageBW,
        item_tfms=Resize(32),
        num_workers=0,
        batch_tfms=aug_transforms(flip_vert=True, max_rotate=180, max_zoom=1.15, max_lighting=0, max_warp=0),
        seed=0,
    )
    plain_model = Classifier(3, 0.125, 32, bf16=False).to(memory_format=torch.contiguous_format)
    learner = Learner(loaders, plain_model, loss_func=torch.nn.CrossEntropyLoss(), lr=1e-3)

    def plain():
        with learner.no_bar(), learner.no_logging():
            learner.fit(1)

    model, arm = Classifier(3, 0.125, 32), arms_for()['classical']
    pool = Pool(cohort.images, cohort.labels, 3)
    compare(
        benchmark,
        lambda: train(arm, pool, Batches(arm, pool, MixingConfig(), len(cohort) // BATCH, BATCH, 0), model),
        plain,
    )


def test_affine_warp(benchmark, cohort):
    """The whole-batch warp against torchvision's affine, image by image."""
    from torchvision.transforms import RandomAffine

    x, one = (
        torch.from_numpy(cohort.images[:BATCH]).unsqueeze(1).float(),
        RandomAffine(180, (0.08, 0.08), (0.85, 1.15)),
    )
    compare(
        benchmark,
        lambda: affine_warp(x, np.random.default_rng(0)),
        lambda: torch.stack([one(image) for image in x]),
    )


def test_folded_doubling(benchmark):
    """ResizeConv against interpolation followed by a 3 x 3 convolution, forward and backward."""
    layer, x = UpsampleConv(96, 48), torch.randn(32, 96, 16, 16)
    weight = layer.weight.detach().transpose(0, 1).flip(2, 3).clone().requires_grad_()
    compare(
        benchmark,
        lambda: layer(x).sum().backward(),
        lambda: F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1).sum().backward(),
    )
