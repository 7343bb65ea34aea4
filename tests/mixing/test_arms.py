import numpy as np
import pytest
from conftest import blobs

from genmix import StudyError
from genmix.data import sampling
from genmix.mixing import rules
from genmix.mixing.arms import Arm, arms_for, choose, generator_of
from genmix.mixing.batches import Batches, MixingConfig, Pool, class_mass

N_BATCHES, SIZE = 300, 32


@pytest.fixture(scope='module')
def pool():
    """100 real (60/10/30), 90 synthetic (30 each), 8,000 stored mixtures with balanced partners."""
    real, synthetic = blobs((60, 10, 30), 8), blobs((30, 30, 30), 8, seed=1)
    rng, hot = np.random.default_rng(0), lambda c: sampling.one_hot(c.labels, 3)
    rows = np.tile(np.arange(100), 80)
    m = rules.genmix(
        real.images[rows], hot(real)[rows], synthetic.images, hot(synthetic), 0.4, rng, 'balanced'
    )
    stored = rules.Mixed(m.x, m.y, m.lam, rows, m.b)
    return Pool(real.images, real.labels, 3, synthetic.images, synthetic.labels, stored)


NATURAL, EVEN = np.array([0.6, 0.1, 0.3]), np.full(3, 1 / 3)
EXPECTED = {  # share of synthetic image mass, label mass of the classes: DESIGN's table of arms
    'none': (0, NATURAL),
    'classical': (0, NATURAL),
    'oversample': (0, EVEN),
    'mixup': (0, NATURAL),
    'oversample-mixup': (0, EVEN),
    'g': (0.5, (NATURAL + EVEN) / 2),
    'mixup-g': (0.5, (NATURAL + EVEN) / 2),
    'genmix-g': (0.25, 0.75 * NATURAL + 0.25 * EVEN),
}


@pytest.mark.parametrize('mix', ['offline', 'online'])
@pytest.mark.parametrize('name', EXPECTED)
def test_mass_of_every_arm(pool, name, mix):
    got = class_mass(arms_for(['g'])[name], pool, MixingConfig(mix=mix), N_BATCHES, SIZE)
    synthetic, labels = EXPECTED[name]
    assert got['synthetic'] == pytest.approx(synthetic, abs=0.015)
    assert np.allclose([got[k] for k in range(3)], labels, atol=0.015)
    assert sum(got[k] for k in range(3)) == pytest.approx(1)


def test_options_move_the_mass(pool):
    arms = arms_for(['g'])
    assert class_mass(arms['genmix-g'], pool, MixingConfig(mix='online', mixed_share=1.0), N_BATCHES)[
        'synthetic'
    ] == pytest.approx(0.5, abs=0.02)
    assert class_mass(
        arms['genmix-g'], pool, MixingConfig(mix='online', larger='real', alpha=1.0), N_BATCHES
    )['synthetic'] == pytest.approx(0.125, abs=0.02)
    assert class_mass(arms['genmix-g'], pool, MixingConfig(mix='online', pairing='same'), N_BATCHES)[
        1
    ] == pytest.approx(0.1, abs=0.015)
    assert class_mass(arms['g'], pool, MixingConfig(synthetic_balance='natural'), N_BATCHES)[
        1
    ] == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize('name', ['mixup', 'mixup-g', 'genmix-g'])
@pytest.mark.parametrize('mix', ['offline', 'online'])
def test_tail_stops_mixing_and_nothing_else(pool, name, mix):
    arm = arms_for(['g'])[name]
    for a, b, lam in Batches(arm, pool, MixingConfig(mix=mix, tail=1.0), 5, SIZE, 0):
        assert (
            (lam == 1).all() and (a == b).all() and (a.numpy() < len(pool.real) + len(pool.synthetic)).all()
        )
    got = class_mass(arm, pool, MixingConfig(mix=mix, tail=1.0), N_BATCHES)
    assert got['synthetic'] == pytest.approx(EXPECTED[name][0], abs=0.02)
    assert np.allclose([got[k] for k in range(3)], EXPECTED[name][1], atol=0.025)


def test_batches_are_whole_and_reproducible(pool):
    for arm in arms_for(['g']).values():
        for size in (1, 7, 32):
            first = [
                tuple(t.tolist() for t in batch) for batch in Batches(arm, pool, MixingConfig(), 3, size, 5)
            ]
            assert all(len(part) == size for batch in first for part in batch)
            assert first == [
                tuple(t.tolist() for t in batch) for batch in Batches(arm, pool, MixingConfig(), 3, size, 5)
            ]


def test_real_images_come_in_epochs(pool):
    rows = np.concatenate(
        [a.numpy() for a, _, _ in Batches(Arm('classical'), pool, MixingConfig(), 25, 20, 0)]
    )
    assert (np.bincount(rows, minlength=100)[:100] == 5).all()


def test_mixup_never_leaves_its_source(pool):
    for a, b, _ in Batches(arms_for()['mixup'], pool, MixingConfig(), 20, SIZE, 0):
        assert a.max() < len(pool.real) and b.max() < len(pool.real)


@pytest.mark.parametrize(
    'wrong',
    [
        {'alpha': 0.0},
        {'pairing': 'x'},
        {'larger': 'x'},
        {'mix': 'x'},
        {'synthetic_balance': 'x'},
        {'mixed_share': 1.5},
        {'tail': -1.0},
    ],
)
def test_bad_options_are_refused_early(wrong):
    with pytest.raises(StudyError, match=next(iter(wrong))):
        MixingConfig(**wrong)


def test_unknown_arms_are_named():
    assert [a.name for a in choose(['all'], ['g'])] == list(arms_for(['g']))
    assert [a.name for a in choose(['none', 'oracle'], ['g'], dropped=['oracle'])] == ['none']
    with pytest.raises(StudyError, match='no arm "genmix-stylegan"'):
        choose(['genmix-stylegan'], ['dcgan'])


def test_generator_of_every_arm():
    assert all(generator_of(arm.name) == arm.generator for arm in arms_for(['g', 'my-gan']).values())
