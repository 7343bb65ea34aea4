import numpy as np
import pytest
from conftest import config_of

from genmix.audit import mixing_effect
from genmix.data import build
from genmix.data.cohort import Cohort
from genmix.mixing.dataset import mix_sets
from genmix.mixing.rules import GenMix


@pytest.fixture(scope='module')
def parents(world):
    """Training phantoms, a collapsed set (one lesion per class, noisy), and 300 mixtures of them."""
    train = world['train']
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 60)
    one = np.stack([train.images[train.labels == k][0] for k in labels]) + rng.normal(0, 5, (180, 64, 64))
    images = one.clip(0, 255).astype(np.uint8)
    collapsed = Cohort(images, labels, ['synthetic'] * 180, train.class_names, 'collapsed')
    return (
        train,
        collapsed,
        mix_sets(train, collapsed, 300, GenMix(alpha=0.4, pairing='balanced', larger='either')),
    )


def test_unmixed_is_the_parent_of_larger_weight(parents):
    train, collapsed, mix = parents
    steps = mixing_effect.sets_before_and_after(train, collapsed, mix)
    i, j = np.flatnonzero(mix.lam > 0.9)[0], np.flatnonzero(mix.lam < 0.1)[0]
    assert np.array_equal(steps['unmixed'].images[i], train.images[mix.a[i]])
    assert np.array_equal(steps['unmixed'].images[j], collapsed.images[mix.b[j]])
    assert steps['mixed'].labels[i] == train.labels[mix.a[i]]
    assert steps['mixed'].labels[j] == collapsed.labels[mix.b[j]]
    assert steps['synthetic'] is collapsed


def test_a_collapsed_set_gains_by_the_real_lesions_and_a_difference_is_one(world, parents):
    sets = {'collapsed': mixing_effect.sets_before_and_after(*parents)}
    table = mixing_effect.mixing_effects(world['heldout'], sets)
    whole = table[table.label == 'all'].set_index(['metric', 'step'])
    for metric, sign in (('kid', -1), ('diversity', 1), ('coverage', 1)):
        synthetic, unmixed, mixed, mixing, blending = (
            whole.loc[(metric, step)] for step in ('synthetic', 'unmixed', 'mixed', 'mixing', 'blending')
        )
        assert mixing.value == pytest.approx(mixed.value - synthetic.value)
        assert blending.value == pytest.approx(mixed.value - unmixed.value)
        assert sign * mixing.value > 0 and (mixing.low if sign > 0 else -mixing.high) > 0
        assert abs(blending.value) < abs(mixing.value)
    assert whole.loc[('coverage', 'synthetic')].value < 0.2
    assert whole.loc[('diversity', 'synthetic')].value < 0.6
    together, blending = mixing_effect.summarise_mixing_effects(table)
    assert 'together**: better in 3 of 3 comparisons, worse in 0, otherwise' in together
    assert blending.startswith('**Blending by itself**: better in ') and ' of 3 comparisons' in blending
    turned = table.assign(low=-table.high, high=-table.low)
    assert 'worse in 3 (kid of collapsed, ' in mixing_effect.summarise_mixing_effects(turned)[0]


def test_the_same_set_before_and_after_changes_nothing(world):
    same = dict.fromkeys(mixing_effect.STEPS, world['fresh'])
    table = mixing_effect.mixing_effects(world['heldout'], {'same': same})
    assert (table[table.step.isin(mixing_effect.CHANGES)].value.abs() < 1e-9).all()
    whole = table[table.label == 'all'].set_index(['metric', 'step'])
    assert whole.loc[('diversity', 'mixed')].value == pytest.approx(1, abs=0.1)


def test_too_few_held_out_lesions_are_logged_and_nothing_is_measured(study, capsys):
    config = config_of(build.CohortConfig, '01_data', image_size=32, train_fraction=1.0)
    build.make_cohort(study, config, lesions=(9, 6, 9), patients=12)
    train = build.part(study)
    assert mixing_effect.cached_mixing_effects(study, train, 'folder', {}, {}) is None
    assert 'is not measured' in capsys.readouterr().out
