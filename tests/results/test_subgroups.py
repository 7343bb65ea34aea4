"""Groups of lesions: who is in one, and that its numbers are those of its lesions alone."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from test_metrics import predictions

from genmix import StudyError
from genmix.data.phantom import plan
from genmix.mixing.arms import arms_for
from genmix.results import compact, subgroups
from genmix.results.bootstrap import bootstrap
from genmix.results.cohorts import Cohorts
from genmix.results.intervals import over_units
from genmix.results.metrics import PRIMARY, full_key

ARMS = arms_for(['oracle'])
MASS = dict(zip((f'mass_{n}' for n in plan.CLASS_NAMES), (0.5, 0.1, 0.4)))


def manifest(counts=(60, 60, 60), seed=100):
    """The test population of a cohort, as a manifest."""
    lesions = plan.plan('test', counts, None, seed)
    lesions['class'] = np.array(plan.CLASS_NAMES)[lesions.label]
    return lesions[['id', 'patient', 'label', 'class', 'subtype', 'diameter_mm', 'slice_mm']]


def guesses(lesions, arm, runs=2, seed=0, worse=()):
    """Predictions of one arm, right in about 80 % of the lesions; in those of subtypes `worse` never."""
    rng, tables = np.random.default_rng(seed), []
    for run in range(runs):
        right = (rng.random(len(lesions)) < 0.8) & ~lesions.subtype.isin(worse).to_numpy()
        named = np.where(right, lesions.label, (lesions.label + 1) % 3)
        p = (np.eye(3)[named] * 0.8 + 0.2 / 3) * list(MASS.values())
        p = pd.DataFrame(p / p.sum(1, keepdims=True), columns=[f'p_{n}' for n in plan.CLASS_NAMES])
        about = {'test_set': 'population', 'arm': arm, 'seed': run, 'fold': 0} | MASS
        tables.append(pd.concat([lesions[['id', 'patient', 'label']], p], axis=1).assign(**about))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope='module')
def lesions():
    return manifest()


@pytest.fixture(scope='module')
def one_run(lesions):
    """(predictions, table) of two arms, of which one never knows a flash-filling hemangioma."""
    both = pd.concat([guesses(lesions, 'classical'), guesses(lesions, 'mixup', seed=1, worse=['flash'])])
    return both, subgroups.of_run(both, lesions, 'population', draws=200)


def value(table, arm, group, label='all', metric=PRIMARY):
    own = table[
        (table.arm == arm) & (table.group == group) & (table.label == label) & (table.metric == metric)
    ]
    return own.iloc[0] if len(own) == 1 else None


def test_groups_divide_the_lesions(lesions):
    found = subgroups.groups(lesions)
    by = pd.Series([name for name, _ in found]).value_counts()
    assert by.to_dict() == {'subtype': 10, 'diameter': 3, 'slice thickness': 2, subgroups.ALL: 1}
    for name in by.index:
        each = [rows for (of, _), rows in found.items() if of == name]
        assert (np.sum(each, 0) == 1).all(), 'each lesion is in one group'
    names = [group for of, group in found if of == 'diameter']
    assert names == ['under 10 mm', '10 to 15 mm', 'over 15 mm']
    assert [group for of, group in found if of == 'slice thickness'] == ['3 mm', '5 mm']
    assert lesions.diameter_mm[found['diameter', '10 to 15 mm']].between(10, 15).all()
    assert set(lesions.label[found['subtype', 'cyst: simple']]) == {0}
    assert list(found)[1:3] == [('subtype', 'cyst: complicated'), ('subtype', 'cyst: simple')]


def test_many_thicknesses_are_three_bands_and_unknown_ones_none():
    table = pd.DataFrame({'label': 0, 'class': 'a', 'slice_mm': [0.7, 1, 2.5, 3, 5, 7, np.nan]})
    found = {group: np.flatnonzero(rows).tolist() for (_, group), rows in subgroups.groups(table).items()}
    assert found[subgroups.ALL] == list(range(7))
    assert found['under 2.5 mm'] == [0, 1] and found['2.5 to 5 mm'] == [2, 3, 4]
    assert found['over 5 mm'] == [5] and len(found) == 4
    assert subgroups.missing(table) == ['subtype', 'diameter_mm']
    assert subgroups.missing(manifest()) == []


def test_a_group_scores_as_its_lesions_do(lesions, one_run):
    both, table = one_run
    own = both[(both.arm == 'mixup') & both.id.isin(lesions.id[lesions.diameter_mm > 15])]
    names = np.array([f'p_{n}' for n in plan.CLASS_NAMES])
    each = []
    for _, run in own.groupby('seed'):
        guess = (run[names].to_numpy() / np.array(list(MASS.values()))).argmax(1)
        each.append(sk.recall_score(run.label, guess, average=None))
    row = value(table, 'mixup', 'over 15 mm')
    assert row['mean'] == pytest.approx(np.mean(each)) and row.lesions == own.id.nunique()
    assert row.patients == own.patient.nunique() and row.low < row['mean'] < row.high
    cyst = value(table, 'mixup', 'over 15 mm', 'cyst', 'sensitivity')
    assert cyst['mean'] == pytest.approx(np.mean(each, 0)[0])


def test_all_lesions_have_the_interval_of_the_results(lesions, one_run):
    both, table = one_run
    row = value(table, 'classical', subgroups.ALL)
    expected = bootstrap(both, 'population', 200).interval('classical', PRIMARY)
    assert (row['mean'], row.low, row.high) == pytest.approx(expected)


def test_a_subtype_that_an_arm_never_knows_is_found(one_run):
    _, table = one_run
    lost, kept = (value(table, arm, 'hemangioma: flash') for arm in ('mixup', 'classical'))
    assert lost['mean'] == 0 and kept['mean'] > 0.5
    own = table[(table.arm == 'mixup') & (table.group == 'hemangioma: flash')]
    assert own.metric.tolist() == [PRIMARY], 'of one class: it is the sensitivity'
    by_subtype = subgroups.summarise(table, 'mixup')[0]
    assert by_subtype.startswith('mixup, by subtype: from 0.0% (hemangioma: flash, ')


def test_few_patients_have_no_interval(lesions):
    few = lesions.subtype.where(lesions.subtype != 'ring', 'nodular')
    few[lesions[lesions.subtype == 'nodular'].index[:3]] = 'rare'
    table = subgroups.of_run(
        guesses(lesions, 'classical'), lesions.assign(subtype=few), 'population', draws=50
    )
    rare, usual = (value(table, 'classical', f'hemangioma: {name}') for name in ('rare', 'nodular'))
    assert rare.lesions == 3 and np.isfinite(rare['mean']) and np.isnan([rare.low, rare.high]).all()
    assert np.isfinite([usual.low, usual.high]).all()


def test_predictions_of_other_lesions_are_refused(lesions):
    with pytest.raises(StudyError, match='No lesion of the population is in the manifest'):
        subgroups.of_run(guesses(lesions, 'classical'), lesions.assign(id='x'), 'population')


def test_the_best_arm_is_no_oracle():
    rows = [('all lesions', 'all lesions', 9, 9, arm, 'all', PRIMARY, mean, 0, 1) for arm, mean in (
        ('classical', 0.7), ('mixup', 0.75), ('oracle@1/8', 0.9), ('genmix-oracle@1/8', 0.8)
    )]  # fmt: skip
    table = pd.DataFrame(rows, columns=subgroups.COLUMNS)
    assert (
        subgroups.best_arm(table, ARMS) == 'mixup' and subgroups.best_arm(table, ARMS, 'real') == 'classical'
    )
    assert subgroups.best_arm(table, ARMS, 'genmix') == ''


def packed(seed):
    own = manifest(seed=seed)
    table = pd.concat([guesses(own, 'classical', 1, seed), guesses(own, 'mixup', 1, seed + 1, ['flash'])])
    names = {'classical': asdict(ARMS['classical']), 'mixup': asdict(ARMS['mixup'])}
    return compact.pack(table, {'cohort': seed, 'class_counts': [60, 60, 60], 'arms': names})


def test_cohorts_are_the_units_where_there_are_several():
    cohorts = Cohorts([packed(seed) for seed in (100, 101, 102)])
    table = subgroups.of_cohorts(cohorts)
    for group in (subgroups.ALL, 'over 15 mm', 'hemangioma: flash'):
        each = []
        for cohort, seed in zip(cohorts.found, (100, 101, 102)):
            own = cohort.predictions().query('arm == "mixup"')
            chosen = next(
                rows for (_, g), rows in subgroups.groups(manifest(seed=seed)).items() if g == group
            )
            one = bootstrap(own[chosen], 'population', 10)
            each.append(one.point['mixup'][full_key(PRIMARY)])
        row = value(table, 'mixup', group)
        expected = over_units(each)
        assert [row['mean'], row.low, row.high] == pytest.approx(
            [expected[name] for name in ('mean', 'low', 'high')]
        )
    with pytest.raises(StudyError, match='One cohort has no interval'):
        subgroups.of_cohorts(Cohorts(cohorts.found[:1]))


def test_phantoms_that_are_drawn_otherwise_now_are_not_taken_for_those_that_were_tested():
    table = predictions({'classical': 0.8}, runs=1, n=90).assign(test_set='population')
    other = compact.pack(table, {'cohort': 100, 'class_counts': [1, 1, 1], 'arms': {}, 'git': 'abc123'})
    with pytest.raises(StudyError, match=r'Cohort 100 was tested on phantoms .*\(abc123\)'):
        subgroups.test_lesions(other)


def test_the_table_in_words_has_a_row_for_each_group_and_metric(one_run):
    _, table = one_run
    wide = subgroups.as_text(table, ['mixup', 'classical'])
    assert list(wide.columns) == ['mixup', 'classical'] and len(wide) == len(table) / 2
    assert wide.index.get_level_values('group')[0] == subgroups.ALL
    flash = wide.xs(('hemangioma: flash', PRIMARY), level=('group', 'metric'))
    assert flash.mixup.item() == '0.0', 'too few patients for an interval'
    large, row = (
        wide.xs(('over 15 mm', 'cyst'), level=('group', 'label')),
        value(table, 'mixup', 'over 15 mm', 'cyst', 'sensitivity'),
    )
    assert (
        large.mixup.item() == f'{100 * row["mean"]:.1f} [{100 * row.low:.1f}, {100 * min(row.high, 1):.1f}]'
    )
