import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from test_metrics import plain, predictions

from genmix import plots
from genmix.results import calibration
from genmix.results.bootstrap import bootstrap
from genmix.results.calibration import cross_fit, expected_ece, fit, halves, measures, reliability, rescale
from genmix.results.metrics import metrics_table


def sure(confidence, k=3):
    """Probabilities (n, k) that guess class 0 with confidence (n,); the rest is shared."""
    c = np.asarray(confidence, float)[:, None]
    return np.concatenate([c, np.repeat((1 - c) / (k - 1), k - 1, 1)], 1)


def honest(n, sharpness=1.0, seed=0):
    """(y, p): labels drawn from the probabilities themselves; then the logits are scaled by `sharpness`."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.6, 0.6, 0.6], n).clip(1e-4)
    p /= p.sum(1, keepdims=True)
    return (rng.random(n)[:, None] > p.cumsum(1)[:, :2]).sum(1), rescale(p, 1 / sharpness)


def test_ece_by_hand():
    y = np.repeat([0, 1], [60, 40])
    for order in (slice(None), slice(None, None, -1)):  # ties share a bin, in whatever order they come
        assert measures(y[order], sure([0.8] * 100))['ece'] == pytest.approx(0.2)
    assert measures(y, sure([0.8] * 100))['overconfidence'] == pytest.approx(0.2)
    two = (
        sure([0.9] * 50 + [0.6] * 50),
        np.repeat([0, 1, 0, 1], [40, 10, 35, 15]),
    )  # on average as sure as right, and yet
    assert measures(two[1], two[0])['ece'] == pytest.approx(0.1) and measures(two[1], two[0])[
        'overconfidence'
    ] == pytest.approx(0)
    assert measures(np.array([0, 1]), np.eye(3)[[0, 1]])['ece'] == 0


def test_bins_have_equal_mass():
    confidence = np.random.default_rng(0).beta(5, 1, 1000)
    assert np.bincount(calibration.bins_of(confidence)).tolist() == [100] * 10
    assert (np.diff(calibration.bins_of(np.sort(confidence))) >= 0).all() and calibration.bins_of(
        np.ones(5)
    ).tolist() == [0] * 5


def test_an_honest_network_shows_what_chance_allows():
    """ECE of perfect calibration is noise: its mean is the expected one, which falls with the root of n."""
    for n in (200, 3200):
        shown = [honest(n, seed=s) for s in range(60)]
        assert np.mean([measures(y, p)['ece'] for y, p in shown]) == pytest.approx(
            np.mean([expected_ece(p) for _, p in shown]), rel=0.06
        )
    y, p = honest(80000)
    assert measures(y, p)['ece'] < 0.01 and expected_ece(honest(200)[1]) == pytest.approx(
        4 * expected_ece(honest(3200)[1]), rel=0.15
    )


def test_brier_and_nll_by_hand_and_by_scikit_learn():
    got = measures(np.array([0, 1]), np.array([[0.5, 0.3, 0.2], [1, 0, 0]]))
    assert got['brier'] == pytest.approx(((0.25 + 0.09 + 0.04) + 2) / 2) and got['nll'] == pytest.approx(
        (-np.log(0.5) - np.log(5e-7)) / 2
    )
    y, p = honest(300)
    assert measures(y, p)['brier'] == pytest.approx(sk.brier_score_loss(y, p)) and measures(y, p)[
        'nll'
    ] == pytest.approx(sk.log_loss(y, p))


def test_a_draw_without_lesions_says_nothing_and_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = calibration.from_sums(np.stack([np.zeros(calibration.WIDTH), np.ones(calibration.WIDTH)]))
    assert all(np.isnan(v[0]) and np.isfinite(v[1]) for v in found.values())


def test_the_fit_recovers_a_known_temperature_and_a_known_prior_shift():
    for sharpness in (0.5, 1, 2.5):
        y, p = honest(8000, sharpness)
        temperature, bias = fit(y, p)
        assert temperature == pytest.approx(sharpness, rel=0.06) and np.abs(bias).max() < 0.12
    y, p = honest(20_000)
    shift = np.log([4, 1, 0.5])
    temperature, bias = fit(y, rescale(p, 1, shift))  # trained on another class mass
    assert temperature == pytest.approx(1, rel=0.05) and bias == pytest.approx(shift.mean() - shift, abs=0.1)
    assert bias.sum() == pytest.approx(0)


def test_the_fit_is_the_best_there_is():
    """No other temperature or bias nearby has a smaller log loss, with weights too."""
    y, p = honest(500, 2.0)
    weight = np.array([1.5, 0.3, 1.0])[y]
    temperature, bias = fit(y, p, weight)
    best = measures(y, rescale(p, temperature, bias), weight)['nll']
    for t, b in ((1.05, 0), (0.95, 0), (1, [0.05, 0, 0]), (1, [0, 0, -0.05])):
        assert measures(y, rescale(p, temperature * t, bias + np.array(b)), weight)['nll'] > best


def test_a_set_without_error_stays_within_limits():
    y, p = np.zeros(2, int), sure([0.7, 0.7])
    temperature, bias = fit(y, p)
    assert calibration.TEMPERATURES[0] <= temperature and np.abs(bias).max() <= 2 * calibration.BIAS
    assert measures(y, rescale(p, temperature, bias))['nll'] < 0.01


def test_weights_count_as_repeated_lesions():
    y, p = honest(200)
    times = np.random.default_rng(1).integers(1, 4, 200)
    again = np.repeat(np.arange(200), times)
    one, other = measures(y, p, times.astype(float)), measures(y[again], p[again])
    assert [one[m] for m in ('brier', 'nll', 'overconfidence')] == pytest.approx(
        [other[m] for m in ('brier', 'nll', 'overconfidence')]
    )
    for a, b in zip(fit(y, p, times), fit(y[again], p[again])):
        assert a == pytest.approx(b, abs=1e-3)


def test_temperature_keeps_the_guess_and_one_changes_nothing():
    y, p = honest(500)
    assert np.allclose(rescale(p, 1), p, atol=1e-5) and (rescale(p, 3).argmax(1) == p.argmax(1)).all()
    assert rescale(np.array([[1.0, 0, 0]]), 2)[0, 1] > 0 and rescale(p, 3).max() < p.max()


def test_cross_fitting_never_uses_the_own_half():
    (y, p), one = honest(400, 2.0), np.ones(400)
    who = np.array([f'P{i // 4}' for i in range(400)])
    first = halves(who)
    q, temperature, bias = cross_fit(y, p, one, who)
    assert 180 < first.sum() < 220 and not set(who[first]) & set(who[~first])
    changed = np.where(first, (y + 1) % 3, y)  # other answers in one half
    r, other, _ = cross_fit(changed, p, one, who)
    assert (r[first] == q[first]).all() and (other[first] == temperature[first]).all()
    assert (other[~first] != temperature[~first]).all() and bias.shape == p.shape
    order = np.random.default_rng(0).permutation(400)
    assert (halves(who[order]) == first[order]).all()
    assert measures(y, q)['nll'] < measures(y, p)['nll'] and measures(y, q)['ece'] < measures(y, p)['ece']
    assert (cross_fit(y[:4], p[:4], one[:4], who[:4])[1] == 1).all()  # one patient: no other half


def test_scaled_rows_stand_beside_the_others():
    table = predictions({'x': 0.7, 'y': 0.6}, runs=2)
    scaled = calibration.scale(table, list('abc'))
    assert scaled[table.columns].equals(table) and np.allclose(scaled[['q_a', 'q_b', 'q_c']].sum(1), 1)
    long = metrics_table(scaled, plain('x', 'y')).query('arm == "x" and seed == 1')
    long = long.query('rule == ""').set_index(['metric', 'label']).value
    part = scaled.query('arm == "x" and seed == 1')
    y, q = part.label.to_numpy(), part[['q_a', 'q_b', 'q_c']].to_numpy()
    for m, v in measures(y, q, suffix='_scaled').items():
        assert long[m, 'all'] == pytest.approx(v)
    assert part.temperature.min() < long['temperature', 'all'] < part.temperature.max()
    bare = set(metrics_table(table, plain('x', 'y')).metric)
    assert 'ece_scaled' not in bare and 'ece' in bare


def test_dev_serves_for_the_fit_and_for_nothing_else():
    """Each run is scaled by its own rows of dev, by their weight; these rows are gone then."""
    both = [
        predictions({'x': 0.7, 'y': 0.4}, runs=2, seed=s).assign(test_set=t)
        for s, t in enumerate(('holdout', 'dev'))
    ]
    table = pd.concat(both, ignore_index=True)
    table['weight'] = np.where(table.test_set == 'dev', np.array([1.5, 0.5, 1])[table.label], 1)
    scaled = calibration.scale(table, list('abc'))
    assert set(scaled.test_set) == {'holdout'} and len(scaled) == len(table) / 2
    for run, part in scaled.groupby(['arm', 'seed']):
        dev = table.set_index(['arm', 'seed', 'test_set']).loc[(*run, 'dev')]
        p = dev[['p_a', 'p_b', 'p_c']].to_numpy()
        temperature, bias = fit(dev.label.to_numpy(), p, dev.weight.to_numpy())
        assert part.temperature.unique().tolist() == [temperature]
        q = rescale(part[['p_a', 'p_b', 'p_c']].to_numpy(), temperature, bias)
        assert np.allclose(part[['q_a', 'q_b', 'q_c']], q)
        assert part[['bias_a', 'bias_b', 'bias_c']].iloc[0].tolist() == pytest.approx(bias)


def test_reliability_counts_lesions_once():
    y, p = honest(1000)
    once, thrice = reliability(y, p), reliability(np.tile(y, 3), np.tile(p, (3, 1)), runs=3)
    pd.testing.assert_frame_equal(once, thrice, rtol=0.02)
    assert once.n.sum() == 1000 and (once.accuracy - once.confidence).abs() @ once.n / 1000 == pytest.approx(
        measures(y, p)['ece']
    )
    assert ((once.low < once.accuracy) & (once.accuracy < once.high)).all()
    weighed = reliability(y, p, np.where(y == 0, 3.0, 1.0))
    gap = (weighed.accuracy - weighed.confidence).abs()
    assert weighed.weight.sum() == pytest.approx(1000 + 2 * (y == 0).sum())
    assert (
        len(weighed) == 10
        and weighed.n.sum() == 1000
        and gap.max() > (once.accuracy - once.confidence).abs().max()
    )


def test_words_and_figure_follow_the_numbers(tmp_path):
    """Right in 60 %, sure of .6 and more: over-confident, and scaling corrects it."""
    table = calibration.scale(predictions({'x': 0.45, 'y': 0.95}, runs=3, n=600, patients=300), list('abc'))
    lines = calibration.summarise_calibration(
        bootstrap(table, 'holdout', 200), ['x', 'y'], 'holdout', metrics_table(table, plain('x', 'y'))
    )
    assert lines[0].startswith('x is over-confident') and lines[1].startswith('y is under-confident')
    diagrams = calibration.diagrams(table, 'holdout', ['x', 'y'], list('abc'))
    figure = plots.reliability_diagrams(diagrams, 'holdout')
    assert (
        len(figure.axes) == 4
        and 'x, as trained: mean confidence' in figure.alt
        and 'above accuracy' in figure.alt
    )
    figure.savefig(tmp_path / 'x.png')
