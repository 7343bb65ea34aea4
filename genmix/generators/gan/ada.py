"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676) for one-channel CT.

The critic sees real and painted images through the same random changes, each applied with probability p.  While p < 1 an unchanged image
stays the most frequent one, so the painter has no reason to paint the changes (their appendix C).  p follows r_t, how sure the critic is of the real images.
"""

import math

import torch
import torch.nn.functional as F

P_MOST = 0.8  # from here on the changes begin to leak into what is painted (their figure 5)


def augment(x, p):
    """Images (n, 1, H, W) after blitting, geometry and intensity, each single change with probability `p` an image; p = 0 returns x itself."""
    if p <= 0:
        return x
    return intensity(geometry(blit(x, p), p), p)


def happens(x, p):
    """1. for the images that a change befalls, 0. for the others: (n,)."""
    return (torch.rand(len(x), device=x.device) < p).float()


def uniform(x, low, high):
    return low + (high - low) * torch.rand(len(x), device=x.device)


def blit(x, p, reach=0.125):
    """Pixel blitting: mirror, quarter turns, shifts by whole pixels (edges reflected).  Pixels move, nothing is interpolated."""
    n, _, h, w = x.shape
    mirror, turns = (
        happens(x, p) * (torch.rand(n, device=x.device) < 0.5),
        happens(x, p) * torch.randint(4, (n,), device=x.device),
    )
    move = (
        (happens(x, p)[:, None] * torch.stack([uniform(x, -reach, reach) * side for side in (h, w)], 1))
        .round()
        .long()
    )
    row, column = (torch.arange(side, device=x.device) for side in (h, w))

    def reflect(i, side):
        return (side - 1 - (side - 1 - i.abs()).abs()).clamp(0, side - 1)

    row, column = reflect(row + move[:, :1], h), reflect(column + move[:, 1:], w)
    column = torch.where(mirror[:, None] > 0, w - 1 - column, column)
    row, column = row[:, :, None].expand(n, h, w), column[:, None, :].expand(n, h, w)
    for quarter in range(1, 4):  # where a turned pixel comes from; images are square
        at = (turns == quarter)[:, None, None]
        turned = ((column, h - 1 - row), (h - 1 - row, w - 1 - column), (w - 1 - column, row))[quarter - 1]
        row, column = torch.where(at, turned[0], row), torch.where(at, turned[1], column)
    return x.flatten(2).gather(2, (row * w + column).flatten(1)[:, None]).view_as(x)


def geometry(x, p):
    """Scaling, turning, stretching along any axis, shifting by fractions of a pixel: one affine map, one interpolation (edges reflected)."""
    n, scale = len(x), lambda sd: torch.exp2(torch.randn(n, device=x.device) * sd * happens(x, p))
    partly = 1 - (1 - p) ** 0.5  # two turns, together with probability p

    def angle():
        return uniform(x, -math.pi, math.pi) * happens(x, partly)

    zoom, stretch, shift = (
        scale(0.2),
        scale(0.2),
        torch.randn(n, 2, device=x.device) * 0.125 * happens(x, p)[:, None],
    )
    before, after = rotation(angle()), rotation(angle())
    stretched = torch.diag_embed(torch.stack([zoom * stretch, zoom / stretch], 1))
    theta = torch.cat([before @ stretched @ after, shift[:, :, None]], 2)
    still = (theta == torch.eye(2, 3, device=x.device)).flatten(1).all(1)
    moved = F.grid_sample(
        x, F.affine_grid(theta, x.shape, align_corners=False), 'bilinear', 'reflection', align_corners=False
    )
    return torch.where(still[:, None, None, None], x, moved)


def rotation(angle):
    """Matrices (n, 2, 2) of angles (n,) in radians."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)


def intensity(x, p):
    """Brightness and contrast.  No inversion, saturation or hue: a CT has one channel, and whether a lesion is darker than liver is its diagnosis."""

    def column(v):
        return v[:, None, None, None]

    gain = torch.exp2(torch.randn(len(x), device=x.device) * 0.4 * happens(x, p))
    mean = x.mean((1, 2, 3), keepdim=True)
    return (
        (x - mean) * column(gain) + mean + column(torch.randn(len(x), device=x.device) * 0.2 * happens(x, p))
    )


class Controller:
    """Keeps p where the critic's certainty r_t = E[sign D(real)] meets `target` (their equation 1 and section 3.1).

    r_t near 1: the critic knows the few real images by heart, so p rises; near 0: it is fooled, so p falls.
    images   how many images it takes p to climb from 0 to 1
    """

    def __init__(self, target=0.6, images=10000, p=0.0, every=4):
        self.target, self.images, self.every = target, images, every
        self.p, self.r, self.signs, self.seen = p, 0.0, [], 0

    def watch(self, scores, n):
        """Take in critic's scores of `n` real images; every few batches p moves by one step."""
        self.signs.append(scores.detach().sign().mean().item())
        self.seen += n
        if len(self.signs) == self.every:
            self.r = sum(self.signs) / self.every
            self.p = min(
                P_MOST, max(0.0, self.p + math.copysign(self.seen / self.images, self.r - self.target))
            )
            self.signs, self.seen = [], 0

    @property
    def state(self):
        return {'p': self.p, 'r': self.r, 'signs': [*self.signs], 'seen': self.seen}

    @state.setter
    def state(self, values):
        self.__dict__.update(values)
