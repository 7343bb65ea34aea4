"""Planted generators with known defects: the positive controls that the card must detect."""

import numpy as np
import torch

from genmix.data.augmentation import affine_warp
from genmix.data.cohort import Cohort
from genmix.data.sampling import sample_rows

NOISE = 4  # gray levels of noise on every planted image: none is equal to a training lesion, byte by byte


def positive_controls(cohort: Cohort, per_class: int, seed: int = 0) -> dict[str, Cohort]:
    """Bad generators, {name: Cohort} of `per_class` images of each class made from the lesions of `cohort`.

    copier              returns training lesions as they are
    augmenting copier   returns them under the classical augmentation of the classifier: flipped, turned by
                        any angle, zoomed and shifted
    blender             returns blends of two training lesions of a class, 30 to 70 % of each
    collapsed           returns one lesion per class
    """
    rng, k = np.random.default_rng(seed), len(cohort.class_names)
    labels = np.repeat(np.arange(k), per_class)
    images, share = np.float32(cohort.images), rng.uniform(0.3, 0.7, (len(labels), 1, 1))

    def drawn():
        return sample_rows(labels, cohort.labels, rng)

    one, two = drawn(), drawn()
    for _ in range(20):  # two different lesions, where a class has two
        two = np.where(one == two, drawn(), two)
    first = images[[np.flatnonzero(cohort.labels == label)[0] for label in labels]]
    made = {
        'copier': images[drawn()],
        'augmenting copier': affine_warp(torch.from_numpy(images[drawn()])[:, None], rng)[:, 0].numpy(),
        'blender': share * images[one] + (1 - share) * images[two],
        'collapsed': first,
    }

    def as_cohort(x, name):
        noisy = (x + rng.normal(0, NOISE, x.shape)).clip(0, 255).round().astype(np.uint8)
        return Cohort(noisy, labels, [name] * len(labels), cohort.class_names, name)

    return {name: as_cohort(x, name) for name, x in made.items()}
