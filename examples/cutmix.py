"""A mixing rule in one file: CutMix (Yun et al. 2019, arXiv 1905.04899) puts a box of one image into another.

make all RUN=cutmix SET="plugins=[examples/cutmix.py] plugin_params='{cutmix: {beta: 1.0}}'"

Adds the arms cutmix-<g>@1/8 and cutmix-<g>@1/2 for each generator g; all other arms stay as they are.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genmix.mixing.rules import Pairs, partners, register
from genmix.run.limits import bounded, check_fields


@register
@dataclass(frozen=True, kw_only=True)
class CutMix:
    """Each real image with a box of a synthetic one, whose class is balanced.

    beta   both parameters of the Beta distribution of the area that stays real (the paper's alpha)

    The box has the shape of the image and lies anywhere in it; the label weight lambda is the area that
    stays.  Both kinds of images have equal shares on average, so that these arms carry the dose of those of
    GenMix.  In the paper the centre of the box lies anywhere, and the border cuts some boxes off: with
    beta = 1 lambda is 0.68 on average then.
    """

    name: ClassVar[str] = 'cutmix'
    beta: float = bounded(above=0)

    def __post_init__(self):
        check_fields(self)

    def pairs(self, labels, partner_labels, rng, shape=None):
        """Pairs of n images of `shape` (H, W); mask float32 (n, H, W): 1 real, 0 synthetic, mean lambda."""
        n = len(labels)
        cut = np.sqrt(1 - rng.beta(self.beta, self.beta, n))  # side of the box, as a share of the image's
        inside = []
        for side in shape:
            pixels, width = np.arange(side), np.rint(cut * side).astype(int)
            low = rng.integers(0, side - width + 1)[:, None]
            inside.append((pixels >= low) & (pixels < low + width[:, None]))
        rows, columns = inside
        mask = 1 - (rows[:, :, None] & columns[:, None, :]).astype(np.float32)
        b = partners(labels, partner_labels, 'balanced', rng)
        return Pairs(np.arange(n), b, mask.mean((1, 2), dtype=np.float64), mask)
