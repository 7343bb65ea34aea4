"""How often does a hold-out of the usual size name the wrong winner?  A lesson drawn from the phantom population, where the truth is nearly known."""

import numpy as np
import pandas as pd

from genmix.results import bootstrap, metrics


def patient_confusions(predictions, test_set='population'):
    """(arms, confusion counts float (arms, runs, patients, K, K), patients) of one test set; runs that every arm has."""
    part = predictions[predictions.test_set == test_set]
    names, patients = metrics.class_names(part), {p: i for i, p in enumerate(part.patient.unique())}
    k = len(names)
    by_arm = {arm: dict(list(own.groupby(['seed', 'fold']))) for arm, own in part.groupby('arm', sort=False)}
    common = sorted(set.intersection(*(set(runs) for runs in by_arm.values())))

    def counts(run):
        return bootstrap.per_patient(run, run.patient.map(patients).to_numpy(), len(patients), names)[
            :, : k * k
        ].reshape(-1, k, k)

    return (
        list(by_arm),
        np.array([[counts(runs[r]) for r in common] for runs in by_arm.values()], float),
        len(patients),
    )


def selection_errors(
    predictions,
    sizes=(50, 100, 200, 400, 800),
    draws=2000,
    seed=0,
    test_set='population',
    metric='balanced_accuracy',
):
    """What a single study would have concluded: a table patients, wrong_winner, wrong_sign, lost, worst_gap.

    Each draw is one study: `patients` of the population, drawn without replacement, and one classifier run of each arm (the same seed for all).
    wrong_winner   share of studies whose best arm is not the best over all patients and runs
    lost           points by which the arm they pick is worse than the best, on average
    wrong_sign     share of pairs of arms whose order comes out reversed
    worst_gap      90th percentile of the error of a difference between two arms, in points
    Sizes beyond half of the population are left out.
    """
    arms, counts, n = patient_confusions(predictions, test_set)
    n_arms, runs, _, k, _ = counts.shape
    truth = metrics.from_confusion(counts.sum(2))[metric].mean(1)
    upper, rng, rows = np.triu_indices(n_arms, 1), np.random.default_rng(seed), []
    flat = counts.reshape(n_arms, runs, n, -1)
    for size in [s for s in sizes if s <= n // 2]:
        scores = np.empty((draws, n_arms))
        for i in range(draws):
            who = rng.choice(n, size, replace=False)
            scores[i] = metrics.from_confusion(flat[:, rng.integers(runs), who].sum(1).reshape(n_arms, k, k))[
                metric
            ]
        picked = scores.argmax(1)
        true_gap, gap = (np.subtract(x[..., upper[0]], x[..., upper[1]]) for x in (truth, scores))
        rows.append(
            {
                'patients': size,
                'wrong_winner': (picked != truth.argmax()).mean(),
                'lost': 100 * (truth.max() - truth[picked]).mean(),
                'wrong_sign': (np.sign(gap) != np.sign(true_gap)).mean(),
                'worst_gap': 100 * np.quantile(abs(gap - true_gap), 0.9),
            }
        )
    return pd.DataFrame(rows, columns=['patients', 'wrong_winner', 'lost', 'wrong_sign', 'worst_gap'])


def summarise_selection_error(table, patients):
    """One sentence on the size that is nearest to a real hold-out of so many patients, computed."""
    if not len(table):
        return []
    row = table.iloc[(table.patients - patients).abs().argmin()]
    return [
        f'a hold-out of {row.patients:.0f} patients with one classifier an arm names the wrong winner in {row.wrong_winner:.0%} of studies and loses {row.lost:.1f} points by it; '
        f'it reverses the order of two arms in {row.wrong_sign:.0%}, and one difference in ten is off by {row.worst_gap:.1f} points or more'
    ]
