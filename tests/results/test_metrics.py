import json

import numpy as np
import pandas as pd
import pytest
from conftest import blobs
from scipy import stats
from sklearn import metrics as sk

from genmix import StudyError
from genmix.mixing.arms import Arm, arms_for
from genmix.results import calibration, intervals, metrics
from genmix.results.bootstrap import bootstrap, weights_of_runs
from genmix.results.measured import read_table
from genmix.results.metrics import (
    confusion_matrix,
    from_confusion,
    metrics_table,
    read_predictions,
    score,
    weighted_auc,
)
from genmix.results.tables import arms_from, caption, in_order, results_table, summary, write_tables


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


def test_a_confusion_matrix_has_a_row_and_a_column_for_each_class():
    y, guess = np.random.default_rng(0).integers(0, 3, (2, 50))
    assert (confusion_matrix(y, guess, 4) == sk.confusion_matrix(y, guess, labels=range(4))).all()
    assert confusion_matrix(y, guess, 4).shape == (4, 4)


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


def test_bootstrap_equals_recounting():
    """A draw computed from weighed confusion counts is what counting the drawn patients gives."""
    table = predictions({'x': 0.7}, runs=2, n=40, patients=12)
    got = bootstrap(table, 'holdout', draws=3, seed=5)
    rng = np.random.default_rng(5)
    order = list(table.patient.unique())
    weights, runs = (
        rng.multinomial(len(order), np.full(len(order), 1 / len(order)), 3),
        weights_of_runs([(0, 0), (1, 0)], 3, rng),
    )
    for b in range(3):
        each = []
        for s in range(2):
            part = table[table.seed == s]
            rows = np.repeat(np.arange(40), weights[b][[order.index(p) for p in part.patient]])
            guess = part[['p_a', 'p_b', 'p_c']].to_numpy().argmax(1)
            each.append(
                sk.recall_score(
                    part.label.to_numpy()[rows],
                    guess[rows],
                    average='macro',
                    zero_division=np.nan,
                    labels=np.unique(part.label.to_numpy()[rows]),
                )
            )
        assert got.draws['x']['balanced_accuracy'][b] == pytest.approx(np.dot(runs[b], each))


def test_interval_covers_and_contrast_is_paired():
    table = predictions({'good': 0.8, 'bad': 0.6})
    r = bootstrap(table, 'holdout', 500)
    mean, low, high = r.interval('good', 'balanced_accuracy')
    assert low < mean < high and abs(mean - 0.8) < 0.05
    c = r.contrast('good', 'bad')
    assert (
        c['low'] > 0
        and c['p'] < 0.01
        and c['mean']
        == pytest.approx(r.point['good']['balanced_accuracy'] - r.point['bad']['balanced_accuracy'])
    )
    unpaired = np.hypot(
        *[
            r.interval(a, 'balanced_accuracy')[2] - r.interval(a, 'balanced_accuracy')[1]
            for a in ('good', 'bad')
        ]
    )
    assert c['high'] - c['low'] < unpaired
    assert r.contrast('good', 'good') == {
        'mean': 0,
        'low': 0,
        'high': 0,
        'p': 1,
        'minimum_detectable_effect': 0,
    }


def test_interval_width_is_that_of_theory():
    """One run, one lesion a patient: the bootstrap interval of accuracy is the binomial one."""
    table = predictions({'x': 0.7}, runs=1, n=400, patients=10**9)
    _, low, high = bootstrap(table, 'holdout', 2000).interval('x', 'accuracy')
    assert high - low == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 400) ** 0.5, rel=0.12)


def test_from_confusion_is_vectorised():
    c = np.random.default_rng(0).integers(1, 9, (2, 5, 3, 3))
    assert np.allclose(from_confusion(c)['macro_f1'][1, 3], from_confusion(c[1, 3])['macro_f1'])


def test_only_common_runs_enter():
    table = predictions({'a': 0.7, 'b': 0.6})
    table = table[~((table.arm == 'b') & (table.seed == 3))]
    assert bootstrap(table, 'holdout', 50).n_seeds == 3
    with pytest.raises(StudyError, match='common'):
        bootstrap(table[(table.arm == 'a') == (table.seed == 3)], 'holdout', 5)


def test_files_round_trip_and_bad_ones_are_named(tmp_path):
    table = predictions({'mixup-g': 0.7}, runs=1, n=20)
    columns = ['id', 'patient', 'label', 'p_a', 'p_b', 'p_c', 'test_set']
    table[columns].to_csv(tmp_path / 'any-name.csv.gz', index=False)
    with pytest.raises(StudyError, match='any-name.json does not give the arm'):
        read_predictions(tmp_path)
    (tmp_path / 'any-name.json').write_text(json.dumps({'arm': 'mixup-g', 'seed': 3, 'fold': 1, 'key': 'k'}))
    again = read_predictions(tmp_path)
    assert again[columns].equals(table[columns]) and set(again.arm) == {'mixup-g'}
    assert set(again.seed) == {3} and set(again.fold) == {1}
    with pytest.raises(StudyError, match='no predictions'):
        read_predictions(tmp_path, ['genmix-g'])
    long = metrics_table(again, arms_for(['g']))
    about = ['arm', 'kind', 'generator', 'dose', 'balance']
    assert list(long.columns) == [*about, 'seed', 'fold', 'test_set', 'label', 'metric', 'value']
    assert set(long.label) == {'all', 'a', 'b', 'c'}
    assert long[about].drop_duplicates().values.tolist() == [['mixup-g', 'mixup-union', 'g', 0.5, 'natural']]
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
    (tmp_path / 'x.json').write_text(json.dumps({'arm': 'mixup', 'seed': 0, 'fold': 0}))
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


def test_seed_intervals_have_the_width_of_students():
    """A mean over five normal runs: the drawn interval covers the truth at its nominal rate."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        x = rng.normal(0, 1, 5)
        low, high = intervals.percentile_interval(weights_of_runs([(s, 0) for s in range(5)], 1000, rng) @ x)
        covered += low < 0 < high
    assert 0.92 < covered / 400 < 0.975


def test_weights_of_runs_sum_to_one_and_know_folds():
    runs = [(s, f) for s in range(5) for f in range(4)]
    w = weights_of_runs(runs, 5000, np.random.default_rng(0))
    assert np.allclose(w.sum(1), 1) and np.allclose(w.mean(0), 1 / 20, atol=0.01)
    assert (weights_of_runs([(0, 0)], 4, np.random.default_rng(0)) == 1).all()


def test_a_draw_that_loses_a_class_says_nothing():
    """One class sits in one patient: draws without that patient must not count as draws of two classes."""
    table = predictions({'x': 0.7}, runs=1, n=60, patients=30)
    only = table.patient.iloc[0]
    table['label'] = np.where(table.patient == only, 2, table.label % 2)
    r = bootstrap(table, 'holdout', 200)
    lost = np.isnan(r.draws['x']['balanced_accuracy'])
    assert 0.2 < lost.mean() < 0.5 and np.isfinite(r.interval('x', 'balanced_accuracy')).all()
    assert (
        intervals.p_value(np.zeros(1), np.full(5, np.nan)) == 1
        and np.isnan(intervals.percentile_interval(np.full(5, np.nan))).all()
    )


def test_bootstrap_p_is_uniform_enough_under_the_null():
    """Simulated: two equal arms differ 'significantly' about as often as they may."""
    p = [
        bootstrap(
            predictions({'a': 0.7, 'b': 0.7}, runs=1, n=200, patients=200, seed=s), 'holdout', 200, s
        ).contrast('a', 'b')['p']
        for s in range(40)
    ]
    assert stats.binomtest(sum(v < 0.05 for v in p), 40, 0.05).pvalue > 0.001


def test_p_keeps_its_word_in_the_tails_of_a_handful_of_runs():
    """What Holm asks of many comparisons: five runs without a difference, p below .005 in .5 % of studies, or
    little oftener where patients matter too (counting draws beyond zero: 2.9 %)."""
    rng, weights = (
        np.random.default_rng(0),
        weights_of_runs([(s, 0) for s in range(5)], 2000, np.random.default_rng(1)),
    )
    for patients in (0, 0.3):
        below = 0
        for _ in range(2000):
            truth = rng.normal(0, patients)  # how this draw of patients differs from all
            runs = truth + rng.normal(size=5)
            draws = weights @ runs + rng.normal(0, patients, 2000)
            below += intervals.p_value(runs, draws) < 0.005
        assert stats.binomtest(below, 2000, 0.0075).pvalue > 0.001
    runs = rng.normal(size=5)
    assert intervals.p_value(runs, weights @ runs) == pytest.approx(
        stats.ttest_1samp(runs, 0).pvalue, rel=0.1
    )


def test_tables_follow_the_numbers(tmp_path):
    r = {
        'holdout': bootstrap(
            predictions({'g': 0.6, 'genmix-g': 0.8, 'h': 0.7, 'genmix-h': 0.7}), 'holdout', 300
        )
    }
    table = results_table(r['holdout'], ['a', 'b', 'c'])
    write_tables({'holdout': table}, caption(r, 'made_up 100 %', blobs()), tmp_path)
    assert (
        '| genmix-g' in (tmp_path / 'table.md').read_text()
        and r'\begin{tabular}' in (tmp_path / 'table.tex').read_text()
    )
    assert r'made\_up 100 \%' in (tmp_path / 'table.tex').read_text()
    assert len(pd.read_csv(tmp_path / 'table.csv')) == 4


def test_a_caption_speaks_of_patients_only_where_they_are_known():
    r = {'holdout': bootstrap(predictions({'a': 0.6, 'b': 0.8}), 'holdout', 100)}
    known, unknown = (
        caption(r, source, blobs())
        for source in ('CT', 'x, 9 images (patients unknown: 5 near-duplicate clusters kept together)')
    )
    assert 'over runs and patients (holdout of ' in known and 'clusters' not in known
    assert 'over runs and clusters (holdout of ' in unknown and unknown.count('patients') == 1


def test_calibration_is_drawn_as_it_is_counted():
    """Brier score and log loss of a draw are those of the patients drawn; ECE is reflected."""
    table = calibration.scale(predictions({'x': 0.7}, runs=2, n=40, patients=12), list('abc'))
    got = bootstrap(table, 'holdout', draws=3, seed=5)
    rng = np.random.default_rng(5)
    order = list(table.patient.unique())
    weights, runs = (
        rng.multinomial(len(order), np.full(len(order), 1 / len(order)), 3),
        weights_of_runs([(0, 0), (1, 0)], 3, rng),
    )
    for b in range(3):
        each = []
        for s in range(2):
            part = table[table.seed == s]
            again = part.iloc[np.repeat(np.arange(40), weights[b][[order.index(p) for p in part.patient]])]
            each.append(
                [
                    calibration.measures(y, p)[m]
                    for _, p, _ in calibration.of_part(again, list('abc'))
                    for y in [again.label.to_numpy()]
                    for m in ('brier', 'nll')
                ]
            )
        assert [
            got.draws['x'][m][b] for m in ('brier', 'nll', 'brier_scaled', 'nll_scaled')
        ] == pytest.approx(runs[b] @ np.array(each), rel=1e-4)
    whole = calibration.measures(*calibration.of_part(table[table.seed == 0], list('abc'))[0][:2])
    assert (
        got.by_fold['x']['ece'] == pytest.approx(got.point['x']['ece'])
        and whole['ece'] != got.point['x']['ece']
    )
    assert (got.draws['x']['ece'] >= 0).all()


def clustered(rng, n_patients=60, per_patient=4, together=0.7):
    """Two arms on lesions of the same patients, right in 80 % and in 70 %.

    Lesions of a patient are right or wrong together with probability `together`.
    """
    who = np.repeat(np.arange(n_patients), per_patient)
    y, tables = rng.integers(0, 3, len(who)), []
    for arm, right in {'a': 0.8, 'b': 0.7}.items():
        chance = np.where(rng.random(len(who)) < together, rng.random(n_patients)[who], rng.random(len(who)))
        guess = np.where(chance < right, y, (y + 1) % 3)
        tables.append(
            pd.DataFrame(np.eye(3)[guess], columns=['p_a', 'p_b', 'p_c']).assign(
                id=np.arange(len(who)), patient=who, label=y, test_set='holdout', arm=arm, seed=0, fold=0
            )
        )
    return pd.concat(tables, ignore_index=True)


def test_intervals_of_a_difference_cover_when_patients_are_clusters():
    """Simulated, the truth is 10 points: drawing patients covers it at the nominal rate, lesions do not."""
    rng, covered = np.random.default_rng(0), np.zeros(2)
    for _ in range(120):
        table = clustered(rng)
        for i, unit in enumerate((table.patient, table.id)):
            c = bootstrap(table.assign(patient=unit), 'holdout', 200).contrast('a', 'b')
            covered[i] += c['low'] < 0.1 < c['high']
    assert 0.9 <= covered[0] / 120 <= 0.985 and covered[1] / 120 < 0.83


def test_several_folds_decide_by_the_corrected_t():
    parts = [
        predictions({'a': 0.8, 'b': 0.7}, runs=2, n=60, seed=f, patients=30).assign(fold=f) for f in range(4)
    ]
    table = pd.concat(parts, ignore_index=True)
    r = bootstrap(table, 'holdout', 100, ratio=0.25)
    each = [
        np.mean(
            [
                score(x.label.to_numpy(), x[['p_a', 'p_b', 'p_c']].to_numpy())['balanced_accuracy', 'all']
                for _, x in table[(table.arm == arm) & (table.fold == f)].groupby('seed')
            ]
        )
        for arm in 'ab'
        for f in range(4)
    ]
    assert r.contrast('a', 'b') == pytest.approx(intervals.corrected_t(np.subtract(each[:4], each[4:]), 0.25))
    assert r.corrected and 'Nadeau and Bengio (n_test / n_train = 0.25)' in caption(
        {'holdout': r}, 'x', blobs()
    )
    assert not bootstrap(table[table.fold == 0], 'holdout', 100, ratio=0.25).corrected


def test_the_most_frequent_error_is_named():
    (said,) = metrics.summarise_confusions(
        {'x': np.array([[6, 3, 1], [0, 9, 1], [0, 2, 8]])}, ['a', 'b', 'c']
    )
    assert said == 'x: 30% of a lesions are taken for b, its most frequent error'


def test_the_summary_is_the_table_in_numbers():
    replicates = {'holdout': bootstrap(predictions({'x': 0.7}), 'holdout', draws=50)}
    table = summary(replicates, plain('x'))
    row = table[(table.metric == 'balanced_accuracy') & (table.label == 'all')].iloc[0]
    assert (row['mean'], row.low, row.high) == replicates['holdout'].interval('x', 'balanced_accuracy')
    assert set(table[table.metric == 'sensitivity'].label) == {0, 1, 2}


def test_arms_stand_in_the_order_of_the_table():
    names = ['genmix-b', 'b', 'classical', 'mixup', 'none', 'cutmix-a', 'a', 'mixup-a', 'oversample-mixup']
    wanted = ['none', 'classical', 'mixup', 'oversample-mixup', 'b', 'genmix-b', 'a', 'mixup-a', 'cutmix-a']
    arms = arms_for(['a', 'b'], rules=['cutmix'])
    assert in_order(names, arms) == wanted
    replicates = bootstrap(predictions(dict.fromkeys(names, 0.7), runs=2, n=60), 'holdout', draws=5)
    table = summary({'holdout': replicates}, arms)
    assert list(dict.fromkeys(table.arm)) == wanted
    own = table[table.arm == 'genmix-b'].iloc[0]
    assert [own.kind, own.generator, own.dose, own.balance] == ['genmix', 'b', 0.25, 'natural']
    assert in_order(wanted, arms_from(table)) == wanted
