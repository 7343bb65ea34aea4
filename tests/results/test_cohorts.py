import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from conftest import blobs
from sklearn import metrics as sk
from test_compact import NAMES, about, population
from test_metrics import predictions

from genmix import StudyError
from genmix.generators import PAPER
from genmix.mixing.arms import arms_for
from genmix.results import calibration, compact, measured, metrics
from genmix.results.cohorts import Cohorts, arm_outcomes, compact_card, pack_run, place
from genmix.results.contrasts import declared
from genmix.results.intervals import over_units, predicted
from genmix.results.metrics import full_key
from genmix.results.verdicts import EVERY, contrasts_table, primary

ARMS = arms_for([*PAPER, 'oracle'])


def made_up(rates, seeds=range(100, 108), arms=ARMS, sd=0.01):
    """Cohorts whose arms are right in the share of lesions that `rates(arm)` says, give or take `sd`."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        own = {name: rates(arm) + sd * rng.normal() for name, arm in arms.items()}
        table = predictions(own, runs=1, n=450, patients=200, seed=seed).assign(test_set='population')
        about = {'cohort': seed, 'class_counts': [1, 1, 1], 'arms': {n: asdict(a) for n, a in arms.items()}}
        found.append(compact.pack(table, about))
    return Cohorts(found)


def true_rate(arm):
    """An oracle that helps, the more the better; a generator of noise that harms, diluted by mixing."""
    dose = 4 * arm.dose / (4 if arm.kind == 'genmix' and arm.generator == 'dcgan' else 1)
    return 0.7 + {'oracle': 0.06, 'dcgan': -0.08}.get(arm.generator, 0) * dose


@pytest.fixture(scope='module')
def cohorts():
    return made_up(true_rate)


@pytest.fixture(scope='module')
def compared(cohorts):
    """(declared contrasts, exploratory ones) over these cohorts."""
    return cohorts.contrasts()


def test_outcomes_of_an_arm_are_those_of_its_predictions():
    arms = arms_for()
    table = metrics.reweigh(population(arms, n=600), pd.Series([676, 130, 484]))
    scaled = calibration.scale(table, NAMES)
    found = arm_outcomes(compact.pack(scaled, about(arms)))
    long = (
        metrics.metrics_table(scaled, arms).query('label == "all"').set_index(['arm', 'metric', 'rule']).value
    )
    for arm in arms:
        for rule in metrics.RULES:
            exact = long[arm, 'balanced_accuracy', rule]
            assert found[arm][full_key('balanced_accuracy', rule)] == pytest.approx(exact, abs=5e-4)
        assert found[arm][full_key('macro_auc')] == pytest.approx(long[arm, 'macro_auc', ''], abs=5e-4)
        assert found[arm][full_key('nll_scaled')] == pytest.approx(long[arm, 'nll_scaled', ''], abs=1e-3)


def test_the_interval_is_students_over_the_values_of_the_cohorts(cohorts, compared):
    table, explored = compared
    assert len(cohorts) == 8 and set(table.n) == set(table.cohorts) == {8}
    row = primary(table).set_index('contrast').loc['synthesis given mixing']
    each = []
    for cohort in cohorts.found:
        own = cohort.predictions()
        score = {
            a: sk.balanced_accuracy_score(t.label, t[['p_a', 'p_b', 'p_c']].to_numpy().argmax(1))
            for a, t in own.groupby('arm')
        }
        each.append(np.mean([score[f'genmix-{g}@1/8'] for g in PAPER]) - score['mixup'])
    expected = over_units(each)
    assert (row['mean'], row.low, row.p) == pytest.approx((expected['mean'], expected['low'], expected['p']))
    assert row.superiority == np.mean(np.array(each) > 0)
    assert set(explored.verdict) == {''} and set(explored.gate) == {0}


def test_the_oracle_and_a_harmful_generator_come_out_as_they_must(compared):
    """The oracle beats real images, and more of it more; noise harms; to dilute it is a gain of mixing, for
    that generator and for no other."""
    table, explored = compared
    pairs = primary(explored).set_index(['a', 'b'])
    assert (
        pairs.loc[('oracle@1/2', 'oracle@1/8'), 'low'] > 0
        and pairs.loc[('oracle@1/8', 'classical'), 'mean'] > 0
    )
    assert pairs.loc[('dcgan@1/2', 'dcgan@1/8'), 'high'] < 0
    words = primary(table).set_index('contrast').verdict
    assert words['mixing, dcgan'] == 'higher' and words[EVERY] == 'undecided'
    assert words[[f'mixing, {g}' for g in PAPER if g != 'dcgan']].isin(['equivalent', 'undecided']).all()


def test_arms_that_are_all_alike_are_equivalent():
    few = arms_for(PAPER[:2])
    table, _ = made_up(lambda arm: 0.7, range(200, 216), few, sd=0.002).contrasts()
    assert (
        primary(table).verdict.iloc[0] == 'equivalent' and not table.verdict.isin(['higher', 'lower']).any()
    )


def test_files_are_read_by_seed_and_share_their_arms(cohorts, tmp_path):
    for cohort in cohorts.found[::-1][:3]:
        cohort.save(tmp_path / f'cohort-{cohort.about["cohort"]}.npz')
    again = Cohorts.read(tmp_path)
    assert [c.about['cohort'] for c in again.found] == [105, 106, 107] and list(again.arms) == list(ARMS)
    fewer = {n: a for n, a in ARMS.items() if a.generator != 'diffusion'}
    mixed = Cohorts([*again.found[:1], *made_up(true_rate, [300], fewer).found])
    assert set(mixed.arms) == set(fewer)
    assert mixed.contrasts()[0].n.tolist()[0] == 2
    with pytest.raises(StudyError, match='One cohort has no interval'):
        Cohorts(again.found[:1]).contrasts()


def test_a_run_is_placed_among_the_cohorts(cohorts):
    own = declared(cohorts.arms)
    one = made_up(true_rate, [500])
    inside = contrasts_table(
        own, lambda w, m, r: over_units(np.repeat(one.values(w, m, r), 2)), 2, 1, 'population'
    )
    lines = place(primary(inside), own, cohorts)
    low, high = (100 * v for v in predicted(cohorts.values(own[0].weights, 'balanced_accuracy', 'prior')))
    assert len(lines) == len(own)
    assert (
        f'from {low:+.1f} to {high:+.1f} in which 95 of 100 new cohorts are expected (8 cohorts)' in lines[0]
    )
    assert ', inside the range' in lines[0]
    far = inside.assign(mean=inside['mean'] + 0.3)
    assert all(', outside the range' in line for line in place(primary(far), own, cohorts))
    (line,) = place(primary(inside), own, Cohorts([]))
    assert line.startswith('The long run has 0 cohorts so far')


def test_a_finished_run_is_packed_with_what_it_was_made_of(study, tmp_path):
    """From predictions and provenance of a run folder: the scaled predictions of its population."""
    arms = {n: a for n, a in ARMS.items() if not a.generator}
    table, folder = population(arms, n=90), study.path('predictions', 'x').parent
    for arm, own in table.groupby('arm'):
        columns = ['id', 'patient', 'label', *(f'p_{c}' for c in NAMES), 'test_set']
        own[columns].to_csv(folder / f'{arm}-s0-f0.csv.gz', index=False)
        trial = {'arm': arm, 'seed': 0, 'fold': 0, 'mass': [0.5, 0.1, 0.4]}
        (folder / f'{arm}-s0-f0.json').write_text(json.dumps(trial))
    study.sign('predictions', {'arms': {n: asdict(a) for n, a in arms.items()}}, files=[])
    study.path('cohort', 'x')
    blobs().save(study.folder / 'cohort')
    pd.DataFrame({'id': []}).to_csv(study.folder / 'cohort' / 'splits.csv', index=False)
    study.sign('cohort', {'seed': 107})
    asked = 'profile: cpu\nset: {cohort_seed: 107, data_dir: /home/somebody/images}\n'
    asked += 'notebooks: {01_data: {seed: 107, data_dir: /home/somebody/images}}\n'
    (study.folder / 'params.yaml').write_text(asked + 'files: {/home/somebody/images: 8f11}\n')
    found = pack_run(study, set={'name': 'mine'})
    assert found.about['cohort'] == 107 and found.about['class_counts'] == [20, 10, 15]
    kept = {'profile': 'cpu', 'set': {'cohort_seed': 107}, 'notebooks': {'01_data': {'seed': 107}}}
    assert found.about['params'] == kept | {'files': ['8f11']}
    assert found.about['set'] == {'name': 'mine'} and found.about['source'] == 'blobs'
    assert set(found.about['arms']) == set(arms) and found.about['packages']['numpy'] == np.__version__
    weighed = metrics.reweigh(
        table.assign(**dict(zip([f'mass_{c}' for c in NAMES], [0.5, 0.1, 0.4]))), pd.Series([20, 10, 15])
    )
    scaled = calibration.scale(weighed, NAMES).query('arm == "mixup"')
    i = found.trials.index(('mixup', 0, 0))
    assert found.temperature[i] == pytest.approx(scaled.temperature.iloc[0], rel=1e-5)


def test_a_card_is_kept_with_four_digits():
    card = pd.DataFrame({'generator': ['dcgan'], 'metric': ['kid'], 'value': [1.234567], 'low': [np.nan]})
    assert compact_card(card) == {'generator': ['dcgan'], 'metric': ['kid'], 'value': [1.235], 'low': [None]}


def test_cohorts_and_tuning_are_read_where_they_are_committed(project, monkeypatch):
    """Phantoms alone have a long run to stand beside; a file that is not there yet is no error."""
    monkeypatch.chdir(project)
    assert len(measured.cohorts()) == 0 and measured.tuning() is None
    (project / 'measured' / 'study').mkdir(parents=True)
    made_up(true_rate, [104], arms_for()).found[0].save(project / 'measured' / 'study' / 'cohort-104.npz')
    assert [c.about['cohort'] for c in measured.cohorts().found] == [104] and len(measured.cohorts('ct')) == 0
    table = 'method,dose,balance,steps,balanced_accuracy\ngenmix,0.125,natural,350,0.75\n'
    (project / 'measured' / 'tuning.csv').write_text(table)
    assert measured.tuning().dose.tolist() == [0.125]
