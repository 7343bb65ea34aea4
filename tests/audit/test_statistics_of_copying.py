from types import SimpleNamespace

import numpy as np
import pytest

from genmix.audit import copies


def test_the_threshold_is_a_quantile_of_held_out_lesions():
    heldout = np.arange(1, 201) / 200
    assert copies.are_copies(heldout, np.array([0.01, 0.5])).tolist() == [True, False]
    assert copies.are_copies(heldout, heldout).mean() == pytest.approx(0.01)
    assert copies.are_copies(heldout, heldout, quantile=0.1).mean() == pytest.approx(0.1)


def test_authentic_is_farther_than_the_lesion_is_from_the_next():
    spacing = SimpleNamespace(distance=np.array([1.0, 3.0]))
    found = SimpleNamespace(distance=np.array([2.0, 2.0]), index=np.array([0, 1]))
    assert copies.are_authentic(found, spacing).tolist() == [True, False]


def test_c_t_by_hand_and_calibrated():
    """All of 20 images nearer than all of 30 lesions: u = 0, z = -300 / sqrt(20 * 30 * 51 / 12)."""
    near, far, one, two = np.linspace(0, 1, 20), np.linspace(2, 3, 30), np.zeros(20), np.zeros(30)
    assert copies.ct_statistic(far, two, near, one) == pytest.approx(-300 / np.sqrt(20 * 30 * 51 / 12))
    assert np.isnan(copies.ct_statistic(far[:19], two[:19], near, one))  # too few in the cell: not 0
    rng = np.random.default_rng(0)
    z = [copies.ct_statistic(rng.random(80), np.zeros(80), rng.random(60), np.zeros(60)) for _ in range(400)]
    assert abs(np.mean(z)) < 0.15 and np.std(z) == pytest.approx(1, abs=0.12)


def test_cells_are_as_many_as_the_lesions_allow():
    x = np.random.default_rng(0).normal(size=(400, 3))
    counts = [len(set(copies.cells_of(x[:n]))) for n in (20, 70, 400)]
    assert counts == [1, 2, 5]
