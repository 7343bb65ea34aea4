from dataclasses import dataclass

import numpy as np
import torch

from genmix.data.sampling import one_hot, sample_rows
from genmix.mixing.rules import draw_lambda, partners
from genmix.run.limits import check


class Pool:
    """Real, synthetic and stored GenMix images in one uint8 tensor: images (n, 1, H, W), soft labels (n, K).

    `real`, `synthetic` and `mixed` are the row numbers of each part; `labels` hard classes (of the heavier parent for mixtures);
    `parents` (rows a, rows b, lambda) of the stored mixtures, for the mixing-free tail.
    """

    def __init__(self, real, real_labels, n_classes, synthetic=None, synthetic_labels=(), mixed=None):
        images, soft = [real], [one_hot(real_labels, n_classes)]
        if synthetic is not None:
            images.append(synthetic)
            soft.append(one_hot(synthetic_labels, n_classes))
        if mixed is not None:
            images.append(mixed.x)
            soft.append(mixed.y.astype(np.float32))
        ends = np.cumsum([0] + [len(x) for x in images])
        parts = [np.arange(a, b) for a, b in zip(ends, ends[1:])]
        self.real = parts[0]
        self.synthetic = parts[1] if synthetic is not None else np.arange(0)
        self.mixed = parts[-1] if mixed is not None else np.arange(0)
        self.images = torch.from_numpy(np.concatenate(images)).unsqueeze(1)
        self.soft = torch.from_numpy(np.concatenate(soft))
        self.labels = np.concatenate(soft).argmax(1)
        self.parents = None if mixed is None else (mixed.a, mixed.b + len(self.real), mixed.lam)

    def to(self, device):
        self.images, self.soft = self.images.to(device), self.soft.to(device)
        return self


@dataclass(frozen=True)
class MixingConfig:
    """How mixing arms mix (see genmix.mixing): `mixed_share` of a batch, the last `tail` of the steps without mixing."""

    alpha: float = 0.4
    pairing: str = 'balanced'
    larger: str = 'either'
    mixed_share: float = 0.5
    mix: str = 'offline'
    synthetic_balance: str = 'balanced'
    tail: float = 0.0

    def __post_init__(self):
        check(**vars(self))


class Batches:
    """Iterable of `steps` batches of one arm: (a, b, lambda), each (batch_size,).  One seed, one sequence."""

    def __init__(self, arm, pool, mixture, steps, batch_size, seed):
        self.arm, self.pool, self.mixture, self.steps, self.size = arm, pool, mixture, steps, batch_size
        self.rng = np.random.default_rng(seed)
        self.left = np.arange(0)
        n_classes = pool.soft.shape[1]
        self.prior = np.bincount(pool.labels[pool.real], minlength=n_classes) / len(pool.real)

    def __len__(self):
        return self.steps

    def __iter__(self):
        for step in range(self.steps):
            a, b, lam = self.batch()
            if step >= self.steps * (1 - self.mixture.tail):
                a, b, lam = self.unmix(a, b, lam)
            yield torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(lam).float()

    def batch(self):
        """One batch: the unmixed part first, then the mixed part."""
        k = round(self.size * self.mixture.mixed_share) if self.arm.mixing else 0
        plain = self.draw(self.arm.draws, self.size - k)
        a, b, lam = getattr(self, self.arm.mixing)(k) if k else (np.arange(0),) * 2 + (np.zeros(0),)
        return (
            np.concatenate([plain, a]),
            np.concatenate([plain, b]),
            np.concatenate([np.ones(len(plain)), lam]),
        )

    def draw(self, source, n):
        """Row numbers (n,) of one source."""
        if source == 'union':
            half = n // 2 + (n % 2 and self.rng.integers(2))
            return self.rng.permutation(
                np.concatenate([self.draw('real', half), self.draw('synthetic', n - half)])
            )
        if source == 'real':  # epochs without replacement
            while len(self.left) < n:
                self.left = np.concatenate([self.left, self.rng.permutation(self.pool.real)])
            rows, self.left = self.left[:n], self.left[n:]
            return rows
        rows = self.pool.real if source == 'balanced' else self.pool.synthetic
        labels = self.pool.labels[rows]
        natural = source == 'synthetic' and self.mixture.synthetic_balance == 'natural'
        present = np.unique(labels)
        chance = self.prior[present] / self.prior[present].sum() if natural else None
        return rows[sample_rows(self.rng.choice(present, n, p=chance), labels, self.rng)]

    def mixup(self, k):
        a = self.draw(self.arm.draws, k)
        return (
            a,
            a[self.rng.permutation(k)],
            draw_lambda(k, self.mixture.alpha, self.rng, self.mixture.larger),
        )

    def genmix(self, k):
        if self.mixture.mix == 'offline':
            rows = self.rng.choice(self.pool.mixed, k)
            return rows, rows, np.ones(k)
        a = self.draw('real', k)
        b = partners(
            self.pool.labels[a], self.pool.labels[self.pool.synthetic], self.mixture.pairing, self.rng
        )
        return a, self.pool.synthetic[b], draw_lambda(k, self.mixture.alpha, self.rng, self.mixture.larger)

    def unmix(self, a, b, lam):
        """The same draws with each mixture replaced by its heavier parent: sources and balance stay."""
        if len(self.pool.mixed):
            first, second, weight = self.pool.parents
            stored = a >= self.pool.mixed[0]
            row = a[stored] - self.pool.mixed[0]
            a, b, lam = a.copy(), b.copy(), lam.copy()
            a[stored], b[stored], lam[stored] = first[row], second[row], weight[row]
        heavier = np.where(lam >= 0.5, a, b)
        return heavier, heavier, np.ones(len(a))


def class_mass(arm, pool, mixture, batches=20, batch_size=32):
    """What batches of an arm carry on average: {'synthetic': share of the image mass, 0: label mass of class 0, 1: ...}."""
    synthetic, labels, n = 0.0, 0.0, 0
    into = np.zeros(len(pool.labels))
    into[pool.synthetic] = 1
    if len(pool.mixed):
        into[pool.mixed] = 1 - pool.parents[2]
    for a, b, lam in Batches(arm, pool, mixture, batches, batch_size, seed=0):
        synthetic += (lam * into[a] + (1 - lam) * into[b]).sum().item()
        labels = labels + (lam[:, None] * pool.soft[a] + (1 - lam[:, None]) * pool.soft[b]).sum(0).numpy()
        n += len(lam)
    return {'synthetic': synthetic / n, **dict(enumerate((labels / n).tolist()))}
