"""From predictions to metrics.  Predictions are the artefact: all results are recomputed from them."""

import json
from collections.abc import Container
from operator import attrgetter
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.cohort import read_rows
from genmix.mixing.arms import Arm
from genmix.results import calibration

PRIMARY = 'balanced_accuracy'
RULES = ('prior', 'argmax')  # decision rules: argmax p / class mass of the training batches, argmax p
DESIGN = (
    'kind',
    'generator',
    'dose',
    'balance',
    'classical',
    'stored',
    'steps',
)  # columns that say what an arm is
DRAWN = ('population', 'dev')  # test sets that were drawn with classes in other shares than the cohort's
BY_RULE = {
    *('accuracy', 'balanced_accuracy', 'macro_f1'),
    *('sensitivity', 'specificity', 'predicted_prevalence'),
}
design = attrgetter(*DESIGN)


def full_key(metric, rule=RULES[0]) -> tuple:
    """(metric, label, rule) of a metric: a name, or (name, label); rule '' where it depends on none."""
    name, label = (metric, 'all') if isinstance(metric, str) else metric
    return name, label, rule if name in BY_RULE else ''


def class_names(predictions: pd.DataFrame) -> list[str]:
    """Classes of a predictions table in their order, from its p_<class> columns."""
    return [c[2:] for c in predictions.columns if c.startswith('p_')]


def probabilities(part, names) -> np.ndarray:
    """The p_<class> columns of a predictions table: float (n, K)."""
    return part[[f'p_{n}' for n in names]].to_numpy()


def decide(p: np.ndarray, mass: np.ndarray | None = None) -> np.ndarray:
    """Predicted classes int (n,) of probabilities (n, K): argmax p / mass, or argmax p without a mass.

    mass   (K,) or (n, K), label mass of each class in the batches that the network was trained on

    A network learns p(class | image) for the class mass of its batches.  Division by that mass gives the
    decision of the best balanced accuracy: logit adjustment, Menon et al. 2021, arXiv 2007.07314.  A class
    that training never showed is never named.
    """
    if mass is None:
        return p.argmax(1)
    mass = np.broadcast_to(mass, p.shape)
    return np.divide(p, mass, out=np.full(p.shape, -1.0), where=mass > 0).argmax(1)


def decisions(part, names, rule: str) -> np.ndarray:
    """Predicted classes int (n,) of the rows of a predictions table by one of the RULES."""
    mass = part[[f'mass_{n}' for n in names]].to_numpy() if rule == 'prior' else None
    return decide(probabilities(part, names), mass)


def read_predictions(folder: Path, arms: Container[str] | None = None) -> pd.DataFrame:
    """All predictions of a run in one table: id, patient, label, p_<class>..., test_set, arm, seed, fold,
    mass_<class>... (the label mass of the batches that the classifier was trained on).

    folder   of the trials: <trial>.csv.gz, and beside each <trial>.json, which holds its arm, seed, fold and
             mass
    arms     names of the arms to read, None for all

    Raises StudyError when there are none, when one has no JSON, and when one holds numbers that are no
    probabilities.
    """
    tables = []
    for path in sorted(folder.glob('*.csv.gz')):
        about = _read_about(path)
        mass = about.pop('mass')
        if arms is None or about['arm'] in arms:
            table = read_rows(path, float_precision='round_trip')
            names = class_names(table)
            p = probabilities(table, names)
            if not (np.isfinite(p).all() and np.allclose(p.sum(1), 1, atol=1e-3)):
                raise StudyError(
                    f'{path.name} holds rows that are no probabilities: delete it and run 08_classification.'
                )
            tables.append(table.assign(**about, **{f'mass_{n}': m for n, m in zip(names, mass)}))
    if not tables:
        raise StudyError(f'There are no predictions in {folder.name}/: run 08_classification first.')
    return pd.concat(tables, ignore_index=True)


def _read_about(path):
    """dict(arm, seed, fold, mass) of a file of predictions, from the JSON beside it."""
    beside = path.with_name(path.name.removesuffix('.csv.gz') + '.json')
    try:
        about = json.loads(beside.read_text())
        return {name: about[name] for name in ('arm', 'seed', 'fold', 'mass')}
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        raise StudyError(
            f'{beside.name} does not give the arm and the class mass of {path.name}: '
            'run 08_classification again.'
        ) from None


def prevalence_weights(labels: np.ndarray, counts) -> np.ndarray:
    """Weights float (n,), mean 1, by which labels int (n,) have the prevalence of the counts (K,)."""
    prevalence, present = np.asarray(counts, float), np.bincount(labels, minlength=len(counts))
    prevalence = np.where(present > 0, prevalence, 0)
    return (prevalence / prevalence.sum())[labels] / (present / len(labels))[labels]


def reweigh(predictions: pd.DataFrame, counts: pd.Series) -> pd.DataFrame:
    """The predictions table with a column `weight`, by which lesions of the DRAWN test sets have the class
    prevalence of the cohort; 1 in the others.

    counts   lesions per class of the cohort, in the order of the classes

    What depends on prevalence (accuracy, F1, predicted prevalence, calibration) uses it; sensitivities,
    balanced accuracy and AUC do not.
    """
    weight = np.ones(len(predictions))
    for name in DRAWN:
        rows = (predictions.test_set == name).to_numpy()
        if rows.any():
            weight[rows] = prevalence_weights(predictions.label.to_numpy()[rows], counts)
    return predictions.assign(weight=weight)


def score(y: np.ndarray, p: np.ndarray, mass: np.ndarray | None = None) -> dict[tuple, float]:
    """Metrics of one set of predictions: {(metric, label): value}; label is 'all' or a class number.

    y int (n,), p float (n, K), mass of `decide`.  Sensitivity and specificity take each class against the
    rest; AUC is macro one-vs-rest. A class that the test set lacks is left out of the means.
    """
    counts = confusion_matrix(y, decide(p, mass), p.shape[1])
    values = {m: float(v) for m, v in from_confusion(counts).items()}
    if len(np.unique(y)) > 1:
        values['macro_auc', 'all'] = float(weighted_auc(y, p, np.ones((len(y), 1)))[0])
    return values


def confusion_matrix(y: np.ndarray, guess: np.ndarray, n_classes: int, weight=None) -> np.ndarray:
    """(K true, K predicted) of classes y and guess, int (n,): counts, or sums of weight (n,)."""
    cells = np.asarray(y) * n_classes + guess
    return np.bincount(cells, weight, minlength=n_classes**2).reshape(n_classes, n_classes)


def from_confusion(c: np.ndarray, required: np.ndarray | None = None) -> dict[tuple, np.ndarray]:
    """Metrics from confusion counts c (..., K true, K predicted), vectorised over the leading dimensions.

    Keys are (metric, label) of BY_RULE, label 'all' or a class number; values float (...).  Means go over the
    classes that are present; where one of `required`, bool (..., K), is absent, they are NaN, so that a
    bootstrap draw without it does not count.
    """
    c = np.asarray(c, float)
    hit, true, guessed, n = np.diagonal(c, axis1=-2, axis2=-1), c.sum(-1), c.sum(-2), c.sum((-2, -1))
    with np.errstate(invalid='ignore', divide='ignore'):  # a draw may lack a class, or a fold: NaN
        sensitivity = hit / true
        specificity = (n[..., None] - true - guessed + hit) / (n[..., None] - true)
        f1 = np.where(true > 0, 2 * hit / (true + guessed), np.nan)

        def mean(v):
            return np.nansum(v, -1) / np.isfinite(v).sum(-1)

        out: dict = {
            ('accuracy', 'all'): hit.sum(-1) / n,
            ('balanced_accuracy', 'all'): mean(sensitivity),
            ('macro_f1', 'all'): mean(f1),
        }
    if required is not None:
        absent = (required & (true == 0)).any(-1)
        out = {name: np.where(absent, np.nan, value) for name, value in out.items()}
    for k in range(c.shape[-1]):
        out['sensitivity', k], out['specificity', k] = sensitivity[..., k], specificity[..., k]
        out['predicted_prevalence', k] = guessed[..., k] / n
    return out


def metrics_table(predictions: pd.DataFrame, arms: dict[str, Arm], cohort: int = 0) -> pd.DataFrame:
    """results/metrics.csv: arm, the DESIGN, cohort, seed, fold, test_set, rule, label, metric, value.

    One row per number.  rule is one of RULES, '' for a metric that depends on none; `temperature` and metrics
    named *_scaled appear where `calibration.scale` was used.

    cohort   seed of the cohort
    """
    names, rows = class_names(predictions), []
    runs = ['arm', 'seed', 'fold', 'test_set']
    for key, part in predictions.groupby(runs, sort=False):
        arm, *run = cast(tuple, key)
        for (metric, label, rule), value in _scores(part, names).items():
            label = label if label == 'all' else names[label]
            rows.append((arm, *design(arms[arm]), cohort, *run, rule, label, metric, value))
    return pd.DataFrame(
        rows, columns=['arm', *DESIGN, 'cohort', *runs[1:], 'rule', 'label', 'metric', 'value']
    )


def _scores(part, names):
    """{(metric, label, rule): value} of the rows of one run."""
    y, weight = part.label.to_numpy(), calibration.weights_of(part)
    found = {}
    for rule in RULES:
        c = confusion_matrix(y, decisions(part, names, rule), len(names), weight)
        found |= {full_key(m, rule): float(v) for m, v in from_confusion(c).items()}
    if len(np.unique(y)) > 1:
        auc = weighted_auc(y, probabilities(part, names), np.ones((len(y), 1)))
        found[full_key('macro_auc')] = float(auc[0])
    return found | {full_key(m): v for m, v in calibration.scores(part, names).items()}


def weighted_auc(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro one-vs-rest AUC of y int (n,), p (n, K) under lesion weights (n, B): (B,); ties count half."""
    total = []
    for k in np.unique(y):
        yes, no = np.flatnonzero(y == k), np.flatnonzero(y != k)
        no = no[np.argsort(p[no, k], kind='stable')]
        # below[i]: weight of the i lowest of the rest
        below = np.concatenate([np.zeros((1, weights.shape[1]), weights.dtype), np.cumsum(weights[no], 0)])
        worse, tied = (below[np.searchsorted(p[no, k], p[yes, k], side)] for side in ('left', 'right'))
        w = weights[yes]
        with np.errstate(invalid='ignore'):
            above = np.einsum('nb,nb->b', w, worse + tied, dtype=np.float64)
            total.append(above / (2 * w.sum(0, dtype=np.float64) * below[-1]))
    return np.mean(total, 0)


def confusions(predictions, test_set, arms, rule=RULES[0]) -> dict[str, np.ndarray]:
    """Confusion counts of each of the arms (names) over all its runs: {arm: int (K, K)}."""
    names = class_names(predictions)
    found = {}
    for arm in arms:
        part = predictions[(predictions.arm == arm) & (predictions.test_set == test_set)]
        guess = decisions(part, names, rule)
        found[arm] = confusion_matrix(part.label.to_numpy(), guess, len(names))
    return found
