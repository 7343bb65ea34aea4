"""The networks of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), class-conditional, for gray images.

Generator       z, label -> w (mapping) -> image (synthesis): modulated convolutions, noise, a sum over all
                sizes (skip generator)
Discriminator   image, label -> score: residual blocks, minibatch standard deviation, the label by projection
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from genmix.generators.gan.config import GROUP
from genmix.generators.gan.minibatch_sd import minibatch_sd
from genmix.generators.gan.stylegan2_layers import SQRT2, EqualConv, EqualLinear, StyleLayer, ToGray


def channels(size, width, max_channels):
    """{resolution: channels} from 4 to `size`: `width` at the finest, doubled up to `max_channels`."""
    sizes = [4 * 2**i for i in range(int(math.log2(size)) - 1)]
    return {r: min(max_channels, width * size // r) for r in sizes}


class Mapping(nn.Module):
    """z (n, z_dim), label int (n,) -> w (n, w_dim).

    Both are normalised, then go through fully connected layers that learn a hundred times slower.
    """

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

    `centre` (K, w_dim) is the mean w of each class, towards which truncation pulls; `final` of the training
    fills it.
    """

    def __init__(self, n_classes, size, z_dim, w_dim, mapping_layers, width, max_channels):
        super().__init__()
        wide, self.z_dim, self.w_dim = channels(size, width, max_channels), z_dim, w_dim
        self.mapping = Mapping(n_classes, z_dim, w_dim, mapping_layers)
        self.start = nn.Parameter(torch.randn(1, wide[4], 4, 4))
        self.register_buffer('centre', torch.zeros(n_classes, w_dim))
        self.layers = nn.ModuleList([StyleLayer(wide[4], wide[4], w_dim)])
        for r in list(wide)[1:]:
            self.layers.append(StyleLayer(wide[r // 2], wide[r], w_dim, up=True))
            self.layers.append(StyleLayer(wide[r], wide[r], w_dim))
        self.gray = nn.ModuleList(ToGray(c, w_dim) for c in wide.values())

    def forward(self, z, y):
        return self.synthesis(self.mapping(z, y))

    def synthesis(self, w, same_noise=False):
        """w (n, w_dim), or (n, layers + 1, w_dim) for a style per layer -> image (n, 1, size, size).

        same_noise   the same noise for all n images
        """
        w = w[:, None].expand(-1, len(self.layers) + 1, -1) if w.ndim == 2 else w
        x = self.start.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        image = 0
        for i, layer in enumerate(self.layers):
            x = layer(x, w[:, i], same_noise)
            if i % 2 == 0:  # the last layer of a size adds to the image
                image = image + self.gray[i // 2](x, w[:, i + 1])
                if i + 1 < len(self.layers):  # bilinear is the FIR filter, with edges repeated
                    image = F.interpolate(image, scale_factor=2, mode='bilinear')
        return image

    def truncated(self, w, y, psi):
        """w (n, w_dim) pulled towards the mean w of its class: psi = 1 leaves it, 0 gives the mean."""
        return torch.lerp(self.centre[y], w, psi)


class Residual(nn.Module):
    """Two convolutions and a downsampling, to which the downsampled input is added.

    (n, a, H, W) -> (n, b, H / 2, W / 2)
    """

    def __init__(self, a, b):
        super().__init__()
        self.first, self.second = EqualConv(a, a), EqualConv(a, b, down=True)
        self.skip = EqualConv(a, b, kernel=1, down=True, bias=False, gain=1)

    def forward(self, x):
        h = F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)
        return (h + self.skip(x)) * 0.5**0.5


class Discriminator(nn.Module):
    """Images in groups of GROUP with one label -> scores (n / pack,).

    pack             images of one class scored together, as channels (PacGAN, Lin et al. 2018, arXiv
                     1712.04086); 1 is StyleGAN2 as published
    space_to_depth   2 x 2 pixels become channels, and the finest size, which costs most, needs no block
    """

    def __init__(self, n_classes, size, width, max_channels, pack, space_to_depth):
        super().__init__()
        self.pack, self.space_to_depth = pack, space_to_depth
        wide = list(channels(size, width, max_channels).values())[::-1]
        wide = wide[1:] if space_to_depth else wide
        self.stem = EqualConv(pack * (4 if space_to_depth else 1), wide[0], kernel=1)
        self.blocks = nn.Sequential(*[Residual(a, b) for a, b in zip(wide, wide[1:])])
        self.last = EqualConv(wide[-1] + 1, wide[-1])
        self.dense = EqualLinear(wide[-1] * 16, wide[-1], gain=SQRT2)
        self.score, self.embed = EqualLinear(wide[-1], 1), nn.Embedding(n_classes, wide[-1])

    def forward(self, x, y):
        """x (n, 1, H, W), y (n,) with n a multiple of GROUP -> scores float32 (n / pack,)."""
        x, y = x.reshape(-1, self.pack, *x.shape[2:]), y[:: self.pack]
        x = F.pixel_unshuffle(x, 2) if self.space_to_depth else x
        x = x.contiguous(memory_format=torch.channels_last)
        h = self.blocks(F.leaky_relu(self.stem(x), 0.2))
        h = torch.cat([h, minibatch_sd(h, GROUP // self.pack)], 1)
        h = F.leaky_relu(self.last(h), 0.2).flatten(1)
        h = F.leaky_relu(self.dense(h), 0.2).float()
        return self.score(h)[:, 0].float() + (h * self.embed(y)).sum(1) / h.shape[1] ** 0.5
