"""Layers of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), without compiled operators.

Every resampling is a depthwise convolution.  A convolution is modulated by scaling what goes in and what
comes out, which equals the published weights of each image's own (`modulated_conv_grouped`, the tested
reference) at a fraction of the time.
"""

from functools import cache

import torch
import torch.nn as nn
import torch.nn.functional as F

from genmix.run.device import send

FIR = (1, 3, 3, 1)  # the low-pass filter of every upsampling and downsampling
SQRT2 = 2**0.5  # leaky ReLU halves the power; layers multiply by this to keep it
GRAY = 0.25  # share of its features' strength that a size adds: the image begins near the contrast of lesions


def blur(x, gain=1.0, padding=1):
    """x (n, c, H, W) through the FIR filter in both directions, each channel by itself; `gain` multiplies."""
    kind = x.device.type
    if kind == 'cpu':
        return depthwise(x, gain, padding)
    if torch.is_autocast_enabled(kind):
        x = x.to(torch.get_autocast_dtype(kind))
    return FIRFilter.apply(x, gain, padding)


class FIRFilter(torch.autograd.Function):
    """`depthwise`, for a GPU: the filter is symmetric, so every derivative of it is the filter again.

    PyTorch's own second derivative of a depthwise convolution goes channel by channel.
    """

    @staticmethod
    def forward(ctx, x, gain, padding):
        ctx.gain, ctx.padding = gain, padding
        with torch.autocast(x.device.type, enabled=False):
            return depthwise(x, gain, padding)

    @staticmethod
    def backward(ctx, gradient):
        return FIRFilter.apply(gradient, ctx.gain, len(FIR) - 1 - ctx.padding), None, None


def depthwise(x, gain, padding):
    """The FIR filter as a depthwise convolution."""
    kernel = (gain * fir_kernel(x.device)).to(x.dtype).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])


@cache
def fir_kernel(device):
    """The FIR filter in both directions, float32 (4, 4): sent to a device once."""
    with torch.inference_mode(False):  # trainings use it too
        taps = send(torch.tensor(FIR, dtype=torch.float32), device) / sum(FIR)
        return taps[:, None] * taps


class EqualLinear(nn.Module):
    """A linear layer with equalised learning rate, always in float32.

    Weights are N(0, 1) and scaled when used, so that Adam moves all layers alike.

    rate   multiplies the learning rate of this layer      bias   initial value      gain   multiplies the
           result
    """

    def __init__(self, inputs, outputs, bias=0.0, rate=1.0, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale, self.rate = gain * rate / inputs**0.5, gain * rate

    def forward(self, x):
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.float(), self.weight * self.scale, self.bias * self.rate)


class EqualConv(nn.Module):
    """A convolution with equalised learning rate; `down` blurs and takes every second pixel."""

    def __init__(self, inputs, outputs, kernel=3, down=False, bias=True, gain=SQRT2):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.gain, self.down = gain / (inputs * kernel**2) ** 0.5, gain, down

    def forward(self, x):
        weight, bias = self.weight * self.scale, None if self.bias is None else self.bias * self.gain
        if not self.down:
            return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        return F.conv2d(blur(x, padding=1 + weight.shape[-1] // 2), weight, bias, stride=2)


def convolve(x, weight, up=False):
    """x (n, c, H, W) with weight (o, c, k, k) -> (n, o, H, W).

    up   zeros between the pixels, convolution, FIR filter: (n, o, 2H, 2W)
    """
    if not up:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), gain=4)


def demodulation(weight, style):
    """Factors (n, o) that give the weights of every image and output channel unit norm (equation 3)."""
    return (style.float().square() @ weight.float().square().sum((2, 3)).T + 1e-8).rsqrt()


def modulated_conv(x, weight, style, demodulate=True, up=False):
    """Convolution with weights of each image's own (equations 1, 3).

    Those are weight[o, i] * style[n, i], then of unit norm per output channel.  A factor on an input
    channel of the weights is one on the activations, and the norm is one on the result: all images share
    one convolution.

    x (n, c, H, W), weight (o, c, k, k), style (n, c) -> (n, o, H, W), or (n, o, 2H, 2W) with `up`
    """
    y = convolve(x * style[:, :, None, None].to(x.dtype), weight, up)
    return y * demodulation(weight, style)[:, :, None, None].to(y.dtype) if demodulate else y


def modulated_conv_grouped(x, weight, style, demodulate=True, up=False):
    """`modulated_conv` as published: slow; for tests and teaching.

    The weights of every image are written out, and images are groups of one convolution.
    """
    n, c, h, w = x.shape
    own = weight[None] * style[:, None, :, None, None]
    if demodulate:
        own = own * (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * c, h, w)
    if up:
        own = own.transpose(1, 2).flatten(0, 1).to(x.dtype)
        y = blur(F.conv_transpose2d(x, own, stride=2, groups=n), gain=4)
    else:
        y = F.conv2d(x, own.flatten(0, 1).to(x.dtype), padding=weight.shape[-1] // 2, groups=n)
    return y.unflatten(1, (n, -1))[0]


class StyleLayer(nn.Module):
    """Modulated convolution, noise of learned strength, bias, leaky ReLU.

    The strength is learned per channel (as in the first StyleGAN), so that w can choose between noisy and
    smooth channels: the noise texture of CT differs from scan to scan.
    """

    def __init__(self, inputs, outputs, w_dim, up=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.scale, self.up = 1 / (9 * inputs) ** 0.5, up
        self.style, self.bias = EqualLinear(w_dim, inputs, bias=1.0), nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.full((outputs,), 0.1))

    def forward(self, x, w, same_noise=False):
        weight, style = self.weight * self.scale, self.style(w)
        y = modulated_conv(x, weight, style, demodulate=False, up=self.up)
        factor = SQRT2 * demodulation(weight, style)[:, :, None, None].to(y.dtype)
        y = torch.addcmul(self.noise_and_bias(y, same_noise), y, factor)
        return F.leaky_relu(y, 0.2, inplace=True)

    def noise_and_bias(self, y, same_noise):
        """Noise and bias in the shape of y: one matrix product takes a third of the time of two additions."""
        n, _, high, wide = y.shape
        noise = torch.randn(1 if same_noise else n, high, wide, 1, device=y.device).expand(n, -1, -1, -1)
        columns = torch.cat([noise, torch.ones_like(noise)], 3).to(y.dtype)
        return (columns @ torch.stack([self.strength, self.bias]).to(y.dtype)).permute(0, 3, 1, 2)


class ToGray(nn.Module):
    """Features -> their contribution to the image: a modulated 1 x 1 convolution without demodulation.

    With one output channel, weights of each image's own are the cheaper form: one product per pixel.
    """

    def __init__(self, inputs, w_dim):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs)), nn.Parameter(torch.zeros(1))
        self.style, self.scale = EqualLinear(w_dim, inputs, bias=1.0), GRAY / inputs**0.5

    def forward(self, x, w):
        own = (self.style(w) * self.weight * self.scale)[:, :, None].to(x.dtype)
        gray = torch.bmm(x.permute(0, 2, 3, 1).flatten(1, 2), own)
        return gray.view(len(x), 1, *x.shape[2:]).float() + self.bias
