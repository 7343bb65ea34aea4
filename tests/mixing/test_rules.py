import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genmix import StudyError
from genmix.data.sampling import one_hot
from genmix.mixing import rules
from genmix.mixing.rules import blend, draw_lambda, genmix, mixup, partners


def batch(n, classes=3, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 1, 4, 4))
    return x.astype(dtype), one_hot(rng.integers(0, classes, n), classes)


def test_blend_by_hand():
    a, b = np.array([[0.0, 100.0], [10.0, 20.0]]), np.array([[100.0, 0.0], [30.0, 60.0]])
    assert np.allclose(blend(a, b, np.array([0.25, 0.5])), [[75, 25], [20, 40]])


def test_blend_of_bytes_rounds_and_never_wraps():
    a, b = np.full((3, 2), 255, np.uint8), np.full((3, 2), 250, np.uint8)
    mixed = blend(a, b, np.array([0.0, 0.5, 1.0]))
    assert mixed.dtype == np.uint8 and mixed.tolist() == [[250] * 2, [252] * 2, [255] * 2]
    assert torch.equal(
        blend(torch.tensor(a), torch.tensor(b), np.array([0.0, 0.5, 1.0])), torch.tensor(mixed)
    )


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 17),
    alpha=st.floats(0.05, 5),
    seed=st.integers(0, 2**31),
    larger=st.sampled_from(rules.LARGER),
    pairing=st.sampled_from(rules.PAIRINGS),
    kind=st.sampled_from(['numpy', 'torch']),
)
def test_properties_of_genmix(n, alpha, seed, larger, pairing, kind):
    (x, y), (xs, ys) = batch(n, seed=seed), batch(31, seed=seed + 1)
    ys[:3] = np.eye(3)  # every class is there
    if kind == 'torch':
        x, y, xs, ys = map(torch.tensor, (x, y, xs, ys))
    m = genmix(x, y, xs, ys, alpha, np.random.default_rng(seed), pairing, larger)
    assert m.x.dtype == x.dtype and m.y.dtype == y.dtype and m.x.shape == x.shape
    assert np.allclose(np.asarray(m.y.sum(1)), 1, atol=1e-5) and np.all((m.lam >= 0) & (m.lam <= 1))
    low, high = np.minimum(np.asarray(x), np.asarray(xs)[m.b]), np.maximum(np.asarray(x), np.asarray(xs)[m.b])
    assert np.all(np.asarray(m.x) >= low - 1e-3) and np.all(np.asarray(m.x) <= high + 1e-3)
    if pairing == 'same':
        assert np.array_equal(np.asarray(ys)[m.b].argmax(1), np.asarray(y).argmax(1))
        assert np.allclose(np.asarray(m.y), np.asarray(y), atol=1e-6)
    if larger == 'real':
        assert np.all(m.lam >= 0.5)
    if larger == 'synthetic':
        assert np.all(m.lam <= 0.5)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_mixup_is_the_equation_and_reproducible(n, seed):
    x, y = batch(n, seed=seed)
    m = mixup(x, y, 0.4, np.random.default_rng(seed))
    for i, (l, j) in enumerate(zip(m.lam, m.b)):
        assert np.allclose(m.x[i], l * x[i] + (1 - l) * x[j], atol=1e-3)
        assert np.allclose(m.y[i], l * y[i] + (1 - l) * y[j], atol=1e-5)
    assert np.array_equal(m.x, mixup(x, y, 0.4, np.random.default_rng(seed)).x)


def test_images_stay_uint8_through_genmix():
    (x, y), (xs, ys) = batch(8, dtype=np.uint8), batch(9, seed=1, dtype=np.uint8)
    assert genmix(x, y, xs, ys, 1.0, np.random.default_rng(0), 'any').x.dtype == np.uint8


@pytest.mark.parametrize('alpha', [0.2, 1.0, 4.0])
def test_lambda_follows_beta(alpha):
    lam = draw_lambda(4000, alpha, np.random.default_rng(1))
    assert stats.kstest(lam, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert stats.kstest(lam, stats.beta(alpha * 2, alpha * 2).cdf).pvalue < 0.001


def test_class_mass_of_each_pairing():
    real, synthetic = np.repeat([0, 1, 2], [520, 100, 380]), np.repeat([0, 1, 2], [600, 300, 100])

    def share(pairing):
        return (
            np.bincount(synthetic[partners(np.tile(real, 20), synthetic, pairing, np.random.default_rng(0))])
            / 20000
        )

    assert np.allclose(share('any'), [0.6, 0.3, 0.1], atol=0.02)
    assert np.allclose(share('same'), [0.52, 0.10, 0.38], atol=1e-9)
    assert np.allclose(share('balanced'), 1 / 3, atol=0.02)


@pytest.mark.parametrize(
    'call, word',
    [
        (lambda r: draw_lambda(3, 0, r), 'alpha'),
        (lambda r: draw_lambda(3, -1, r), 'alpha'),
        (lambda r: draw_lambda(3, float('nan'), r), 'alpha'),
        (lambda r: draw_lambda(3, 1, r, 'both'), 'larger'),
        (lambda r: partners([0], [0], 'mixed', r), 'pairing'),
        (lambda r: partners([1], [0, 0], 'same', r), 'no image'),
    ],
)
def test_errors_name_the_thing(call, word):
    with pytest.raises(StudyError, match=word):
        call(np.random.default_rng(0))
