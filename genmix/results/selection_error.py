"""How often does a hold-out of the usual size pick the wrong arm?

Answered on the phantom population, which is so large that the order of the arms is nearly known.
"""

import numpy as np
import pandas as pd

from genmix.results.bootstrap import confusion_counts, paired_runs
from genmix.results.metrics import class_names, from_confusion

COLUMNS = ['patients', 'wrong_winner', 'selection_regret', 'type_s_error', 'worst_gap']


def patient_confusions(predictions, test_set='population') -> tuple[list[str], np.ndarray, int]:
    """(arms, confusion counts float (arms, runs, patients, K, K), number of patients) of one test set."""
    names = class_names(predictions)
    by_arm, _, patients = paired_runs(predictions, test_set)
    n, k = len(patients), len(names)

    def counts(part):
        return confusion_counts(part, part.patient.map(patients).to_numpy(), n, names).reshape(-1, k, k)

    return list(by_arm), np.array([[counts(part) for part in own] for own in by_arm.values()], float), n


def selection_errors(
    predictions: pd.DataFrame, sizes=(50, 100, 200, 400, 800), draws=2000, seed=0,
    test_set='population', metric='balanced_accuracy',
) -> pd.DataFrame:  # fmt: skip
    """What single studies would have concluded: a table of COLUMNS, one row per size of their hold-out.

    Each draw is one study: `patients` of the population, drawn without replacement, and one classifier run
    of each arm (the same seed for all).  Sizes beyond half of the population are left out.

    wrong_winner       share of studies whose best arm is not the best over all patients and runs
    selection_regret   points by which the arm they pick is worse than the best, on average
    type_s_error       share of pairs of arms whose difference has the wrong sign: Gelman and Carlin 2014,
                       Perspectives on Psychological Science 9:641
    worst_gap          90th percentile of the error of a difference between two arms, in points
    """
    arms, counts, n = patient_confusions(predictions, test_set)
    n_runs, k = counts.shape[1], counts.shape[-1]
    truth = from_confusion(counts.sum(2))[metric].mean(1)
    rng, flat = np.random.default_rng(seed), counts.reshape(len(arms), n_runs, n, -1)

    def study(size):
        who = rng.choice(n, size, replace=False)
        own = flat[:, rng.integers(n_runs), who].sum(1)
        return from_confusion(own.reshape(len(arms), k, k))[metric]

    usable = [size for size in sizes if size <= n // 2]
    rows = [(size, *_errors(np.array([study(size) for _ in range(draws)]), truth)) for size in usable]
    return pd.DataFrame(rows, columns=COLUMNS)


def _errors(scores, truth):
    """COLUMNS without patients, from the scores of studies (draws, arms) and the true ones (arms,)."""
    first, second = np.triu_indices(len(truth), 1)
    picked = scores.argmax(1)
    true_gap, gap = truth[first] - truth[second], scores[:, first] - scores[:, second]
    return (
        (picked != truth.argmax()).mean(),
        100 * (truth.max() - truth[picked]).mean(),
        (np.sign(gap) != np.sign(true_gap)).mean(),
        100 * np.quantile(abs(gap - true_gap), 0.9),
    )


def summarise_selection_error(table: pd.DataFrame, patients: int) -> list[str]:
    """One sentence on the size that is nearest to a hold-out of so many patients; [] for an empty table."""
    if not len(table):
        return []
    row = table.iloc[(table.patients - patients).abs().argmin()]
    return [
        f'a hold-out of {row.patients:.0f} patients with one classifier per arm picks the wrong best arm in '
        f'{row.wrong_winner:.0%} of studies, at a selection regret of {row.selection_regret:.1f} points; '
        f'a difference of two arms has the wrong sign (Type S error) in {row.type_s_error:.0%}, '
        f'and one difference in ten is off by {row.worst_gap:.1f} points or more'
    ]
