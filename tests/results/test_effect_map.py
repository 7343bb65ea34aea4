"""Effects, places and sentences of the map, on a table with known effects."""

import numpy as np
import pytest
from map_examples import ARMS, made_up

from genmix.results import effect_map
from genmix.results.effect_map import EFFECTS, PLACES, at_places, checks, effects_of, summarise_map, surfaces
from genmix.results.map_space import NAMES

EXACT = made_up(40, sd=0)


def test_effects_are_differences_of_arms_of_one_cohort():
    table = made_up(20)
    found = effects_of(table.sample(frac=1, random_state=0))
    own = table[table.cohort == 9107].set_index('arm')
    assert len(found) == 20 and list(found) == [*NAMES, *EFFECTS]
    assert found.loc[9107, NAMES].to_dict() == own[NAMES].iloc[0].to_dict()
    for metric in ('balanced_accuracy', 'argmax'):
        wanted = own[metric]['genmix-g@1/2'] - own[metric]['g@1/2']
        assert effects_of(table, metric).loc[9107, 'mixing at dose 1/2'] == pytest.approx(wanted)
    assert {arm for weights in EFFECTS.values() for arm in weights} == set(ARMS)
    assert all(list(weights.values()) == [1, -1] for weights in EFFECTS.values())
    assert effect_map.formula('synthesis given mixing') == 'genmix-g@1/8 − mixup'


def test_surfaces_say_what_was_put_in():
    found = surfaces(EXACT)
    same, more = found['mixing at dose 1/8'], found['mixing at dose 1/2']
    assert same.profile('blur')['mean'].to_numpy() == pytest.approx(-0.01)
    assert more.profile('lesions', 3)['mean'].to_numpy() == pytest.approx([-0.06, -0.04, -0.02])
    assert found['synthesis without mixing'].change('label_noise')['mean'] == pytest.approx(-0.03)
    assert found['synthesis without mixing'].change('modes')['mean'] == pytest.approx(0, abs=1e-9)


def test_places_are_the_ends_of_the_defects():
    found = at_places(surfaces(EXACT)['synthesis without mixing'])['mean']
    wanted = {name: 0.015 * (-1 if 'wrong' in name or name == 'all three' else 1) for name in PLACES}
    assert found.to_dict() == pytest.approx(wanted)


def test_checks_are_in_points_of_each_effect_and_model():
    found = checks(made_up(90, sd=0.01))
    assert list(dict.fromkeys(found.index.get_level_values('effect'))) == list(EFFECTS)
    assert found.error['mixing at dose 1/8', 'mean'] == pytest.approx(1, abs=0.2)
    assert (
        found.explained['mixing at dose 1/2', 'quadratic'] > 0.3 > found.explained['mixing at dose 1/8'].max()
    )


def test_sentences_have_the_averages_and_no_verdicts():
    lines = summarise_map(made_up(90, sd=0.01))
    assert len(lines) == len(EFFECTS)
    assert lines[0].startswith('mixing at dose 1/8 (`genmix-g@1/8 − g@1/8`), 90 cohorts: on average')
    mean = surfaces(made_up(90, sd=0.01))['mixing at dose 1/2']
    found = mean.at(mean.averaged()[None]).iloc[0]
    assert f'{100 * found["mean"]:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]' in lines[1]
    assert (
        'P(effect < −1) = 1.00' in lines[1] and 'lesions of the rarest class from 5 to 100: +4.' in lines[1]
    )
    assert not [
        word for word in ('higher', 'lower', 'equivalent', 'undecided', 'helps') if word in str(lines)
    ]


def test_a_map_that_is_not_measured_is_said_in_one_sentence():
    assert summarise_map(None) == [effect_map.NOT_MEASURED] and surfaces(None) == {}
    assert np.char.count(effect_map.NOT_MEASURED, '.') == 1 and 'make map' in effect_map.NOT_MEASURED
