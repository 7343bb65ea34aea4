"""A generator whose defects are set, not learned: fresh phantoms, spoilt in three ways.  No training.

Each defect is one way in which trained generators fail: few modes (collapse), wrong labels, texture.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from genmix.data.cohort import Cohort
from genmix.data.phantom import plan


def sample_set(
    modes: int, label_noise: float, blur: float, per_class: int, image_size: int, seed: int
) -> Cohort:
    """A synthetic set of `per_class` images of each label, in the form of `generators.synthetic`.

    modes        distinct lesions of each class, at most `per_class`: `oracle` phantoms, repeated
    label_noise  share, 0 to 1, of the images of each label that show a lesion of another class, rounded to
                 whole images; every other class equally often
    blur         standard deviation in pixels, 0 or more, of a Gaussian filter of each image
    image_size   pixels a side      seed   of the lesions, and of which of them are repeated
    """
    rng, k = np.random.default_rng(seed), len(plan.CLASS_NAMES)
    fresh = plan.draw('oracle', (min(modes, per_class),) * k, image_size=image_size, seed=seed)
    labels = np.repeat(np.arange(k), per_class)
    shown = np.concatenate(
        [_shown(label, k, round(label_noise * per_class), per_class) for label in range(k)]
    )
    rows = np.empty(len(shown), int)
    for label in range(k):  # every lesion as often as any other of its class, up to one
        own = rng.permutation(np.flatnonzero(fresh.labels == label))
        here = rng.permutation(np.flatnonzero(shown == label))
        rows[here] = np.resize(own, len(here))
    images = gaussian_filter(np.float32(fresh.images), (0, blur, blur), mode='nearest')
    images = images.clip(0, 255).round().astype(np.uint8)[rows]
    return Cohort(images, labels, ['synthetic'] * len(labels), plan.CLASS_NAMES, 'parametric')


def _shown(label, n_classes, wrong, per_class):
    """Class shown by each image of a label, int (per_class,): `wrong` of them show the others in turn."""
    others = np.delete(np.arange(n_classes), label)
    return np.concatenate([np.full(per_class - wrong, label), np.resize(others, wrong)])
