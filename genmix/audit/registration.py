"""Which training lesion does an image show?  A search over all that classical augmentation does to a lesion.

Flips, every rotation, zooms of .85 to 1.18, shifts of up to 5 pixels (of 64), brightness and contrast: each
image is compared with each lesion by normalised cross-correlation inside a disc, first on a coarse grid of
poses, then, for the best few lesions, by least squares from the best of these (Lucas and Kanade 1981).
"""

from collections import namedtuple
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F

from genmix.data.augmentation import resized
from genmix.run.device import DEVICE
from genmix.run.gpu import gpu_job

SIDE, RADIUS = 32, 13  # images are averaged to so many pixels, and compared in a disc of this radius
TURNS, ZOOMS = np.radians((0, 22.5, 45, 67.5)), (0.88, 1.0, 1.13)  # of lesions; images take 8 symmetries
SHIFTS = [shift for shift in product((-2, -1, 0, 1, 2), repeat=2) if sum(shift) % 2 == 0]  # rows, columns
CANDIDATES = 8  # lesions refined for each image: among them the right one of 9 in 10 augmented copies
OTHERS = 3  # lesions next in distance: a smooth image is near to many lesions, a copy to one
STEPS, LARGEST_STEP = 5, (0.15, 0.1, 1.0, 1.0)  # of angle [rad], log zoom, shifts [px]
LIMITS = (np.inf, 0.3, 4.0, 4.0)
POSE = ('symmetry', 'row', 'column', 'angle', 'zoom', 'dx', 'dy')
Match = namedtuple('Match', 'index distance relative pose')


class Registration:
    """Training lesions, ready to be searched for in other images.

    images   uint8 (n, H, H), n > 1
    """

    def __init__(self, images):
        x = small(images)
        views = torch.stack([_warped(x, turn, zoom) for turn, zoom in product(TURNS, ZOOMS)])
        self.poses = torch.tensor(list(product(TURNS, np.log(ZOOMS))), device=DEVICE).float()
        self.views = _cells(views, [(0, 0)]).flatten(0, 2)  # (12 n, cells)
        self.lesions = _with_slopes(smooth(x))  # (n, 3, SIDE, SIDE)

    def match(self, images, own=False, block=16):
        """The lesion that each image shows most nearly: Match of arrays (m,), poses (m, 7).

        own        `images` are the lesions themselves: none is matched with itself
        distance   share of the image's standard deviation that the lesion does not explain, from 0 to 1
        relative   distance over the mean distance of the OTHERS next lesions (after Carlini 2023,
                   arXiv 2301.13188): a smooth image is near to many, a copy is near to one
        pose       columns POSE: what `placed` needs to show the lesion as it was matched
        """
        found = []
        with gpu_job('search for copies', lower='synthetic_per_class'):
            for start in range(0, len(images), block):
                x = small(images[start : start + block])
                excluded = start + torch.arange(len(x), device=DEVICE) if own else None
                found.append(self._match_block(x, excluded))
        return Match(*(torch.cat(part).cpu().numpy() for part in zip(*found)))

    @torch.inference_mode()
    def _match_block(self, x, excluded):
        lesion, symmetry, shift, pose = self._candidates(x, excluded)
        rows = torch.arange(len(x), device=DEVICE)[:, None]
        turned = symmetries(smooth(x))[symmetry, rows].flatten(0, 1)
        target = unit(_cropped(turned, shift.flatten(0, 1)))
        correlation, pose = _refined(target, self.lesions[lesion.flatten()], pose.flatten(0, 1))
        distance, order = (1 - correlation.clamp(0, 1) ** 2).sqrt().view(lesion.shape).sort(1)
        best, nearest = order[:, 0], distance[:, 0]
        relative = nearest / distance[:, 1 : OTHERS + 1].mean(1).clamp_min(1e-6)
        pose = torch.cat([symmetry[..., None], shift, pose.view(*lesion.shape, 4)], 2)
        rows = rows[:, 0]
        return lesion[rows, best], nearest, relative, pose[rows, best]

    def _candidates(self, x, excluded):
        """The best lesions of each image: lesion, symmetry (b, k), shift (b, k, 2) and pose (b, k, 4)."""
        n, turned = len(self.lesions), _cells(symmetries(x), SHIFTS)  # 8, b, shifts, cells
        scores = (turned.transpose(0, 1).flatten(0, 2) @ self.views.T).view(len(x), -1, n)
        best, at = scores.max(1)
        if excluded is not None:
            best.scatter_(1, excluded[:, None], -2.0)
        lesion = best.topk(min(CANDIDATES, n - (excluded is not None)), 1).indices
        at = at.gather(1, lesion)
        view, at = at % len(self.poses), at // len(self.poses)
        shift = torch.tensor(SHIFTS, device=DEVICE)[at % len(SHIFTS)]
        pose = F.pad(self.poses[view], (0, 2))
        return lesion, at // len(SHIFTS), shift, pose


def placed(lesions, pose):
    """Lesions uint8 (m, H, H) as they were matched, for poses (m, 7) of a Match: uint8 (m, H, H)."""
    x, side = torch.tensor(np.float32(lesions), device=DEVICE)[:, None], lesions.shape[-1]
    symmetry, row, column, *pose = torch.tensor(np.asarray(pose, np.float32), device=DEVICE).T
    c = (torch.arange(side, device=DEVICE) - (side - 1) / 2) * (SIDE / side)
    down, along = (c.repeat_interleave(side) - row[:, None], c.repeat(side) - column[:, None])
    shown = _sampled(x, *_moved(along, down, torch.stack(pose, 1))).view(x.shape)[:, 0]
    shown = torch.stack([_undone(image, int(k)) for image, k in zip(shown, symmetry)])
    return shown.round().clamp(0, 255).byte().cpu().numpy()


def small(images):
    """uint8 (n, H, H) -> float32 (n, SIDE, SIDE) on the device."""
    x = torch.tensor(np.ascontiguousarray(images), device=DEVICE).float()
    return resized(x[:, None], SIDE)[:, 0]


def symmetries(x):
    """The 8 symmetries of the square, (8, n, H, H), in the order of `data.images.symmetries`."""
    return torch.stack([torch.rot90(y, quarter, (1, 2)) for y in (x, x.flip(2)) for quarter in range(4)])


def _undone(image, symmetry):
    """An image (H, H) before symmetry number `symmetry` was applied."""
    turned = torch.rot90(image, -(symmetry % 4))
    return turned if symmetry < 4 else turned.flip(1)


def unit(x):
    """Vectors (..., d) minus their mean, over their length: products are correlations; 0 for flat ones."""
    x = x - x.mean(-1, keepdim=True)
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-3)


def in_disc(x):
    """Pixels in the disc of images (..., SIDE, SIDE), as `unit` vectors (..., p)."""
    middle = slice(SIDE // 2 - RADIUS, SIDE // 2 + RADIUS)
    return unit(x[..., middle, middle][..., _disc(2 * RADIUS)])


def _disc(cells, size=1.0):
    """bool (cells, cells): the cells, `size` pixels wide, whose centres lie in the disc."""
    c = (torch.arange(cells, device=DEVICE) - (cells - 1) / 2) * size
    return c[:, None] ** 2 + c**2 <= RADIUS**2


def _cells(x, shifts):
    """Means of 2 x 2 pixels in the disc of (..., SIDE, SIDE) at `shifts`: vectors (..., shifts, cells)."""
    means, start = F.avg_pool2d(x.flatten(0, -3)[:, None], 2, 1)[:, 0], SIDE // 2 - RADIUS
    means = means[:, start - 2 :, start - 2 :]
    crops = [means[:, 2 + r :: 2, 2 + c :: 2][:, :RADIUS, :RADIUS] for r, c in shifts]
    return unit(torch.stack(crops, 1)[..., _disc(RADIUS, 2)]).unflatten(0, x.shape[:-2])


def _disc_pixels():
    """Columns and rows, float (p,), of the pixels of the disc, from its centre."""
    c = torch.arange(2 * RADIUS, device=DEVICE) - RADIUS + 0.5
    down, along = torch.meshgrid(c, c, indexing='ij')
    inside = _disc(2 * RADIUS)
    return along[inside], down[inside]


def _cropped(x, shift):
    """Pixels of the disc (n, p) of images (n, SIDE, SIDE), its centre moved by `shift` (n, 2)."""
    along, down = ((axis + SIDE / 2 - 0.5).long() for axis in _disc_pixels())
    rows = torch.arange(len(x), device=DEVICE)[:, None]
    return x[rows, down + shift[:, :1], along + shift[:, 1:]]


def smooth(x):
    """Images (n, H, W) under a Gaussian of one pixel: noise counts less, and steps find their way."""
    kernel = torch.exp(-0.5 * torch.arange(-3.0, 4.0, device=DEVICE) ** 2)
    kernel, y = kernel / kernel.sum(), F.pad(x[:, None], (3, 3, 3, 3), mode='reflect')
    return F.conv2d(F.conv2d(y, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))[:, 0]


def _with_slopes(x):
    """Images (n, H, W) and their slopes along columns and rows: (n, 3, H, W)."""
    y = F.pad(x[:, None], (1, 1, 1, 1), mode='reflect')[:, 0]
    slopes = (y[:, 1:-1, 2:] - y[:, 1:-1, :-2]) / 2, (y[:, 2:, 1:-1] - y[:, :-2, 1:-1]) / 2
    return torch.stack([x, *slopes], 1)


def _moved(along, down, pose):
    """Where places (p,) or (n, p) of an image lie in the lesion, for poses (n, 4): two (n, p)."""
    angle, zoom, dx, dy = pose.T[..., None]
    cos, sin = angle.cos() / zoom.exp(), angle.sin() / zoom.exp()
    return cos * along + sin * down + dx, cos * down - sin * along + dy


def _sampled(x, along, down):
    """Images (n, C, H, H) at places (n, p), in pixels of SIDE from the centre: (n, C, p)."""
    places = torch.stack([along, down], -1)[:, None] * (2 / SIDE)
    return F.grid_sample(x, places, padding_mode='reflection', align_corners=False)[:, :, 0]


def _warped(x, angle, zoom):
    """Lesions (n, SIDE, SIDE), turned and zoomed."""
    c = torch.arange(SIDE, device=DEVICE) - (SIDE - 1) / 2
    pose = torch.tensor([[angle, np.log(zoom), 0, 0]], device=DEVICE).float().expand(len(x), 4)
    return _sampled(x[:, None], *_moved(c.repeat(SIDE), c.repeat_interleave(SIDE), pose)).view(x.shape)


def _refined(target, lesions, pose):
    """(correlation (n,), pose (n, 4)): the best that STEPS steps of Gauss and Newton meet.

    target   unit vectors (n, p)      lesions   (n, 3, SIDE, SIDE) of `_with_slopes`      pose   to start
    """
    along, down = _disc_pixels()
    best, best_pose = torch.full((len(pose),), -1.0, device=DEVICE), pose
    largest, limits = torch.tensor((LARGEST_STEP, LIMITS), device=DEVICE)
    for step in range(STEPS + 1):
        x, y = _moved(along, down, pose)
        seen, sx, sy = _sampled(lesions, x, y).unbind(1)
        found = (unit(seen) * target).sum(1)
        better = found > best
        best, best_pose = torch.where(better, found, best), torch.where(better[:, None], pose, best_pose)
        if step < STEPS:  # contrast * target = seen + slopes * change, in the middle of the disc
            x, y = x - pose[:, 2:3], y - pose[:, 3:]
            columns = torch.stack([sy * x - sx * y, sx * x + sy * y, -sx, -sy, target], 2)
            columns, seen = (v - v.mean(1, keepdim=True) for v in (columns, seen))
            change = _least_squares(columns, seen)[:, :4]
            pose = (pose + change.clamp(-largest, largest)).clamp(-limits, limits)
    return best, best_pose


def _least_squares(columns, y):
    """Coefficients (n, k) of columns (n, p, k) for y (n, p), with a trace of ridge for flat images."""
    products = columns.transpose(1, 2) @ columns
    ridge = torch.diag_embed(1e-4 * products.diagonal(dim1=1, dim2=2) + 1e-6)
    return torch.linalg.solve(products + ridge, (columns * y[..., None]).sum(1))
