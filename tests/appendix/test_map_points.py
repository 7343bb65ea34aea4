"""The map at smoke size: real trainings of a few steps."""

import numpy as np
import pandas as pd
import pytest

from genmix.appendix import dev_sets, map_points, parametric, regime
from genmix.appendix.defaults import classification
from genmix.data.phantom import plan
from genmix.mixing.batches import Batches, Pool, batch_mass
from genmix.results.effect_map import EFFECTS, effects_of
from genmix.results.map_space import NAMES, design


@pytest.fixture
def drawn(monkeypatch):
    """Populations, counts and seeds of the phantoms that are drawn, and how many classifiers are trained."""
    found = {'phantoms': [], 'classifiers': 0}
    draw, train = plan.draw, regime.train_arm

    def drawing(population, counts, n_patients=None, image_size=64, seed=0):
        found['phantoms'].append((population, tuple(counts), n_patients, seed))
        return draw(population, counts, n_patients, image_size, seed)

    def training(*args):
        found['classifiers'] += 1
        return train(*args)

    monkeypatch.setattr(plan, 'draw', drawing)
    monkeypatch.setattr(regime, 'train_arm', training)
    return found


def test_a_map_is_measured_point_by_point_and_goes_on_where_it_was(study, drawn):
    table = map_points.run(study, 2, 'smoke', workers=1)
    assert list(table) == map_points.COLUMNS and len(table) == 12 and drawn['classifiers'] == 12
    assert table.arm[:6].tolist() == table.arm[6:].tolist() == [arm.name for arm in map_points.ARMS]
    assert table[['balanced_accuracy', 'argmax', 'macro_auc']].apply(lambda c: c.between(0, 1)).all(axis=None)
    places = table.drop_duplicates('cohort')
    assert places.cohort.tolist() == [9100, 9101]
    pd.testing.assert_frame_equal(places[NAMES].reset_index(drop=True), design(2))
    assert effects_of(table)[list(EFFECTS)].notna().all(axis=None)
    (study.folder / 'points' / '9101' / 'provenance.json').unlink()  # one point is lost
    more = map_points.run(study, 3, 'smoke', workers=1)
    assert drawn['classifiers'] == 24
    pd.testing.assert_frame_equal(more[:12], table)


def test_a_point_is_a_cohort_of_its_own(study, drawn):
    map_points.run(study, 2, 'smoke', workers=1)
    lesions, modes = design(2)[['lesions', 'modes']].T.to_numpy()
    for i, point in enumerate((drawn['phantoms'][:3], drawn['phantoms'][3:])):
        train, test, fresh = point
        assert train[0] == test[0] == 'dev' and fresh[0] == 'oracle'
        assert (train[3], test[3], fresh[3]) == (9100 + i, 19100 + i, 9100 + i)
        assert min(train[1]) == train[1][1] == lesions[i] and test[1] == (30, 30, 30)
        assert fresh[1] == (min(modes[i], 24),) * 3
    assert map_points.FIRST >= dev_sets.FIRST + 100  # the tuning and the data-size curves have the first ones


def test_training_sets_keep_the_proportions_of_the_profile():
    assert map_points.training_counts(130, 'cpu') == ([676, 130, 484], 502)
    assert map_points.training_counts(26, 'cpu') == ([135, 26, 97], 100)
    assert map_points.training_counts(5, 'cpu') == ([26, 5, 19], 19)


def test_arms_that_make_a_mixing_effect_carry_equal_masses():
    """Also with repeated lesions and wrong labels: mass is that of labels, and of synthetic images."""
    _, batches, rules = classification('cpu')
    train = plan.draw('dev', (26, 5, 19), image_size=32, seed=9100)
    made = parametric.sample_set(3, 0.3, 1.0, per_class=60, image_size=32, seed=9100)
    arms = {arm.name: arm for arm in map_points.ARMS}
    mass = {
        name: batch_mass(Batches(arm, Pool(train, made), 1500, 64, 0, batches, rules.get(arm.rule)))
        for name, arm in arms.items()
    }
    for dose in (1 / 8, 1 / 2):
        name = f'g@1/{round(1 / dose)}'
        alone, mixed = mass[name], mass[f'genmix-{name}']
        assert alone['synthetic'] == pytest.approx(dose, abs=0.01)
        assert mixed['synthetic'] == pytest.approx(dose, abs=0.01)
        assert np.abs(np.subtract(alone['labels'], mixed['labels'])).max() < 0.01
    assert mass['classical']['synthetic'] == mass['mixup']['synthetic'] == 0
