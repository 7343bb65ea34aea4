"""Equal tuning and data-size curves, at smoke size: the real trainings of a dev cohort, of few steps."""

import pandas as pd
import pytest
from conftest import ROOT

from genmix.appendix import data_size, dev_sets, regime, tuning
from genmix.generators import PAPER
from genmix.mixing.arms import DOSES, settings
from genmix.results import data_size_parts, protocol
from genmix.results.contrasts import METHODS, SETTING, best_other, tuned
from genmix.run.notebooks import notebooks
from genmix.run.profile import read_profile, resolve

LENGTHS, GENERATORS = (1, 2), ['dcgan', 'oracle']


@pytest.fixture
def counted(monkeypatch):
    """Calls of what takes long: {name: how often}."""
    calls = dict.fromkeys(('fits', 'classifiers', 'references'), 0)

    def count(owner, name, key):
        real = getattr(owner, name)

        def counting(*args, **kwargs):
            calls[key] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(dev_sets, 'sample_set', 'fits')
    count(regime, 'train_arm', 'classifiers')
    count(data_size, 'train_reference', 'references')
    return calls


@pytest.mark.parametrize('name', ['A5_tuning', 'A6_data_size'])
def test_make_asks_for_the_generators_of_the_paper_by_name(name):
    """`generators: [all]` of the profile is for the study, with its oracle: it must not reach these."""
    every = notebooks(ROOT / 'notebooks', appendices=True)
    (notebook,) = (nb for nb in every if nb.name == name)
    asked = resolve(read_profile(ROOT / 'params' / 'cpu.yaml'), {}, every)[name]
    names = asked.get('generators_tried', notebook.parameters['generators_tried'].default)
    assert tuple(names) == PAPER and 'generators' not in notebook.parameters


def test_each_method_has_as_many_settings():
    every = settings(['<g>'], (350, 1000))
    counts = {name: sum(arm.kind in kinds for arm in every) for name, kinds in METHODS.items()}
    assert counts == {'genmix': 8, 'synthetic': 8, 'none': 8}
    assert len({arm.name for arm in every}) == 24 and all(arm.tuned for arm in every)
    for a, b in zip(*([s for s in every if s.kind == kind] for kind in ('genmix', 'synthetic'))):
        assert (a.dose, a.balance, a.steps) == (b.dose, b.balance, b.steps) and a.dose in DOSES


def test_a_tuning_shares_its_generators_and_goes_on_where_it_was(study, counted):
    table = tuning.run(study, 1, GENERATORS, LENGTHS, 'smoke', workers=1)
    assert list(table.columns) == tuning.COLUMNS and len(table) == len(settings(GENERATORS, LENGTHS)) == 40
    assert counted == {'fits': 2, 'classifiers': 40, 'references': 0}
    assert set(table.cohort) == {9000} and table[['balanced_accuracy', 'macro_auc']].notna().all(axis=None)
    assert table.groupby(SETTING).generator.nunique().loc[['genmix', 'synthetic']].eq(2).all()
    again = tuning.run(study, 1, GENERATORS, LENGTHS, 'smoke', workers=1)
    pd.testing.assert_frame_equal(table, again)
    assert counted['classifiers'] == 40
    tuning.run(study, 2, GENERATORS, LENGTHS, 'smoke', workers=1)
    assert counted == {'fits': 4, 'classifiers': 80, 'references': 0}
    best = {name: tuned(table, name).balanced_accuracy for name in METHODS}
    assert best_other(table).balanced_accuracy == max(best['synthetic'], best['none'])
    assert set(protocol.settings_lines(table)) == {*protocol.METHODS.values(), protocol.BEST}


def test_data_size_curves_use_the_sets_of_the_tuning(study, counted):
    dev_sets.make_sets(study, 2, GENERATORS, [0.7], 'smoke', workers=1)
    table = data_size.run(study, 2, GENERATORS, [0.5, 0.7], 'smoke', workers=1)
    assert counted == {'fits': 8, 'classifiers': 0, 'references': 8}
    assert list(table.columns) == data_size.COLUMNS and len(table) == 8
    lesions = table.groupby('train_fraction').lesions.mean()
    assert lesions[0.5] < lesions[0.7]
    assert table.tstr.between(0, 1).all() and table.coverage.between(0, 1).all()
    oracle = table[table.generator == 'oracle'].coverage.mean()
    assert oracle > table[table.generator == 'dcgan'].coverage.mean()
    found = pd.DataFrame(data_size_parts.changes(table))
    assert set(found.metric) == {'tstr', 'coverage', 'kid', 'diversity'} and (found.n == 2).all()
    data_size.run(study, 2, GENERATORS, [0.5, 0.7], 'smoke', workers=1)
    assert counted['references'] == 8


def test_dev_cohorts_share_no_patient_with_their_test_lesions_and_nest(study):
    for seed in (9000, 9001):
        dev_sets.draw(study.run, study.home, seed, 'smoke')
    small, large = (dev_sets.training_split(study, 9000, f, 'smoke') for f in (0.5, 0.7))
    assert set(small.patients) < set(large.patients)
    others = {*dev_sets.test_lesions(study, 9000).patients, *dev_sets.test_lesions(study, 9001).patients}
    assert not others & set(large.patients) and len(others) > 20
