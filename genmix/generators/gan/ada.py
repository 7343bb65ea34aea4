"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676) for one-channel CT.

The discriminator sees real and generated images through the same random changes, each applied with
probability p.  While p < 1 an unchanged image stays the most frequent one, so the generator has no reason
to produce the changes (their appendix C).  p follows r_t, how sure the discriminator is of the real images.
"""

import math

import torch
import torch.nn.functional as F

P_MAX = 0.8  # from here on the changes begin to leak into what is generated (their figure 5)


def augment(x, p):
    """Square images (n, 1, H, H) after blitting, geometry and intensity; p = 0 returns x itself.

    p   probability of each single change, drawn per image
    """
    if p <= 0:
        return x
    return intensity(geometry(blit(x, p), p), p)


def happens(x, p):
    """1. for images that a change of probability `p` applies to, 0. for the others: (n,)."""
    return (torch.rand(len(x), device=x.device) < p).float()


def uniform(x, low, high):
    """A uniform number for each image of x: (n,)."""
    return low + (high - low) * torch.rand(len(x), device=x.device)


def blit(x, p, reach=0.125):
    """Pixel blitting: flips, quarter turns, shifts by whole pixels; nothing is interpolated.

    reach   largest shift as a share of the side; edges are reflected
    """
    n, _, h, w = x.shape
    flip = happens(x, p) * (torch.rand(n, device=x.device) < 0.5)
    quarters = happens(x, p) * torch.randint(4, (n,), device=x.device)
    moves = happens(x, p)[:, None]
    shift = (moves * torch.stack([uniform(x, -reach, reach) * side for side in (h, w)], 1)).round().long()

    def reflected(side, by):
        i = torch.arange(side, device=x.device) + by
        return (side - 1 - (side - 1 - i.abs()).abs()).clamp(0, side - 1)

    row, column = reflected(h, shift[:, :1]), reflected(w, shift[:, 1:])
    column = torch.where(flip[:, None] > 0, w - 1 - column, column)
    row, column = row[:, :, None].expand(n, h, w), column[:, None, :].expand(n, h, w)
    for quarter in range(1, 4):  # where a pixel comes from after so many quarter turns
        here = (quarters == quarter)[:, None, None]
        source = ((column, h - 1 - row), (h - 1 - row, w - 1 - column), (w - 1 - column, row))[quarter - 1]
        row, column = torch.where(here, source[0], row), torch.where(here, source[1], column)
    return x.flatten(2).gather(2, (row * w + column).flatten(1)[:, None]).view_as(x)


def geometry(x, p):
    """Zoom, rotation, stretch along any axis, fractional shift: one affine map, one interpolation."""
    n, partly = len(x), 1 - (1 - p) ** 0.5  # two rotations, together with probability p

    def factor(sd=0.2):
        return torch.exp2(torch.randn(n, device=x.device) * sd * happens(x, p))

    def rotation():
        return rotation_matrix(uniform(x, -math.pi, math.pi) * happens(x, partly))

    zoom, stretch = factor(), factor()
    shift = torch.randn(n, 2, device=x.device) * 0.125 * happens(x, p)[:, None]
    before, after = rotation(), rotation()
    stretched = torch.diag_embed(torch.stack([zoom * stretch, zoom / stretch], 1))
    theta = torch.cat([before @ stretched @ after, shift[:, :, None]], 2)
    same = (theta == torch.eye(2, 3, device=x.device)).flatten(1).all(1)
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    moved = F.grid_sample(x, grid, 'bilinear', 'reflection', align_corners=False)
    return torch.where(same[:, None, None, None], x, moved)


def rotation_matrix(angle):
    """Matrices (n, 2, 2) of angles (n,) in radians."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)


def intensity(x, p):
    """Brightness and contrast.

    No inversion, saturation or hue: a CT has one channel, and whether a lesion is darker than liver is its
    diagnosis.
    """
    gain = torch.exp2(torch.randn(len(x), device=x.device) * 0.4 * happens(x, p))
    offset = torch.randn(len(x), device=x.device) * 0.2 * happens(x, p)
    gain, offset = gain[:, None, None, None], offset[:, None, None, None]
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * gain + mean + offset


class Controller:
    """Keeps p where the discriminator's certainty r_t = E[sign D(real)] meets `target` (equation 1).

    r_t near 1: the discriminator has memorised the few real images, so p rises; near 0: it guesses, so p
    falls.

    images   how many images it takes p to climb from 0 to 1      every   batches from one change of p to
             the next
    """

    def __init__(self, target, images, every=4):
        self.target, self.images, self.every = target, images, every
        self.p, self.r, self.signs, self.seen = 0.0, 0.0, [], 0

    def update(self, scores, n):
        """Take in the discriminator's scores of `n` real images; every few batches p moves by one step."""
        self.signs.append(scores.detach().sign().mean())
        self.seen += n
        if len(self.signs) == self.every:
            self.r = sum(map(float, self.signs)) / self.every  # only now it waits for the GPU
            step = math.copysign(self.seen / self.images, self.r - self.target)
            self.p = min(P_MAX, max(0.0, self.p + step))
            self.signs, self.seen = [], 0

    @property
    def state(self):
        """What the next `update` depends on, for a checkpoint."""
        return {'p': self.p, 'r': self.r, 'signs': [*map(float, self.signs)], 'seen': self.seen}

    @state.setter
    def state(self, values):
        self.__dict__.update(values)
