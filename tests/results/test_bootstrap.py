import numpy as np
import pandas as pd
import pytest
from conftest import blobs
from scipy import stats
from sklearn import metrics as sk
from test_metrics import predictions

from genmix import StudyError
from genmix.results import calibration, intervals
from genmix.results.bootstrap import bootstrap, difference
from genmix.results.metrics import decide, full_key, score
from genmix.results.tables import caption


def test_bootstrap_equals_recounting():
    """A draw computed from weighed confusion counts is what counting the drawn patients gives."""
    mass = {'mass_a': 0.5, 'mass_b': 0.2, 'mass_c': 0.3}
    table = predictions({'x': 0.7}, runs=2, n=40, patients=12).assign(**mass)
    got = bootstrap(table, 'holdout', draws=3, seed=5)
    order = list(table.patient.unique())
    weights = np.random.default_rng(5).multinomial(len(order), np.full(len(order), 1 / len(order)), 3)
    for b, rule, s in [(b, rule, s) for b in range(3) for rule in ('prior', 'argmax') for s in range(2)]:
        part = table[table.seed == s]
        rows = np.repeat(np.arange(40), weights[b][[order.index(p) for p in part.patient]])
        p, y = part[['p_a', 'p_b', 'p_c']].to_numpy()[rows], part.label.to_numpy()[rows]
        guess = decide(p, np.array(list(mass.values())) if rule == 'prior' else None)
        expected = sk.recall_score(y, guess, average='macro', zero_division=np.nan, labels=np.unique(y))
        assert got.draws['x'][full_key('balanced_accuracy', rule)][b, s] == pytest.approx(expected, rel=1e-5)


def test_interval_covers_and_contrast_is_paired():
    table = predictions({'good': 0.8, 'bad': 0.6})
    r = bootstrap(table, 'holdout', 500)
    mean, low, high = r.interval('good', 'balanced_accuracy')
    assert low < mean < high and abs(mean - 0.8) < 0.05
    c = r.contrast('good', 'bad')
    key = full_key('balanced_accuracy')
    assert c['low'] > 0 and c['p'] < 0.01
    assert c['mean'] == pytest.approx(r.point['good'][key] - r.point['bad'][key])
    widths = [np.diff(r.interval(arm, 'balanced_accuracy')[1:]) for arm in ('good', 'bad')]
    assert c['high'] - c['low'] < np.hypot(*widths)


def test_an_arm_against_itself_is_no_difference_at_all():
    r = bootstrap(predictions({'good': 0.8}), 'holdout', 50)
    found = r.contrast('good', 'good')
    assert [found[name] for name in ('mean', 'low', 'high', 'p', 'p_equivalent')] == [0, 0, 0, 1, 0]


def test_a_contrast_is_a_weighted_sum_of_arms():
    assert difference('a', ['b', 'c']) == {'a': 1, 'b': -0.5, 'c': -0.5}
    assert difference(['a', 'b'], 'a') == {'a': -0.5, 'b': 0.5}
    r = bootstrap(predictions({'a': 0.8, 'b': 0.6, 'c': 0.7}, runs=2), 'holdout', 50)
    assert r.contrast('a', ['b', 'c']) == r.combine({'a': 1, 'b': -0.5, 'c': -0.5})
    assert r.combine({'a': 2, 'b': -2})['mean'] == pytest.approx(2 * r.contrast('a', 'b')['mean'])


def test_few_runs_are_pooled_over_the_arms():
    """With two runs the variance between them is the mean over arms, with five that of the difference."""
    right = dict(zip('abcdef', (0.7, 0.6, 0.8, 0.5, 0.7, 0.6)))
    key = full_key('balanced_accuracy')
    few, more = (bootstrap(predictions(right, runs=n), 'holdout', 50) for n in (2, 5))
    each = [np.var(own[key], ddof=1) for own in few.by_run.values()]
    assert few.between({'a': 1, 'b': -1}, key) == (pytest.approx(2 * np.mean(each)), 6)
    assert few.between({'a': 0}, key)[0] == 0 and more.between({'a': 1, 'b': -1}, key) is None
    gap, draws = (few.by_run['a'][key] - few.by_run['b'][key], few.draws['a'][key] - few.draws['b'][key])
    error = intervals.crossed(gap, draws, few.n_patients, few.between({'a': 1, 'b': -1}, key))
    assert few.contrast('a', 'b') == intervals.student(gap.mean(), *error)
    alone = bootstrap(predictions({'a': 0.7}, runs=1), 'holdout', 50)
    assert alone.between({'a': 1}, key) is None and np.isfinite(alone.interval('a', 'accuracy')).all()


def test_interval_width_is_that_of_theory():
    """One run, one lesion a patient: the interval of accuracy is the binomial one."""
    table = predictions({'x': 0.7}, runs=1, n=400, patients=10**9)
    _, low, high = bootstrap(table, 'holdout', 2000).interval('x', 'accuracy')
    assert high - low == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 400) ** 0.5, rel=0.12)


def test_only_common_runs_enter():
    table = predictions({'a': 0.7, 'b': 0.6})
    table = table[~((table.arm == 'b') & (table.seed == 3))]
    assert bootstrap(table, 'holdout', 50).n_seeds == 3
    with pytest.raises(StudyError, match='common'):
        bootstrap(table[(table.arm == 'a') == (table.seed == 3)], 'holdout', 5)


def test_a_draw_that_loses_a_class_says_nothing():
    """One class sits in one patient: draws without that patient must not count as draws of two classes."""
    table = predictions({'x': 0.7}, runs=1, n=60, patients=30)
    only = table.patient.iloc[0]
    table['label'] = np.where(table.patient == only, 2, table.label % 2)
    r = bootstrap(table, 'holdout', 200)
    lost = np.isnan(r.draws['x'][full_key('balanced_accuracy')])
    assert 0.2 < lost.mean() < 0.5 and np.isfinite(r.interval('x', 'balanced_accuracy')).all()


def test_bootstrap_p_is_uniform_enough_under_the_null():
    """Simulated: two equal arms differ 'significantly' about as often as they may."""
    p = [
        bootstrap(
            predictions({'a': 0.7, 'b': 0.7}, runs=1, n=200, patients=200, seed=s), 'holdout', 200, s
        ).contrast('a', 'b')['p']
        for s in range(40)
    ]
    assert stats.binomtest(sum(v < 0.05 for v in p), 40, 0.05).pvalue > 0.001


def test_calibration_is_drawn_as_it_is_counted():
    """Brier score and log loss of a draw are those of the patients drawn, lesions by their weight."""
    table = calibration.scale(predictions({'x': 0.7}, runs=2, n=40, patients=12), list('abc'))
    table = table.assign(weight=np.array([1.5, 0.2, 1.1])[table.label])
    got = bootstrap(table, 'holdout', draws=3, seed=5)
    order = list(table.patient.unique())
    weights = np.random.default_rng(5).multinomial(len(order), np.full(len(order), 1 / len(order)), 3)
    for b, s in [(b, s) for b in range(3) for s in range(2)]:
        part = table[table.seed == s]
        again = part.iloc[np.repeat(np.arange(40), weights[b][[order.index(p) for p in part.patient]])]
        for y, p, weight, suffix in calibration.of_part(again, list('abc')):
            for name in ('brier', 'nll'):
                drawn = got.draws['x'][full_key(name + suffix)][b, s]
                assert drawn == pytest.approx(calibration.measures(y, p, weight)[name], rel=1e-4)


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
                id=np.arange(len(who)),
                patient=who,
                label=y,
                test_set='holdout',
                arm=arm,
                seed=0,
                fold=0,
                **dict.fromkeys(('mass_a', 'mass_b', 'mass_c'), 1 / 3),
            )
        )
    return pd.concat(tables, ignore_index=True)


def test_patients_not_lesions_are_drawn():
    """Lesions of a patient are right or wrong together: drawing patients gives the true standard error of a
    difference (that of 150 studies), drawing lesions one that is too small."""
    rng, names = np.random.default_rng(0), ['p_a', 'p_b', 'p_c']

    def gap(table):
        a, b = (t[names].to_numpy().argmax(1) == t.label for _, t in table.groupby('arm'))
        return a.mean() - b.mean()

    truth, errors = np.std([gap(clustered(rng)) for _ in range(150)]), []
    for table in (clustered(rng) for _ in range(6)):
        found = [bootstrap(table.assign(patient=unit), 'holdout', 400) for unit in (table.patient, table.id)]
        errors.append(
            [np.diff([r.contrast('a', 'b', 'accuracy')[end] for end in ('low', 'high')]) for r in found]
        )
    by_patient, by_lesion = np.mean(errors, 0).ravel() / (2 * stats.t.ppf(0.975, 59)) / truth
    assert by_patient == pytest.approx(1, abs=0.15) and by_lesion < 0.75


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
    assert r.corrected and 'Nadeau and Bengio (n_test / n_rest = 0.25)' in caption(
        {'holdout': r}, 'x', blobs()
    )
    assert not bootstrap(table[table.fold == 0], 'holdout', 100, ratio=0.25).corrected
