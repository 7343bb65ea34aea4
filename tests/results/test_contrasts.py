import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_metrics import plain, predictions

from genmix.generators import PAPER
from genmix.mixing.arms import arms_for
from genmix.results import contrasts, intervals
from genmix.results.bootstrap import bootstrap
from genmix.results.contrasts import family, format_p
from genmix.results.intervals import corrected_t, holm, verdict


def test_no_difference_is_undecided():
    r = bootstrap(predictions({'a': 0.7, 'b': 0.7}), 'holdout', 500)
    table = family(r, [('a', 'b')], 'holdout')
    columns = 'a b metric mean low high p minimum_detectable_effect n verdict test_set'
    assert list(table.columns) == columns.split(' ') == contrasts.COLUMNS
    assert table.verdict[0] == 'undecided' and table.n[0] == 4


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.2]).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.2])
    assert holm([0.5, 0.6]).tolist() == [1, 1] and holm([]).tolist() == []


def test_holm_equals_statsmodels():
    """statsmodels.stats.multitest.multipletests([.01, .04, .03, .005], method='holm')"""
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_verdict_needs_interval_and_p():
    assert [
        verdict(0.01, 0.1, 0.01),
        verdict(-0.1, -0.01, 0.01),
        verdict(-0.1, 0.1, 0.01),
        verdict(0.01, 0.1, 0.2),
    ] == ['higher', 'lower', 'undecided', 'undecided']


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
    got, plain = corrected_t(x, 0), stats.ttest_1samp(x, 0)
    assert got['p'] == pytest.approx(plain.pvalue) and (got['low'], got['high']) == pytest.approx(
        tuple(plain.confidence_interval())
    )
    wider = corrected_t(x, 0.25)
    assert (wider['high'] - wider['low']) / (got['high'] - got['low']) == pytest.approx((1 + 5 * 0.25) ** 0.5)


def test_folds_that_all_agree_say_nothing():
    assert corrected_t([0, 0, 0], 0.25) == {
        'mean': 0,
        'low': 0,
        'high': 0,
        'p': 1,
        'minimum_detectable_effect': 0,
    }
    assert corrected_t([0.1, 0.1], 0.25)['p'] == 1


def test_size_ratio_by_hand():
    splits = pd.DataFrame(
        {
            'id': list('abcdef'),
            'fold0': ['test'] * 2 + ['train'] * 4,
            'fold1': ['train'] * 2 + ['test', 'test', 'unused', 'unused'],
        }
    )
    assert intervals.size_ratio(splits) == (2 / 4 + 2 / 2) / 2


def test_words_follow_the_numbers():
    right = {'dcgan@1/8': 0.6, 'genmix-dcgan@1/8': 0.8, 'stylegan@1/8': 0.7, 'genmix-stylegan@1/8': 0.7}
    r = bootstrap(predictions(right), 'holdout', 300)
    primary = contrasts.primary(r, arms_for(PAPER), 'holdout')
    genmix = ['genmix-dcgan@1/8', 'genmix-stylegan@1/8']
    assert list(primary.a) == [f'mean of {" ".join(genmix)}', *genmix]
    assert list(primary.verdict[:2]) == ['higher', 'higher']
    sentences = contrasts.summarise_contrasts(primary, 'holdout')
    assert 'genmix-dcgan@1/8 is higher than dcgan@1/8: +' in sentences[1]
    assert 'genmix-stylegan@1/8 is not distinguishable from stylegan@1/8: ' in sentences[2]


@pytest.fixture(scope='module')
def with_plugins():
    """(Replicates, arms): two generators of the paper, the oracle, a generator and a rule of plugins."""
    arms = arms_for(['dcgan', 'toy', 'stylegan', 'oracle'], rules=['cutmix'])
    names = [arm.name for arm in arms.values() if (arm.kind, arm.generator) != ('cutmix', 'oracle')]
    table = predictions(dict.fromkeys(names, 0.7), runs=2, n=120, patients=60)
    return bootstrap(table, 'holdout', 50), arms


def test_plugins_never_enter_the_declared_contrast(with_plugins):
    r, arms = with_plugins
    primary = contrasts.primary(r, arms, 'holdout')
    genmix = ['genmix-dcgan@1/8', 'genmix-stylegan@1/8']
    assert list(primary.a) == [f'mean of {" ".join(genmix)}', *genmix]
    assert list(primary.b) == ['mean of dcgan@1/8 stylegan@1/8', 'dcgan@1/8', 'stylegan@1/8']
    alone = {name: arm for name, arm in arms.items() if arm.generator != 'toy' and arm.kind != 'cutmix'}
    pd.testing.assert_frame_equal(primary, contrasts.primary(r, alone, 'holdout'))


def test_plugins_are_an_exploratory_family_of_their_own(with_plugins):
    r, arms = with_plugins
    explored = contrasts.exploratory(r, arms, 'holdout')
    pairs = list(zip(explored.a, explored.b))
    two, plain = ('dcgan@1/8', 'stylegan@1/8'), ('classical', 'oversample')
    assert pairs[:4] == [(g, other) for g in two for other in plain]
    compared = {('genmix-dcgan', 'mixup-dcgan'), ('genmix-toy', 'toy'), ('genmix-toy', 'mixup-toy')}
    compared |= {('cutmix-dcgan', 'genmix-dcgan'), ('cutmix-toy', 'toy')}
    assert {(f'{a}@1/8', f'{b}@1/8') for a, b in compared} < set(pairs)
    assert {('mixup', 'classical'), ('oracle@1/8', 'oversample'), ('toy@1/8', 'classical')} < set(pairs)
    assert len(set(pairs)) == len(pairs)
    added = [bool({'toy', 'cutmix'} & set(re.split('[-@]', f'{a}-{b}'))) for a, b in pairs]
    assert added == sorted(added)
    study = explored[: added.index(True)].drop(columns='p')
    alone = {name: arm for name, arm in arms.items() if arm.generator != 'toy' and arm.kind != 'cutmix'}
    pd.testing.assert_frame_equal(study, contrasts.exploratory(r, alone, 'holdout').drop(columns='p'))
    p = [r.contrast(a, b)['p'] for a, b in pairs]
    n = added.index(True)
    assert list(explored.p) == [*holm(p[:n]), *holm(p[n:])]


def test_nothing_to_compare_is_an_empty_table():
    r = bootstrap(predictions({'none': 0.7}, runs=2, n=60), 'holdout', 20)
    for found in (contrasts.primary, contrasts.exploratory):
        assert list(found(r, plain('none'), 'holdout').columns) == contrasts.COLUMNS


def test_no_p_is_said_to_be_zero():
    assert (
        format_p(0.0213) == 'p = 0.021' and format_p(0.0005) == 'p = 0.001' and format_p(1e-9) == 'p < 0.001'
    )
