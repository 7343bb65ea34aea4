"""What the exercises that ask for code are tried on: {exercise: a function of the student's function}.

Each returns arrays; `exercises.json` has the right ones as hashes.  The numbers are drawn once and for all,
and none of it says how the function is to be written.
"""

import numpy as np

TASKS = {}


def task(name):
    """Decorator: what the function given for exercise `name` is tried on."""

    def known(function):
        TASKS[name] = function
        return function

    return known


def draws(name):
    """Random numbers of an exercise: the same ones for everybody."""
    return np.random.default_rng([int(part, 36) for part in name.split('.')])


@task('01.3')
@task('L.1')
def split(function):
    """Of my_split(patients, share, rng): whether the split is by patient, of the size asked, and random."""
    patients = np.repeat([f'P{i:02d}' for i in range(60)], draws('01.3').integers(1, 6, 60))
    masks = [np.asarray(function(patients, 0.25, np.random.default_rng(seed))) for seed in range(4)]
    facts = [len(mask) == len(patients) and mask.dtype == bool for mask in masks]
    facts += [not set(patients[mask]) & set(patients[~mask]) for mask in masks]
    facts += [abs(len(set(patients[mask])) - 15) <= 1 for mask in masks]
    return (facts, [any((mask != masks[0]).any() for mask in masks)])


@task('02.4')
def spread(function):
    """Of my_spread(images): three sets, of noise alone, of varied shapes, and of one image."""
    rng = draws('02.4')
    coarse = rng.normal(0, 20, (12, 8, 8)).repeat(8, 1).repeat(8, 2)
    noise = rng.normal(0, 16, (12, 64, 64))
    return [function(np.array(images)) for images in (noise, coarse + noise, noise[:1].repeat(5, 0))]


@task('03.3')
def demodulation(function):
    """Of my_weights(weights, style): kernels (out, in, 3, 3) of two layers."""
    rng = draws('03.3')
    return [function(rng.normal(size=(3, n, 3, 3)), rng.normal(1, 1, n)) for n in (2, 4)]


@task('04.3')
def new_rows(function):
    """Of my_step(table, gradient, new, lr): an embedding table of which two rows are new."""
    rng = draws('04.3')
    table, gradient = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    return [function(table.copy(), gradient.copy(), np.array([1, 4]), lr) for lr in (0.1, 2.0)]


@task('05.3')
def clean(function):
    """Of my_clean(x_t, v, alpha_bar), at three noise levels."""
    rng = draws('05.3')
    return [function(rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), share) for share in (0.04, 0.5, 0.9)]


@task('07.4')
@task('L.2')
def mixing(function):
    """Of my_genmix(x, y, x_syn, y_syn, lam): a batch of five, image and label alike."""
    rng, one = draws('07.4'), np.eye(3)
    images = rng.integers(0, 256, (2, 5, 4, 4)).astype(np.uint8)
    labels = rng.integers(0, 3, (2, 5))
    return function(images[0], one[labels[0]], images[1], one[labels[1]], rng.uniform(size=5))


@task('08.3')
def soft_loss(function):
    """Of my_loss(z, y): large scores among them, where a naive softmax overflows."""
    rng = draws('08.3')
    z, y = rng.normal(0, 3, (6, 3)), rng.dirichlet(np.ones(3), 6)
    return [function(z, y), function(z + 2000, y)]


@task('10.3')
def agreement(function):
    """Of my_agreement(features, labels, patients, k), per lesion: patients have several lesions."""
    rng = draws('10.3')
    features, labels = rng.normal(size=(14, 5)), rng.integers(0, 2, 14)
    patients = np.repeat(list('ABCDEFG'), 2)
    return [function(features, labels, patients, k) for k in (1, 3)]
