import numpy as np
import pytest
from scipy.spatial.distance import cdist

from genmix.audit.features import load_features
from genmix.audit.fidelity import distances, diversity, fid, kernel, kid, mmd2, pairwise, prdc, principal_axes
from genmix.data.phantom import plan


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def whitened(n, d):
    """A sample whose mean is exactly 0 and whose covariance is exactly the identity."""
    x = normal(n, d)
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T


def mmd2_of_shift(m2, d):
    """Squared MMD between N(0, I) and N(m, I), |m|^2 = m2, for k = (x.y / d + 1)^3.

    With s = x.y, means a and b: E s = ab, E s^2 = ab^2 + |a|^2 + |b|^2 + d,
    E s^3 = ab^3 + 3 ab |b|^2 + 3 ab (|a|^2 + d + 2).
    """
    third = m2**3 + 3 * m2**2 + 3 * m2 * (m2 + d + 2)
    within_shifted = 1 + 3 * m2 / d + 3 * (m2**2 + 2 * m2 + d) / d**2 + third / d**3
    return (1 + 3 / d) + within_shifted - 2 * (1 + 3 * (m2 + d) / d**2)


def test_distances_are_those_of_scipy():
    a, b = 50 + normal(70, 9), 50 + normal(40, 9, 1)
    assert np.allclose(distances(a, b, block=32), cdist(a, b), atol=1e-4)
    assert np.diag(distances(a, a)).max() < 2e-3


def test_mmd_of_shifted_gaussians_is_the_analytic_one():
    d, m = 6, np.array([1.5, 0, -0.5, 0, 1, 0])
    x, y = normal(2500, d), normal(2500, d, 1) + m
    assert mmd2(*pairwise(kernel, x, y)) == pytest.approx(mmd2_of_shift(m @ m, d), rel=0.05)
    mean, sd = kid(x, y, subsets=60, size=300)
    assert abs(mean - mmd2_of_shift(m @ m, d)) < 4 * sd / 60**0.5 + 0.05 * mean


def test_kid_is_unbiased():
    pairs = [(normal(30, 4, seed), normal(20, 4, 1000 + seed)) for seed in range(600)]
    values = np.array([mmd2(*pairwise(kernel, x, y)) for x, y in pairs])
    assert abs(values.mean()) < 3 * values.std() / len(values) ** 0.5
    assert (values < 0).mean() > 0.3


def test_fid_of_a_shift_is_its_squared_length():
    x, m = whitened(500, 8), np.arange(8) / 4
    value, n, d = fid(x, x + m)
    assert value == pytest.approx(m @ m, abs=1e-8) and (n, d) == (500, 8)


def test_fid_of_a_scale_is_known():
    x = whitened(500, 8)
    assert fid(x, 3 * x)[0] == pytest.approx(8 * (1 - 3) ** 2)


def test_identical_and_disjoint_sets():
    x = normal(300, 5)
    same, apart = prdc(x, x.copy()), prdc(x, x + 100)
    assert same['precision'] == same['recall'] == same['coverage'] == 1
    assert same['density'] == pytest.approx(1, abs=0.01)
    assert apart == dict.fromkeys(apart, 0)


@pytest.mark.parametrize('k', [1, 3, 5])
def test_expected_coverage_and_density(k):
    found = [prdc(normal(400, 6, seed), normal(400, 6, 99 + seed), k) for seed in range(6)]
    assert np.mean([f['coverage'] for f in found]) == pytest.approx(1 - 2.0**-k, abs=0.02)
    assert np.mean([f['density'] for f in found]) == pytest.approx(1, abs=0.06)


def test_a_dropped_mode_costs_recall_and_coverage():
    far = np.repeat([0, 50], 200)[:, None]
    found = prdc(normal(400, 4) + far, normal(200, 4, 1))
    assert found['precision'] > 0.9
    assert [found['recall'], found['coverage']] == pytest.approx([0.5, 0.5], abs=0.06)


def test_diversity_ignores_order_and_not_repetition():
    x = normal(50, 4)
    assert diversity(x) == pytest.approx(diversity(x[::-1]), rel=1e-6)
    assert diversity(x) == pytest.approx(cdist(x, x).sum() / 50 / 49, rel=1e-5)
    assert diversity(np.repeat(x[:1], 9, 0)) == 0


def test_axes_are_those_of_largest_variance():
    x = normal(4000, 5) * [1, 9, 1, 5, 1] + 3
    mean, axes = principal_axes(x, 2)
    assert axes.shape == (5, 2) and np.allclose(mean, x.mean(0))
    assert abs(axes[1, 0]) > 0.99 and abs(axes[3, 1]) > 0.99


def test_noise_is_no_diversity():
    extract, real = load_features(), plan.draw('dev', (0, 0, 80), seed=5).images
    mean, axes = principal_axes(extract(plan.draw('dev', (60, 60, 60)).images))
    rng = np.random.default_rng(0)

    def along_axes(images):
        return diversity((extract(images) - mean) @ axes)

    def noise(images):
        return (images + rng.normal(0, 20, images.shape)).clip(0, 255).astype(np.uint8)

    assert 0.6 < along_axes(noise(real)) / along_axes(real) < 1
    assert along_axes(noise(np.repeat(real[:1], 80, 0))) < 0.45 * along_axes(real)
