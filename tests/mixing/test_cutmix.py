"""examples/cutmix.py: a mixing rule that is no scalar lambda, from one file."""

import sys

import numpy as np
import pytest
from conftest import ROOT, blobs

from genmix import StudyError
from genmix.mixing import rules
from genmix.mixing.arms import arms_for
from genmix.mixing.batches import Batches, Pool, batch_mass
from genmix.mixing.config import BatchConfig
from genmix.run.provenance import code_key

CONFIG = BatchConfig(mixed_share=0.5, pairing='balanced', mixup_off=0.0)
SIZE = 32  # of images and of batches


@pytest.fixture
def cutmix():
    """The rule class, known only as long as the test runs."""
    yield rules.known([ROOT / 'examples' / 'cutmix.py'])['cutmix']
    del rules.REGISTRY['cutmix'], sys.modules['genmix_plugin_cutmix']


@pytest.fixture(scope='module')
def pool():
    return Pool(blobs((60, 10, 30), SIZE), blobs((30, 30, 30), SIZE, seed=1))


def as_bytes(arm, pool, rule):
    batches = Batches(arm, pool, 20, SIZE, 3, CONFIG, rule)
    return [tensor.numpy().tobytes() for batch in batches for tensor in batch]


@pytest.mark.parametrize('beta', [0.2, 1.0, 5.0])
@pytest.mark.parametrize('shape', [(32, 32), (17, 40)])
def test_the_mask_keeps_the_area_of_its_label_weight(cutmix, beta, shape):
    rng, labels, partner_labels = np.random.default_rng(0), np.repeat([0, 1], [90, 10]), np.arange(30) % 3
    pairs = cutmix(beta=beta).pairs(np.tile(labels, 20), partner_labels, rng, shape)
    assert pairs.mask.shape == (2000, *shape) and np.isin(pairs.mask, (0, 1)).all()
    assert np.allclose(pairs.mask.mean((1, 2), dtype=float), pairs.lam, atol=1e-12)
    assert np.array_equal(pairs.a, np.arange(2000)) and pairs.lam.std() > 0
    mass = np.bincount(partner_labels[pairs.b], minlength=3) / 2000
    assert np.allclose(mass, 1 / 3, atol=0.04), 'partners are of balanced class'
    cut = 1 - pairs.mask
    boxes = cut.max(2)[:, :, None] * cut.max(1)[:, None, :]
    assert np.array_equal(cut, boxes), 'what is cut is one rectangle'


def test_the_area_follows_beta(cutmix):
    """Boxes have the area that Beta(beta, beta) says, to the rounding of a pixel, and lie everywhere."""
    rng, side = np.random.default_rng(0), 64
    pairs = cutmix(beta=1.0).pairs(np.zeros(4000, int), np.zeros(5, int), rng, (side, side))
    drawn = 1 - np.random.default_rng(0).beta(1.0, 1.0, 4000)
    assert np.allclose(np.sqrt(1 - pairs.lam), np.sqrt(drawn), atol=0.51 / side)
    assert pairs.lam.mean() == pytest.approx(0.5, abs=0.01)
    corners = pairs.mask[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0
    assert corners.any(0).all() and np.ptp(corners.mean(0)) < 0.03


def test_every_pixel_comes_from_one_parent(cutmix, pool):
    real, synthetic = pool.images[pool.real, 0].numpy(), pool.images[pool.synthetic, 0].numpy()
    labels, partner_labels = pool.labels[pool.real], pool.labels[pool.synthetic]
    pairs = cutmix(beta=1.0).pairs(labels, partner_labels, np.random.default_rng(0), real.shape[1:])
    other = synthetic[pairs.b]
    hot = np.eye(3)
    x, y = rules.apply(pairs, (real, other), (hot[labels], hot[partner_labels[pairs.b]]))
    assert x.dtype == np.uint8 and np.array_equal(x, np.where(pairs.mask == 1, real, other))
    assert np.allclose(y.sum(1), 1)
    one_class = labels == partner_labels[pairs.b]
    assert np.allclose(y[~one_class, labels[~one_class]], pairs.lam[~one_class])


def test_batches_of_the_arm_carry_a_mask(cutmix, pool):
    arm = arms_for(['g'], rules=['cutmix'])['cutmix-g@1/8']
    assert (arm.kind, arm.generator, arm.rule, arm.dose) == ('cutmix', 'g', 'cutmix', 0.125)
    rule = cutmix(beta=1.0)
    n_real = len(pool.real)
    for a, b, lam, mask in Batches(arm, pool, 5, SIZE, 0, CONFIG, rule):
        assert a.shape == b.shape == lam.shape == (SIZE,) and mask.shape == (SIZE, SIZE, SIZE)
        assert np.allclose(mask.mean((1, 2)), lam, atol=1e-6)
        assert (a < n_real).all() and ((b >= n_real) | (b == a)).all()
        assert ((b == a).sum() == SIZE - SIZE // 4) and (mask[b == a] == 1).all()


@pytest.mark.parametrize('dose', ['1/8', '1/2'])
def test_it_carries_the_masses_of_genmix(cutmix, pool, dose):
    arms = arms_for(['g'], rules=['cutmix'])
    alone, own = (
        batch_mass(Batches(arms[name], pool, 1000, SIZE, 0, CONFIG, rule))
        for name, rule in ((f'g@{dose}', None), (f'cutmix-g@{dose}', cutmix(beta=1.0)))
    )
    assert own['synthetic'] == pytest.approx(alone['synthetic'], rel=0.015)
    assert np.allclose(own['labels'], alone['labels'], atol=0.005)


def test_other_arms_are_what_they_are_without_it(pool, request):
    mixup = rules.Mixup(alpha=0.4, larger='either')
    genmix = rules.GenMix(alpha=0.4, larger='either', pairing='balanced')
    own = {'mixup': mixup, 'mixup-g@1/8': mixup, 'genmix-g@1/8': genmix, 'classical': None, 'g@1/2': None}
    before, keys = arms_for(['g']), [code_key(rules.Mixup), code_key(rules.GenMix)]
    batches = {name: as_bytes(before[name], pool, rule) for name, rule in own.items()}
    request.getfixturevalue('cutmix')
    after = arms_for(['g'], rules=['cutmix'])
    assert after.keys() - before.keys() == {'cutmix-g@1/8', 'cutmix-g@1/2'}
    assert all(after[name] == before[name] for name in before)
    assert {name: as_bytes(after[name], pool, rule) for name, rule in own.items()} == batches
    assert [code_key(rules.Mixup), code_key(rules.GenMix)] == keys


def test_a_beta_that_is_not_positive_is_refused(cutmix):
    for beta in (0.0, -1.0, float('nan')):
        with pytest.raises(StudyError, match='beta'):
            cutmix(beta=beta)
