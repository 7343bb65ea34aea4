"""From predictions to numbers: metrics, and their bootstrap over seeds and patients.

Predictions are the artefact; everything here is recomputed from them.  Vectorised over bootstrap draws: a confusion matrix for each
seed and patient, and what calibration is made of, are weighed, never recounted.
"""

import re

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from genmix import StudyError
from genmix.results import calibration

FILE = re.compile(r'(?P<arm>.+)-s(?P<seed>\d+)-f(?P<fold>\d+)\.csv\.gz')


def class_names(predictions):
    """Classes of a predictions table in their order, from its p_<class> columns."""
    return [c[2:] for c in predictions.columns if c.startswith('p_')]


def read_predictions(folder, arms=None):
    """All predictions below `folder` in one table: arm, seed, fold, id, patient, label, p_<class>..., test_set.

    Raises StudyError when there are none, or one holds numbers that are no probabilities.
    """
    tables = []
    for path in sorted(folder.glob('*.csv.gz')):
        found = FILE.fullmatch(path.name)
        if found and (arms is None or found['arm'] in arms):
            table = pd.read_csv(path, dtype={'id': str, 'patient': str}, float_precision='round_trip')
            p = table[[c for c in table if c.startswith('p_')]].to_numpy()
            if not (np.isfinite(p).all() and np.allclose(p.sum(1), 1, atol=1e-3)):
                raise StudyError(
                    f'{path.name} holds rows that are no probabilities: delete it and run 08_classification again.'
                )
            tables.append(table.assign(arm=found['arm'], seed=int(found['seed']), fold=int(found['fold'])))
    if not tables:
        raise StudyError(f'There are no predictions in {folder.name}/: run 08_classification first.')
    return pd.concat(tables, ignore_index=True)


def score(y, p):
    """Metrics of one set of predictions: {(metric, label): value}; label is 'all' or a class number.

    y int (n,), p float (n, K).  Sensitivity and specificity take each class against the rest; AUC is macro one-vs-rest.  A class that
    the test set lacks is left out of the means.
    """
    n_classes, guess = p.shape[1], p.argmax(1)
    present = np.unique(y)
    confusion = sk.confusion_matrix(y, guess, labels=range(n_classes))
    values = {
        m if isinstance(m, tuple) else (m, 'all'): float(v) for m, v in from_confusion(confusion).items()
    }
    if len(present) > 1:
        values['macro_auc', 'all'] = float(weighted_auc(y, p, np.ones((len(y), 1)))[0])
    return values


def from_confusion(c, needs=None):
    """Metrics from confusion counts c (..., K true, K predicted), vectorised over the leading dimensions.

    Keys: 'accuracy', 'balanced_accuracy', 'macro_f1', and ('sensitivity', k), ('specificity', k), ('share', k) of the answers.  Values float (...).  Means go over the
    classes that are there; where `needs` (..., K) marks a class that is not, they are NaN: a bootstrap draw without it says nothing.
    """
    c = np.asarray(c, float)
    hit, true, guessed, n = np.diagonal(c, axis1=-2, axis2=-1), c.sum(-1), c.sum(-2), c.sum((-2, -1))
    with np.errstate(
        invalid='ignore', divide='ignore'
    ):  # a draw may hold no lesion of a class, or of a fold: NaN
        sensitivity = hit / true
        specificity = (n[..., None] - true - guessed + hit) / (n[..., None] - true)
        f1 = np.where(true > 0, 2 * hit / (true + guessed), np.nan)

        def mean(v):
            return np.nansum(v, -1) / np.isfinite(v).sum(-1)

        out = {'accuracy': hit.sum(-1) / n, 'balanced_accuracy': mean(sensitivity), 'macro_f1': mean(f1)}
    if needs is not None:
        lacking = (needs & (true == 0)).any(-1)
        out = {name: np.where(lacking, np.nan, value) for name, value in out.items()}
    for k in range(c.shape[-1]):
        out['sensitivity', k], out['specificity', k], out['share', k] = (
            sensitivity[..., k],
            specificity[..., k],
            guessed[..., k] / n,
        )
    return out


def metrics_table(predictions, arms):
    """results/metrics.csv: arm, generator, mix, seed, fold, test_set, label, metric, value; one row a number.

    arms  {name: (generator, mix)} for the two descriptive columns.  Rows of scaled probabilities appear where `calibration.scale` was used.
    """
    names, rows = class_names(predictions), []
    columns = [f'p_{n}' for n in names]
    for (arm, seed, fold, test_set), part in predictions.groupby(
        ['arm', 'seed', 'fold', 'test_set'], sort=False
    ):
        found = score(part.label.to_numpy(), part[columns].to_numpy()) | calibration.scores(part, names)
        for (metric, label), value in found.items():
            label = label if label == 'all' else names[label]
            rows.append((arm, *arms.get(arm, ('', '')), seed, fold, test_set, label, metric, value))
    return pd.DataFrame(
        rows, columns=['arm', 'generator', 'mix', 'seed', 'fold', 'test_set', 'label', 'metric', 'value']
    )


def weighted_auc(y, p, weights):
    """Macro one-vs-rest AUC under lesion weights: y int (n,), p (n, K), weights (n, B) -> float (B,); ties count half."""
    total = []
    for k in np.unique(y):
        yes, no = np.flatnonzero(y == k), np.flatnonzero(y != k)
        no = no[np.argsort(p[no, k], kind='stable')]
        below = np.concatenate(
            [np.zeros((1, weights.shape[1]), weights.dtype), np.cumsum(weights[no], 0)]
        )  # weight of the lower ones
        worse, tied = (below[np.searchsorted(p[no, k], p[yes, k], side)] for side in ('left', 'right'))
        w = weights[yes]
        with np.errstate(invalid='ignore'):
            total.append(
                np.einsum('nb,nb->b', w, worse + tied, dtype=np.float64)
                / (2 * w.sum(0, dtype=np.float64) * below[-1])
            )
    return np.mean(total, 0)


def confusions(predictions, test_set, arms):
    """Confusion counts of each arm over all its runs: {arm: int (K, K)}."""
    names = class_names(predictions)
    found = {}
    for arm in arms:
        part = predictions[(predictions.arm == arm) & (predictions.test_set == test_set)]
        guess = part[[f'p_{n}' for n in names]].to_numpy().argmax(1)
        found[arm] = sk.confusion_matrix(part.label, guess, labels=range(len(names)))
    return found


def summarise_confusions(matrices, names):
    """One sentence for each arm of `confusions`: the class that is most often taken for another, and for which."""
    lines = []
    for arm, counts in matrices.items():
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1) * (1 - np.eye(len(names)))
        true, guess = np.unravel_index(share.argmax(), share.shape)
        lines.append(
            f'{arm}: {share[true, guess]:.0%} of {names[true]} lesions are taken for {names[guess]}, its most frequent error'
        )
    return lines


PRIMARY = 'balanced_accuracy'
