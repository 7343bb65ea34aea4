"""The perfect generator: fresh phantoms of new patients.  The ceiling of every arm; there is none for real data."""

import json
from pathlib import Path

import numpy as np

from genmix.data.phantom import plan
from genmix.generators import register


@register
class Oracle:
    """Draws from the phantom population `oracle`, which shares no patient with cohort, dev or test."""

    name = 'oracle'
    phantoms_only = True

    def __init__(self, image_size):
        self.image_size = image_size

    @classmethod
    def fit(cls, cohort, out_dir):
        """Nothing to learn: only the image size is kept."""
        config = {'image_size': cohort.images.shape[1]}
        (Path(out_dir) / 'config.json').write_text(json.dumps(config))
        return cls(**config)

    @classmethod
    def load(cls, folder):
        return cls(**json.loads((Path(folder) / 'config.json').read_text()))

    def sample(self, label, n, seed):
        counts = np.eye(len(plan.CLASS_NAMES), dtype=int)[label] * n
        return plan.draw('oracle', counts, image_size=self.image_size, seed=seed).images
