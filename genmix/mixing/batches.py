"""What a batch of each arm carries.

Every batch, whatever the arm, is one list of pairs (a, b, lambda) of rows of one pool of images.  An image
that is not mixed is its own partner with lambda = 1.  So what an arm really carries can be counted.
"""

from typing import Any

import numpy as np
import torch

from genmix.data.cohort import Cohort
from genmix.data.sampling import one_hot, sample_rows
from genmix.mixing.arms import Arm
from genmix.mixing.config import BatchConfig
from genmix.mixing.rules import Pairs, Rule


class Pool:
    """Real, synthetic and stored GenMix images in one uint8 tensor: images (n, 1, H, W), soft labels (n, K).

    `real`, `synthetic` and `stored` are the row numbers of each part; `labels` hard classes int (n,), of
    the heavier parent for mixtures; `parents` (rows a, rows b, lambda) of the stored mixtures, for the
    steps without mixing.
    """

    def __init__(self, train: Cohort, synthetic: Cohort | None = None, stored=None):
        n_classes = len(train.class_names)
        images, soft = [train.images], [one_hot(train.labels, n_classes)]
        if synthetic is not None:
            images.append(synthetic.images)
            soft.append(one_hot(synthetic.labels, n_classes))
        if stored is not None:
            images.append(stored.x)
            soft.append(stored.y.astype(np.float32))
        ends = np.cumsum([0] + [len(x) for x in images])
        parts = [np.arange(a, b) for a, b in zip(ends, ends[1:])]
        self.real = parts[0]
        self.synthetic = parts[1] if synthetic is not None else np.arange(0)
        self.stored = parts[-1] if stored is not None else np.arange(0)
        self.images = torch.from_numpy(np.concatenate(images)).unsqueeze(1)
        self.soft = torch.from_numpy(np.concatenate(soft))
        self.labels = np.concatenate(soft).argmax(1)
        self.parents: Any = None if stored is None else (stored.a, stored.b + len(self.real), stored.lam)

    def to(self, device):
        self.images, self.soft = self.images.to(device), self.soft.to(device)
        return self


class Batches:
    """Iterable of `steps` batches of one arm, each a tuple of tensors (a, b, lambda) of (batch_size,), and
    the mask of the pairs (batch_size, H, W) where the rule has one.  One seed, one sequence.

    config, rule   needed only by arms with synthetic images, and by arms with a rule
    """

    def __init__(
        self, arm: Arm, pool: Pool, steps: int, batch_size: int, seed: int,
        config: BatchConfig | None = None, rule: Rule | None = None,
    ):  # fmt: skip
        self.arm, self.pool = arm, pool
        self.config: Any = config
        self.rule: Any = rule
        self.steps, self.size = steps, batch_size
        self.rng = np.random.default_rng(seed)
        self.left = np.arange(0)
        n_classes = pool.soft.shape[1]
        self.prior = np.bincount(pool.labels[pool.real], minlength=n_classes) / len(pool.real)

    def __len__(self):
        return self.steps

    def __iter__(self):
        mixing_steps = self.steps * (1 - self.config.mixup_off) if self.config else self.steps
        for step in range(self.steps):
            pairs = self.batch()
            if step >= mixing_steps:
                pairs = self.unmix(pairs)
            batch = torch.from_numpy(pairs.a), torch.from_numpy(pairs.b), torch.from_numpy(pairs.lam).float()
            yield batch if pairs.mask is None else (*batch, torch.from_numpy(pairs.mask).float())

    def batch(self) -> Pairs:
        """One batch of rows of the pool: the unmixed part first, then the mixed part."""
        k = round(self.size * self.config.mixed_share) if self.arm.rule else 0
        union = self.arm.kind in ('synthetic', 'mixup-union')
        plain = self.draw('union' if union else self.arm.balance, self.size - k)
        if not k:
            return Pairs(plain, plain, np.ones(len(plain)))
        mixed, mask = self.mixed(k), None
        if mixed.mask is not None:
            mask = np.concatenate([np.ones((len(plain), *mixed.mask.shape[1:])), mixed.mask])
        lam = np.concatenate([np.ones(len(plain)), mixed.lam])
        return Pairs(np.concatenate([plain, mixed.a]), np.concatenate([plain, mixed.b]), lam, mask)

    def mixed(self, k) -> Pairs:
        """`k` mixtures: stored ones, which are rows of their own, or fresh pairs of the rule."""
        pool = self.pool
        if self.arm.kind == 'genmix' and self.config.mix == 'offline':
            rows = self.rng.choice(pool.stored, k)
            return Pairs(rows, rows, np.ones(k))
        a = self.draw('union' if self.arm.kind == 'mixup-union' else self.arm.balance, k)
        candidates = a if self.rule.partners == 'batch' else pool.synthetic
        shape = tuple(pool.images.shape[-2:])
        pairs = self.rule.pairs(pool.labels[a], pool.labels[candidates], self.rng, shape)
        return Pairs(a[pairs.a], candidates[pairs.b], pairs.lam, pairs.mask)

    def draw(self, source, n) -> np.ndarray:
        """Row numbers (n,) of one source:

        `natural` or `balanced` real images, `synthetic` ones, the `union`.
        """
        if source == 'union':
            half = n // 2 + (n % 2 and self.rng.integers(2))
            both = [self.draw(self.arm.balance, half), self.draw('synthetic', n - half)]
            return self.rng.permutation(np.concatenate(both))
        if source == 'natural':  # epochs without replacement
            while len(self.left) < n:
                self.left = np.concatenate([self.left, self.rng.permutation(self.pool.real)])
            rows, self.left = self.left[:n], self.left[n:]
            return rows
        rows = self.pool.real if source == 'balanced' else self.pool.synthetic
        labels = self.pool.labels[rows]
        present = np.unique(labels)
        chance = None
        if source == 'synthetic' and self.config.synthetic_balance == 'natural':
            chance = self.prior[present] / self.prior[present].sum()
        return rows[sample_rows(self.rng.choice(present, n, p=chance), labels, self.rng)]

    def unmix(self, pairs: Pairs) -> Pairs:
        """The same draws with each mixture replaced by its heavier parent: sources and balance stay."""
        a, b, lam = pairs.a, pairs.b, pairs.lam
        if len(self.pool.stored):
            first, second, weight = self.pool.parents
            stored = a >= self.pool.stored[0]
            row = a[stored] - self.pool.stored[0]
            a, b, lam = a.copy(), b.copy(), lam.copy()
            a[stored], b[stored], lam[stored] = first[row], second[row], weight[row]
        heavier = np.where(lam >= 0.5, a, b)
        return Pairs(heavier, heavier, np.ones(len(a)))


def batch_mass(batches: Batches) -> dict:
    """What batches carry on average:

    {'synthetic': share of the image mass, 0: label mass of class 0, 1: ...}.
    """
    pool, synthetic, labels, n = batches.pool, 0.0, 0.0, 0
    into = np.zeros(len(pool.labels))
    into[pool.synthetic] = 1
    if len(pool.stored):
        into[pool.stored] = 1 - pool.parents[2]
    for a, b, lam, *_ in batches:
        synthetic += (lam * into[a] + (1 - lam) * into[b]).sum().item()
        labels = labels + (lam[:, None] * pool.soft[a] + (1 - lam[:, None]) * pool.soft[b]).sum(0).numpy()
        n += len(lam)
    return {'synthetic': synthetic / n, **dict(enumerate((labels / n).tolist()))}
