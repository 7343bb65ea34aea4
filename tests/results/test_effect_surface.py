"""Surfaces through effects whose truth is known: what they recover, cover and predict."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from genmix import StudyError
from genmix.results.effect_surface import CHANCES, fit, leave_one_out, terms
from genmix.results.intervals import SMALLEST
from genmix.results.map_space import NAMES, design, unit_places

X = unit_places(design(90))
EVERYWHERE = np.random.default_rng(5).uniform(-1, 1, (200, 4))
CORNERS = np.array(np.meshgrid(*[(-1, 1)] * 4)).reshape(4, -1).T
COEFFICIENTS = np.array([0.2, 0.8, -1, 0.5, -0.3, 0.6, -0.4, 0, 0.3, 0.5, 0, -0.5, 0.4, 0.2, -0.3]) / 100
SD = 0.013  # between cohorts, as in the pilots of the study


def quadratic(x):
    return terms(x) @ COEFFICIENTS


def bent(x):
    """Smooth, and no quadratic: a step along one axis, saturation along another."""
    step, saturation = 3 / (1 + np.exp(-4 * (x[:, 1] + 0.2))), np.exp(-2 * (x[:, 2] + 1))
    return (step - 1.5 - saturation + 0.5 * x[:, 0] * x[:, 1]) / 100


def even(x):
    return np.full(len(x), SD)


def more_with_few_lesions(x):
    return SD * np.exp(-0.5 * x[:, 0])  # 2.7 times as much at one end as at the other


def surfaces(truth, spread, n, seed=0):
    rng = np.random.default_rng(seed)
    return (fit(X, truth(X) + rng.normal(size=len(X)) * spread(X)) for _ in range(n))


def test_terms_are_constant_lines_and_products():
    assert terms(np.array([[2.0, 3.0]])).tolist() == [[1, 2, 3, 4, 6, 9]]
    assert terms(X).shape == (90, 15)


def test_a_surface_without_noise_is_recovered_with_its_quadratic_terms():
    surface = fit(X, quadratic(X))
    assert surface.coefficients == pytest.approx(COEFFICIENTS, abs=1e-12)
    found = surface.at(terms(EVERYWHERE))
    assert found['mean'].to_numpy() == pytest.approx(quadratic(EVERYWHERE), abs=1e-12)
    assert (found.high - found.low).max() < 1e-9


def test_standard_errors_are_hc3_by_hand():
    y = quadratic(X) + np.random.default_rng(0).normal(0, SD, 90)
    rows, surface = terms(X), fit(X, y)
    pseudo = np.linalg.pinv(rows)
    left_out = (y - rows @ pseudo @ y) / (1 - np.diag(rows @ pseudo))
    assert surface.covariance == pytest.approx(pseudo @ np.diag(left_out**2) @ pseudo.T, abs=1e-12)


@pytest.mark.parametrize('truth', [quadratic, bent], ids=lambda f: f.__name__)
@pytest.mark.parametrize('spread', [even, more_with_few_lesions], ids=lambda f: f.__name__)
def test_intervals_cover_a_known_surface(truth, spread):
    """Everywhere and in the corners, along an axis, and where lesions are fewest."""
    places, inside = np.vstack([EVERYWHERE, CORNERS]), []
    ends = np.stack([np.column_stack([np.full(90, end), X[:, 1:]]) for end in (-1, 1)])
    average = [truth(end).mean() for end in ends]
    along = []
    for surface in surfaces(truth, spread, 300):
        found = surface.at(terms(places))
        inside.append(found.low.lt(truth(places)) & found.high.gt(truth(places)))
        found = surface.profile('lesions', 2)
        along.append(found.low.lt(average) & found.high.gt(average))
    inside, along = np.array(inside), np.array(along)
    assert 0.93 < inside[:, :200].mean() < 0.98 and 0.93 < inside[:, 200:].mean() < 0.98
    assert along.mean(0) == pytest.approx([0.96, 0.96], abs=0.035)


def test_chances_are_as_often_true_as_they_say():
    """Chances between .2 and .4 are right in about 30 %, and so on, where effects of any size are equally
    frequent: the flat prior.
    """
    rng, rows, said, true = np.random.default_rng(3), terms(EVERYWHERE[:40]), [], []
    for lift in rng.uniform(-0.04, 0.04, 600):
        found = fit(X, quadratic(X) + lift + rng.normal(0, SD, 90)).at(rows)
        assert found[list(CHANCES)].sum(1).to_numpy() == pytest.approx(1)
        effect = quadratic(EVERYWHERE[:40]) + lift
        said.append(found[list(CHANCES)].to_numpy())
        true.append(np.stack([effect > SMALLEST, np.abs(effect) < SMALLEST, effect < -SMALLEST], 1))
    said, true = np.concatenate(said), np.concatenate(true)
    for k, low in product(range(3), (0, 0.2, 0.4, 0.6, 0.8)):
        here = (said[:, k] >= low) & (said[:, k] <= low + 0.2)
        if here.sum() > 100:
            assert true[here, k].mean() == pytest.approx(said[here, k].mean(), abs=0.05), (CHANCES[k], low)
    assert ((said > 0.2) & (said < 0.8)).any(0).all()


def test_a_chance_by_hand():
    y = np.random.default_rng(0).normal(0.01, SD, 90)
    surface = fit(X, y)
    (found,) = surface.at(surface.averaged()[None]).to_dict('records')
    error = (found['high'] - found['mean']) / stats.t.ppf(0.975, 75)
    assert found['above'] == pytest.approx(stats.t.sf((0.01 - found['mean']) / error, 75))
    assert found['below'] == pytest.approx(stats.t.cdf((-0.01 - found['mean']) / error, 75))


def test_averages_over_other_axes_by_hand():
    surface = fit(X, quadratic(X))
    moved = X.copy()
    moved[:, NAMES.index('blur')] = 0.5
    assert surface.averaged(blur=0.5) @ COEFFICIENTS == pytest.approx(quadratic(moved).mean())
    panel = surface.panel('modes', up='lesions', n=5)
    moved = X.copy()
    moved[:, NAMES.index('lesions')], moved[:, NAMES.index('modes')] = 0.5, -1
    assert panel['mean'][3, 0] == pytest.approx(quadratic(moved).mean()) and panel['mean'].shape == (5, 5)
    profile = surface.profile('modes', 3)
    assert profile.modes.tolist() == pytest.approx([3, 1800**0.5, 600])
    change = surface.change('modes')
    assert change['mean'] == pytest.approx(profile['mean'].iloc[-1] - profile['mean'].iloc[0])


def test_too_few_points_are_named():
    with pytest.raises(StudyError, match=r'^The map has 16 points, .* with points=17 or more\.$'):
        fit(X[:16], np.zeros(16))
    assert np.isfinite(fit(X[:17], np.random.default_rng(0).normal(size=17)).covariance).all()


def test_leaving_one_out_is_what_fits_without_it_predict():
    y = quadratic(X) + np.random.default_rng(0).normal(0, SD, 90)
    left, inside = [], []
    for i in range(90):
        keep = np.arange(90) != i
        rows, row = terms(X[keep]), terms(X[[i]])[0]
        b, (rss,), *_ = np.linalg.lstsq(rows, y[keep])
        error = (rss / 74 * (1 + row @ np.linalg.inv(rows.T @ rows) @ row)) ** 0.5
        left.append(y[i] - row @ b)
        inside.append(abs(left[-1]) < stats.t.ppf(0.975, 74) * error)
    found = leave_one_out(X, y)
    assert found.error['quadratic'] == pytest.approx(np.mean(np.square(left)) ** 0.5)
    assert found.inside['quadratic'] == np.mean(inside)
    mean = [y[i] - np.delete(y, i).mean() for i in range(90)]
    assert found.error['mean'] == pytest.approx(np.mean(np.square(mean)) ** 0.5)


def test_leaving_one_out_tells_a_quadratic_from_a_plane_and_from_nothing():
    rng, flat, plane = np.random.default_rng(1), [], []
    for _ in range(10):
        noise = rng.normal(0, SD, 90)
        assert leave_one_out(X, 2 * quadratic(X) + noise).error.idxmin() in ('quadratic', 'Gaussian process')
        flat.append(leave_one_out(X, noise).explained)
        plane.append(leave_one_out(X, 2 * X @ COEFFICIENTS[1:5] + noise).error)
    flat = pd.DataFrame(flat).mean()
    assert flat['quadratic'] < flat['plane'] < flat['mean'] == 0, 'coefficients of nothing only add noise'
    assert pd.DataFrame(plane).mean().drop('Gaussian process').idxmin() == 'plane'


@pytest.mark.filterwarnings('ignore:The optimal value found')
def test_a_gaussian_process_predicts_as_well_but_covers_less():
    """Why the surface is a quadratic: intervals of a process take its hyperparameters for known."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    rng, inside, errors = np.random.default_rng(2), [], []
    for _ in range(15):
        y = 100 * (quadratic(X) + rng.normal(size=90) * even(X))
        kernel = ConstantKernel() * RBF(np.ones(4), (0.3, 100)) + WhiteKernel()
        process = GaussianProcessRegressor(kernel).fit(X, y)
        mean, sd = process.predict(CORNERS, return_std=True)
        sd = np.sqrt(sd**2 - process.kernel_.k2.noise_level)  # of the surface, not of a new point
        found = fit(X, y).at(terms(CORNERS))
        truth = 100 * quadratic(CORNERS)
        covered = found.low.lt(truth) & found.high.gt(truth)
        inside.append([np.mean(np.abs(mean - truth) < 1.96 * sd), covered.mean()])
        errors.append(leave_one_out(X, y).error[['Gaussian process', 'quadratic']])
    process, surface = np.mean(inside, 0)
    assert process < 0.85 and surface > 0.92
    errors = pd.DataFrame(errors).mean()
    assert errors['Gaussian process'] < 1.1 * errors['quadratic']
