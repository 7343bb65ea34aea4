import numpy as np
import pytest

from genmix.audit import mixing_effect
from genmix.data import build
from genmix.data.cohort import Cohort
from genmix.mixing import dataset


@pytest.fixture(scope='module')
def parents(world):
    """Training phantoms, a poor synthetic set (one lesion a class, noisy), and 300 mixtures of them."""
    train = world['train']
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 60)
    one = np.stack([train.images[train.labels == k][0] for k in labels]) + rng.normal(0, 5, (180, 64, 64))
    stuck = Cohort(one.clip(0, 255).astype(np.uint8), labels, ['synthetic'] * 180, train.class_names, 'stuck')
    return train, stuck, dataset.mix_sets(train, stuck, 300, 0.4, 'balanced', 'either')


def test_between_synthetic_and_mixed_stands_the_heavier_parent(parents):
    train, stuck, mix = parents
    steps = mixing_effect.sets_before_and_after(train, stuck, mix)
    i, j = np.flatnonzero(mix.lam > 0.9)[0], np.flatnonzero(mix.lam < 0.1)[0]
    assert np.array_equal(steps['unmixed'].images[i], train.images[mix.a[i]]) and np.array_equal(
        steps['unmixed'].images[j], stuck.images[mix.b[j]]
    )
    assert (
        steps['mixed'].labels[i] == train.labels[mix.a[i]]
        and steps['mixed'].labels[j] == stuck.labels[mix.b[j]]
    )
    assert steps['synthetic'] is stuck


def test_a_collapsed_set_gains_by_the_real_lesions_and_a_difference_is_one(world, parents):
    table = mixing_effect.mixing_effects(
        world['heldout'], {'stuck': mixing_effect.sets_before_and_after(*parents)}
    )
    whole = table[table.label == 'all'].set_index(['metric', 'step'])
    for metric, sign in (('kid', -1), ('diversity', 1), ('coverage', 1)):
        mixing, blending = whole.loc[(metric, 'mixing')], whole.loc[(metric, 'blending')]
        assert mixing.value == pytest.approx(
            whole.loc[(metric, 'mixed')].value - whole.loc[(metric, 'synthetic')].value
        )
        assert blending.value == pytest.approx(
            whole.loc[(metric, 'mixed')].value - whole.loc[(metric, 'unmixed')].value
        )
        assert (
            sign * mixing.value > 0
            and (mixing.low if sign > 0 else -mixing.high) > 0
            and abs(blending.value) < abs(mixing.value)
        )
    assert (
        whole.loc[('coverage', 'synthetic')].value < 0.2 and whole.loc[('diversity', 'synthetic')].value < 0.6
    )
    (said,) = mixing_effect.summarise_mixing_effects(table)
    assert said.startswith('**stuck**') and 'kid' in said and '(down;' in said


def test_the_same_set_before_and_after_changes_nothing(world):
    fresh = world['fresh']
    table = mixing_effect.mixing_effects(
        world['heldout'], {'same': {step: fresh for step in ('synthetic', 'unmixed', 'mixed')}}
    )
    assert (table[table.step.isin(['mixing', 'blending'])].value.abs() < 1e-9).all()
    assert table[
        (table.metric == 'diversity') & (table.step == 'mixed') & (table.label == 'all')
    ].value.item() == pytest.approx(1, abs=0.1)


def test_too_few_held_out_lesions_are_said_and_nothing_is_measured(study, capsys):
    build.make_cohort(study, lesions=(9, 6, 9), patients=12, image_size=32)
    train = build.part(study)
    assert mixing_effect.cached_mixing_effects(study, train, 'folder', {}, {}) is None
    assert 'is not measured' in capsys.readouterr().out
