import numpy as np
import pandas as pd
import pytest
from scipy import stats

from genmix.results import intervals
from genmix.results.intervals import (
    SMALLEST,
    corrected_t,
    crossed,
    holm,
    over_units,
    predicted,
    student,
    superiority,
    verdict,
)


def layout(rng, runs, patients, sd_run, sd_patient, sd_both, n):
    """n crossed data sets (n, runs, patients) of mean 0: runs + patients + interaction."""
    of_run, of_patient, both = (
        rng.normal(size=(n, runs, 1)),
        rng.normal(size=(n, 1, patients)),
        (n, runs, patients),
    )
    return sd_run * of_run + sd_patient * of_patient + sd_both * rng.normal(size=both)


def interval_of(values, weights):
    """`student` of the mean of a crossed data set (runs, patients), `weights` (draws, patients)."""
    runs, draws = values.mean(1), weights @ values.T / values.shape[1]
    return student(runs.mean(), *crossed(runs, draws, values.shape[1]))


def drawn(patients, draws=800):
    return np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), draws)


@pytest.mark.parametrize('sds', [(0.1, 1, 1), (0.3, 1, 3), (0.05, 0.5, 3)])
def test_the_crossed_variance_is_that_of_theory(sds):
    """Runs + patients - interaction is sd_run^2/n + sd_patient^2/m + sd_both^2/nm, on average."""
    rng, (runs, patients) = np.random.default_rng(1), (5, 80)
    every, weights = layout(rng, runs, patients, *sds, 300), drawn(patients)
    found = []
    for values in every:
        draws = weights @ values.T / patients
        own, shared = values.mean(1).var(ddof=1) / runs, draws.mean(1).var(ddof=1)
        error, _ = crossed(values.mean(1), draws, patients)
        both = (draws.var(0, ddof=1).mean() - shared) / (runs - 1)
        assert error**2 == pytest.approx(shared + max(own - both, 0))
        found.append(own + shared - both)
    a, b, c = np.square(sds)
    truth = a / runs + b / patients + c / runs / patients
    assert np.mean(found) == pytest.approx(truth, rel=0.07)
    assert every.mean((1, 2)).var() == pytest.approx(truth, rel=0.25)


@pytest.mark.parametrize('runs', [5, 16])
@pytest.mark.parametrize('sds', [(0.1, 1, 0.5), (0.1, 1, 4)], ids=['small', 'large'])
def test_crossed_intervals_cover_and_reject_as_they_say(runs, sds):
    """400 data sets with both factors: 95 % intervals cover in 93 to 97 %, give or take three standard errors
    of 400; measured/intervals.csv has lesions, classes and more data sets."""
    every, weights = layout(np.random.default_rng(2), runs, 60, *sds, 400), drawn(60, 400)
    found = pd.DataFrame([interval_of(values, weights) for values in every])
    covered = ((found.low < 0) & (found.high > 0)).mean()
    assert 0.93 - 0.033 < covered < 0.97 + 0.025 and (found.p < 0.05).mean() == pytest.approx(1 - covered)


def test_runs_without_an_effect_of_their_own_leave_the_variance_of_the_patients():
    """Runs that agree more than chance lets them: never an interval below that of one perfect average run."""
    rng, weights = np.random.default_rng(3), drawn(50)
    values = np.repeat(rng.normal(size=(1, 50)), 2, 0)
    error, freedom = crossed(values.mean(1), weights @ values.T / 50, 50)
    assert error == pytest.approx(values[0].std() / 50**0.5, rel=0.1) and freedom == 49
    alone = crossed(values[:1].mean(1), weights @ values[:1].T / 50, 50)
    assert alone == (pytest.approx(error), 49)


def test_one_factor_alone_is_students_t():
    """All patients alike: the interval is that of Student over runs."""
    runs = np.random.default_rng(4).normal(size=6)
    found = student(runs.mean(), *crossed(runs, np.repeat(runs[None], 10, 0), 100))
    assert found == pytest.approx(over_units(runs), rel=1e-6)
    expected = stats.ttest_1samp(runs, 0)
    assert (found['low'], found['high']) == pytest.approx(tuple(expected.confidence_interval()))
    assert found['p'] == pytest.approx(expected.pvalue)


def test_equivalence_is_two_one_sided_tests():
    """p_equivalent is the larger p of two one-sided t tests against -1 and +1 point, and below .05 where the
    90 % interval lies between them."""
    rng = np.random.default_rng(5)
    for centre in (0, 0.004, 0.012):
        x = rng.normal(centre, 0.012, 24)
        found = over_units(x)
        tests = [
            stats.ttest_1samp(x, s * SMALLEST, alternative=a).pvalue
            for s, a in ((-1, 'greater'), (1, 'less'))
        ]
        assert found['p_equivalent'] == pytest.approx(max(tests))
        inside = over_units(x, level=0.9)
        assert (found['p_equivalent'] < 0.05) == (inside['low'] > -SMALLEST and inside['high'] < SMALLEST)


def test_equivalence_is_claimed_in_one_study_of_twenty_where_the_difference_is_one_point():
    rng = np.random.default_rng(6)
    claimed = [over_units(x)['p_equivalent'] < 0.05 for x in rng.normal(SMALLEST, 0.01, (800, 24))]
    assert stats.binomtest(sum(claimed), 800, 0.05).pvalue > 0.001


def test_nothing_known_says_nothing():
    found = student(0.0, float('nan'), 5)
    assert found['p'] == found['p_equivalent'] == 1 and np.isnan(found['low'])
    assert student(0.0, 0.0, 5)['p_equivalent'] == 0 and student(0.02, 0.0, 5)['p_equivalent'] == 1


@pytest.mark.parametrize(
    'low, high, p, p_equivalent, word',
    [
        (0.01, 0.1, 0.01, 0.9, 'higher'),
        (-0.1, -0.01, 0.01, 0.9, 'lower'),
        (-0.1, 0.1, 0.6, 0.9, 'undecided'),
        (0.01, 0.1, 0.2, 0.9, 'undecided'),  # p after a correction
        (-0.004, 0.005, 0.8, 0.001, 'equivalent'),
        (0.001, 0.006, 0.01, 0.001, 'equivalent'),  # not 0, and too small to matter
    ],
)
def test_four_words(low, high, p, p_equivalent, word):
    assert verdict(low, high, p, p_equivalent) == word and word in intervals.WORDS


def test_a_new_unit_falls_where_predicted():
    """Simulated: 95 % of new cohorts lie in the range that eight others predict."""
    rng, inside = np.random.default_rng(7), []
    for x in rng.normal(3, 2, (1500, 9)):
        low, high = predicted(x[:8])
        inside.append(low < x[8] < high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.018)


def test_superiority_counts_ties_half():
    assert superiority([1, 2, -1, 0]) == 2.5 / 4


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.2]).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.2])
    assert holm([0.5, 0.6]).tolist() == [1, 1] and holm([]).tolist() == []


def test_holm_equals_statsmodels():
    """statsmodels.stats.multitest.multipletests([.01, .04, .03, .005], method='holm')"""
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_corrected_t_equals_the_published_example():
    """scikit-learn's "Statistical comparison of models using grid search": 100 differences of ten times
    10-fold cross-validation, mean .01, uncorrected t 2.611; it prints a corrected one-sided p of .227 and an
    interval from -.016445 to .036445."""
    x = np.random.default_rng(0).normal(size=100)
    x = 0.01 + (x - x.mean()) / x.std(ddof=1) * 0.01 * 10 / 2.611
    got = corrected_t(x, 10 / 90)
    assert got['mean'] == pytest.approx(0.01) and got['p'] / 2 == pytest.approx(0.227, abs=5e-4)
    assert (got['low'], got['high']) == pytest.approx((-0.016445, 0.036445), abs=1e-5)


def test_corrected_t_without_a_correction_is_students():
    x = np.array([0.03, 0.01, 0.04, -0.01, 0.02])
    got = corrected_t(x, 0)
    assert got == over_units(x)
    wider = corrected_t(x, 0.25)
    assert (wider['high'] - wider['low']) / (got['high'] - got['low']) == pytest.approx((1 + 5 * 0.25) ** 0.5)


def test_size_ratio_does_not_grow_when_less_is_trained_on():
    folds = {
        'fold0': ['test'] * 2 + ['train'] * 4,
        'fold1': ['train'] * 2 + ['test', 'test', 'unused', 'unused'],
    }
    assert intervals.size_ratio(pd.DataFrame(folds | {'id': list('abcdef')})) == 2 / 4


def test_folds_are_no_narrower_than_the_truth():
    """Simulated: two linear classifiers, five folds, trained on a quarter of the rest: the corrected t with
    the ratio of test to rest rejects a true null in at most 5 %, as with all of it."""
    rng, rejected = np.random.default_rng(8), []
    for _ in range(250):
        y = rng.integers(0, 2, 200) * 2 - 1
        x = rng.normal(size=(200, 6)) + 0.5 * y[:, None]
        fold, each = rng.permutation(200) % 5, []
        for k in range(5):
            rest, test = np.flatnonzero(fold != k), fold == k
            used = [rng.choice(rest, 40, replace=False) for _ in range(2)]  # two arms that are alike
            right = [np.sign(x[test] @ (x[rows] * y[rows, None]).mean(0)) == y[test] for rows in used]
            each.append(right[0].mean() - right[1].mean())
        rejected.append(corrected_t(each, 0.25)['p'] < 0.05)
    assert stats.binomtest(sum(rejected), 250, 0.05, alternative='greater').pvalue > 0.01


def test_the_smallest_difference_is_found_four_times_in_five():
    """Simulated: runs of a true difference of the minimum detectable effect are significant in about 80 %."""
    rng, n, sd = np.random.default_rng(0), 12, 2.0
    true = intervals.minimum_detectable_effect(sd / n**0.5, n - 1)
    found = [over_units(rng.normal(true, sd, n))['p'] < 0.05 for _ in range(800)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.045)
