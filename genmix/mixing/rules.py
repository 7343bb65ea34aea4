"""Mixup and GenMix: pure functions on images and soft labels.

    x~ = l x_a + (1 - l) x_b      y~ = l y_a + (1 - l) y_b      l ~ Beta(alpha, alpha)

Mixup (Zhang et al. 2018, arXiv 1710.09412) draws both parents from one set; GenMix (Lee et al. 2024, arXiv 2405.20650) takes a
from the real and b from the synthetic images.  What the paper leaves open is a parameter here: `pairing` and `larger`.
Every function works on NumPy arrays and on torch tensors, keeps their type, and takes its randomness from a NumPy Generator.
"""

from dataclasses import dataclass

import numpy as np

from genmix.data.sampling import sample_rows
from genmix.run.limits import CHOICES, check

PAIRINGS, LARGER = CHOICES['pairing'], CHOICES['larger']


@dataclass(frozen=True)
class Mixed:
    """Mixtures and where they come from: x (n, ...), y (n, K) rows sum to 1, lam float (n,), rows of parents a and b (n,)."""

    x: object
    y: object
    lam: np.ndarray
    a: np.ndarray
    b: np.ndarray


def draw_lambda(n, alpha, rng, larger='either'):
    """Weights of the first parent: float64 (n,) in [0, 1], Beta(alpha, alpha).

    alpha -> 0 leaves images unmixed, 1 is uniform, large alpha halves them.  `larger='real'` folds l to [.5, 1], 'synthetic'
    to [0, .5].  Raises StudyError unless alpha > 0 and `larger` is known.
    """
    check(alpha=alpha, larger=larger)
    lam = rng.beta(alpha, alpha, n)
    return {'either': lam, 'real': np.maximum(lam, 1 - lam), 'synthetic': np.minimum(lam, 1 - lam)}[larger]


def blend(a, b, lam):
    """l a + (1 - l) b for a, b of one shape (n, ...) and lam (n,), in the type of a; integers are rounded, never wrapped."""
    column = lam.reshape(-1, *[1] * (a.ndim - 1))
    if isinstance(a, np.ndarray):
        whole = np.issubdtype(a.dtype, np.integer)
        column = column.astype(np.float32 if whole else a.dtype)
        mixed = column * a + (1 - column) * b
        return np.rint(mixed).astype(a.dtype) if whole else mixed
    import torch

    whole = not a.is_floating_point()
    column = torch.as_tensor(column, dtype=torch.float32 if whole else a.dtype, device=a.device)
    mixed = column * a + (1 - column) * b
    return mixed.round().to(a.dtype) if whole else mixed


def mixup(x, y, alpha, rng, larger='either'):
    """Mixup within one batch: image i with image b[i] of a random permutation.  x (n, ...), y (n, K) -> Mixed of n."""
    lam, a, b = draw_lambda(len(x), alpha, rng, larger), np.arange(len(x)), rng.permutation(len(x))
    return Mixed(blend(x, x[b], lam), blend(y, y[b], lam), lam, a, b)


def partners(labels, synthetic_labels, pairing, rng):
    """A synthetic partner for each real label: row numbers (n,) into the synthetic set.

    'any' draws over the whole set, 'same' within the real image's class, 'balanced' gives every class the same chance, so that
    the partner makes up for a rare class.  Raises StudyError for an unknown pairing or a class without synthetic images.
    """
    labels, synthetic_labels = np.asarray(labels), np.asarray(synthetic_labels)
    check(pairing=pairing)
    if pairing == 'any':
        return rng.integers(0, len(synthetic_labels), len(labels))
    present = np.unique(synthetic_labels)
    wanted = labels if pairing == 'same' else rng.choice(present, len(labels))
    return sample_rows(wanted, synthetic_labels, rng)


def genmix(x_real, y_real, x_syn, y_syn, alpha, rng, pairing='balanced', larger='either'):
    """GenMix: each real image with a synthetic partner.  (n, ...), (n, K), (m, ...), (m, K) -> Mixed of n.

    `lam` weighs the real side.  `a` counts the real images, `b` the rows of the synthetic set.
    """

    def hard(y):
        return np.asarray(y.argmax(1))

    lam = draw_lambda(len(x_real), alpha, rng, larger)
    b = partners(hard(y_real), hard(y_syn), pairing, rng)
    return Mixed(blend(x_real, x_syn[b], lam), blend(y_real, y_syn[b], lam), lam, np.arange(len(x_real)), b)
