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


class Generator(nn.Module):
    """Transposed convolutions with batch norm and ReLU, tanh at the end; the label is embedded beside z.

    z (n, z_dim), label int (n,) -> image float32 (n, 1, size, size) in [-1, 1].
    """

    def __init__(self, n_classes, size, z_dim, width):
        super().__init__()
        wide = channels(size, width)[::-1]
        self.z_dim, self.embed = z_dim, nn.Embedding(n_classes, z_dim)
        layers = [nn.ConvTranspose2d(2 * z_dim, wide[0], 4, 1, 0, bias=False)]
        for a, b in zip(wide, wide[1:]):
            layers += [nn.BatchNorm2d(a), nn.ReLU(True), nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(wide[-1]), nn.ReLU(True), nn.ConvTranspose2d(wide[-1], 1, 4, 2, 1)]
        self.net = nn.Sequential(*layers)
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
