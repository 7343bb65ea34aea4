import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from tools import coverage

TABLE = pd.read_csv(ROOT / 'measured' / 'intervals.csv')


def test_committed_intervals_cover_and_reject_as_they_say():
    """What was simulated: 95 % intervals cover in 93 to 97 % of studies, and 3 to 7 % reject a true null."""
    assert list(TABLE.columns) == coverage.COLUMNS and (TABLE.studies >= 400).all()
    sizes = {kind: sorted(own.units.unique()) for kind, own in TABLE.groupby('interval')}
    assert sizes == {'crossed': [2, 5, 16], 'cohorts': [12, 24]}
    assert set(TABLE.interaction) == {'small', 'large'}
    for column in ('coverage', 'coverage_of_a_difference'):
        assert TABLE[column].between(0.93, 0.97).all(), column
    assert TABLE.type_i.between(0.03, 0.07).all()


@pytest.mark.parametrize(
    'study, units', [(coverage.one_cohort, 2), (coverage.one_cohort, 5), (coverage.many_cohorts, 4)]
)
def test_a_row_is_simulated_anew(study, units):
    design = coverage.Design(units, 60, 0.3)
    row = dict(zip(coverage.COLUMNS, coverage.row('kind', study, design, 'small', 40)))
    assert row['studies'] == 40 and row['units'] == units and 0.8 < row['coverage'] <= 1
    assert (
        row['type_i'] == pytest.approx(1 - row['coverage']) and 0.5 < row['half_width'] / row['true_sd'] < 8
    )
    again = dict(zip(coverage.COLUMNS, coverage.row('kind', study, design, 'small', 40)))
    assert row == again


def test_arms_differ_by_the_shift_alone():
    many = coverage.Design(1, 40_000, 1.0), np.random.default_rng(0), 1
    first, second = coverage.accuracies(*coverage.lesions(*many, alone=True))[:, 0]
    assert first == pytest.approx(second, abs=0.006)
    assert 0.01 < coverage.true_difference(coverage.Design(1, 1, 1.0, coverage.SHIFT)) < 0.05
