"""The lesions that most classifiers of an arm get wrong, most confident first."""

import pandas as pd
import pytest

from genmix.results.failures import failures, sizes


def run(seed, arm='x', mass=(1 / 3, 1 / 3, 1 / 3), **lesions):
    """Predictions of one classifier: lesion=(label, p_a, p_b, p_c)."""
    rows = [(name, name, label, *p) for name, (label, *p) in lesions.items()]
    table = pd.DataFrame(rows, columns=['id', 'patient', 'label', 'p_a', 'p_b', 'p_c'])
    return table.assign(
        test_set='holdout', arm=arm, seed=seed, fold=0, **dict(zip(('mass_a', 'mass_b', 'mass_c'), mass))
    )


def test_failures_by_hand():
    first = run(0, A=(0, 0.1, 0.8, 0.1), B=(1, 0.0, 0.95, 0.05), C=(2, 0.9, 0.05, 0.05), D=(0, 0.2, 0.7, 0.1))
    second = run(1, A=(0, 0.2, 0.6, 0.2), B=(1, 0.0, 1.0, 0.0), C=(2, 0.1, 0.1, 0.8), D=(0, 0.1, 0.1, 0.8))
    other = run(0, 'y', A=(0, 1.0, 0.0, 0.0), B=(1, 1.0, 0.0, 0.0))
    found = failures(pd.concat([first, second, other]), 'holdout', 'x')
    assert found.id.tolist() == ['A', 'C', 'D'], 'wrong in both runs; then by confidence; B is right'
    assert found.share.tolist() == [1.0, 0.5, 0.5] and found.runs.tolist() == [2, 2, 2]
    assert found.predicted.tolist() == [1, 0, 2] and found.label.tolist() == [0, 2, 0]
    assert found.confidence.tolist() == pytest.approx([0.7, 0.9, 0.8])
    assert failures(first, 'holdout', 'x', n=1).id.tolist() == ['C']


def test_the_decision_is_the_primary_one():
    """p favours the frequent class, p / mass the rare one: the lesion is right, and no failure."""
    rare = run(0, mass=(0.8, 0.1, 0.1), A=(1, 0.7, 0.25, 0.05), B=(0, 0.7, 0.25, 0.05))
    found = failures(rare, 'holdout', 'x')
    assert found.id.tolist() == ['B'] and found.predicted.tolist() == [1]
    assert found.confidence.item() == pytest.approx(2.5 / (0.875 + 2.5 + 0.5))


def test_an_arm_without_failures_has_an_empty_table():
    assert failures(run(0, A=(0, 1.0, 0.0, 0.0)), 'holdout', 'x').empty


def test_sizes_are_said_as_far_as_they_are_known():
    lesions = pd.DataFrame({'id': list('AB'), 'diameter_mm': [12.6, float('nan')], 'slice_mm': [5.0, 3.0]})
    assert sizes(lesions, ['B', 'A']) == ['slice 3 mm', '13 mm, slice 5 mm']
    assert sizes(lesions[['id']], ['A']) == ['']
