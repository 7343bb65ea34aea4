from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from conftest import blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genmix import StudyError
from genmix.data.sampling import one_hot
from genmix.mixing import rules
from genmix.mixing.arms import arms_for
from genmix.mixing.batches import Batches, Pool
from genmix.mixing.config import BatchConfig
from genmix.mixing.dataset import mix_sets
from genmix.mixing.rules import GenMix, Mixup, Pairs, apply, blend, draw_lambda, partners

CONFIG = BatchConfig(mixed_share=0.5, pairing='balanced', mixup_off=0.0)


def batch(n, classes=3, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 1, 4, 4))
    return x.astype(dtype), one_hot(rng.integers(0, classes, n), classes)


def mixed(rule, x, y, xs, ys, seed=0):
    """(x~, y~, pairs) of one call of a rule."""
    hard = np.asarray(y.argmax(1)), np.asarray(ys.argmax(1))
    pairs = rule.pairs(*hard, np.random.default_rng(seed), x.shape[-2:])
    return *apply(pairs, (x[pairs.a], xs[pairs.b]), (y[pairs.a], ys[pairs.b])), pairs


def test_blend_by_hand():
    a, b = np.array([[0.0, 100.0], [10.0, 20.0]]), np.array([[100.0, 0.0], [30.0, 60.0]])
    assert np.allclose(blend(a, b, np.array([0.25, 0.5])), [[75, 25], [20, 40]])


def test_blend_of_bytes_rounds_and_never_wraps():
    a, b = np.full((3, 2), 255, np.uint8), np.full((3, 2), 250, np.uint8)
    weight = np.array([0.0, 0.5, 1.0])
    by_array = blend(a, b, weight)
    assert by_array.dtype == np.uint8 and by_array.tolist() == [[250] * 2, [252] * 2, [255] * 2]
    assert torch.equal(blend(torch.tensor(a), torch.tensor(b), weight), torch.tensor(by_array))


def test_a_mask_weighs_each_pixel_and_lambda_the_labels():
    a, b = np.full((1, 1, 2, 2), 200, np.uint8), np.zeros((1, 1, 2, 2), np.uint8)
    pairs = Pairs(np.array([0]), np.array([0]), np.array([0.75]), np.array([[[1, 1], [1, 0.0]]]))
    for kind in (np.asarray, torch.tensor):
        x, y = apply(pairs, (kind(a), kind(b)), (kind(np.eye(2)[[0]]), kind(np.eye(2)[[1]])))
        assert np.asarray(x)[0, 0].tolist() == [[200, 200], [200, 0]] and np.allclose(y, [[0.75, 0.25]])


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
    mx, my, pairs = mixed(GenMix(alpha=alpha, pairing=pairing, larger=larger), x, y, xs, ys, seed)
    assert mx.dtype == x.dtype and my.dtype == y.dtype and mx.shape == x.shape
    assert np.allclose(np.asarray(my.sum(1)), 1, atol=1e-5) and np.all((pairs.lam >= 0) & (pairs.lam <= 1))
    parents = np.asarray(x), np.asarray(xs)[pairs.b]
    assert np.all(np.asarray(mx) >= np.minimum(*parents) - 1e-3)
    assert np.all(np.asarray(mx) <= np.maximum(*parents) + 1e-3)
    if pairing == 'same':
        assert np.array_equal(np.asarray(ys)[pairs.b].argmax(1), np.asarray(y).argmax(1))
        assert np.allclose(np.asarray(my), np.asarray(y), atol=1e-6)
    if larger == 'real':
        assert np.all(pairs.lam >= 0.5)
    if larger == 'synthetic':
        assert np.all(pairs.lam <= 0.5)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_mixup_is_the_equation_and_reproducible(n, seed):
    x, y = batch(n, seed=seed)
    rule = Mixup(alpha=0.4, larger='either')
    mx, my, pairs = mixed(rule, x, y, x, y, seed)
    for i, (lam, j) in enumerate(zip(pairs.lam, pairs.b)):
        assert np.allclose(mx[i], lam * x[i] + (1 - lam) * x[j], atol=1e-3)
        assert np.allclose(my[i], lam * y[i] + (1 - lam) * y[j], atol=1e-5)
    assert sorted(pairs.b) == list(range(n)) and np.array_equal(mx, mixed(rule, x, y, x, y, seed)[0])


def test_images_stay_uint8_through_genmix():
    (x, y), (xs, ys) = batch(8, dtype=np.uint8), batch(9, seed=1, dtype=np.uint8)
    assert mixed(GenMix(alpha=1.0, pairing='any', larger='either'), x, y, xs, ys)[0].dtype == np.uint8


@pytest.mark.parametrize('alpha', [0.2, 1.0, 4.0])
def test_lambda_follows_beta(alpha):
    lam = draw_lambda(4000, alpha, np.random.default_rng(1))
    assert stats.kstest(lam, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert stats.kstest(lam, stats.beta(alpha * 2, alpha * 2).cdf).pvalue < 0.001


def test_class_mass_of_each_pairing():
    real, synthetic = np.repeat([0, 1, 2], [520, 100, 380]), np.repeat([0, 1, 2], [600, 300, 100])

    def share(pairing):
        rows = partners(np.tile(real, 20), synthetic, pairing, np.random.default_rng(0))
        return np.bincount(synthetic[rows]) / 20000

    assert np.allclose(share('any'), [0.6, 0.3, 0.1], atol=0.02)
    assert np.allclose(share('same'), [0.52, 0.10, 0.38], atol=1e-9)
    assert np.allclose(share('balanced'), 1 / 3, atol=0.02)


@pytest.mark.parametrize(
    'wrong, word',
    [
        ({'alpha': 0}, 'alpha is 0'),
        ({'alpha': -1}, 'alpha is -1'),
        ({'alpha': float('nan')}, 'finite'),
        ({'larger': 'both'}, 'larger is "both"'),
        ({'pairing': 'mixed'}, 'any, same, balanced'),
    ],
)
def test_errors_name_the_parameter(wrong, word):
    with pytest.raises(StudyError, match=word):
        GenMix(**{'alpha': 0.4, 'larger': 'either', 'pairing': 'any'} | wrong)


def test_a_class_without_synthetic_images_is_named():
    with pytest.raises(StudyError, match='no image'):
        partners(np.array([1]), np.array([0, 0]), 'same', np.random.default_rng(0))


def test_another_rule_changes_the_stored_set_and_the_online_batches():
    """One heart: whoever edits the rule edits both."""

    @dataclass(frozen=True, kw_only=True)
    class Halves(GenMix):
        def pairs(self, labels, partner_labels, rng, shape=None):
            return replace(super().pairs(labels, partner_labels, rng), lam=np.full(len(labels), 0.5))

    train, synthetic = blobs((20, 10, 15)), blobs((9, 9, 9), seed=1)
    arm, about = arms_for(['g'])['genmix-g@1/2'], {'alpha': 0.4, 'pairing': 'any', 'larger': 'either'}
    for rule, halves in ((GenMix(**about), False), (Halves(**about), True)):
        stored = mix_sets(train, synthetic, 40, rule).lam
        _, _, online = next(iter(Batches(arm, Pool(train, synthetic), 1, 16, 0, CONFIG, rule)))
        assert (stored == 0.5).all() == halves and (online == 0.5).all() == halves


def test_apply_is_the_only_blend(monkeypatch):
    """What `apply` does, the stored set shows, and so does a training batch
    (tests/classifier/test_training.py).
    """
    train, synthetic = blobs((20, 10, 15)), blobs((9, 9, 9), seed=1)
    monkeypatch.setattr(rules, 'blend', lambda a, b, weight: a)
    made = mix_sets(train, synthetic, 40, GenMix(alpha=0.4, pairing='any', larger='either'))
    assert np.array_equal(made.x, train.images[made.a])


def test_a_name_belongs_to_one_rule():
    with pytest.raises(StudyError, match='mixing rule "mixup" already'):

        @rules.register
        class Mine:
            name: ClassVar[str] = 'mixup'

    assert rules.known()['mixup'] is Mixup
