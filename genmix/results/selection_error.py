"""How often does a hold-out of the usual size pick the wrong arm?

Answered on the phantom population, which is so large that the order of the arms is nearly known.
"""

import numpy as np
import pandas as pd

from genmix.mixing.arms import Arm
from genmix.results.bootstrap import confusion_counts, paired_runs
from genmix.results.contrasts import CEILING
from genmix.results.metrics import PRIMARY, class_names, from_confusion

NEAR = 0.005  # half a point: whoever picks an arm so near to the best has picked a good one
COLUMNS = ['patients', 'wrong_winner', 'selection_regret', 'type_s_error', 'worst_gap', 'tolerance']


def patient_confusions(predictions, test_set='population') -> tuple[list[str], np.ndarray, int]:
    """(arms, confusion counts float (arms, runs, patients, K, K), number of patients) of one test set."""
    names = class_names(predictions)
    by_arm, _, patients = paired_runs(predictions, test_set)
    n, k = len(patients), len(names)

    def counts(part):
        return confusion_counts(part, part.patient.map(patients).to_numpy(), n, names).reshape(-1, k, k)

    return list(by_arm), np.array([[counts(part) for part in own] for own in by_arm.values()], float), n


def selection_errors(
    predictions: pd.DataFrame, arms: dict[str, Arm], sizes=(50, 100, 200, 400, 800), draws=2000, seed=0,
    test_set='population',
) -> pd.DataFrame:  # fmt: skip
    """What single studies would have concluded: a table of COLUMNS, one row per size of their hold-out.

    arms   those of the run: what uses the oracle is left out, for no study on patients has it

    Each draw is one study: `patients` of the population, drawn without replacement, and one classifier run
    of each arm (the same seed for all).  Sizes beyond half of the population are left out.

    wrong_winner       share of studies whose best arm is worse than the best over all patients and runs by
                       more than NEAR
    selection_regret   points by which the arm they pick is worse than the best, on average
    type_s_error       share of pairs of arms, more than NEAR apart, whose difference has the wrong sign:
                       Gelman and Carlin 2014, Perspectives on Psychological Science 9:641
    worst_gap          90th percentile of the error of a difference between two arms, in points
    tolerance          NEAR, in points
    """
    learned = [name for name, arm in arms.items() if arm.generator != CEILING]
    names, counts, n = patient_confusions(predictions[predictions.arm.isin(learned)], test_set)
    n_runs, k = counts.shape[1], counts.shape[-1]
    truth = from_confusion(counts.sum(2))[PRIMARY, 'all'].mean(1)
    rng, flat = np.random.default_rng(seed), counts.reshape(len(names), n_runs, n, -1)

    def study(size):
        who = rng.choice(n, size, replace=False)
        own = flat[:, rng.integers(n_runs), who].sum(1)
        return from_confusion(own.reshape(len(names), k, k))[PRIMARY, 'all']

    usable = [size for size in sizes if size <= n // 2]
    rows = [(size, *_errors(np.array([study(size) for _ in range(draws)]), truth)) for size in usable]
    return pd.DataFrame(rows, columns=COLUMNS)


def _errors(scores, truth):
    """COLUMNS without patients, from the scores of studies (draws, arms) and the true ones (arms,)."""
    first, second = np.triu_indices(len(truth), 1)
    lost = truth.max() - truth[scores.argmax(1)]
    true_gap, gap = truth[first] - truth[second], scores[:, first] - scores[:, second]
    apart = abs(true_gap) > NEAR
    wrong_sign = (np.sign(gap) != np.sign(true_gap))[:, apart]
    return (
        (lost > NEAR).mean(),
        100 * lost.mean(),
        wrong_sign.mean() if apart.any() else np.nan,
        100 * np.quantile(abs(gap - true_gap), 0.9),
        100 * NEAR,
    )


def summarise_selection_error(table: pd.DataFrame, patients: int) -> list[str]:
    """One sentence on the size that is nearest to a hold-out of so many patients; [] for an empty table."""
    if not len(table):
        return []
    row = table.iloc[(table.patients - patients).abs().argmin()]
    near = row.get('tolerance', 0)
    by = f' by more than {near:.1f} points' if near else ''
    return [
        f'a hold-out of {row.patients:.0f} patients with one classifier per arm picks an arm that is worse '
        f'than the best{by} in {row.wrong_winner:.0%} of studies, at a selection regret of '
        f'{row.selection_regret:.1f} points; a difference of two arms has the wrong sign '
        f'(Type S error) in {row.type_s_error:.0%}, '
        f'and one difference in ten is off by {row.worst_gap:.1f} points or more'
    ]
