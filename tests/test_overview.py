from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, blobs
from genmix import StudyError, generators, mixed, overview, plan, trials
from genmix.arms import Arm, Mixture
from genmix.study import Study

REGIME = trials.Regime(steps=1, vgg_width=1 / 16)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run with two generators, each with its GenMix set, and the kept classifiers of genmix-b and classical (untrained)."""
    study, train, made = Study('over', tmp_path_factory.mktemp('home')), blobs(), {}
    for i, name in enumerate('ab'):
        images = replace(blobs((8, 8, 8), seed=i + 1), source=name, extra=pd.DataFrame({'split': [train.fingerprint] * 24}))
        study.stage(generators.stage_name('synthetic', name), images.save, {'name': name})
        made[name] = images, mixed.make(study, train, images, 90, .4, 'balanced', 'either', seed=i)
    study.sign('mixed', {f'mixed/{name}{fold}': 'key' for name in 'ab' for fold in ('', '-f1')})
    for arm in (Arm('classical'), Arm('genmix-b', mixing='genmix', generator='b')):
        trials.keep_weights(study, trials.Trial(arm, 0, 0, REGIME, Mixture()), trials.classifier_for(REGIME, train), np.ones(3))
    return study, train, made


def test_sets_are_those_of_the_first_fold(finished):
    study, train, made = finished
    found = overview.sets(study, train)
    assert list(found) == ['a', 'b'] and all(np.array_equal(found[g][1].x, made[g][1].x) for g in 'ab')


def test_a_trail_is_one_real_lesion_mixed_with_another_class(finished):
    study, train, made = finished
    for seed in range(5):
        trails = overview.trails(study, train, made, seed)
        assert [t.network for t in trails] == ['classical', 'genmix-b'] and len({t.real for t in trails}) == 1
        for t in trails:
            synthetic, mix = made[t.generator]
            assert (mix.a[t.mixture], mix.b[t.mixture], mix.lam[t.mixture]) == (t.real, t.synthetic, t.lam)
            others = (mix.a == t.real) & (synthetic.labels[mix.b] != train.labels[t.real])
            if others.any():       # with another class, and of those the nearest to 0.6
                assert others[t.mixture] and abs(t.lam - .6) == np.abs(mix.lam[others] - .6).min()
        assert abs(trails[0].lam - .6) <= .15
    assert len({overview.trails(study, train, made, seed)[0].real for seed in range(9)}) > 1


def test_what_the_network_says_is_what_it_says_of_these_images(finished):
    study, train, made = finished
    trails = overview.trails(study, train, made)
    rows = overview.follow(study, train, made, trails)
    assert list(rows) == ['a, by\nclassical', 'b, by\ngenmix-b']
    t, (real, synthetic, mixture) = trails[1], rows['b, by\ngenmix-b']
    images, mix = made['b']
    assert np.array_equal(real[1], train.images[t.real]) and np.array_equal(synthetic[1], images.images[t.synthetic]) and np.array_equal(mixture[1], mix.x[t.mixture])
    assert mixture[2] == pytest.approx(t.lam * real[2] + (1 - t.lam) * synthetic[2], abs=1e-6) and mixture[3].sum() == pytest.approx(1, abs=1e-5)
    table = overview.table(train, made, trails, rows)
    assert list(table.step) == ['real', 'synthetic', 'mixture'] * 2 and table.lam.notna().sum() == 2 and table.id[3] == train.ids[t.real]
    assert table.p_small[5] == pytest.approx(mixture[3][0], abs=1e-4)


def test_what_is_missing_is_named_with_its_target(study):
    train = blobs()
    with pytest.raises(StudyError, match='make 07_genmix RUN=test'):
        overview.sets(study, train)
    with pytest.raises(StudyError, match='make 08_classification RUN=test'):
        overview.trails(study, train, {})


def test_words_count_what_neither_parent_has():
    row = [('real', None, None, None), ('synthetic', None, None, None), ('mixture', None, np.array([.6, 0, .4]), np.array([.1, .7, .2]))]
    assert overview.in_words({'g, by\nx': row}, ('cyst', 'knot', 'spot')) == [
        'g: the label of the mixture says 60% cyst and 40% spot, the network 70% knot; to classes that neither parent has it gives 70%']


def test_times_are_the_longest_of_each_notebook(study):
    assert overview.seconds(study).empty and overview.in_minutes(overview.seconds(study).get('01_a')) == '-'
    for stage, seconds in (('notebook 01_a', 130.), ('cohort', 900.), ('notebook 01_a', 5.), ('notebook 02_b', 59.)):
        study.note_time(stage, seconds)
    assert overview.seconds(study).to_dict() == {'01_a': 130., '02_b': 59.}
    assert [overview.in_minutes(s) for s in overview.seconds(study)] == ['2', 'under 1']


def test_every_notebook_asks_a_question():
    assert all(overview.question(nb).endswith('?') for nb in plan.notebooks(ROOT / 'notebooks'))
