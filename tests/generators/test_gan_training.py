import pytest
import torch
import torch.nn as nn

from genmix.generators.gan.stylegan2_networks import Discriminator
from genmix.generators.gan.training import r1_penalty, update_ema


def test_r1_of_a_linear_discriminator_is_its_squared_weight():
    w = torch.randn(1, 1, 4, 4)
    penalty = r1_penalty(lambda x, y: (x * w).sum((1, 2, 3)), torch.randn(5, 1, 4, 4), None)
    assert penalty.item() == pytest.approx(w.square().sum().item(), rel=1e-5)


def test_r1_is_what_autograd_says_image_by_image():
    torch.manual_seed(0)
    net, x = Discriminator(2, 32, 4, 16, 1, False), torch.randn(8, 1, 32, 32)
    y = torch.ones(8, dtype=torch.long)
    gradient = torch.autograd.functional.jacobian(lambda v: net(v, y).sum(), x)
    penalty = r1_penalty(net, x, y)
    assert penalty.item() == pytest.approx(gradient.square().sum((1, 2, 3)).mean().item(), rel=1e-4)
    penalty.backward()  # and it can be differentiated
    assert net.stem.weight.grad.abs().max() > 0


def test_ema_averages_parameters_and_copies_buffers():
    ema, model = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        model.weight.fill_(3.0)
    model.running_mean.fill_(7.0)
    update_ema(ema, model, 0.75)
    assert torch.allclose(ema.weight, torch.tensor(1.5)) and torch.equal(ema.running_mean, model.running_mean)
