"""A generator of your own, complete in one file: copy it, and change what `fit` learns and `sample` draws.

    make all RUN=pca SET="plugins=[examples/my_generator.py] plugin_params='{my_generator: {components: 12}}'"

This one describes the lesions of a class by a Gaussian over their principal components, plus white noise of
the variance that the components leave out (probabilistic PCA, Tipping & Bishop 1999).  It has no notebook:
the study trains it where its synthetic set is first needed, and shows it beside the others.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from genmix.generators import register
from genmix.run.limits import bounded, check_fields


@register
class MyGenerator:
    """Mean image, principal components and noise level of each class."""

    name = 'my_generator'  # small letters, digits and _; names arms, stages and columns

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Parameters, all from `plugin_params`: no defaults.  Changing one trains the generator anew.

        components   principal components per class, at most its lesions minus one
        """

        components: int = bounded(at_least=1)

        def __post_init__(self):
            check_fields(self)

    def __init__(self, arrays):
        self.arrays = arrays

    @classmethod
    def fit(cls, cohort, out_dir, config):
        """Learn from `cohort`: images uint8 (n, H, W), labels (n,), training patients only."""
        arrays = {}
        for k in range(len(cohort.class_names)):
            images = cohort.images[cohort.labels == k].astype(np.float32)
            mean = images.mean(0)
            scores, size, directions = np.linalg.svd(
                (images - mean).reshape(len(images), -1), full_matrices=False
            )
            kept = min(config.components, len(images) - 1)
            rest = (size[kept:] ** 2).sum() / images.size  # variance per pixel beyond the components
            arrays |= {
                f'mean_{k}': mean,
                f'components_{k}': directions[:kept] * size[:kept, None] / len(images) ** 0.5,  # 1 sd each
                f'noise_{k}': np.sqrt(rest, dtype=np.float32).reshape(1),
            }
        save_file(
            {name: np.ascontiguousarray(x) for name, x in arrays.items()}, Path(out_dir) / 'pca.safetensors'
        )
        return cls(arrays)

    @classmethod
    def load(cls, folder):
        """The generator that `fit` left in `folder`."""
        return cls(load_file(Path(folder) / 'pca.safetensors'))

    def sample(self, label, n, seed):
        """`n` images of class number `label`, uint8 (n, H, W); the same seed gives the same images."""
        rng = np.random.default_rng(seed)
        mean, components = self.arrays[f'mean_{label}'], self.arrays[f'components_{label}']
        images = mean + (rng.normal(size=(n, len(components))) @ components).reshape(n, *mean.shape)
        images += rng.normal(0, self.arrays[f'noise_{label}'], images.shape)
        return images.round().clip(0, 255).astype(np.uint8)
