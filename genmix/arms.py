"""The arms of the study, and what a batch of each draws.

Every batch, whatever the arm, is one list of triples (a, b, lambda) into one pool of images: lambda x_a + (1 - lambda) x_b.
An image that is not mixed is its own partner with lambda = 1.  So what an arm really carries can be counted.
"""
from dataclasses import dataclass

import numpy as np
import torch

from genmix import StudyError
from genmix.limits import check
from genmix.mixing import draw_lambda, one_hot, partners, rows_of

PLAIN = ('none', 'classical', 'oversample', 'mixup', 'oversample-mixup')


@dataclass(frozen=True)
class Arm:
    """One way to fill a batch.

    draws      source of the images: real (natural class balance), balanced (real, every class alike), union (half real, half
               synthetic)
    mixing     '' (none), mixup (partners from the same source), genmix (real with synthetic partners)
    generator  name of the synthetic source, '' for none
    classical  flips, rotation, zoom and shift on every image, before mixing
    """
    name: str
    draws: str = 'real'
    mixing: str = ''
    generator: str = ''
    classical: bool = True


def arms_for(generators=()):
    """All arms by name: the plain ones, then three for each generator, in the order of the results table."""
    arms = [Arm('none', classical=False), Arm('classical'), Arm('oversample', 'balanced'),
            Arm('mixup', mixing='mixup'), Arm('oversample-mixup', 'balanced', 'mixup')]
    for g in generators:
        arms += [Arm(g, 'union', generator=g), Arm(f'mixup-{g}', 'union', 'mixup', g), Arm(f'genmix-{g}', 'real', 'genmix', g)]
    return {arm.name: arm for arm in arms}


def generator_of(arm):
    """Name of the generator in the name of an arm, '' for the plain ones."""
    return '' if arm in PLAIN else arm.removeprefix('mixup-').removeprefix('genmix-')


def choose(names, generators, dropped=()):
    """The arms that `names` asks for, ['all'] for every one; those of `dropped` generators are left out with a line.

    Raises StudyError for an arm that does not exist.
    """
    known = arms_for(generators)
    out = [name for name in names if name in arms_for(dropped) and name not in known]
    for name in out:
        print(f'{name} is dropped: its generator does not take part here')
    names = [name for name in names if name not in out]
    if names == ['all']:
        return list(known.values())
    if wrong := [name for name in names if name not in known]:
        raise StudyError(f'There is no arm "{wrong[0]}": choose among {", ".join(known)}.')
    return [known[name] for name in names]


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
class Mixture:
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


class Draws:
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
        return np.concatenate([plain, a]), np.concatenate([plain, b]), np.concatenate([np.ones(len(plain)), lam])

    def draw(self, source, n):
        """Row numbers (n,) of one source."""
        if source == 'union':
            half = n // 2 + (n % 2 and self.rng.integers(2))
            return self.rng.permutation(np.concatenate([self.draw('real', half), self.draw('synthetic', n - half)]))
        if source == 'real':      # epochs without replacement
            while len(self.left) < n:
                self.left = np.concatenate([self.left, self.rng.permutation(self.pool.real)])
            rows, self.left = self.left[:n], self.left[n:]
            return rows
        rows = self.pool.real if source == 'balanced' else self.pool.synthetic
        labels = self.pool.labels[rows]
        natural = source == 'synthetic' and self.mixture.synthetic_balance == 'natural'
        present = np.unique(labels)
        chance = self.prior[present] / self.prior[present].sum() if natural else None
        return rows[rows_of(self.rng.choice(present, n, p=chance), labels, self.rng)]

    def mixup(self, k):
        a = self.draw(self.arm.draws, k)
        return a, a[self.rng.permutation(k)], draw_lambda(k, self.mixture.alpha, self.rng, self.mixture.larger)

    def genmix(self, k):
        if self.mixture.mix == 'offline':
            rows = self.rng.choice(self.pool.mixed, k)
            return rows, rows, np.ones(k)
        a = self.draw('real', k)
        b = partners(self.pool.labels[a], self.pool.labels[self.pool.synthetic], self.mixture.pairing, self.rng)
        return a, self.pool.synthetic[b], draw_lambda(k, self.mixture.alpha, self.rng, self.mixture.larger)

    def unmix(self, a, b, lam):
        """The same draws with each mixture replaced by its heavier parent: sources and balance stay."""
        if len(self.pool.mixed):
            first, second, weight = self.pool.parents
            stored = a >= self.pool.mixed[0]
            row = a[stored] - self.pool.mixed[0]
            a, b, lam = a.copy(), b.copy(), lam.copy()
            a[stored], b[stored], lam[stored] = first[row], second[row], weight[row]
        heavier = np.where(lam >= .5, a, b)
        return heavier, heavier, np.ones(len(a))


def mass(arm, pool, mixture, batches=20, batch_size=32):
    """What batches of an arm carry on average: {'synthetic': share of the image mass, 0: label mass of class 0, 1: ...}."""
    synthetic, labels, n = 0., 0., 0
    into = np.zeros(len(pool.labels))
    into[pool.synthetic] = 1
    if len(pool.mixed):
        into[pool.mixed] = 1 - pool.parents[2]
    for a, b, lam in Draws(arm, pool, mixture, batches, batch_size, seed=0):
        synthetic += (lam * into[a] + (1 - lam) * into[b]).sum().item()
        labels = labels + (lam[:, None] * pool.soft[a] + (1 - lam[:, None]) * pool.soft[b]).sum(0).numpy()
        n += len(lam)
    return {'synthetic': synthetic / n, **dict(enumerate((labels / n).tolist()))}
