"""Calibration of probabilities: ECE, Brier score, log loss, and the bias and temperature that correct it.

Confidence is the probability of the predicted class (the top label), which a reader would be shown.  `scale`
adds columns q_<class> beside p_<class> of a predictions table; measures of the scaled ones carry the suffix
'_scaled'.  All measures depend on prevalence, and take that of the column `weight` (`metrics.reweigh`).
"""

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax

from genmix.audit.intervals import wilson

BINS = 10
ROUNDED = 5e-7  # predictions are kept to 6 digits: a zero there may be anything below this
DEV = 'dev'  # test set that serves for nothing but the fit of bias and temperature
TEMPERATURES = (0.05, 20)  # searched; a set predicted without error would ask for 0
BIAS = 10.0  # the largest, in nats; a set without error would ask for more
KINDS = {'': 'p_', '_scaled': 'q_'}
WIDTH = 3 + BINS  # columns of `sums` for one kind


def bins_of(confidence, bins=BINS) -> np.ndarray:
    """Bins of equal mass over confidence (n,): int (n,).  Equal confidences share a bin, in any order."""
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, confidence)


def sums(y, p, weight, who, n_patients) -> np.ndarray:
    """What every measure is made of, added up per patient: float (n_patients, WIDTH).

    y int (n,), p float (n, K), weight float (n,), who int (n,): number of the lesion's patient.  Columns:
    weight; Brier score; log loss; then in each bin right - confidence, so that drawing patients again is a
    product with their weights.  Bins are those of the lesions given here.
    """
    n, confidence = np.arange(len(y)), p.max(1)
    each = np.zeros((len(y), WIDTH))
    each[:, 0] = 1
    each[:, 1] = ((p - np.eye(p.shape[1])[y]) ** 2).sum(1)
    each[:, 2] = -np.log(p[n, y].clip(ROUNDED))
    each[n, 3 + bins_of(confidence)] = (p.argmax(1) == y) - confidence
    total = np.zeros((n_patients, WIDTH))
    np.add.at(total, who, each * weight[:, None])
    return total


def from_sums(s, suffix=''):
    """Measures from sums (..., WIDTH), each float (...).

    ece              expected calibration error, 0 to 1: mean of |accuracy - confidence| over bins of equal
                     mass (Nguyen and O'Connor 2015, EMNLP; Roelofs 2022, arXiv 2012.08668).  Never below 0,
                     so that noise alone raises it: compare with `expected_ece`
    brier            sum over classes of squared errors, 0 to 2 (Brier 1950)
    nll              log loss in nats; a probability counts as 5e-7 at least
    overconfidence   mean confidence - accuracy; below 0: under-confident

    NaN where there is no lesion: with several folds a draw of patients may leave one out.
    """
    n, gaps = s[..., 0], s[..., 3:]
    with np.errstate(invalid='ignore'):
        values = {
            'ece': abs(gaps).sum(-1) / n,
            'brier': s[..., 1] / n,
            'nll': s[..., 2] / n,
            'overconfidence': -gaps.sum(-1) / n,
        }
    return {name + suffix: value for name, value in values.items()}


def measures(y, p, weight=None, suffix='') -> dict[str, float]:
    """`from_sums` of all lesions together: {name: float}; weight (n,), None for 1 each."""
    weight = np.ones(len(y)) if weight is None else weight
    total = sums(y, p, weight, np.zeros(len(y), int), 1)[0]
    return {name: float(v) for name, v in from_sums(total, suffix).items()}


def expected_ece(p, weight=None) -> float:
    """The ECE that perfectly calibrated probabilities (n, K) are expected to show on n lesions by chance.

    Right or wrong then is a Bernoulli variable of known mean, its sum over a bin about normal, and the mean
    of |N(0, v)| is sqrt(2 v / pi).
    """
    confidence, weight = p.max(1), np.ones(len(p)) if weight is None else weight
    variance = np.bincount(bins_of(confidence), weight**2 * confidence * (1 - confidence))
    return float(np.sqrt(2 / np.pi * variance).sum() / weight.sum())


def rescale(p, temperature, bias=0.0):
    """Probabilities (n, K) with logits divided by `temperature`, plus `bias` (K,); above 1 softens."""
    return softmax(np.log(p.clip(ROUNDED)) / temperature + bias, 1)


def fit(y, p, weight=None) -> tuple[float, np.ndarray]:
    """(temperature, bias (K,)) of least log loss on y (n,), p (n, K), weight (n,).

    A temperature alone (Guo 2017, arXiv 1706.04599) cannot mend what training on another class mass shifts;
    a bias for each class can (Alexandari 2020, arXiv 1901.06852).  Convex in 1 / temperature and bias, so
    there is one minimum; the bias sums to 0.
    """
    from scipy.optimize import minimize  # slow to import

    logits, truth = np.log(p.clip(ROUNDED)), np.eye(p.shape[1])[y]
    share = np.ones(len(y)) / len(y) if weight is None else weight / weight.sum()

    def loss(x):
        z = logits * x[0] + x[1:]
        error = (softmax(z, 1) - truth) * share[:, None]
        slope = np.concatenate([[(error * logits).sum()], error.sum(0)])
        return -(log_softmax(z, 1) * truth * share[:, None]).sum(), slope

    limits = [(1 / TEMPERATURES[1], 1 / TEMPERATURES[0])] + [(-BIAS, BIAS)] * p.shape[1]
    start = np.array([1.0] + [0.0] * p.shape[1])
    found = minimize(loss, start, jac=True, method='L-BFGS-B', bounds=limits, options={'ftol': 1e-10}).x
    return float(1 / found[0]), found[1:] - found[1:].mean()


def halves(patients, seed=0) -> np.ndarray:
    """Lesions of one random half of the patients, bool (n,); the same halves in any order of the lesions."""
    every = np.unique(patients)
    first = np.random.default_rng(seed).permutation(every)[: len(every) // 2]
    return np.isin(patients, first)


def cross_fit(y, p, weight, patients):
    """(scaled p (n, K), temperature (n,), bias (n, K)): each half of the patients by the fit of the other.

    So no lesion of a patient enters its own fit.  A single patient keeps temperature 1 and bias 0.
    """
    first = halves(patients)
    temperature, bias = np.ones(len(y)), np.zeros(p.shape)
    if first.any() and not first.all():
        for half in (first, ~first):
            temperature[half], bias[half] = fit(y[~half], p[~half], weight[~half])
    return rescale(p, temperature[:, None], bias), temperature, bias


def scale(predictions: pd.DataFrame, names) -> pd.DataFrame:
    """The predictions table with columns q_<class>, temperature and bias_<class>, without the rows of DEV.

    Each run is fitted on its rows of DEV; where it has none, it is cross-fitted on each of its test sets.
    The index must be unique.
    """
    found = []
    for _, run in predictions.groupby(['arm', 'seed', 'fold'], sort=False):
        dev = run[run.test_set == DEV]
        fitted = fit(*_arrays(dev, names)) if len(dev) else None
        for _, part in run[run.test_set != DEV].groupby('test_set', sort=False):
            y, p, weight = _arrays(part, names)
            if fitted:
                temperature, bias = np.full(len(y), fitted[0]), np.tile(fitted[1], (len(y), 1))
                q = rescale(p, *fitted)
            else:
                q, temperature, bias = cross_fit(y, p, weight, part.patient.to_numpy(str))
            columns = {f'q_{n}': q[:, k] for k, n in enumerate(names)}
            columns |= {f'bias_{n}': bias[:, k] for k, n in enumerate(names)}
            found.append(pd.DataFrame(columns, part.index).assign(temperature=temperature))
    return predictions[predictions.test_set != DEV].join(pd.concat(found))


def weights_of(part) -> np.ndarray:
    """The column `weight` of rows of a predictions table, float (n,); 1 each where it has none."""
    return part.weight.to_numpy() if 'weight' in part else np.ones(len(part))


def _arrays(part, names):
    """(y, p, weight) of rows of a predictions table."""
    return part.label.to_numpy(), part[[f'p_{n}' for n in names]].to_numpy(), weights_of(part)


def of_part(part, names):
    """[(y, p, weight, suffix)] of rows of one run: probabilities as trained and, after `scale`, scaled."""
    kinds = {suffix: [mark + n for n in names] for suffix, mark in KINDS.items()}
    y, _, weight = _arrays(part, names)
    return [
        (y, part[columns].to_numpy(), weight, suffix)
        for suffix, columns in kinds.items()
        if set(columns) <= set(part)
    ]


def scores(part, names) -> dict[tuple, float]:
    """Measures of the rows of one run for metrics.csv: {(metric, 'all'): value}.

    With ece_expected (`expected_ece`), and temperature (geometric mean) where it was fitted.
    """
    found = {}
    for y, p, weight, suffix in of_part(part, names):
        found |= measures(y, p, weight, suffix) | {f'ece_expected{suffix}': expected_ece(p, weight)}
    if 'temperature' in part:
        found['temperature'] = float(np.exp(np.log(part.temperature.unique()).mean()))
    return {(name, 'all'): value for name, value in found.items()}


def reliability(y, p, weight=None, runs=1, bins=BINS):
    """Points of a reliability diagram, one per bin of as many rows: confidence, accuracy, low, high, n,
    weight.

    y int (n,), p (n, K), weight (n,) may hold the same lesions `runs` times, once per classifier; Wilson's
    intervals then count lesions, n / runs.  Means within a bin are weighted; `weight` is of a bin, per run.
    """
    confidence, weight = p.max(1), np.ones(len(y)) if weight is None else weight
    table = pd.DataFrame({'confidence': confidence, 'accuracy': p.argmax(1) == y})
    binned = table.mul(weight, axis=0).assign(weight=weight).groupby(bins_of(confidence, bins))
    total = binned.sum()
    points = total[['confidence', 'accuracy']].div(total.weight, axis=0).assign(n=binned.size() / runs)
    points['low'], points['high'] = wilson(points.accuracy, points.n)
    points['weight'] = total.weight / runs
    return points[['confidence', 'accuracy', 'low', 'high', 'n', 'weight']].reset_index(drop=True)


def diagrams(predictions, test_set, arms, names):
    """{arm: {'as trained': (points, confidence (n,)), 'bias and temperature': ...}}, over all runs."""
    labels = {'': 'as trained', '_scaled': 'bias and temperature'}
    found = {}
    for arm in arms:
        part = predictions[(predictions.arm == arm) & (predictions.test_set == test_set)]
        runs = len(part) / part.id.nunique()
        found[arm] = {
            labels[suffix]: (reliability(y, p, weight, runs), p.max(1))
            for y, p, weight, suffix in of_part(part, names)
        }
    return found


def summarise_calibration(replicates, arms, test_set, metrics) -> list[str]:
    """One sentence per arm: over- or under-confident, by how much, what scaling does; from metrics.csv."""
    whole_set = metrics[(metrics.test_set == test_set) & (metrics.label == 'all')]
    mean = whole_set.groupby(['arm', 'metric']).value.mean()
    lines = []
    for arm in arms:
        value, low, high = (100 * v for v in replicates.interval(arm, 'overconfidence'))
        kind = 'over-confident' if low > 0 else 'under-confident' if high < 0 else 'undecided between both'
        ece, scaled, chance = (100 * mean[arm, m] for m in ('ece', 'ece_scaled', 'ece_expected_scaled'))
        lines.append(
            f'{arm} is {kind}: confidence minus accuracy {value:+.1f} points [{low:+.1f}, {high:+.1f}]; '
            f'ECE {ece:.1f} %, after scaling (temperature {mean[arm, "temperature"]:.2f}) {scaled:.1f} %, '
            f'by chance alone {chance:.1f} %, {test_set}'
        )
    return lines
