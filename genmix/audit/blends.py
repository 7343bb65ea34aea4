"""Is an image a blend of two training lesions?  The pair that explains it best, by least squares."""

from collections import namedtuple

import torch

from genmix.audit import registration
from genmix.run.device import DEVICE
from genmix.run.gpu import gpu_job

CANDIDATES = 16  # lesions tried as the first of a pair; the second may be any other
OTHERS = 8  # pairs without either of the two, next in distance
NO_PAIR = 2.0  # beyond the largest distance
Blend = namedtuple('Blend', 'first second distance relative')


class Blends:
    """Training lesions, ready to be searched for pairs: in their 8 symmetries, otherwise as they lie.

    images   uint8 (n, H, H)
    """

    def __init__(self, images):
        self.views = registration.in_disc(registration.symmetries(_seen(images)))  # (8, n, p)

    def match(self, images, block=16):
        """The pair of lesions whose blend an image is most nearly: Blend of arrays.

        first, second   int (m, 2): lesion and symmetry
        distance        share of the image's standard deviation that the pair does not explain, from 0 to 1
        relative        distance over the mean distance of the OTHERS next pairs without either lesion: a
                        smooth image is near to many pairs.  A plain copy is near to one, too
        """
        with gpu_job('search for blends', lower='synthetic_per_class'):
            parts = [self._match_block(images[i : i + block]) for i in range(0, len(images), block)]
        return Blend(*(torch.cat(part).cpu().numpy() for part in zip(*parts)))

    @torch.inference_mode()
    def _match_block(self, images):
        x, n = registration.in_disc(_seen(images)), self.views.shape[1]
        views, lesion = self.views.flatten(0, 1), torch.arange(8 * n, device=DEVICE) % n
        alone = x @ views.T  # (b, 8 n)
        best, symmetry = alone.view(len(x), 8, n).max(1)
        first = best.topk(min(CANDIDATES, n), 1).indices
        view = symmetry.gather(1, first) * n + first
        distance = _distances(alone, views, view)
        distance[lesion == first[..., None]] = NO_PAIR  # of a lesion and itself
        nearest, second = distance.min(2)
        nearest, k = nearest.min(1)
        pair = torch.stack([view.gather(1, k[:, None])[:, 0], second.gather(1, k[:, None])[:, 0]], 1)
        for taken in (pair % n).T[..., None]:
            distance[(first == taken)[..., None] | (lesion == taken)[:, None]] = NO_PAIR
        others = distance.min(2).values.sort(1).values[:, :OTHERS]
        weight = (others < NO_PAIR).float()
        others = (others * weight).sum(1) / weight.sum(1).clamp_min(1)
        pairs = (torch.stack([v % n, v // n], 1) for v in pair.T)
        return *pairs, nearest, nearest / others.clamp_min(1e-6)


def _seen(images):
    """Images (n, SIDE, SIDE), smooth: else any smooth image would be a better blend than real ones are."""
    return registration.smooth(registration.small(images))


def _distances(alone, views, chosen):
    """What pairs of views leave unexplained, (b, k, 8 n).

    alone   (b, 8 n): correlations with the views      chosen   (b, k): the first views of the pairs

    Both weights of a blend are positive: any other pair counts as its first view alone.
    """
    first, second = alone.gather(1, chosen)[..., None], alone[:, None]
    between = (views[chosen.flatten()] @ views.T).view(*chosen.shape, -1)
    rest = (1 - between**2).clamp_min(0.01)  # of views that are nearly equal
    one, two = (first - second * between) / rest, (second - first * between) / rest
    explained = torch.where((one > 0) & (two > 0), first * one + second * two, first**2)
    return (1 - explained.clamp(0, 1)).sqrt()
