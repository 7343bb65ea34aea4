"""What a batch of each arm carries.

Every batch, whatever the arm, is one list of pairs (a, b, lambda) of rows of one pool of images.  An image
that is not mixed is its own partner with lambda = 1.  So what an arm really carries can be counted, and the
arms of a pair be held equal: the dose is synthetic mass, the classes of synthetic images are those of the
partners of GenMix.
"""

from typing import Any

import numpy as np
import torch

from genmix.data.cohort import Cohort
from genmix.data.sampling import one_hot, sample_rows
from genmix.mixing.arms import Arm
from genmix.mixing.config import BatchConfig
from genmix.mixing.rules import Pairs, Rule, partners


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
        if self.arm.has_partners:
            k = self.count(2 * self.arm.dose)
            return joined(self.real(self.size - k), self.with_partners(k))
        rows = self.unmixed()
        k = self.count(self.config.mixed_share) if self.arm.rule else 0
        return joined(rows[k:], self.paired(rows[:k], rows[:k]) if k else alone(rows[:0]))

    def count(self, share) -> int:
        """How many images of a batch a share is: where it is no whole number, the next one below or above by
        chance, so that it holds on average.
        """
        return int(self.size * share + self.rng.random())

    def unmixed(self) -> np.ndarray:
        """Rows of a batch (size,): the dose of synthetic images among real ones, in random order."""
        n = self.count(self.arm.dose)
        rows = self.real(self.size - n)
        return self.rng.permutation(np.concatenate([rows, self.synthetic(n)])) if n else rows

    def with_partners(self, k) -> Pairs:
        """`k` mixtures of a real and a synthetic image: stored ones, which are rows of the pool, or fresh."""
        if self.arm.stored:
            return alone(self.rng.choice(self.pool.stored, k))
        return self.paired(self.real(k), self.pool.synthetic)

    def paired(self, a, candidates) -> Pairs:
        """Pairs of rows `a` with some of the rows `candidates`, as the rule says."""
        labels, shape = self.pool.labels, tuple(self.pool.images.shape[-2:])
        pairs = self.rule.pairs(labels[a], labels[candidates], self.rng, shape)
        return Pairs(a[pairs.a], candidates[pairs.b], pairs.lam, pairs.mask)

    def real(self, n) -> np.ndarray:
        """Rows (n,) of real images: in epochs without replacement, or every class alike."""
        rows, labels = self.pool.real, self.pool.labels[self.pool.real]
        if self.arm.balance == 'balanced':
            return rows[sample_rows(self.rng.choice(np.unique(labels), n), labels, self.rng)]
        while len(self.left) < n:
            self.left = np.concatenate([self.left, self.rng.permutation(rows)])
        rows, self.left = self.left[:n], self.left[n:]
        return rows

    def synthetic(self, n) -> np.ndarray:
        """Rows (n,) of synthetic images, of the classes that GenMix would pair with the arm's real images."""
        rows, labels = self.pool.synthetic, self.pool.labels
        classes = labels[self.pool.real]
        if self.arm.balance == 'balanced':
            classes = np.unique(classes)
        return rows[partners(self.rng.choice(classes, n), labels[rows], self.config.pairing, self.rng)]

    def unmix(self, pairs: Pairs) -> Pairs:
        """The same draws with each mixture replaced by its heavier parent: sources and balance stay."""
        a, b, lam = pairs.a, pairs.b, pairs.lam
        if len(self.pool.stored):
            first, second, weight = self.pool.parents
            stored = a >= self.pool.stored[0]
            row = a[stored] - self.pool.stored[0]
            a, b, lam = a.copy(), b.copy(), lam.copy()
            a[stored], b[stored], lam[stored] = first[row], second[row], weight[row]
        return alone(np.where(lam >= 0.5, a, b))


def alone(rows) -> Pairs:
    """Rows (n,) that are not mixed: each is its own partner."""
    return Pairs(rows, rows, np.ones(len(rows)))


def joined(plain, mixed: Pairs) -> Pairs:
    """Rows that are not mixed (n,), and then pairs that are."""
    mask = mixed.mask
    if mask is not None:
        mask = np.concatenate([np.ones((len(plain), *mask.shape[1:])), mask])
    lam = np.concatenate([np.ones(len(plain)), mixed.lam])
    return Pairs(np.concatenate([plain, mixed.a]), np.concatenate([plain, mixed.b]), lam, mask)


def batch_mass(batches: Batches) -> dict:
    """What batches carry on average: {'synthetic': share of the image mass, 'labels': mass of each class}.

    labels   floats in the order of the classes, with sum 1
    """
    pool = batches.pool
    carried = np.zeros((len(pool.labels), 1 + pool.soft.shape[1]))
    carried[pool.synthetic, 0] = 1
    if len(pool.stored):
        carried[pool.stored, 0] = 1 - pool.parents[2]
    carried[:, 1:] = pool.soft.cpu()
    total, n = np.zeros(carried.shape[1]), 0
    for a, b, lam, *_ in batches:
        weight = lam.double().numpy()
        total += weight @ carried[a] + (1 - weight) @ carried[b]
        n += len(lam)
    synthetic, *labels = (total / n).tolist()
    return {'synthetic': synthetic, 'labels': labels}
