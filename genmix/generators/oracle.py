"""The perfect generator: fresh phantoms of new patients.  The ceiling of every arm; real data has none."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genmix.data.phantom import plan
from genmix.generators import register


@register
class Oracle:
    """Draws from the phantom population `oracle`, which shares no patient with cohort, dev or test.

    Its scans are as noisy as those of the cohort it is fitted on.
    """

    name = 'oracle'
    phantoms_only = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Nothing to choose."""

    def __init__(self, image_size, noise=1.0):
        self.image_size, self.noise = image_size, noise

    @classmethod
    def fit(cls, cohort, out_dir, config):
        """Nothing to learn: only image size and noise are saved."""
        noise = float(cohort.extra.noise.iloc[0]) if 'noise' in cohort.extra else 1.0
        model = cls(cohort.images.shape[1], noise)
        (Path(out_dir) / 'config.json').write_text(json.dumps(vars(model)))
        return model

    @classmethod
    def load(cls, folder):
        return cls(**json.loads((Path(folder) / 'config.json').read_text()))

    def sample(self, label, n, seed):
        """`n` images of class number `label`: uint8 (n, H, W)."""
        counts = np.eye(len(plan.CLASS_NAMES), dtype=int)[label] * n
        return plan.draw('oracle', counts, None, self.image_size, seed, self.noise).images
