"""The axes of the map, and how evenly its points lie."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import qmc

from genmix.results.map_space import AXES, NAMES, design, unit_places, values_at


@pytest.mark.parametrize('axis', AXES, ids=NAMES)
def test_an_axis_goes_from_end_to_end_and_back(axis):
    assert axis.from_unit([-1, 1]) == pytest.approx([axis.low, axis.high])
    places = np.linspace(-1, 1, 9)
    assert axis.to_unit(axis.from_unit(places)) == pytest.approx(places)
    middle = (axis.low * axis.high) ** 0.5 if axis.log else (axis.low + axis.high) / 2
    assert axis.from_unit(0) == pytest.approx(middle)


def test_values_are_whole_where_only_whole_ones_can_be_measured():
    found = values_at(modes=0, blur=1, label_noise=-1)
    assert found == {'modes': 42, 'blur': 2.0, 'label_noise': 0.0} and found['modes'].dtype == int


def test_a_larger_design_holds_the_smaller():
    every = design(128)
    for n in (1, 17, 64, 90):
        pd.testing.assert_frame_equal(design(n), every[:n])
    assert every.drop_duplicates().shape == (128, 4)


def test_points_are_within_the_axes_and_as_they_are_written():
    table = design(90)
    for axis in AXES:
        assert table[axis.name].between(axis.low, axis.high).all()
    assert table.dtypes[['lesions', 'modes']].eq(int).all()
    assert (table.round(4) == table).all(axis=None)


def test_points_lie_more_evenly_than_random_ones_and_no_axis_follows_another():
    x = unit_places(design(90))
    random = [qmc.discrepancy(np.random.default_rng(seed).random((90, 4))) for seed in range(20)]
    assert qmc.discrepancy((x.clip(-1, 1) + 1) / 2) < min(random) / 2
    correlations = np.corrcoef(x.T)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 0.1
    assert np.abs(x.mean(0)).max() < 0.05 and np.ptp(x, axis=0).min() > 1.9
