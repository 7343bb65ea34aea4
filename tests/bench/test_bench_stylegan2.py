"""StyleGAN2: a training step and its parts against the official architecture, ratios within one run."""

from dataclasses import replace

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from conftest import config_of
from test_speed import compare

from genmix.data.phantom import plan
from genmix.generators.gan import stylegan2_layers
from genmix.generators.gan.config import GROUP, StyleGANConfig
from genmix.generators.gan.stylegan2_networks import Discriminator, Generator
from genmix.generators.gan.stylegan2_training import StyleGANTraining
from genmix.run.device import autocast

CONFIG = config_of(StyleGANConfig, '03_stylegan')
SHAPE = {'n_classes': 3, 'size': 64, 'width': CONFIG.width, 'max_channels': CONFIG.max_channels}
MAPPING = {'z_dim': CONFIG.z_dim, 'w_dim': CONFIG.w_dim, 'mapping_layers': CONFIG.mapping_layers}
NETWORK = {**SHAPE, **MAPPING}
STEM = {'pack': 1, 'space_to_depth': False}  # as published


def upfirdn(x, up=1, down=1, padding=(0, 0), gain=1.0):
    """The official operator: zeros between the pixels, padding, FIR filter, every `down`-th."""
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), [0, up - 1, 0, 0, 0, up - 1]).reshape(n, c, h * up, w * up)
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    kernel = (gain * taps[:, None] * taps).expand(c, 1, -1, -1)
    return F.conv2d(F.pad(x, [*padding, *padding]), kernel.to(x.dtype), groups=c)[:, :, ::down, ::down]


class PlainStyleLayer(nn.Module):
    """Weights of every image written out, images as groups; noise, bias, activation one by one."""

    def __init__(self, inputs, outputs, w_dim, up=False):
        super().__init__()
        self.weight, self.up = nn.Parameter(torch.randn(outputs, inputs, 3, 3)), up
        self.style = stylegan2_layers.EqualLinear(w_dim, inputs, bias=1.0)
        self.strength, self.bias = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(outputs))

    def forward(self, x, w):
        n, c, h, wide = x.shape
        own = self.weight[None] * self.style(w)[:, None, :, None, None]
        own = (own * (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()).to(x.dtype)
        x = x.reshape(1, n * c, h, wide)
        if self.up:
            x = F.conv_transpose2d(x, own.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
            x = upfirdn(x, padding=(1, 1), gain=4)
        else:
            x = F.conv2d(x, own.flatten(0, 1), padding=1, groups=n)
        x = x.unflatten(1, (n, -1))[0]
        x = x + self.strength * torch.randn(n, 1, *x.shape[2:]) + self.bias.view(1, -1, 1, 1)
        return F.leaky_relu(x, 0.2) * 2**0.5


class PlainToGray(nn.Module):
    def __init__(self, inputs, w_dim):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(1, inputs, 1, 1)), nn.Parameter(torch.zeros(1))
        self.style = stylegan2_layers.EqualLinear(w_dim, inputs, bias=1.0)

    def forward(self, x, w):
        n, c, h, wide = x.shape
        own = (self.weight[None] * self.style(w)[:, None, :, None, None] / c**0.5).to(x.dtype)
        y = F.conv2d(x.reshape(1, n * c, h, wide), own.flatten(0, 1), groups=n)
        return y.unflatten(1, (n, -1))[0] + self.bias


class PlainGenerator(Generator):
    """The skip generator of the paper, its operators in their reference form."""

    def __init__(self, w_dim, **others):
        super().__init__(w_dim=w_dim, **others)
        self.layers = nn.ModuleList(
            PlainStyleLayer(*layer.weight.shape[1::-1], w_dim, layer.up) for layer in self.layers
        )
        self.gray = nn.ModuleList(PlainToGray(len(gray.weight), w_dim) for gray in self.gray)

    def forward(self, z, y):
        w, x, image = self.mapping(z, y), self.start.expand(len(z), -1, -1, -1), None
        for i, layer in enumerate(self.layers):
            x = layer(x, w)
            if i % 2 == 0:
                own = self.gray[i // 2](x, w)
                image = own if image is None else upfirdn(image, up=2, padding=(2, 1), gain=4) + own
        return image


class PlainConv(stylegan2_layers.EqualConv):
    def forward(self, x):
        k, weight, bias = self.weight.shape[-1], self.weight * self.scale, self.bias
        if not self.down:
            return F.conv2d(x, weight, bias, padding=k // 2)
        if k == 1:
            return F.conv2d(upfirdn(x, down=2, padding=(1, 1)), weight, bias)
        return F.conv2d(upfirdn(x, padding=(2, 2)), weight, bias, stride=2)


def with_plain_convs(discriminator):
    """`discriminator` with reference operators in place of the fast ones."""
    for layer in discriminator.modules():
        if isinstance(layer, stylegan2_layers.EqualConv):
            layer.__class__ = PlainConv
    return discriminator


def plain_training(cohort, batch):
    """One step as in the official loop: fresh images for each network, real and fake apart."""
    torch.manual_seed(0)
    generator = PlainGenerator(**NETWORK)
    discriminator = with_plain_convs(Discriminator(**SHAPE, **STEM))
    optimisers = [torch.optim.Adam(net.parameters(), 2e-3, (0.0, 0.99)) for net in (generator, discriminator)]

    def draw(y):
        return generator(torch.randn(len(y), NETWORK['z_dim']), y)

    def step(enabled=False):
        y = torch.randint(3, (batch // GROUP,)).repeat_interleave(GROUP)
        x = torch.from_numpy(cohort.images[:batch, None]) / 127.5 - 1
        with autocast(enabled):
            loss = F.softplus(-discriminator(draw(y), y)).mean()
        optimisers[0].zero_grad()
        loss.backward()
        optimisers[0].step()
        with autocast(enabled):
            with torch.no_grad():
                fake = draw(y)
            fake_score, real_score = discriminator(fake.float(), y), discriminator(x, y)
            loss = F.softplus(fake_score).mean() + F.softplus(-real_score).mean()
        optimisers[1].zero_grad()
        loss.backward()
        optimisers[1].step()

    return step


@pytest.fixture(scope='module')
def cohort():
    return plan.draw('dev', (60, 60, 60), seed=7)


UNAUGMENTED = {'augmentation': 'none', 'style_mixing': 0.0, 'd4_augmentation': False}


@pytest.mark.parametrize(
    'form, changes',
    [
        ('as trained', {}),
        ('discriminator as published', STEM),
        ('discriminator as published, no augmentation', STEM | UNAUGMENTED),
    ],
)
def test_training_step(benchmark, cohort, form, changes):
    """A step of 16 images of 64 px, same widths: ours against reference operators in float32."""
    run = StyleGANTraining(cohort, replace(CONFIG, **changes))
    plain = plain_training(cohort, CONFIG.batch_size)
    run.control.p = 0.3
    compare(benchmark, lambda: run.step(1), plain, label=f'training step, {form}')


def test_training_step_both_in_bf16(benchmark, cohort):
    """The same with the reference under autocast too: what is left is the form of the operators."""
    run, plain = StyleGANTraining(cohort, replace(CONFIG, **STEM)), plain_training(cohort, CONFIG.batch_size)
    label = 'training step, reference in bfloat16 too'
    compare(benchmark, lambda: run.step(1), lambda: plain(True), label=label)


def unfolded(x, weight, style):
    """Weight space: every image's weights against its patches, one matrix product an image."""
    own = weight[None] * style[:, None, :, None, None]
    own = own * (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    return torch.bmm(own.flatten(2).to(x.dtype), F.unfold(x, 3, padding=1)).unflatten(2, x.shape[2:])


@pytest.mark.parametrize('other', ['grouped', 'weight space'])
@pytest.mark.parametrize('c, size', [(128, 8), (64, 16), (32, 32), (16, 64)])
def test_modulated_convolution(benchmark, other, c, size):
    """Scaled activations against the other two forms, each in the memory layout that suits it."""
    x, weight, style = torch.randn(32, c, size, size), torch.randn(c, c, 3, 3), torch.rand(32, c) + 0.5

    def leaves(*tensors):
        return [t.clone().requires_grad_() for t in tensors]

    fast = leaves(x.contiguous(memory_format=torch.channels_last), weight, style)
    slow = leaves(x, weight, style)
    scaled = stylegan2_layers.modulated_conv
    form = stylegan2_layers.modulated_conv_grouped if other == 'grouped' else unfolded
    torch.testing.assert_close(scaled(*fast), form(*slow), rtol=1e-3, atol=1e-3)

    def run(function, tensors):
        with autocast():
            function(*tensors).float().sum().backward()

    label = f'modulated convolution against {other}, {c} channels of {size} px'
    compare(benchmark, lambda: run(scaled, fast), lambda: run(form, slow), label=label)


@pytest.mark.parametrize('folded', [True, False])
def test_upsampling(benchmark, folded):
    """Transposed convolution and depthwise FIR against a 6 x 6 kernel and interpolation first."""
    x = torch.randn(32, 32, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(16, 32, 3, 3, requires_grad=True)
    taps = torch.tensor([1.0, 3, 3, 1]) / 8

    def other():
        if not folded:
            return F.conv2d(F.interpolate(x, scale_factor=2, mode='bilinear'), weight.flip(2, 3), padding=1)
        padded = F.pad(weight.flatten(0, 1)[:, None], [3] * 4)
        six = F.conv2d(padded, (taps[:, None] * taps)[None, None]).view(16, 32, 6, 6)
        return F.conv_transpose2d(x, 4 * six.transpose(0, 1), stride=2, padding=2)

    def ours():
        return stylegan2_layers.convolve(x, weight, up=True)

    def run(function):
        with autocast():
            function().float().sum().backward()

    inside = (..., slice(3, -3), slice(3, -3))  # at the border, interpolation repeats pixels where FIR sees 0
    torch.testing.assert_close(ours()[inside], other()[inside], rtol=1e-3, atol=1e-3)
    label = f'upsampling against {"a folded kernel" if folded else "interpolation first"}'
    compare(benchmark, lambda: run(ours), lambda: run(other), label=label)


def test_sampling(benchmark, cohort):
    """100 images against reference operators in float32."""
    generator, plain = Generator(**NETWORK).eval(), PlainGenerator(**NETWORK).eval()
    z, y = torch.randn(100, 64), torch.zeros(100, dtype=torch.long)

    @torch.inference_mode()
    def fast():
        with autocast():
            generator(z, y)

    compare(benchmark, fast, torch.inference_mode()(lambda: plain(z, y)), label='sampling 100 images')
