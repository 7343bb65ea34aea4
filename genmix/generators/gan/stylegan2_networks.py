"""The two networks of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), class-conditional, for one gray channel.

Painter   z, label -> w (mapping) -> image: modulated convolutions, noise, a sum of images of all sizes (skip generator)
Critic    image, label -> score: residual blocks, minibatch standard deviation, the label by projection

Nothing here is compiled: every resampling is a depthwise convolution, and a convolution is modulated by scaling what goes in and what
comes out, which equals the published per-image weights (`modulated_conv_grouped`, kept as the tested reference) at a fraction of the time.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

GROUP = 8  # images of one class that a batch holds side by side
FIR = (1, 3, 3, 1)  # the low-pass filter of every doubling and halving
SQRT2 = 2**0.5  # leaky ReLU halves the power; layers multiply by this to keep it
GRAY = 0.25  # share of its features' strength that a size adds to the image: the sum begins near the contrast of a lesion


def channels(size, width, most):
    """{resolution: channels} from 4 to `size`: `width` at the finest, doubled towards 4, `most` at the most."""
    sizes = [4 * 2**i for i in range(int(math.log2(size)) - 1)]
    return {r: min(most, width * size // r) for r in sizes}


def blur(x, gain=1.0, padding=1):
    """x (n, c, H, W) through the FIR filter in both directions, each channel by itself; `gain` multiplies."""
    taps = torch.tensor(FIR, dtype=torch.float32, device=x.device) / sum(FIR)
    kernel = (gain * taps[:, None] * taps).to(x.dtype).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])


class EqualLinear(nn.Module):
    """A linear layer with equalised learning rate: N(0, 1) weights, scaled when used, so that Adam moves all layers alike.  Always in float32.

    rate   multiplies the learning rate of this layer      bias   initial value      gain   multiplies the result
    """

    def __init__(self, inputs, outputs, bias=0.0, rate=1.0, gain=1.0):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(outputs, inputs) / rate),
            nn.Parameter(torch.full((outputs,), bias / rate)),
        )
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


# ---- the modulated convolution -------------------------------------------------------------------------------


def convolve(x, weight, up=False):
    """x (n, c, H, W) with weight (o, c, k, k): same size; `up`: zeros between the pixels, convolution, FIR filter: twice the size."""
    if not up:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), gain=4)


def demodulation(weight, style):
    """Factors (n, o) that give the weights of every image and output channel unit norm (equation 3)."""
    return (style.float().square() @ weight.float().square().sum((2, 3)).T + 1e-8).rsqrt()


def modulated_conv(x, weight, style, demodulate=True, up=False):
    """Convolution with weights of each image's own: input channel i times style[n, i], then unit norm an output channel (equations 1, 3).

    x (n, c, H, W), weight (o, c, k, k), style (n, c).  A factor on an input channel of the weights is one on the activations, and the norm is one on the
    result: all images share one convolution.
    """
    y = convolve(x * style[:, :, None, None].to(x.dtype), weight, up)
    return y * demodulation(weight, style)[:, :, None, None].to(y.dtype) if demodulate else y


def modulated_conv_grouped(x, weight, style, demodulate=True, up=False):
    """The same as it is published: weights of every image written out, images as groups of one convolution.  Slow; for tests and teaching."""
    n, c, h, w = x.shape
    own = weight[None] * style[:, None, :, None, None]
    if demodulate:
        own = own * (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * c, h, w)
    if not up:
        return F.conv2d(x, own.flatten(0, 1).to(x.dtype), padding=weight.shape[-1] // 2, groups=n).unflatten(
            1, (n, -1)
        )[0]
    y = F.conv_transpose2d(x, own.transpose(1, 2).flatten(0, 1).to(x.dtype), stride=2, groups=n)
    return blur(y, gain=4).unflatten(1, (n, -1))[0]


class StyleLayer(nn.Module):
    """Modulated convolution, noise of learned strength, bias, leaky ReLU.

    The strength is learned a channel (as in the first StyleGAN), so that w can choose between grainy and smooth channels: the grain of CT
    differs from scan to scan.
    """

    def __init__(self, inputs, outputs, w_dim, up=False):
        super().__init__()
        self.weight, self.scale, self.up = (
            nn.Parameter(torch.randn(outputs, inputs, 3, 3)),
            1 / (9 * inputs) ** 0.5,
            up,
        )
        self.style, self.bias = EqualLinear(w_dim, inputs, bias=1.0), nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.full((outputs,), 0.1))

    def forward(self, x, w, still=False):
        weight, style = self.weight * self.scale, self.style(w)
        y = modulated_conv(x, weight, style, demodulate=False, up=self.up)
        factor = SQRT2 * demodulation(weight, style)[:, :, None, None].to(y.dtype)
        y = torch.addcmul(self.rest(y, still), y, factor)
        return F.leaky_relu(y, 0.2, inplace=True)

    def rest(self, y, still):
        """Noise and bias for features y: one matrix product, which takes a third of the time of two additions."""
        n, _, high, wide = y.shape
        noise = torch.randn(1 if still else n, high, wide, 1, device=y.device).expand(n, -1, -1, -1)
        return (
            torch.cat([noise, torch.ones_like(noise)], 3).to(y.dtype)
            @ torch.stack([self.strength, self.bias]).to(y.dtype)
        ).permute(0, 3, 1, 2)


class ToGray(nn.Module):
    """Features -> their contribution to the image: a modulated 1 x 1 convolution without demodulation.

    With one output channel, weights of each image's own are the cheaper form: one product a pixel.
    """

    def __init__(self, inputs, w_dim):
        super().__init__()
        self.weight, self.bias, self.style = (
            nn.Parameter(torch.randn(inputs)),
            nn.Parameter(torch.zeros(1)),
            EqualLinear(w_dim, inputs, bias=1.0),
        )
        self.scale = GRAY / inputs**0.5

    def forward(self, x, w):
        own = (self.style(w) * self.weight * self.scale)[:, :, None].to(x.dtype)
        return (
            torch.bmm(x.permute(0, 2, 3, 1).flatten(1, 2), own).view(len(x), 1, *x.shape[2:]).float()
            + self.bias
        )


class Mapping(nn.Module):
    """z (n, z_dim), label int (n,) -> w (n, w_dim): both normalised, then fully connected layers that learn a hundred times slower."""

    def __init__(self, n_classes, z_dim, w_dim, layers):
        super().__init__()
        self.embed = nn.Embedding(n_classes, z_dim)
        self.layers = nn.ModuleList(
            EqualLinear(w_dim if i else 2 * z_dim, w_dim, rate=0.01, gain=SQRT2) for i in range(layers)
        )

    def forward(self, z, y):
        def unit(v):
            return v * (v.square().mean(1, keepdim=True) + 1e-8).rsqrt()

        w = torch.cat([unit(z), unit(self.embed(y))], 1)
        for layer in self.layers:
            w = F.leaky_relu(layer(w), 0.2)
        return w


class Generator(nn.Module):
    """Mapping and synthesis: z (n, z_dim), label (n,) -> image (n, 1, size, size), real ones lie in [-1, 1].

    `centre` (K, w_dim) is the mean w of each class, towards which truncation pulls; `final` of the training fills it.
    """

    def __init__(self, n_classes, size=64, z_dim=64, w_dim=64, mapping_layers=2, width=16, most=128):
        super().__init__()
        table, self.z_dim, self.w_dim = channels(size, width, most), z_dim, w_dim
        self.mapping = Mapping(n_classes, z_dim, w_dim, mapping_layers)
        self.start = nn.Parameter(torch.randn(1, table[4], 4, 4))
        self.register_buffer('centre', torch.zeros(n_classes, w_dim))
        self.layers = nn.ModuleList([StyleLayer(table[4], table[4], w_dim)])
        for r in list(table)[1:]:
            self.layers += [
                StyleLayer(table[r // 2], table[r], w_dim, up=True),
                StyleLayer(table[r], table[r], w_dim),
            ]
        self.gray = nn.ModuleList(ToGray(c, w_dim) for c in table.values())

    def forward(self, z, y):
        return self.synthesis(self.mapping(z, y))

    def synthesis(self, w, still=False):
        """w (n, w_dim), or (n, layers + 1, w_dim) for a style of each layer's own -> image.  still: the same noise for all n."""
        w = w[:, None].expand(-1, len(self.layers) + 1, -1) if w.ndim == 2 else w
        x = self.start.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        image = 0
        for i, layer in enumerate(self.layers):
            x = layer(x, w[:, i], still)
            if i % 2 == 0:  # the last layer of a size adds to the image
                image = image + self.gray[i // 2](x, w[:, i + 1])
                if i + 1 < len(self.layers):
                    image = F.interpolate(
                        image, scale_factor=2, mode='bilinear'
                    )  # the FIR filter, with edges repeated
        return image

    def truncated(self, w, y, psi):
        """w pulled towards the centre of its class: 1 leaves it, 0 paints the class's mean w."""
        return torch.lerp(self.centre[y], w, psi)


class Residual(nn.Module):
    """Two convolutions and a halving; the input, halved, is added: (n, a, H, W) -> (n, b, H / 2, W / 2)."""

    def __init__(self, a, b):
        super().__init__()
        self.first, self.second = EqualConv(a, a), EqualConv(a, b, down=True)
        self.skip = EqualConv(a, b, kernel=1, down=True, bias=False, gain=1)

    def forward(self, x):
        h = F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)
        return (h + self.skip(x)) * 0.5**0.5


class Discriminator(nn.Module):
    """Images in groups of GROUP with one label -> scores (n / pack,).

    pack             images of one class judged together, as channels (PacGAN, Lin et al. 2018, arXiv 1712.04086); 1 is StyleGAN2 as published
    space_to_depth   2 x 2 pixels become channels, and the finest size, which costs most, needs no block
    """

    def __init__(self, n_classes, size=64, width=16, most=128, pack=1, space_to_depth=False):
        super().__init__()
        self.pack, self.space_to_depth = pack, space_to_depth
        sizes = list(channels(size, width, most).values())[::-1]
        sizes = sizes[1:] if space_to_depth else sizes
        self.stem = EqualConv(pack * (4 if space_to_depth else 1), sizes[0], kernel=1)
        self.blocks = nn.Sequential(*[Residual(a, b) for a, b in zip(sizes, sizes[1:])])
        self.last = EqualConv(sizes[-1] + 1, sizes[-1])
        self.dense = EqualLinear(sizes[-1] * 16, sizes[-1], gain=SQRT2)
        self.score, self.embed = EqualLinear(sizes[-1], 1), nn.Embedding(n_classes, sizes[-1])

    def forward(self, x, y):
        """x (n, 1, H, W), y (n,) with n a multiple of GROUP."""
        x, y, together = x.reshape(-1, self.pack, *x.shape[2:]), y[:: self.pack], GROUP // self.pack
        x = (F.pixel_unshuffle(x, 2) if self.space_to_depth else x).contiguous(
            memory_format=torch.channels_last
        )
        h = self.blocks(F.leaky_relu(self.stem(x), 0.2))
        spread = (
            h.unflatten(0, (-1, together)).float().var(1, unbiased=False).add(1e-8).sqrt().mean((1, 2, 3))
        )  # is this group varied?
        spread = spread.to(h.dtype).repeat_interleave(together)[:, None, None, None].expand(-1, 1, 4, 4)
        h = F.leaky_relu(self.last(torch.cat([h, spread], 1)), 0.2).flatten(1)
        h = F.leaky_relu(self.dense(h), 0.2).float()
        return self.score(h)[:, 0].float() + (h * self.embed(y)).sum(1) / h.shape[1] ** 0.5
