import numpy as np
import pytest
import torch
from conftest import blobs
from test_arms import configured
from torchvision.models import vgg, vgg16_bn

from genmix.classifier.config import TrainingConfig
from genmix.classifier.learner import SoftLabelBatches
from genmix.classifier.training import fit_classifier, predict
from genmix.classifier.vgg import Classifier, load_imagenet
from genmix.data.augmentation import affine_warp, resized
from genmix.mixing import rules
from genmix.mixing.arms import arms_for
from genmix.mixing.batches import Pool

OPTIMISATION = {'steps': 100, 'batch_size': 16, 'lr': 2e-3, 'weight_decay': 0.02, 'input_size': 32}
OPTIMISATION |= {'augmentation_strength': 1.0}


def test_full_width_has_torchvisions_layout():
    """Every layer of width 1 has torchvision's name and shape, but the gray input and the last one."""
    with torch.device('meta'):
        theirs = {k: v.shape for k, v in vgg16_bn(weights=None).state_dict().items()}
        ours = {k: v.shape for k, v in Classifier(3, 1.0, 224).net.state_dict().items()}
    assert list(ours) == list(theirs)
    assert {k for k in ours if ours[k] != theirs[k]} == {
        'features.0.weight',
        'classifier.6.weight',
        'classifier.6.bias',
    }


def test_imagenet_weights_see_gray_as_colour(monkeypatch):
    """On a gray image the summed first layer gives what the colour network gives (random weights)."""
    torch.manual_seed(0)
    theirs = vgg16_bn(weights=None).eval()
    monkeypatch.setattr(vgg.VGG16_BN_Weights, 'get_state_dict', lambda self, **kw: dict(theirs.state_dict()))
    ours = load_imagenet(Classifier(3, 1.0, 32, mean=0.0, std=1 / 255, bf16=False)).eval()
    x = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.allclose(ours.net.features(x), theirs.features(x.expand(-1, 3, -1, -1)), atol=1e-4)


def test_bf16_agrees_with_fp32():
    torch.manual_seed(0)
    exact, fast = Classifier(3, 0.125, 32, bf16=False).eval(), Classifier(3, 0.125, 32, bf16=True).eval()
    fast.load_state_dict(exact.state_dict())
    x = torch.randint(0, 256, (64, 1, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        a, b = exact.features(x), fast.features(x)
    assert torch.cosine_similarity(a, b).min() > 0.99 and b.dtype == torch.float32


def test_warp_equals_affine_grid():
    """The batched warp against torch's own grid, from the same draws."""
    x, rng = torch.rand(5, 1, 16, 20), np.random.default_rng(3)
    angle, scale = rng.uniform(-np.pi, np.pi, 5), rng.uniform(0.85, 1.15, 5)
    cos, sin, flip = np.cos(angle) * scale, np.sin(angle) * scale, rng.choice([-1.0, 1.0], 5)
    dx, dy = rng.uniform(-0.16, 0.16, (2, 5))
    theta = np.stack([np.stack([cos * flip, -sin, dx], 1), np.stack([sin * flip, cos, dy], 1)], 1)
    grid = torch.nn.functional.affine_grid(torch.tensor(theta).float(), x.shape, align_corners=False)
    plain = torch.nn.functional.grid_sample(x, grid, padding_mode='reflection', align_corners=False)
    assert torch.allclose(affine_warp(x, np.random.default_rng(3)), plain, atol=1e-5)


def test_warp_differs_by_image_and_repeats_by_seed():
    x = torch.rand(1, 1, 32, 32).expand(4, -1, -1, -1)
    a, b = affine_warp(x, np.random.default_rng(1)), affine_warp(x, np.random.default_rng(1))
    assert torch.equal(a, b) and not torch.allclose(a[0], a[1]) and a.min() >= 0 and a.max() <= 1


def test_strength_is_the_share_of_every_change():
    """A ramp keeps its direction within the rotation that is left, and is flipped as often as is left."""
    ramp = torch.linspace(0, 1, 32).expand(2000, 1, 32, 32)
    plain = affine_warp(ramp, np.random.default_rng(0), 0.125, zoom=0, shift=0)[:, 0, 8:24, 8:24]
    along, down = (plain.diff(dim=d).mean((1, 2)) for d in (2, 1))
    angle = torch.atan2(down, along.abs()).abs()
    assert angle.max() <= np.pi / 8 + 1e-3 and angle.max() > np.pi / 9
    assert (along < 0).float().mean() == pytest.approx(0.125 / 2, abs=0.02)
    x = torch.rand(8, 1, 32, 32)
    near = affine_warp(x, np.random.default_rng(1), 1e-6)
    assert torch.allclose(near, x, atol=1e-3) and not torch.allclose(
        affine_warp(x, np.random.default_rng(1)), x
    )
    moved = affine_warp(ramp, np.random.default_rng(2), 0.5)[:, 0, 12:20, 12:20].mean((1, 2)) - 0.5
    assert 0.9 * 0.04 < moved.abs().max() < 1.4 * 0.04  # half of 8 % of the width, and what zoom adds


@pytest.mark.parametrize('arm, strength, changed', [('none', 1.0, False), ('classical', 0.5, True)])
def test_arms_are_augmented_by_the_strength_of_the_training(monkeypatch, arm, strength, changed):
    """`none` is not warped whatever the strength; `classical` is, by that of its training."""
    from genmix.classifier import learner

    seen, real = [], learner.affine_warp
    monkeypatch.setattr(learner, 'affine_warp', lambda x, rng, s: seen.append(s) or real(x, rng, s))
    config = TrainingConfig(**OPTIMISATION | {'steps': 2, 'augmentation_strength': strength})
    fit_classifier(Classifier(3, 0.0625, 32), arms_for()[arm], Pool(blobs()), config, 0)
    assert seen == ([strength] * 2 if changed else [])


def test_resizing_averages_down_and_interpolates_up():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert resized(x, 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5] and resized(x, 4) is x
    assert len(resized(x, 8).unique()) > 16


def one_batch(pool, *mask):
    """(x, y) of three images, the second and third mixed, as SoftLabelBatches hands them to the network."""
    callback = SoftLabelBatches(pool, strength=0, size=32, seed=0)
    learn = callback.learn = type('L', (), {'xb': None, 'yb': None})()
    rows, lam = (torch.tensor([0, 1, 2]), torch.tensor([0, 7, 8])), torch.tensor([1.0, 0.25, 0.5])
    learn.xb, learn.yb = (rows, (lam,)) if not mask else ((*rows, lam), mask)
    callback.before_batch()
    return learn.xb[0], learn.yb[0]


def test_batches_augment_first_and_mix_then():
    pool = Pool(blobs((6, 6), 32))
    (x, y), images = one_batch(pool), pool.images.float()
    assert (
        torch.allclose(x[0], images[0])
        and torch.allclose(x[1], 0.25 * images[1] + 0.75 * images[7])
        and torch.allclose(x[2], (images[2] + images[8]) / 2)
    )
    assert y.tolist() == [[1, 0], [0.25, 0.75], [0.5, 0.5]]


def test_a_mask_of_the_rule_reaches_the_pixels():
    pool, mask = Pool(blobs((6, 6), 64)), torch.ones(3, 64, 64)
    mask[2, :, 32:] = 0
    (x, y), images = one_batch(pool, mask), resized(pool.images.float(), 32)
    assert torch.equal(x[2, :, :, :16], images[2, :, :, :16]) and torch.equal(
        x[2, :, :, 16:], images[8, :, :, 16:]
    )
    assert y.tolist() == [[1, 0], [0.25, 0.75], [0.5, 0.5]]


def test_training_batches_are_mixed_by_apply(monkeypatch):
    pool = Pool(blobs((6, 6), 32))
    monkeypatch.setattr(rules, 'blend', lambda a, b, weight: a)
    x, y = one_batch(pool)
    assert torch.equal(x[1], pool.images[1].float()) and y.tolist() == [[1, 0]] * 3


def test_learns_what_is_easy_and_repeats_itself():
    cohort, other = blobs((20, 20, 20)), blobs((20, 20, 20), seed=1)
    arm, (batches, known) = arms_for()['mixup'], configured()
    config = TrainingConfig(**OPTIMISATION)
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        model = Classifier(3, 0.125, 32)
        loss = fit_classifier(model, arm, Pool(cohort), config, 0, batches, known['mixup'])
        results.append(predict(model, other.images, 32))
    assert np.array_equal(*results)
    assert loss[-10:].mean() < loss[:10].mean() and (results[0].argmax(1) == other.labels).mean() > 0.8
    assert np.allclose(results[0].sum(1), 1, atol=1e-5)


def test_features_have_the_hidden_width():
    assert predict(Classifier(3, 0.125, 32), blobs((3, 3)).images, 32, of='features').shape == (6, 512)


def test_a_single_image_batch_predicts():
    assert predict(Classifier(3, 0.0625, 32), np.zeros((1, 48, 48), np.uint8), 32).shape == (1, 3)


@pytest.mark.parametrize('size', [32, 64])
def test_input_size(size):
    assert Classifier(2, 0.0625, size).eval()(torch.zeros(2, 1, size, size)).shape == (2, 2)


def test_plain_arm_is_not_augmented():
    cohort = blobs((4, 4))
    pool = Pool(cohort)
    rows = torch.arange(4)
    assert torch.equal(
        SoftLabelBatches(pool, arms_for()['none'].classical, 32, 0).images(rows), pool.images[rows].float()
    )
    assert not torch.equal(SoftLabelBatches(pool, True, 32, 0).images(rows), pool.images[rows].float())
