"""Calibration of probabilities: ECE, Brier score, log loss, and the temperature that corrects it.

Confidence is the probability of the predicted class (the top label), which a reader would be shown.  `scale`
adds columns q_<class> beside p_<class> of a predictions table; measures of the scaled ones carry the suffix
'_scaled'.
"""

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax

from genmix.audit.intervals import wilson

BINS = 10
ROUNDED = 5e-7  # predictions are kept to 6 digits: a zero there may be anything below this
TEMPERATURES = (0.05, 20)  # searched; a set predicted without error would ask for 0
KINDS = {'': 'p_', '_scaled': 'q_'}
WIDTH = 3 + BINS  # columns of `sums` for one kind


def bins_of(confidence, bins=BINS) -> np.ndarray:
    """Bins of equal mass over confidence (n,): int (n,).  Equal confidences share a bin, in any order."""
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, confidence)


def sums(y, p, who, n_patients) -> np.ndarray:
    """What every measure is made of, added up per patient: float (n_patients, WIDTH).

    y int (n,), p float (n, K), who int (n,): number of the lesion's patient.  Columns: lesions; Brier score;
    log loss; then in each bin right - confidence, so that drawing patients again is a product with their
    weights.  Bins are those of the lesions given here.
    """
    n, confidence = np.arange(len(y)), p.max(1)
    each = np.zeros((len(y), WIDTH))
    each[:, 0] = 1
    each[:, 1] = ((p - np.eye(p.shape[1])[y]) ** 2).sum(1)
    each[:, 2] = -np.log(p[n, y].clip(ROUNDED))
    each[n, 3 + bins_of(confidence)] = (p.argmax(1) == y) - confidence
    total = np.zeros((n_patients, WIDTH))
    np.add.at(total, who, each)
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


def measures(y, p, suffix='') -> dict[str, float]:
    """`from_sums` of all lesions together: {name: float}."""
    return {name: float(v) for name, v in from_sums(sums(y, p, np.zeros(len(y), int), 1)[0], suffix).items()}


def expected_ece(p) -> float:
    """The ECE that perfectly calibrated probabilities (n, K) are expected to show on n lesions by chance.

    Right or wrong then is a Bernoulli variable of known mean, its sum over a bin about normal, and the mean
    of |N(0, v)| is sqrt(2 v / pi).
    """
    confidence = p.max(1)
    variance = np.bincount(bins_of(confidence), confidence * (1 - confidence))
    return float(np.sqrt(2 / np.pi * variance).sum() / len(p))


def at_temperature(p, temperature):
    """Probabilities (n, K) with logits divided by `temperature`; above 1 softens, the prediction stays."""
    return softmax(np.log(p.clip(ROUNDED)) / temperature, 1)


def fit_temperature(y, p) -> float:
    """The temperature of least log loss on y (n,), p (n, K), in TEMPERATURES: Guo 2017, arXiv 1706.04599."""
    from scipy.optimize import minimize_scalar  # slow to import

    logits, n = np.log(p.clip(ROUNDED)), np.arange(len(y))

    def loss(t):
        return -log_softmax(logits / np.exp(t), 1)[n, y].mean()  # convex in 1 / temperature: one minimum

    limits = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, limits, bounds=limits, method='bounded').x))


def halves(patients, seed=0) -> np.ndarray:
    """Lesions of one random half of the patients, bool (n,); the same halves in any order of the lesions."""
    every = np.unique(patients)
    first = np.random.default_rng(seed).permutation(every)[: len(every) // 2]
    return np.isin(patients, first)


def cross_fit(y, p, patients):
    """(scaled p (n, K), temperature (n,)): each half of the patients at the temperature of the other half.

    So no lesion of a patient enters its own temperature.  A single patient keeps temperature 1.
    """
    first = halves(patients)
    temperature = np.ones(len(y))
    if first.any() and not first.all():
        for half in (first, ~first):
            temperature[half] = fit_temperature(y[~half], p[~half])
    return at_temperature(p, temperature[:, None]), temperature


def scale(predictions: pd.DataFrame, names) -> pd.DataFrame:
    """The predictions table with columns q_<class> and temperature, cross-fitted per run and test set.

    The index must be unique.
    """
    found = []
    for _, part in predictions.groupby(['arm', 'seed', 'fold', 'test_set'], sort=False):
        q, temperature = cross_fit(
            part.label.to_numpy(), part[[f'p_{n}' for n in names]].to_numpy(), part.patient.to_numpy(str)
        )
        found.append(pd.DataFrame(q, part.index, [f'q_{n}' for n in names]).assign(temperature=temperature))
    return predictions.join(pd.concat(found))


def of_part(part, names):
    """[(y, p, suffix)] of the rows of one run: probabilities as trained and, after `scale`, scaled."""
    kinds = {suffix: [mark + n for n in names] for suffix, mark in KINDS.items()}
    return [
        (part.label.to_numpy(), part[columns].to_numpy(), suffix)
        for suffix, columns in kinds.items()
        if set(columns) <= set(part)
    ]


def scores(part, names) -> dict[tuple, float]:
    """Measures of the rows of one run for metrics.csv: {(metric, 'all'): value}.

    With ece_expected (`expected_ece`), and temperature (geometric mean) where it was fitted.
    """
    found = {}
    for y, p, suffix in of_part(part, names):
        found |= measures(y, p, suffix) | {f'ece_expected{suffix}': expected_ece(p)}
    if 'temperature' in part:
        found['temperature'] = float(np.exp(np.log(part.temperature.unique()).mean()))
    return {(name, 'all'): value for name, value in found.items()}


def reliability(y, p, runs=1, bins=BINS):
    """Points of a reliability diagram, one per bin of equal mass: confidence, accuracy, low, high, n.

    y int (n,), p (n, K) may hold the same lesions `runs` times, once per classifier; Wilson's intervals then
    count lesions, n / runs.
    """
    confidence = p.max(1)
    table = pd.DataFrame({'confidence': confidence, 'accuracy': p.argmax(1) == y})
    binned = table.groupby(bins_of(confidence, bins))
    points = binned.mean().assign(n=binned.size() / runs)
    points['low'], points['high'] = wilson(points.accuracy, points.n)
    return points[['confidence', 'accuracy', 'low', 'high', 'n']].reset_index(drop=True)


def diagrams(predictions, test_set, arms, names):
    """{arm: {'as trained': (points, confidence (n,)), 'temperature scaled': ...}}, over all runs."""
    labels = {'': 'as trained', '_scaled': 'temperature scaled'}
    found = {}
    for arm in arms:
        part = predictions[(predictions.arm == arm) & (predictions.test_set == test_set)]
        found[arm] = {
            labels[suffix]: (reliability(y, p, len(part) / part.id.nunique()), p.max(1))
            for y, p, suffix in of_part(part, names)
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
