import numpy as np
import pytest
import torch
from conftest import blobs, config_of

from genmix.data.cohort import Cohort
from genmix.generators.gan import ada
from genmix.generators.gan.ada import Controller, augment, blit, geometry, intensity
from genmix.generators.gan.stylegan2 import StyleGAN


def test_at_p_0_it_is_the_identity():
    x = torch.rand(6, 1, 16, 16) * 2 - 1
    for change in (augment, blit, geometry):
        assert torch.equal(change(x, 0.0), x)
    assert torch.allclose(intensity(x, 0.0), x, atol=1e-6)


def test_at_p_each_change_applies_to_about_that_share():
    torch.manual_seed(0)
    x = torch.rand(1, 1, 16, 16).expand(2000, -1, -1, -1)

    def changed(y):
        return (y != x).flatten(1).any(1).float().mean().item()

    # a flip is drawn in half, a rotation in 3 of 4; 1 shift of 16 is none
    unmoved = (1 - 0.3 * 0.5) * (1 - 0.3 * 0.75) * (1 - 0.3 * (1 - 0.25**2))
    assert changed(blit(x, 0.3)) == pytest.approx(1 - unmoved, abs=0.03)
    assert changed(geometry(x, 0.3)) == pytest.approx(1 - 0.7**4, abs=0.04)  # zoom, stretch, rotation, shift


def test_blitting_only_moves_pixels():
    torch.manual_seed(0)
    one = torch.arange(64.0).reshape(1, 1, 8, 8)
    still = blit(one.expand(500, -1, -1, -1), 1.0, reach=0.0)
    assert len({tuple(image.flatten().tolist()) for image in still}) == 8  # flips and rotations: D4
    assert torch.equal(still.flatten(1).sort()[0], one.flatten(1).expand(500, -1))
    moved = blit(one.expand(500, -1, -1, -1), 1.0, reach=0.25)
    assert set(moved.unique().tolist()) <= set(one.unique().tolist())


def test_geometry_keeps_a_constant_and_the_middle_of_a_rotated_disc():
    torch.manual_seed(0)
    assert torch.allclose(geometry(torch.full((50, 1, 16, 16), 0.3), 0.8), torch.tensor(0.3), atol=1e-6)
    y, x = np.mgrid[:33, :33] - 16
    disc = torch.tensor(np.hypot(x, y) < 10, dtype=torch.float32).expand(50, 1, -1, -1)
    assert (geometry(disc, 0.8)[:, 0, 14:19, 14:19].mean((1, 2)) > 0.5).float().mean() > 0.85


def test_intensity_is_one_gain_and_one_offset_per_image_and_never_an_inversion():
    torch.manual_seed(0)
    x = torch.randn(40, 1, 16, 16)
    for a, b in zip(x, intensity(x, 1.0)):
        assert np.corrcoef(a.flatten(), b.flatten())[0, 1] > 1 - 1e-5


def test_gradients_reach_the_images():
    x = torch.rand(8, 1, 16, 16, requires_grad=True)
    augment(x, 0.8).sum().backward()
    assert x.grad.abs().sum((1, 2, 3)).min() > 0


def test_p_follows_the_certainty_of_the_discriminator():
    control = Controller(target=0.6, images=1000, every=2)
    for _ in range(2):
        control.update(torch.tensor([1.0, 2, 3, 4]), 50)
    assert control.r == 1 and control.p == pytest.approx(0.1)  # sure of all: 100 images of 1000 up
    for _ in range(2):
        control.update(torch.tensor([1.0, -2, 3, -4]), 25)
    assert control.r == 0 and control.p == pytest.approx(0.05)
    for _ in range(100):
        control.update(torch.tensor([-1.0]), 50)
    assert control.p == 0
    for _ in range(100):
        control.update(torch.tensor([1.0]), 50)
    assert control.p == ada.P_MAX < 1


def test_p_resumes_from_its_state():
    a, b = Controller(0.6, 10000), Controller(0.6, 10000)
    for _ in range(6):
        a.update(torch.tensor([1.0]), 100)
    b.state = a.state
    for control in (a, b):
        control.update(torch.tensor([1.0]), 100), control.update(torch.tensor([1.0]), 100)
    assert a.state == b.state and a.p > 0


def leaning(n=48, size=32):
    """A cohort in which every image is dark above and bright below: a flip or a rotation would show."""
    rng = np.random.default_rng(0)
    ramp = (
        np.linspace(60, 190, size)[:, None]
        + rng.uniform(-15, 15, (2 * n, 1, 1))
        + rng.normal(0, 4, (2 * n, size, size))
    )
    ramp[n:, 12:20, 12:20] += 40
    return Cohort(
        ramp.clip(0, 255).astype(np.uint8), [0] * n + [1] * n, np.arange(2 * n), ('plain', 'square')
    )


def test_augmentation_does_not_leak(tmp_path, monkeypatch):
    """Half of what the discriminator sees is rotated or flipped; samples still have the right orientation."""
    monkeypatch.setattr(Controller, 'update', lambda self, scores, n: setattr(self, 'p', 0.4))
    cohort = leaning()
    small = {'batch_size': 16, 'width': 8, 'max_channels': 32, 'z_dim': 8, 'w_dim': 16}
    config = config_of(StyleGAN, steps=250, d4_augmentation=False, **small)
    model = StyleGAN.fit(cohort, tmp_path, config)
    images = np.concatenate([model.sample(k, 50, seed=k) for k in (0, 1)]).astype(float)
    upright = images[:, 22:].mean((1, 2)) - images[:, :10].mean((1, 2))
    sideways = images[:, :, 22:].mean((1, 2)) - images[:, :, :10].mean((1, 2))
    assert (upright > 40).mean() > 0.95 and np.abs(sideways).mean() < 0.3 * upright.mean()
    seen = augment(torch.from_numpy(cohort.images)[:, None] / 127.5 - 1, 0.4)[:, 0].numpy()
    upside_down = seen[:, 22:].mean((1, 2)) < seen[:, :10].mean((1, 2))
    assert upside_down.mean() > 0.1  # much of what the discriminator sees


def test_sampling_never_augments(tmp_path, monkeypatch):
    small = {'batch_size': 16, 'width': 4, 'max_channels': 16, 'z_dim': 8, 'w_dim': 8}
    model = StyleGAN.fit(blobs(), tmp_path, config_of(StyleGAN, steps=1, **small))
    monkeypatch.setattr(ada, 'augment', None)
    monkeypatch.setattr('genmix.generators.gan.stylegan2_training.augment', None)
    assert model.sample(0, 3, seed=0).shape == (3, 32, 32)
