"""Networks of the DCGAN."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def initialise(layer):
    """N(0, 0.02) weights, as in the paper."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0, 0.02)
    if isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)


def channels(size, width):
    """Channels of each size from `size` / 2 to 4: `width` at the finest, doubled at each coarser one."""
    return [width * 2**i for i in range(int(math.log2(size)) - 2)]


class UpsampleConv(nn.Module):
    """Nearest-neighbour upsampling and a 3 x 3 convolution in one: no checkerboard.

    Odena et al. 2016, doi 10.23915/distill.00003.  Folded into the kernel, the upsampling costs 4 products
    per output pixel instead of 9.
    """

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs, 3, 3) * 0.02)

    def forward(self, x):
        kernel = 4 * F.avg_pool2d(F.pad(self.weight, [1] * 4), 2, 1)  # 3 x 3 over the 2 x 2 copies: 4 x 4
        return F.conv_transpose2d(x, kernel, stride=2, padding=1)


class NoiseInjection(nn.Module):
    """Adds noise to every pixel, its strength learned per channel: z need not carry the noise of CT."""

    def __init__(self, channels):
        super().__init__()
        self.strength = nn.Parameter(torch.full((1, channels, 1, 1), 0.1))

    def forward(self, x):
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        return x + (self.strength * noise).to(x.dtype)


class Generator(nn.Module):
    """Upsampling convolutions with batch norm and ReLU, tanh at the end; the label is embedded beside z.

    z (n, z_dim), label int (n,) -> image float32 (n, 1, size, size) in [-1, 1].  As published, but for
    UpsampleConv in place of strided transposed convolutions, and noise at the two finest sizes.
    """

    def __init__(self, n_classes, size, z_dim, width):
        super().__init__()
        wide = channels(size, width)[::-1]
        self.z_dim, self.embed = z_dim, nn.Embedding(n_classes, z_dim)
        layers = [nn.ConvTranspose2d(2 * z_dim, wide[0], 4, 1, 0, bias=False), nn.BatchNorm2d(wide[0])]
        layers += [nn.ReLU(True)]
        for a, b in zip(wide, wide[1:]):
            layers += [UpsampleConv(a, b), nn.BatchNorm2d(b), nn.ReLU(True)]
        layers += [NoiseInjection(wide[-1]), UpsampleConv(wide[-1], 8), nn.BatchNorm2d(8), NoiseInjection(8)]
        self.net = nn.Sequential(*layers, nn.ReLU(True), nn.Conv2d(8, 1, 3, padding=1))
        self.apply(initialise)

    def forward(self, z, y):
        return self.net(torch.cat([z, self.embed(y)], 1)[:, :, None, None]).float().tanh()


class Discriminator(nn.Module):
    """Strided convolutions with batch norm; the label enters as one constant channel per class."""

    def __init__(self, n_classes, size, width):
        super().__init__()
        wide = channels(size, width)
        layers = [nn.Conv2d(1 + n_classes, wide[0], 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for a, b in zip(wide, wide[1:]):
            layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, True)]
        self.net, self.n_classes = nn.Sequential(*layers, nn.Conv2d(wide[-1], 1, 4)), n_classes
        self.apply(initialise)

    def forward(self, x, y):
        """x (n, 1, H, W), y (n,) -> scores (n,)."""
        plane = F.one_hot(y, self.n_classes)[:, :, None, None].expand(-1, -1, *x.shape[2:]).to(x.dtype)
        return self.net(torch.cat([x, plane], 1)).flatten().float()
