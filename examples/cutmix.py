"""A mixing rule in one file: CutMix (Yun et al. 2019, arXiv 1905.04899) puts a box of one image into another.

make all RUN=cutmix SET="plugins=[examples/cutmix.py] plugin_params='{cutmix: {beta: 1.0}}'"

Adds an arm cutmix-<g> for each generator g; all other arms stay as they are.
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

    The box has the shape of the image and its centre anywhere in it, so the border cuts some boxes off.  The
    label weight lambda is the area that is really kept.  With beta = 1 it is 0.68 on average, not 0.5: these
    arms carry less synthetic mass than those of GenMix (`batch_mass` counts it).
    """

    name: ClassVar[str] = 'cutmix'
    partners: ClassVar[str] = 'synthetic'
    beta: float = bounded(above=0)

    def __post_init__(self):
        check_fields(self)

    def pairs(self, labels, partner_labels, rng, shape=None):
        """Pairs of n images of `shape` (H, W); mask float32 (n, H, W): 1 real, 0 synthetic, mean lambda."""
        n = len(labels)
        cut = np.sqrt(1 - rng.beta(self.beta, self.beta, n))  # side of the box, as a share of the image's
        inside = []
        for side in shape:
            centre, pixels = rng.integers(0, side, n), np.arange(side)
            low, high = np.rint(centre - cut * side / 2), np.rint(centre + cut * side / 2)
            inside.append((pixels >= low[:, None]) & (pixels < high[:, None]))
        rows, columns = inside
        mask = 1 - (rows[:, :, None] & columns[:, None, :]).astype(np.float32)
        b = partners(labels, partner_labels, 'balanced', rng)
        return Pairs(np.arange(n), b, mask.mean((1, 2), dtype=np.float64), mask)
