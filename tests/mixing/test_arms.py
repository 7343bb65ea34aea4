import numpy as np
import pytest
from conftest import blobs

from genmix import StudyError
from genmix.mixing.arms import Arm, arms_for, choose, load_arms
from genmix.mixing.batches import Batches, Pool, batch_mass
from genmix.mixing.config import BatchConfig
from genmix.mixing.dataset import mix_sets
from genmix.mixing.rules import GenMix, Mixup

N_BATCHES, SIZE = 300, 32


def configured(**changes):
    """(BatchConfig, {rule name: rule}) with some values changed."""
    batches = {'mixed_share': 0.5, 'mix': 'offline', 'synthetic_balance': 'balanced', 'mixup_off': 0.0}
    rule = {'alpha': 0.4, 'larger': 'either', 'pairing': 'balanced'}
    batches |= {k: v for k, v in changes.items() if k in batches}
    rule |= {k: v for k, v in changes.items() if k in rule}
    mixup = Mixup(alpha=rule['alpha'], larger=rule['larger'])
    return BatchConfig(**batches), {'mixup': mixup, 'genmix': GenMix(**rule)}


def batches_of(arm, pool, steps=N_BATCHES, size=SIZE, seed=0, **changes):
    config, rules = configured(**changes)
    return Batches(arm, pool, steps, size, seed, config, rules.get(arm.rule))


@pytest.fixture(scope='module')
def pool():
    """100 real (60/10/30), 90 synthetic (30 each), 8,000 stored mixtures with balanced partners."""
    real, synthetic = blobs((60, 10, 30), 8), blobs((30, 30, 30), 8, seed=1)
    return Pool(real, synthetic, mix_sets(real, synthetic, 8000, configured()[1]['genmix']))


NATURAL, EVEN = np.array([0.6, 0.1, 0.3]), np.full(3, 1 / 3)
LABELS = {  # label mass of the classes
    'none': NATURAL,
    'classical': NATURAL,
    'oversample': EVEN,
    'mixup': NATURAL,
    'oversample-mixup': EVEN,
    'g': (NATURAL + EVEN) / 2,
    'mixup-g': (NATURAL + EVEN) / 2,
    'genmix-g': 0.75 * NATURAL + 0.25 * EVEN,
}


@pytest.mark.parametrize('mix', ['offline', 'online'])
@pytest.mark.parametrize('name', LABELS)
def test_mass_of_every_arm_is_its_dose(pool, name, mix):
    arm = arms_for(['g'])[name]
    got = batch_mass(batches_of(arm, pool, mix=mix))
    assert arm.dose == {'g': 0.5, 'mixup-g': 0.5, 'genmix-g': 0.25}.get(name, 0)
    assert got['synthetic'] == pytest.approx(arm.dose, abs=0.015)
    assert np.allclose([got[k] for k in range(3)], LABELS[name], atol=0.015)
    assert sum(got[k] for k in range(3)) == pytest.approx(1)


@pytest.mark.parametrize(
    'name, changes, of, expected',
    [
        ('genmix-g', {'mixed_share': 1.0}, 'synthetic', 0.5),
        ('genmix-g', {'larger': 'real', 'alpha': 1.0}, 'synthetic', 0.125),
        ('genmix-g', {'pairing': 'same'}, 1, 0.1),
        ('g', {'synthetic_balance': 'natural'}, 1, 0.1),
    ],
)
def test_options_move_the_mass(pool, name, changes, of, expected):
    got = batch_mass(batches_of(arms_for(['g'])[name], pool, mix='online', **changes))
    assert got[of] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize('name', ['mixup', 'mixup-g', 'genmix-g'])
@pytest.mark.parametrize('mix', ['offline', 'online'])
def test_mixup_off_stops_mixing_and_nothing_else(pool, name, mix):
    arm = arms_for(['g'])[name]
    for a, b, lam in batches_of(arm, pool, 5, mix=mix, mixup_off=1.0):
        assert (lam == 1).all() and (a == b).all()
        assert (a.numpy() < len(pool.real) + len(pool.synthetic)).all()
    got = batch_mass(batches_of(arm, pool, mix=mix, mixup_off=1.0))
    assert got['synthetic'] == pytest.approx(arm.dose, abs=0.02)
    assert np.allclose([got[k] for k in range(3)], LABELS[name], atol=0.025)


def test_batches_are_whole_and_reproducible(pool):
    def listed(arm, size):
        return [tuple(t.tolist() for t in batch) for batch in batches_of(arm, pool, 3, size, seed=5)]

    for arm in arms_for(['g']).values():
        for size in (1, 7, 32):
            assert all(len(part) == size for batch in listed(arm, size) for part in batch)
            assert listed(arm, size) == listed(arm, size)


def test_real_images_come_in_epochs(pool):
    arm = Arm(name='classical', kind='real')
    rows = np.concatenate([a.numpy() for a, _, _ in Batches(arm, pool, 25, 20, 0)])
    assert (np.bincount(rows, minlength=100)[:100] == 5).all()


def test_mixup_never_leaves_its_source(pool):
    for a, b, _ in batches_of(arms_for()['mixup'], pool, 20):
        assert a.max() < len(pool.real) and b.max() < len(pool.real)


@pytest.mark.parametrize(
    'wrong',
    [{'alpha': 0.0}, {'pairing': 'x'}, {'larger': 'x'}, {'mix': 'x'}]
    + [{'synthetic_balance': 'x'}, {'mixed_share': 1.5}, {'mixup_off': -1.0}],
)
def test_bad_options_are_refused_early(wrong):
    with pytest.raises(StudyError, match=next(iter(wrong))):
        configured(**wrong)


def test_unknown_arms_are_named():
    known = arms_for(['g'])
    assert choose(['all'], known) == list(known.values())
    assert [a.name for a in choose(['none', 'oracle'], known, ['oracle'])] == ['none']
    with pytest.raises(StudyError, match='no arm "genmix-stylegan"'):
        choose(['genmix-stylegan'], known)


def test_what_an_arm_is_stands_in_its_fields():
    """A generator may be called anything: nothing is read from a name."""
    arms = arms_for(['g', 'mixup-like'], 0.25, rules=['cutmix'])
    assert {(a.kind, a.rule) for a in arms.values() if a.generator == 'mixup-like'} == {
        ('synthetic', ''),
        ('mixup-union', 'mixup'),
        ('genmix', 'genmix'),
        ('cutmix', 'cutmix'),
    }
    assert arms['cutmix-g'].dose == arms['genmix-g'].dose == 0.125


def test_arms_of_a_run_come_from_its_provenance(study):
    assert load_arms(study) == {}
    known = arms_for(['g'])
    study.sign('predictions', {'arms': {name: vars(arm) for name, arm in known.items()}})
    assert load_arms(study) == known and list(load_arms(study)) == list(known)
