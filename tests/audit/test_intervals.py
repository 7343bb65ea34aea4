import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_fidelity import mmd2_of_shift, normal

from genmix.audit.fidelity import kernel, mmd2, pairwise, subset
from genmix.audit.intervals import (
    jackknife,
    jackknife_groups,
    mean_over_classes,
    proportion,
    t_quantile,
    wilson,
)
from genmix.audit.planted import positive_controls


def test_quantiles_of_students_t():
    freedom = np.array([0.5, 1, 2.7, 15, 1e6, np.inf])
    for p in (0.025, 0.8, 0.9995):
        assert t_quantile(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-14)
    assert t_quantile(0.975, 9) == pytest.approx(2.262157, abs=1e-6)  # as in tables


def test_jackknife_of_a_mean_is_the_textbook_interval():
    x = normal(40, 1)[:, 0]
    value, low, high = jackknife(lambda keep: [x[keep].mean()], np.arange(40))
    half = stats.t.ppf(0.975, 39) * x.std(ddof=1) / 40**0.5
    assert value[0] == pytest.approx(x.mean()) and (high - low)[0] / 2 == pytest.approx(half)


def test_jackknife_encloses_the_truth_about_as_often_as_it_says():
    truth, hits = mmd2_of_shift(1.0, 4), 0
    for seed in range(100):
        x, y = normal(80, 4, seed), normal(80, 4, 500 + seed) + [1, 0, 0, 0]
        k = pairwise(kernel, x, y)
        _, low, high = jackknife(
            lambda i, j, k=k: [mmd2(*subset(k, i, j))], np.arange(80) % 10, np.arange(80) % 10
        )
        hits += low[0] <= truth <= high[0]
    assert 86 <= hits <= 99


def test_patients_stay_together(world):
    heldout = world['heldout']
    groups = jackknife_groups(heldout)
    assert all(len(np.unique(groups[heldout.patients == p])) == 1 for p in heldout.patients[:20])
    assert (
        np.bincount(jackknife_groups(positive_controls(world['train'], 100)['copier'])).tolist() == [30] * 10
    )
    few = heldout[np.isin(heldout.patients, np.unique(heldout.patients)[:4])]
    assert (
        len(np.unique(jackknife_groups(few))) == 4
    )  # one patient at a time, never a patient's lesions apart


@pytest.mark.parametrize('k, n', [(0, 5), (3, 7), (50, 50), (1, 3), (37, 1000), (0, 100)])
def test_wilson_equals_scipy(k, n):
    expected = tuple(stats.binomtest(k, n).proportion_ci(method='wilson'))
    assert wilson(k / n, n) == expected and proportion(np.arange(n) < k) == (k / n, *expected)


def test_wilson_takes_columns_and_numbers_that_are_not_whole():
    shares, numbers = np.array([0.2, 0.3, 0.9]), np.array([10, 12.5, 15])
    low, high = wilson(shares, numbers)
    assert [wilson(s, n) for s, n in zip(shares, numbers)] == list(zip(low, high))
    assert (
        wilson(0.3, 12)[0] < low[1] < wilson(0.3, 13)[0] and wilson(0.3, 12)[1] > high[1] > wilson(0.3, 13)[1]
    )


def test_share_of_none_still_has_an_interval():
    assert proportion(np.zeros(100, bool))[0] == 0 < proportion(np.zeros(100, bool))[2] < 0.05


def test_the_mean_over_classes_adds_half_widths_in_squares():
    table = pd.DataFrame(
        {
            'g': 'a',
            'label': ['x', 'y'],
            'n': [3, 4],
            'value': [1.0, 3.0],
            'low': [0.7, 2.6],
            'high': [2.0, 3.0],
        }
    )
    (row,) = (
        mean_over_classes(pd.concat([table, table.assign(g='b')]), ['g']).query('g == "b"').to_dict('records')
    )
    assert row == pytest.approx({'g': 'b', 'label': 'all', 'n': 7, 'value': 2.0, 'low': 1.75, 'high': 2.5})
