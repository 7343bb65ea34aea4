import numpy as np
import pytest
from scipy import stats

from genmix.results.power import cohorts_for_equivalence, cohorts_needed, power, power_of_equivalence


def test_power_is_that_of_simulated_t_tests():
    rng = np.random.default_rng(0)
    x = rng.normal(1.0, 1.6, (20_000, 24))
    found = (stats.ttest_1samp(x, 0, axis=1).pvalue < 0.05) & (x.mean(1) > 0)
    assert power(24, 1.0, 1.6) == pytest.approx(found.mean(), abs=0.01)


def test_power_of_equivalence_is_that_of_simulated_tests():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1.6, (20_000, 24))
    p = [stats.ttest_1samp(x, s, axis=1, alternative=a).pvalue for s, a in ((-1, 'greater'), (1, 'less'))]
    found = np.max(p, 0) < 0.05
    assert power_of_equivalence(24, 1.6, 1.0) == pytest.approx(found.mean(), abs=0.01)


@pytest.mark.parametrize(
    'sd, detect, alike', [(1.6, [23, 12, 8, 5], [24, 12, 8]), (2.0, [34, 16, 10, 6], [36, 17, 11])]
)
def test_sample_sizes_are_those_of_the_protocol(sd, detect, alike):
    """The table of the review that the number of cohorts was taken from."""
    assert [cohorts_needed(sd, effect) for effect in (1, 1.5, 2, 3)] == detect
    assert [cohorts_for_equivalence(sd, margin) for margin in (1, 1.5, 2)] == alike
    assert power(detect[0] - 1, 1, sd) < 0.8 <= power(detect[0], 1, sd)
