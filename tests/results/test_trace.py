from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import blobs
from test_arms import configured
from test_trials import REGIME

from genmix import StudyError
from genmix.classifier import trials, vgg
from genmix.mixing import dataset
from genmix.mixing.arms import arms_for
from genmix.results import trace
from genmix.run.study import Study, stage_name


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run with two generators, their GenMix sets, and untrained classifiers of genmix-b and classical."""
    study, train, made = Study('over', tmp_path_factory.mktemp('home')), blobs(), {}
    batches, rules = configured()
    for i, name in enumerate('ab'):
        images = replace(
            blobs((8, 8, 8), seed=i + 1), source=name, extra=pd.DataFrame({'split': [train.fingerprint] * 24})
        )
        study.stage(stage_name('synthetic', name), images.save, {'name': name})
        made[name] = images, dataset.make_set(study, train, images, 90, rules['genmix'], seed=i)
    study.sign('mixed', {f'mixed/{name}{fold}': 'key' for name in 'ab' for fold in ('', '-f1')})
    arms = [arms_for('ab')[name] for name in ('classical', 'genmix-b@1/8')]
    for arm in arms:
        rule = vars(rules['genmix']) if arm.rule else {}
        trial = trials.Trial(arm=arm, seed=0, regime=REGIME, batches=batches, rule=rule)
        trials.save_classifier(
            study, trial, trial.key(study), vgg.build_classifier(REGIME, train), np.ones(3)
        )
    study.sign('predictions', {'arms': {arm.name: vars(arm) for arm in arms}})
    return study, train, made


def test_sets_are_those_of_the_first_fold(finished):
    study, train, made = finished
    found = trace.sets(study, train)
    assert list(found) == ['a', 'b'] and all(np.array_equal(found[g][1].x, made[g][1].x) for g in 'ab')


def test_a_trail_is_one_real_lesion_mixed_with_another_class(finished):
    study, train, made = finished
    for seed in range(5):
        trails = trace.choose_traces(study, train, made, seed)
        assert [t.network for t in trails] == ['classical', 'genmix-b@1/8'] and len(
            {t.real for t in trails}
        ) == 1
        for t in trails:
            synthetic, mix = made[t.generator]
            assert (mix.a[t.mixture], mix.b[t.mixture], mix.lam[t.mixture]) == (t.real, t.synthetic, t.lam)
            others = (mix.a == t.real) & (synthetic.labels[mix.b] != train.labels[t.real])
            if others.any():  # with another class, and of those the nearest to 0.6
                assert others[t.mixture] and abs(t.lam - 0.6) == np.abs(mix.lam[others] - 0.6).min()
        assert abs(trails[0].lam - 0.6) <= 0.15
    assert len({trace.choose_traces(study, train, made, seed)[0].real for seed in range(9)}) > 1


def test_what_the_network_says_is_what_it_says_of_these_images(finished):
    study, train, made = finished
    trails = trace.choose_traces(study, train, made)
    rows = trace.follow(study, train, made, trails)
    assert list(rows) == ['a, by\nclassical', 'b, by\ngenmix-b@1/8']
    t, (real, synthetic, mixture) = trails[1], rows['b, by\ngenmix-b@1/8']
    images, mix = made['b']
    assert (
        np.array_equal(real[1], train.images[t.real])
        and np.array_equal(synthetic[1], images.images[t.synthetic])
        and np.array_equal(mixture[1], mix.x[t.mixture])
    )
    assert mixture[2] == pytest.approx(t.lam * real[2] + (1 - t.lam) * synthetic[2], abs=1e-6) and mixture[
        3
    ].sum() == pytest.approx(1, abs=1e-5)
    table = trace.trace_table(train, made, trails, rows)
    assert (
        list(table.step) == ['real', 'synthetic', 'mixture'] * 2
        and table.lam.notna().sum() == 2
        and table.id[3] == train.ids[t.real]
    )
    assert table.p_small[5] == pytest.approx(mixture[3][0], abs=1e-4)


def test_what_is_missing_is_named_with_its_target(study):
    train = blobs()
    with pytest.raises(StudyError, match='make 07_genmix RUN=test'):
        trace.sets(study, train)
    with pytest.raises(StudyError, match='make 08_classification RUN=test'):
        trace.choose_traces(study, train, {})


def test_words_count_what_neither_parent_has():
    row = [
        ('real', None, None, None),
        ('synthetic', None, None, None),
        ('mixture', None, np.array([0.6, 0, 0.4]), np.array([0.1, 0.7, 0.2])),
    ]
    assert trace.summarise_trace({'g, by\nx': row}, ('cyst', 'knot', 'spot')) == [
        'g: the label of the mixture is 60% cyst and 40% spot, the network predicts 70% knot; '
        'classes that neither parent has get 70%'
    ]


def test_times_are_the_longest_of_each_notebook(study):
    assert (
        trace.notebook_seconds(study).empty
        and trace.in_minutes(trace.notebook_seconds(study).get('01_a')) == '-'
    )
    for stage, seconds in (
        ('notebook 01_a', 130.0),
        ('cohort', 900.0),
        ('notebook 01_a', 5.0),
        ('notebook 02_b', 59.0),
        ('notebook A7_c', 40.0),
    ):
        study.note_time(stage, seconds)
    assert trace.notebook_seconds(study).to_dict() == {'01_a': 130.0, '02_b': 59.0}
    assert [trace.in_minutes(s) for s in trace.notebook_seconds(study)] == ['2', 'under 1']
