"""Layers of the GANs beside the form that their papers write down, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from measure import in_turns, report

from genmix.generators.gan import stylegan2_layers
from genmix.generators.gan.dcgan_networks import UpsampleConv
from genmix.run.device import autocast

CALLS = 10


def trained(function, *tensors):
    """CALLS passes of function(*tensors), forward and backward."""
    tensors = [t.clone().requires_grad_() for t in tensors]

    def run():
        for _ in range(CALLS):
            with autocast():
                function(*tensors).float().sum().backward()

    return run


@pytest.mark.parametrize('c, size', [(128, 8), (64, 16), (32, 32), (16, 64)])
def test_modulated_convolution(c, size):
    x, weight, style = torch.randn(32, c, size, size), torch.randn(c, c, 3, 3), torch.rand(32, c) + 0.5
    scaled, grouped = stylegan2_layers.modulated_conv, stylegan2_layers.modulated_conv_grouped
    last = x.contiguous(memory_format=torch.channels_last)
    ways = {
        'ours: activations scaled': trained(scaled, last, weight, style),
        'ours, weights of each image, as published': trained(grouped, x, weight, style),
    }
    report(f'modulated convolution, {c} channels of {size} px', in_turns(ways, CALLS), 'call')


def test_upsampling_convolution():
    layer, x = UpsampleConv(96, 48), torch.randn(32, 96, 16, 16)
    weight = layer.weight.detach().transpose(0, 1).flip(2, 3).clone()

    def plain(x, weight):
        return F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)

    torch.testing.assert_close(layer(x), plain(x, weight), rtol=1e-4, atol=1e-4)
    ways = {
        'ours: folded into the kernel': trained(layer, x),
        'ours, interpolation and then a convolution': trained(plain, x, weight),
    }
    report('upsampling and convolution of DCGAN', in_turns(ways, CALLS), 'call')
