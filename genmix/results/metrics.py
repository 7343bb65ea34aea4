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
DESIGN = ('kind', 'generator', 'dose', 'balance')  # columns that say what an arm is
design = attrgetter(*DESIGN)


def class_names(predictions: pd.DataFrame) -> list[str]:
    """Classes of a predictions table in their order, from its p_<class> columns."""
    return [c[2:] for c in predictions.columns if c.startswith('p_')]


def probabilities(part, names) -> np.ndarray:
    """The p_<class> columns of a predictions table: float (n, K)."""
    return part[[f'p_{n}' for n in names]].to_numpy()


def read_predictions(folder: Path, arms: Container[str] | None = None) -> pd.DataFrame:
    """All predictions of a run in one table: id, patient, label, p_<class>..., test_set, arm, seed, fold.

    folder   of the trials: <trial>.csv.gz, and beside each <trial>.json, which holds its arm, seed and fold
    arms     names of the arms to read, None for all

    Raises StudyError when there are none, when one has no JSON, and when one holds numbers that are no
    probabilities.
    """
    tables = []
    for path in sorted(folder.glob('*.csv.gz')):
        about = _read_about(path)
        if arms is None or about['arm'] in arms:
            table = read_rows(path, float_precision='round_trip')
            p = probabilities(table, class_names(table))
            if not (np.isfinite(p).all() and np.allclose(p.sum(1), 1, atol=1e-3)):
                raise StudyError(
                    f'{path.name} holds rows that are no probabilities: delete it and run 08_classification.'
                )
            tables.append(table.assign(**about))
    if not tables:
        raise StudyError(f'There are no predictions in {folder.name}/: run 08_classification first.')
    return pd.concat(tables, ignore_index=True)


def _read_about(path):
    """dict(arm, seed, fold) of a file of predictions, from the JSON beside it."""
    beside = path.with_name(path.name.removesuffix('.csv.gz') + '.json')
    try:
        about = json.loads(beside.read_text())
        return {name: about[name] for name in ('arm', 'seed', 'fold')}
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        raise StudyError(
            f'{beside.name} does not give the arm of {path.name}: run 08_classification again.'
        ) from None


def score(y: np.ndarray, p: np.ndarray) -> dict[tuple, float]:
    """Metrics of one set of predictions: {(metric, label): value}; label is 'all' or a class number.

    y int (n,), p float (n, K).  Sensitivity and specificity take each class against the rest; AUC is macro
    one-vs-rest. A class that the test set lacks is left out of the means.
    """
    n_classes, guess = p.shape[1], p.argmax(1)
    found = from_confusion(confusion_matrix(y, guess, n_classes))
    values = {m if isinstance(m, tuple) else (m, 'all'): float(v) for m, v in found.items()}
    if len(np.unique(y)) > 1:
        values['macro_auc', 'all'] = float(weighted_auc(y, p, np.ones((len(y), 1)))[0])
    return values


def confusion_matrix(y: np.ndarray, guess: np.ndarray, n_classes: int) -> np.ndarray:
    """int (K true, K predicted) of classes y and guess, int (n,)."""
    return np.bincount(y * n_classes + guess, minlength=n_classes**2).reshape(n_classes, n_classes)


def from_confusion(c: np.ndarray, required: np.ndarray | None = None) -> dict:
    """Metrics from confusion counts c (..., K true, K predicted), vectorised over the leading dimensions.

    Keys: 'accuracy', 'balanced_accuracy', 'macro_f1', and ('sensitivity', k), ('specificity', k) and
    ('predicted_prevalence', k); values float (...).  Means go over the classes that are present; where one of
    `required`, bool (..., K), is absent, they are NaN, so that a bootstrap draw without it does not count.
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
            'accuracy': hit.sum(-1) / n,
            'balanced_accuracy': mean(sensitivity),
            'macro_f1': mean(f1),
        }
    if required is not None:
        absent = (required & (true == 0)).any(-1)
        out = {name: np.where(absent, np.nan, value) for name, value in out.items()}
    for k in range(c.shape[-1]):
        out['sensitivity', k], out['specificity', k] = sensitivity[..., k], specificity[..., k]
        out['predicted_prevalence', k] = guessed[..., k] / n
    return out


def metrics_table(predictions: pd.DataFrame, arms: dict[str, Arm]) -> pd.DataFrame:
    """results/metrics.csv: arm, kind, generator, dose, balance, seed, fold, test_set, label, metric, value.

    One row per number; `temperature` and metrics named *_scaled appear where `calibration.scale` was used.
    """
    names, rows = class_names(predictions), []
    runs = ['arm', 'seed', 'fold', 'test_set']
    for key, part in predictions.groupby(runs, sort=False):
        arm, *run = cast(tuple, key)
        found = score(part.label.to_numpy(), probabilities(part, names)) | calibration.scores(part, names)
        for (metric, label), value in found.items():
            label = label if label == 'all' else names[label]
            rows.append((arm, *design(arms[arm]), *run, label, metric, value))
    return pd.DataFrame(rows, columns=['arm', *DESIGN, *runs[1:], 'label', 'metric', 'value'])


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


def confusions(predictions, test_set, arms) -> dict[str, np.ndarray]:
    """Confusion counts of each of the arms (names) over all its runs: {arm: int (K, K)}."""
    names = class_names(predictions)
    found = {}
    for arm in arms:
        part = predictions[(predictions.arm == arm) & (predictions.test_set == test_set)]
        guess = probabilities(part, names).argmax(1)
        found[arm] = confusion_matrix(part.label.to_numpy(), guess, len(names))
    return found


def summarise_confusions(matrices, names) -> list[str]:
    """One sentence per arm of `confusions`: its most frequent error, as a share of the lesions of a class."""
    lines = []
    for arm, counts in matrices.items():
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1) * (1 - np.eye(len(names)))
        true, guess = np.unravel_index(share.argmax(), share.shape)
        confused = f'{share[true, guess]:.0%} of {names[true]} lesions are taken for {names[guess]}'
        lines.append(f'{arm}: {confused}, its most frequent error')
    return lines
