import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from genmix import StudyError
from genmix.mixing.arms import Arm, arms_for
from genmix.results import metrics
from genmix.results.measured import read_table
from genmix.results.metrics import (
    decide,
    from_confusion,
    full_key,
    metrics_table,
    read_predictions,
    reweigh,
    score,
    weighted_auc,
)


def predictions(arms, runs=4, n=300, patients=100, seed=0, noise=0.25):
    """A predictions table: {arm: how often it is right}, `runs` x `n` lesions, the same for every arm."""
    rng = np.random.default_rng(seed)
    y, who = rng.integers(0, 3, n), rng.integers(0, patients, n)
    chance = rng.random((runs, n))
    tables = []
    for arm, right in arms.items():
        for s in range(runs):
            guess = np.where(chance[s] < right, y, (y + 1) % 3)
            p = np.eye(3)[guess] * 0.6 + rng.dirichlet([1, 1, 1], n) * 0.4
            table = pd.DataFrame(p / p.sum(1, keepdims=True), columns=['p_a', 'p_b', 'p_c'])
            tables.append(
                table.assign(
                    id=[f'L{i}' for i in range(n)],
                    patient=[f'P{w}' for w in who],
                    label=y,
                    test_set='holdout',
                    arm=arm,
                    seed=s,
                    fold=0,
                    **dict.fromkeys(('mass_a', 'mass_b', 'mass_c'), 1 / 3),
                )
            )
    return pd.concat(tables, ignore_index=True)


def plain(*names):
    """{name: Arm} of real images for made-up names."""
    return {name: Arm(name=name, kind='real') for name in names}


def test_score_by_hand():
    y, guess = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 2, 2, 2])
    got = score(y, np.eye(3)[guess])
    assert got['accuracy', 'all'] == 6 / 8 and got['balanced_accuracy', 'all'] == pytest.approx(
        (0.75 + 0.5 + 1) / 3
    )
    assert got['sensitivity', 1] == 0.5 and got['specificity', 1] == 5 / 6 and got['specificity', 2] == 5 / 6


def test_scores_equal_scikit_learn():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 4, 200), rng.dirichlet([1] * 4, 200)
    got, guess = score(y, p), p.argmax(1)
    assert got['macro_f1', 'all'] == pytest.approx(sk.f1_score(y, guess, average='macro'))
    assert got['balanced_accuracy', 'all'] == pytest.approx(sk.balanced_accuracy_score(y, guess))
    assert got['macro_auc', 'all'] == pytest.approx(
        sk.roc_auc_score(y, p, multi_class='ovr', average='macro')
    )
    assert [got['sensitivity', k] for k in range(4)] == pytest.approx(
        list(sk.recall_score(y, guess, average=None))
    )


def test_a_class_that_is_absent_is_left_out():
    assert score(np.array([0, 1]), np.eye(3)[[0, 1]])['balanced_accuracy', 'all'] == 1


def test_weighted_auc_is_auc_of_repeated_lesions():
    rng = np.random.default_rng(1)
    y, p = rng.integers(0, 3, 60), rng.dirichlet([1] * 3, 60).round(1)  # rounding makes ties
    p /= p.sum(1, keepdims=True)
    weights = rng.integers(0, 4, (5, 60)).astype(np.float32)
    for got, w in zip(weighted_auc(y, p, weights.T), weights.astype(int)):
        again = np.repeat(np.arange(60), w)
        assert got == pytest.approx(np.mean([sk.roc_auc_score(y[again] == k, p[again, k]) for k in range(3)]))


def test_from_confusion_is_vectorised():
    c = np.random.default_rng(0).integers(1, 9, (2, 5, 3, 3))
    key = 'macro_f1', 'all'
    assert np.allclose(from_confusion(c)[key][1, 3], from_confusion(c[1, 3])[key])


def test_the_prior_rule_divides_by_the_mass_of_the_batches():
    """Menon 2021: a network trained on classes 6 : 1 : 3 that says so of an image knows nothing about it."""
    p = np.array([[0.6, 0.1, 0.3], [0.55, 0.15, 0.3], [0.2, 0.1, 0.7]])
    assert decide(p).tolist() == [0, 0, 2]
    assert decide(p, np.array([0.6, 0.1, 0.3])).tolist() == [0, 1, 2]
    assert decide(p, np.full(3, 1 / 3)).tolist() == decide(p).tolist()
    assert decide(p, np.array([0.7, 0, 0.3])).tolist() == [2, 2, 2]  # the second class was never shown


def test_the_prior_rule_gives_the_best_balanced_accuracy():
    """Simulated: of all masses to divide by, the one that the posterior was made with is best."""
    rng, prior = np.random.default_rng(0), np.array([0.6, 0.1, 0.3])
    y = np.repeat(range(3), 4000)
    x = rng.normal(size=(len(y), 2)) + np.array([[0, 0], [1.5, 0], [0, 1.5]])[y]
    logs = -((x[:, None] - np.array([[0, 0], [1.5, 0], [0, 1.5]])) ** 2).sum(2) / 2 + np.log(prior)
    p = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)

    def found(mass):
        return sk.balanced_accuracy_score(y, decide(p, mass))

    assert found(prior) > max(found(None), found(prior**0.5), found(prior**1.5)) + 0.005


def test_metrics_stand_by_rule():
    table = predictions({'x': 0.7}, runs=1).assign(mass_a=0.6, mass_b=0.1, mass_c=0.3)
    long = metrics_table(table, plain('x'), cohort=107)
    found = long.set_index(['metric', 'label', 'rule']).value
    p, y = table[['p_a', 'p_b', 'p_c']].to_numpy(), table.label.to_numpy()
    for rule, guess in (('argmax', p.argmax(1)), ('prior', (p / [0.6, 0.1, 0.3]).argmax(1))):
        assert found['balanced_accuracy', 'all', rule] == pytest.approx(sk.balanced_accuracy_score(y, guess))
        assert found['sensitivity', 'b', rule] == pytest.approx(sk.recall_score(y, guess, average=None)[1])
    assert found['macro_auc', 'all', ''] == pytest.approx(sk.roc_auc_score(y, p, multi_class='ovr'))
    assert set(long.cohort) == {107} and set(long.rule[long.metric.isin(metrics.BY_RULE)]) == {
        'prior',
        'argmax',
    }
    assert full_key(('sensitivity', 1)) == ('sensitivity', 1, 'prior')
    assert full_key('nll', 'argmax') == ('nll', 'all', '')


def test_what_depends_on_prevalence_is_that_of_the_cohort():
    """A population with classes alike, weighed: accuracy is the mean of sensitivities by prevalence."""
    table = predictions({'x': 0.7}, runs=1).assign(test_set='population')
    counts = pd.Series({'a': 60, 'b': 10, 'c': 30})
    both = [metrics_table(t, plain('x')) for t in (table, reweigh(table, counts))]
    before, after = (t[t.rule == 'argmax'].set_index(['metric', 'label']).value for t in both)
    sensitivity = [after['sensitivity', c] for c in 'abc']
    assert after['accuracy', 'all'] == pytest.approx(np.dot(sensitivity, counts) / 100)
    assert after['accuracy', 'all'] != pytest.approx(before['accuracy', 'all'], abs=1e-4)
    assert sensitivity == pytest.approx([before['sensitivity', c] for c in 'abc'])
    assert after['balanced_accuracy', 'all'] == pytest.approx(before['balanced_accuracy', 'all'])
    weighed = reweigh(pd.concat([table, table.assign(test_set='holdout')]), counts)
    assert (weighed.weight[weighed.test_set == 'holdout'] == 1).all()
    own = weighed[weighed.test_set == 'population']
    assert own.groupby('label').weight.sum().div(len(own)).tolist() == pytest.approx([0.6, 0.1, 0.3])


ABOUT = {'arm': 'mixup-g@1/8', 'seed': 3, 'fold': 1, 'mass': [0.5, 0.2, 0.3], 'synthetic': 0.125, 'key': 'k'}


def test_files_round_trip_and_bad_ones_are_named(tmp_path):
    table = predictions({'mixup-g@1/8': 0.7}, runs=1, n=20)
    columns = ['id', 'patient', 'label', 'p_a', 'p_b', 'p_c', 'test_set']
    table[columns].to_csv(tmp_path / 'any-name.csv.gz', index=False)
    with pytest.raises(StudyError, match='any-name.json does not give the arm and the class mass'):
        read_predictions(tmp_path)
    (tmp_path / 'any-name.json').write_text(json.dumps(ABOUT))
    again = read_predictions(tmp_path)
    assert again[columns].equals(table[columns]) and set(again.arm) == {'mixup-g@1/8'}
    assert set(again.seed) == {3} and set(again.fold) == {1}
    assert again[['mass_a', 'mass_b', 'mass_c']].drop_duplicates().values.tolist() == [ABOUT['mass']]
    with pytest.raises(StudyError, match='no predictions'):
        read_predictions(tmp_path, ['genmix-g@1/8'])
    long = metrics_table(again, arms_for(['g']))
    about = ['arm', 'kind', 'generator', 'dose', 'balance', 'classical', 'stored', 'steps']
    assert list(long.columns) == [
        *about,
        'cohort',
        'seed',
        'fold',
        'test_set',
        'rule',
        'label',
        'metric',
        'value',
    ]
    assert set(long.label) == {'all', 'a', 'b', 'c'}
    assert long[about].drop_duplicates().values.tolist() == [
        ['mixup-g@1/8', 'mixup-union', 'g', 0.125, 'natural', True, False, 0]
    ]
    table.assign(p_a=np.nan)[columns].to_csv(tmp_path / 'any-name.csv.gz', index=False)
    with pytest.raises(StudyError, match='any-name.csv.gz'):
        read_predictions(tmp_path)
    with pytest.raises(StudyError, match='no predictions'):
        read_predictions(tmp_path / 'empty')


def test_names_that_look_missing_stay_names(study, tmp_path):
    """Patients called NA or None stay apart in the predictions, classes in every table."""
    names = ['NA', 'None', 'null', 'nan', 'N/A', '007']
    table = pd.DataFrame({'id': names, 'patient': names, 'label': [0, 1] * 3, 'p_NA': 0.5, 'p_None': 0.5})
    table.assign(test_set='holdout').to_csv(tmp_path / 'x.csv.gz', index=False)
    (tmp_path / 'x.json').write_text(json.dumps(ABOUT | {'mass': [0.5, 0.5]}))
    again = read_predictions(tmp_path)
    assert again.id.tolist() == names == again.patient.tolist() and metrics.class_names(again) == [
        'NA',
        'None',
    ]
    card = pd.DataFrame(
        {'label': ['all', 'NA', 'None'], 'generator': ['dcgan', None, 'x'], 'value': [1, None, 2.5]}
    )
    card.to_csv(study.path('audit', 'card.csv'), index=False)
    read = read_table(study, 'audit/card.csv')
    assert read.label.tolist() == ['all', 'NA', 'None'] and read.value.isna().tolist() == [False, True, False]
    assert read.generator.isna().tolist() == [False, True, False]
