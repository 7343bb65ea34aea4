from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_trials import some

from genmix import StudyError, plots
from genmix.classifier.trials import run_all
from genmix.mixing.arms import arms_for
from genmix.results import tsne
from genmix.results.feature_space import FeatureSpace, Sets, classifier_key, trained_arms
from genmix.results.tsne import TSNEConfig, fit_tsne, panels, real_only, usable
from genmix.run.imports import ROOT, closure

CONFIG = TSNEConfig(shown=9, perplexity=5.0, neighbours=3, seed=0)
ARMS = arms_for(['toy', 'oracle'])


@pytest.fixture
def trained(ready):
    run_all(ready, some('classical', 'toy@1/8', 'genmix-toy@1/8'), workers=1)
    return ready


def test_one_seed_one_picture():
    x = np.random.default_rng(0).normal(size=(40, 6))
    assert np.array_equal(fit_tsne(x, 10, seed=1, init='random'), fit_tsne(x, 10, seed=1, init='random'))
    assert not np.allclose(fit_tsne(x, 10, seed=1, init='random'), fit_tsne(x, 10, seed=2, init='random'))


def test_pictures_keep_neighbours_and_adapt_to_few_points():
    groups = np.repeat([0, 1], 30)
    at = fit_tsne(np.random.default_rng(0).normal(size=(60, 5)) + 50 * groups[:, None], 10)
    nearest = np.argsort(np.linalg.norm(at[:, None] - at, axis=-1), axis=1)[:, 1:4]
    assert (groups[nearest] == groups[:, None]).all()
    assert usable(30, 7) == 2 and usable(30, 1000) == 30
    assert np.isfinite(fit_tsne(np.random.default_rng(0).normal(size=(7, 3)))).all()
    assert fit_tsne(np.ones((9, 3))).tolist() == [[0, 0]] * 9 and fit_tsne(np.eye(3)).shape == (3, 2)


def test_features_are_in_units_of_the_training_lesions(trained):
    sets = Sets.load(trained, ['toy'])
    features = FeatureSpace(trained, ARMS['classical'], sets.training)(sets.training.images)
    sd = features.std(0)
    assert np.abs(features.mean(0)).max() < 1e-3 and np.allclose(sd[sd > 1e-3], 1, atol=1e-3)


def test_a_picture_holds_every_heldout_lesion_and_a_sample_of_the_rest(trained):
    sets = Sets.load(trained, ['toy'])
    images, table = sets.pictured(['toy'], ['toy'], 9, training=True)
    assert table.source.value_counts().to_dict() == {
        'held-out': len(sets.heldout),
        'training': 9,
        'toy': 9,
        'genmix-toy': 9,
    }
    assert np.array_equal(images[: len(sets.heldout)], sets.heldout.images) and len(images) == len(table)
    soft = table.filter(like='y_')
    assert list(soft) == ['y_cyst', 'y_hemangioma', 'y_metastasis'] and np.allclose(soft.sum(1), 1, atol=1e-5)
    assert (soft[table.kind != 'mixed'].max(axis=1) == 1).all() and (
        soft[table.kind == 'mixed'].max(axis=1) < 1
    ).any()
    assert set(sets.pictured([], [], 9)[1].source) == {'held-out'}


def test_a_panel_is_kept_until_its_network_changes(trained, capsys):
    sets = Sets.load(trained, ['toy'])
    points, numbers = tsne.panel(trained, ARMS['genmix-toy@1/8'], sets, CONFIG)
    assert set(points.kind) == {'real', 'synthetic', 'mixed'} and np.isfinite(
        points[['tsne_1', 'tsne_2']]
    ).all(axis=None)
    assert list(numbers.columns) == tsne.COLUMNS and set(numbers.metric) == {
        'neighbour_agreement',
        'mixing_rate',
        'mixing_rate_training',
    }
    assert not numbers.duplicated(['metric', 'source', 'label']).any() and set(numbers.arm) == {
        'genmix-toy@1/8'
    }
    key = trained.key('embedding/genmix-toy@1of8')
    tsne.panel(trained, ARMS['genmix-toy@1/8'], sets, CONFIG)
    assert trained.key('embedding/genmix-toy@1of8') == key
    run_all(trained, some('classical', 'toy@1/8', 'genmix-toy@1/8', mixup_off=0.5), workers=1)
    tsne.panel(trained, ARMS['genmix-toy@1/8'], sets, CONFIG)
    assert trained.key('embedding/genmix-toy@1of8') != key


def test_a_network_of_real_images_is_asked_about_every_generator(trained):
    sets = Sets.load(trained, ['toy'])
    points, numbers = tsne.panel(trained, ARMS['classical'], sets, CONFIG)
    assert set(points.source) == {'held-out'} and set(numbers.source) == {'held-out', 'training', 'toy'}
    assert set(tsne.common(trained, ARMS['classical'], sets, CONFIG).source) == {
        'held-out',
        'training',
        'toy',
        'genmix-toy',
    }
    others = tsne.views(trained, ARMS['classical'], sets, CONFIG)
    assert len(others) == 2 and all(len(v) == len(points) for v in others.values())
    tsne.save(trained, numbers)
    read = pd.read_csv(trained.folder / 'embedding' / 'neighbours.csv')
    assert np.allclose(read.value, numbers.value, equal_nan=True) and trained.key('embedding')


def test_arms_that_are_not_there_are_left_out_with_a_line(trained, capsys):
    there = trained_arms(trained)
    names = ('classical', 'toy@1/8', 'genmix-toy@1/8')
    assert there == {name: replace(ARMS[name], steps=3) for name in names}
    others = ('mixup-toy@1/8', 'toy@1/2', 'genmix-toy@1/2', 'genmix-toy@1/8-balanced', 'genmix-toy-offline')
    assert panels(['all'], there) == there == panels(['all'], there | {name: ARMS[name] for name in others})
    assert list(panels(['toy@1/8', 'mixup'], there)) == ['toy@1/8']
    assert 'mixup is left out' in capsys.readouterr().out
    for names in (['none', 'genmix-toy@1/8'], ['oracle@1/8']):
        assert list(panels(['all'], {name: ARMS[name] for name in names})) == names
    assert real_only(['toy@1/8']) == ''
    with pytest.raises(StudyError, match='None of the panels oversample.*classical'):
        panels(['oversample'], there)


def test_a_network_that_does_not_stand_is_not_shown(trained):
    (trained.folder / 'classifiers' / 'toy@1of8' / 'config.json').unlink()
    config = trained.folder / 'classifiers' / 'genmix-toy@1of8' / 'config.json'
    config.write_text(config.read_text().replace(classifier_key(trained, ARMS['genmix-toy@1/8']), 'another'))
    assert list(trained_arms(trained)) == ['classical']


def test_figures_draw_what_they_are_given(trained):
    sets = Sets.load(trained, ['toy'])
    found = {
        arm: tsne.panel(trained, ARMS[arm], sets, CONFIG)
        for arm in ('classical', 'toy@1/8', 'genmix-toy@1/8')
    }
    numbers, names = pd.concat([n for _, n in found.values()]), sets.heldout.class_names
    fig = plots.tsne_panels({arm: p for arm, (p, _) in found.items()}, names, {'toy@1/8': 'a\nb'})
    titles = ['classical', 'toy @1/8', 'GenMix toy @1/8']
    panels = [ax for ax in fig.axes if ax.axison]
    assert [ax.get_title() for ax in panels] == titles and panels[1].get_xlabel() == 'a\nb'
    drawn = [sum(len(c.get_offsets()) for c in ax.collections) for ax in panels]
    assert drawn == [len(p) for p, _ in found.values()] and 'triangles synthetic' in fig.alt
    together = tsne.common(trained, ARMS['classical'], sets, CONFIG)
    fig = plots.tsne_sources(together, names)
    assert [len(ax.collections[0].get_offsets()) for ax in fig.axes] == [len(together)] * 4
    assert [len(ax.collections[1].get_offsets()) for ax in fig.axes] == together.source.value_counts(
        sort=False
    ).tolist()
    assert isinstance(plots.neighbour_statistics(numbers, names), Figure)
    assert isinstance(plots.nearest_lesions(sets.heldout, [0, 1], np.array([[1, 2], [0, 2]]), names), Figure)


def test_a_class_called_none_keeps_its_name(tmp_path):
    table = pd.DataFrame({'label': ['all', 'None', 'NA', 'null', 'nan'], 'low': [0.1, np.nan, 0.3, 0.4, 0.5]})
    table.to_csv(tmp_path / 'x.csv', index=False)
    pd.testing.assert_frame_equal(tsne._read(tmp_path / 'x.csv'), table)


def test_a_panel_depends_on_the_code_that_makes_its_numbers():
    found = {file.relative_to(ROOT / 'genmix').as_posix() for file in closure([Path(tsne.__file__)])}
    assert {'audit/fidelity.py', 'results/neighbours.py', 'classifier/trials.py'} <= found
