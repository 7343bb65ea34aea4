"""Mixing rules: which images are mixed, and how.  Mixup and GenMix, the only implementation in the study.

    x~ = l x_a + (1 - l) x_b      y~ = l y_a + (1 - l) y_b      l ~ Beta(alpha, alpha)

Mixup (Zhang et al. 2018, arXiv 1710.09412) takes both parents from one batch; GenMix (Lee et al. 2024,
arXiv 2405.20650) takes a from the real and b from the synthetic images.  What the paper leaves open is a
parameter here: `pairing` and `larger`.  A rule says which rows meet and with which weight (`Pairs`),
`apply` mixes images and soft labels; the stored GenMix set, the batches of every arm and the notebooks call
these.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from genmix import StudyError
from genmix.data.sampling import sample_rows
from genmix.run.limits import bounded, check_fields
from genmix.run.plugins import load_plugins

if TYPE_CHECKING:
    from torch import Tensor

PAIRINGS = ('any', 'same', 'balanced')  # which synthetic class meets a real image
LARGER = ('either', 'real', 'synthetic')  # which side keeps max(lambda, 1 - lambda)
REGISTRY: dict[str, type] = {}


@dataclass(frozen=True)
class Pairs:
    """Rows of the parents int (n,) and the weight of a's label float (n,) in [0, 1].

    mask   None where `lam` weights every pixel; else float (n, H, W) with values in [0, 1] and mean `lam`
    """

    a: np.ndarray
    b: np.ndarray
    lam: np.ndarray
    mask: np.ndarray | None = None


class Rule(Protocol):
    """Chooses pairs.  Its fields are its parameters, with bounds; their values come from the profile.

    name   names the arms <name>-<generator>@<dose>, which mix real images with synthetic partners; with equal
           weights of both on average an arm carries its dose
    """

    name: ClassVar[str]

    def pairs(self, labels: np.ndarray, partner_labels: np.ndarray, rng, shape=None) -> Pairs:
        """Pairs of n images of `labels` int (n,): rows a of these, b of `partner_labels` int (m,).

        rng   NumPy Generator      shape   (H, W) of the images, for rules with a mask
        """
        ...


def register(rule):
    """Class decorator: makes a rule known under its `name`.  StudyError for a name that another rule has."""
    if rule.name in REGISTRY and REGISTRY[rule.name].__module__ != rule.__module__:
        raise StudyError(f'There is a mixing rule "{rule.name}" already: choose another name.')
    REGISTRY[rule.name] = rule
    return rule


def known(plugins=()) -> dict[str, type]:
    """All rules by name: Mixup, GenMix, and those of the `plugins` (paths of Python files)."""
    load_plugins(plugins)
    return dict(REGISTRY)


@register
@dataclass(frozen=True, kw_only=True)
class Mixup:
    """Image i with image b[i] of a random permutation of the batch."""

    name: ClassVar[str] = 'mixup'
    alpha: float = bounded(above=0)
    larger: str = bounded(choices=LARGER)

    def __post_init__(self):
        check_fields(self)

    def pairs(self, labels, partner_labels, rng, shape=None):
        n = len(labels)
        return Pairs(np.arange(n), rng.permutation(n), draw_lambda(n, self.alpha, rng, self.larger))


@register
@dataclass(frozen=True, kw_only=True)
class GenMix:
    """Each real image with a synthetic partner; lambda weights the real side."""

    name: ClassVar[str] = 'genmix'
    alpha: float = bounded(above=0)
    larger: str = bounded(choices=LARGER)
    pairing: str = bounded(choices=PAIRINGS)

    def __post_init__(self):
        check_fields(self)

    def pairs(self, labels, partner_labels, rng, shape=None):
        n = len(labels)
        lam = draw_lambda(n, self.alpha, rng, self.larger)
        return Pairs(np.arange(n), partners(labels, partner_labels, self.pairing, rng), lam)


def draw_lambda(n, alpha, rng, larger='either') -> np.ndarray:
    """Weights of the first parent: float64 (n,) in [0, 1], Beta(alpha, alpha).

    alpha -> 0 leaves images unmixed, 1 is uniform, large alpha halves them.  `larger='real'` folds l to
    [.5, 1], 'synthetic' to [0, .5].
    """
    lam = rng.beta(alpha, alpha, n)
    return {'either': lam, 'real': np.maximum(lam, 1 - lam), 'synthetic': np.minimum(lam, 1 - lam)}[larger]


def partners(labels, synthetic_labels, pairing, rng) -> np.ndarray:
    """A synthetic partner for each real label: row numbers (n,) into the synthetic set.

    'any' draws over the whole set, 'same' within the real image's class, 'balanced' gives every class the
    same chance, so that the partner makes up for a rare class.  Raises StudyError for a class without
    synthetic images.
    """
    if pairing == 'any':
        return rng.integers(0, len(synthetic_labels), len(labels))
    present = np.unique(synthetic_labels)
    wanted = labels if pairing == 'same' else rng.choice(present, len(labels))
    return sample_rows(np.asarray(wanted), np.asarray(synthetic_labels), rng)


def apply(pairs: Pairs, images: tuple, labels: tuple) -> tuple:
    """(x~, y~) of images (x_a, x_b), each (n, ...), and soft labels (y_a, y_b), each (n, K)."""
    return blend(*images, pairs.lam if pairs.mask is None else pairs.mask), blend(*labels, pairs.lam)


def blend(a: 'np.ndarray | Tensor', b: 'np.ndarray | Tensor', weight: np.ndarray) -> 'np.ndarray | Tensor':
    """weight a + (1 - weight) b in the type of a, (n, ...); integers are rounded, never wrapped.

    weight   float (n,), one per image, or (n, H, W), one per pixel
    """
    weight = weight.reshape(len(weight), *[1] * (a.ndim - weight.ndim), *weight.shape[1:])
    if isinstance(a, np.ndarray):
        whole = np.issubdtype(a.dtype, np.integer)
        weight = weight.astype(np.float32 if whole else a.dtype)
        mixed = weight * a + (1 - weight) * b
        return np.rint(mixed).astype(a.dtype) if whole else mixed
    import torch  # here, so that a rule can be used without it

    from genmix.run.device import send

    whole = not a.is_floating_point()
    w = send(torch.as_tensor(weight, dtype=torch.float32 if whole else a.dtype), a.device)
    mixed = w * a + (1 - w) * b
    return mixed.round().to(a.dtype) if whole else mixed
