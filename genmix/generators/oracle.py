"""The perfect generator: fresh phantoms of new patients.  The ceiling of every arm; real data has none."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genmix.data.phantom import plan
from genmix.generators import register


@register
class Oracle:
    """Draws from the phantom population `oracle`, which shares no patient with cohort, dev or test."""

    name = 'oracle'
    phantoms_only = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Nothing to choose."""

    def __init__(self, image_size):
        self.image_size = image_size

    @classmethod
    def fit(cls, cohort, out_dir, config):
        """Nothing to learn: only the image size is saved."""
        model = cls(cohort.images.shape[1])
        (Path(out_dir) / 'config.json').write_text(json.dumps({'image_size': model.image_size}))
        return model

    @classmethod
    def load(cls, folder):
        return cls(**json.loads((Path(folder) / 'config.json').read_text()))

    def sample(self, label, n, seed):
        """`n` images of class number `label`: uint8 (n, H, W)."""
        counts = np.eye(len(plan.CLASS_NAMES), dtype=int)[label] * n
        return plan.draw('oracle', counts, image_size=self.image_size, seed=seed).images
