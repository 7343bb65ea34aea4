from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from conftest import ROOT, blobs

from genmix import StudyError
from genmix.generators import PAPER
from genmix.mixing.arms import Arm, arms_for, choose, in_quick_run, load_arms, slug, with_generator
from genmix.mixing.batches import Batches, Pool, batch_mass
from genmix.mixing.config import BatchConfig
from genmix.mixing.dataset import mix_sets
from genmix.mixing.rules import GenMix, Mixup
from genmix.run.profile import read_profile

N_BATCHES, SIZE = 300, 32


def configured(**changes):
    """(BatchConfig, {rule name: rule}) with some values changed."""
    batches = {'mixed_share': 0.5, 'pairing': 'balanced', 'mixup_off': 0.0}
    rule = {'alpha': 0.4, 'larger': 'either', 'pairing': 'balanced'}
    batches |= {k: v for k, v in changes.items() if k in batches}
    rule |= {k: v for k, v in changes.items() if k in rule}
    mixup = Mixup(alpha=rule['alpha'], larger=rule['larger'])
    return BatchConfig(**batches), {'mixup': mixup, 'genmix': GenMix(**rule)}


def batches_of(arm, pool, steps=N_BATCHES, size=SIZE, seed=0, **changes):
    config, rules = configured(**changes)
    return Batches(arm, pool, steps, size, seed, config, rules.get(arm.rule))


def mass_of(arm, pool, *args, **changes):
    """(synthetic mass, label mass float (K,)) of the batches of an arm."""
    got = batch_mass(batches_of(arm, pool, *args, **changes))
    assert sum(got['labels']) == pytest.approx(1)
    return got['synthetic'], np.array(got['labels'])


@pytest.fixture(scope='module')
def pool():
    """100 real (60/10/30), 90 synthetic (30 each), 8,000 stored mixtures with balanced partners."""
    real, synthetic = blobs((60, 10, 30), 8), blobs((30, 30, 30), 8, seed=1)
    return Pool(real, synthetic, mix_sets(real, synthetic, 8000, configured()[1]['genmix']))


NATURAL, EVEN = np.array([0.6, 0.1, 0.3]), np.full(3, 1 / 3)
MASSES = {  # synthetic mass, label mass of the classes
    'none': (0, NATURAL),
    'classical': (0, NATURAL),
    'oversample': (0, EVEN),
    'mixup': (0, NATURAL),
    'oversample-mixup': (0, EVEN),
    'g@1/8': (1 / 8, NATURAL * 7 / 8 + EVEN / 8),
    'g@1/2': (1 / 2, (NATURAL + EVEN) / 2),
    'mixup-g@1/8': (1 / 8, NATURAL * 7 / 8 + EVEN / 8),
    'genmix-g@1/8': (1 / 8, NATURAL * 7 / 8 + EVEN / 8),
    'genmix-g-offline': (1 / 8, NATURAL * 7 / 8 + EVEN / 8),
    'genmix-g@1/2': (1 / 2, (NATURAL + EVEN) / 2),
    'genmix-g@1/8-balanced': (1 / 8, EVEN),
}


def test_every_arm_carries_the_mass_that_the_design_says(pool):
    arms = arms_for(['g'])
    assert list(arms) == list(MASSES)
    for name, (synthetic, labels) in MASSES.items():
        assert arms[name].dose == synthetic
        got = mass_of(arms[name], pool)
        assert got[0] == pytest.approx(synthetic, abs=0.01), name
        assert np.allclose(got[1], labels, atol=0.015), name


# ---- the arms of a pair differ in nothing but mixing

PAIRS = [
    *[
        (f'{form}g@1/8', 'genmix-g@1/8', pairing)
        for form in ('', 'mixup-')
        for pairing in ('same', 'balanced')
    ],
    *[('g@1/2', 'genmix-g@1/2', pairing) for pairing in ('any', 'same', 'balanced')],
    ('classical', 'mixup', 'balanced'),
    ('oversample', 'oversample-mixup', 'balanced'),
]


@pytest.mark.parametrize('a, b, pairing', PAIRS)
def test_paired_arms_carry_equal_masses_to_one_per_cent(pool, a, b, pairing):
    """Counted over 800,000 images, in large batches: small ones carry the same on average (below)."""
    arms = arms_for(['g'])
    first, second = (mass_of(arms[name], pool, 200, 4096, pairing=pairing) for name in (a, b))
    assert first[0] == pytest.approx(second[0], rel=0.01)
    assert np.allclose(first[1], second[1], rtol=0.01, atol=0)


def test_a_share_that_is_no_whole_number_of_images_holds_on_average(pool):
    """An eighth of 20 images: two or three of them are synthetic, or five are mixed with synthetic ones."""
    arms, n_real = arms_for(['g']), len(pool.real)
    alone = [int((a >= n_real).sum()) for a, _, _ in batches_of(arms['g@1/8'], pool, 2000, 20)]
    assert set(alone) == {2, 3} and np.mean(alone) == pytest.approx(2.5, abs=0.04)
    assert {int((a != b).sum()) for a, b, _ in batches_of(arms['genmix-g@1/8'], pool, 20, 20)} == {5}


def test_the_offline_arm_carries_the_dose_with_the_weights_of_its_set(pool):
    arm, lam = arms_for(['g'])['genmix-g-offline'], pool.parents[2]
    synthetic, labels = mass_of(arm, pool, 4000)
    assert synthetic == pytest.approx(2 * arm.dose * (1 - lam).mean(), rel=0.01)
    of_set = pool.soft[pool.stored].numpy().mean(0)
    assert np.allclose(labels, 0.75 * NATURAL + 0.25 * of_set, rtol=0.01, atol=0)


def test_a_batch_of_the_study_holds_whole_doses(pool):
    """With 64 images both doses are whole numbers: every single batch carries them."""
    arms, n_real = arms_for(['g']), len(pool.real)
    for name, of_batch in (('g@1/8', 8), ('g@1/2', 32), ('mixup-g@1/8', 8)):
        for a, b, _ in batches_of(arms[name], pool, 5, 64):
            assert (a >= n_real).sum() == (b >= n_real).sum() == of_batch
    for name, of_batch in (('genmix-g@1/8', 16), ('genmix-g@1/2', 64), ('genmix-g@1/8-balanced', 16)):
        for a, b, _ in batches_of(arms[name], pool, 5, 64):
            mixed = a != b
            assert mixed.sum() == of_batch and (a < n_real).all()
            assert (b[mixed] >= n_real).all() and (b[mixed] < pool.stored[0]).all()
    for a, b, lam in batches_of(arms['genmix-g-offline'], pool, 5, 64):
        assert (a == b).all() and (lam == 1).all() and (a >= pool.stored[0]).sum() == 16


@pytest.mark.parametrize(
    'name, changes, synthetic, rare',
    [
        ('genmix-g@1/8', {'larger': 'real', 'alpha': 1.0}, 1 / 16, None),  # mean of max(l, 1 - l) is 3/4
        ('genmix-g@1/8', {'pairing': 'same'}, 1 / 8, 0.1),
        ('g@1/2', {'pairing': 'same'}, 1 / 2, 0.1),
        ('mixup-g@1/8', {'mixed_share': 1.0}, 1 / 8, 0.1 * 7 / 8 + 1 / 24),
    ],
)
def test_options_move_the_mass_where_they_should(pool, name, changes, synthetic, rare):
    got = mass_of(arms_for(['g'])[name], pool, 1000, **changes)
    assert got[0] == pytest.approx(synthetic, abs=0.005)
    assert rare is None or got[1][1] == pytest.approx(rare, abs=0.005)


@pytest.mark.parametrize('name', ['mixup', 'mixup-g@1/8', 'genmix-g@1/8', 'genmix-g@1/2', 'genmix-g-offline'])
def test_mixup_off_stops_mixing_and_nothing_else(pool, name):
    arm = arms_for(['g'])[name]
    for a, b, lam in batches_of(arm, pool, 5, mixup_off=1.0):
        assert (lam == 1).all() and (a == b).all()
        assert (a.numpy() < len(pool.real) + len(pool.synthetic)).all()
    synthetic, labels = mass_of(arm, pool, 1000, mixup_off=1.0)
    assert synthetic == pytest.approx(MASSES[name][0], abs=0.01)
    assert np.allclose(labels, MASSES[name][1], atol=0.015)


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


def test_mixup_stays_within_its_source_and_mixup_of_the_union_crosses_it(pool):
    arms, n_real = arms_for(['g']), len(pool.real)
    for a, b, _ in batches_of(arms['mixup'], pool, 20):
        assert a.max() < n_real and b.max() < n_real
    crossed = [((a < n_real) != (b < n_real))[a != b] for a, b, _ in batches_of(arms['mixup-g@1/8'], pool)]
    share = np.concatenate(crossed).mean()
    assert share == pytest.approx(2 * (1 / 8) * (7 / 8), abs=0.03)


# ---- which arms there are


@pytest.mark.parametrize(
    'wrong', [{'alpha': 0.0}, {'pairing': 'x'}, {'larger': 'x'}, {'mixed_share': 1.5}, {'mixup_off': -1.0}]
)
def test_bad_options_are_refused_early(wrong):
    with pytest.raises(StudyError, match=next(iter(wrong))):
        configured(**wrong)


def test_a_dose_that_no_batch_can_carry_is_refused():
    assert with_generator('genmix', 'g', 1 / 4, rule='genmix').name == 'genmix-g@1/4'
    assert with_generator('synthetic', 'g', 3 / 4, 'balanced').name == 'g@3/4-balanced'
    with pytest.raises(StudyError, match='genmix-g@3/4: the dose is 0.75, choose one from 0 to 0.5'):
        with_generator('genmix', 'g', 3 / 4, rule='genmix')
    with pytest.raises(StudyError, match='dose is 1.25'):
        with_generator('synthetic', 'g', 5 / 4)


def test_unknown_arms_are_named():
    known = arms_for(['g'])
    assert choose(['all'], known) == list(known.values())
    assert [a.name for a in choose(['none', 'oracle@1/2'], known, ['oracle'])] == ['none']
    for name in ('genmix-stylegan@1/8', 'genmix-g', 'g@1/4'):
        with pytest.raises(StudyError, match=f'no arm "{name}"'):
            choose([name], known)


def test_the_quick_run_has_25_arms_and_50_trainings():
    known = arms_for([*PAPER, 'oracle'])
    names = {arm.name for arm in choose(['quick'], known)}
    without = {'none', 'classical', 'oversample', 'mixup', 'oversample-mixup'}
    pairs = {
        f'{form}{g}@{dose}' for g in (*PAPER, 'oracle') for form in ('', 'genmix-') for dose in ('1/8', '1/2')
    }
    assert names == without | (pairs - {'genmix-oracle@1/2'}) | {'genmix-diffusion-offline'}
    asked = read_profile(ROOT / 'params' / 'cpu.yaml')['08_classification']
    assert asked['arms'] == ['quick'] and len(names) * asked['seeds'] == 50
    more = choose(['quick', 'mixup-dcgan@1/8', 'none'], known)
    assert [arm.name for arm in more if arm.name not in names] == ['mixup-dcgan@1/8'] and len(more) == 26
    assert len(choose(['all'], known)) == 5 + 5 * 7


def test_own_generators_and_rules_take_part_in_the_quick_run():
    quick = [
        arm.name for arm in arms_for(['mine'], ['cutmix']).values() if in_quick_run(arm) and arm.generator
    ]
    forms = ('', 'genmix-', 'cutmix-')
    assert quick == [f'{form}mine@{dose}' for form in forms for dose in ('1/8', '1/2')]


def test_what_an_arm_is_stands_in_its_fields():
    """A generator may be called anything: nothing is read from a name."""
    arms = arms_for(['g', 'mixup-like'], rules=['cutmix'])
    own = [arm for arm in arms.values() if arm.generator == 'mixup-like']
    assert {(a.kind, a.rule) for a in own} == {
        ('synthetic', ''),
        ('mixup-union', 'mixup'),
        ('genmix', 'genmix'),
        ('cutmix', 'cutmix'),
    }
    assert len({replace(arm, name='') for arm in arms.values()}) == len(arms)
    assert arms['cutmix-g@1/8'].dose == arms['genmix-g@1/8'].dose == arms['g@1/8'].dose == Fraction(1, 8)


def test_names_of_arms_make_names_of_files():
    names = {name: slug(name) for name in arms_for(['g'], ['cutmix'])}
    assert names['genmix-g@1/8-balanced'] == 'genmix-g@1of8-balanced' and names['classical'] == 'classical'
    assert len(set(names.values())) == len(names) and not any('/' in s or '.' in s for s in names.values())


def test_arms_of_a_run_come_from_its_provenance(study):
    assert load_arms(study) == {}
    known = arms_for(['g'])
    study.sign('predictions', {'arms': {name: vars(arm) for name, arm in known.items()}})
    assert load_arms(study) == known and list(load_arms(study)) == list(known)
