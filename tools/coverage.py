"""Do intervals cover what they should?  Simulated studies whose truth is known, by the study's own functions.

python -m tools.coverage      writes measured/intervals.csv (CPU minutes)

A lesion is classified rightly where a latent score is above 0.  The score adds up: how hard its class, its
patient and it are for everybody; how it and its patient suit an arm; how well a training of that arm went
(`SEED`); how that training sees this lesion (the interaction of runs and lesions, small or large); in a study
over cohorts, how the arm suits this cohort (`COHORT`).  Both arms are drawn alike, so that their true
difference is 0; for the coverage of a true difference the score of one is raised by `SHIFT`.
"""

import sys
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from genmix.results.bootstrap import FEW_RUNS, Replicates
from genmix.results.intervals import crossed, over_units, student
from genmix.results.measured import measured
from genmix.results.metrics import PRIMARY, full_key
from genmix.run.files import atomic_write
from tools import cli

EASE = np.array([1.2, 0.3, 0.7])  # of each class, in units of the logistic distribution
CLASS, PATIENT, SUITS, SEED, COHORT, SHIFT = 3, 0.7, 0.5, 0.06, 0.1, 0.15
UNEQUAL = 0.4  # how much the variation between trainings differs between arms: sd of its logarithm
ARMS = 12  # of a cohort whose arms have few runs, which are pooled
INTERACTION = {'small': 0.3, 'large': 1.5}
STUDIES = 1000  # simulated in each row
DRAWS = 500  # bootstrap draws of the patients
COLUMNS = [
    *('interval', 'units', 'patients', 'interaction', 'studies', 'coverage', 'coverage_of_a_difference'),
    *('type_i', 'half_width', 'true_sd'),
]


@dataclass(frozen=True)
class Design:
    """units       classifier runs of one cohort, or cohorts      patients   of the test set, 3 lesions each
    interaction    sd of the interaction of runs and lesions      shift      of the score of the first arm
    """

    units: int
    patients: int
    interaction: float
    shift: float = 0.0


def lesions(design: Design, rng, runs: int, cohort=0.0, arms=2, alone=False):
    """(right bool (arms, runs, n), class (n,)): arms on the same lesions, three in a row of each patient.

    cohort   sd of how an arm suits the cohort      alone   each lesion has a cohort and runs of its own
    """
    label = rng.integers(0, CLASS, 3 * design.patients)
    n, shared = len(label), len(label) if alone else 1
    ease = EASE[label] + np.repeat(PATIENT * rng.normal(size=design.patients), 3)
    suits = SUITS * (np.repeat(rng.normal(size=(arms, design.patients)), 3, 1) + rng.normal(size=(arms, n)))
    steady = np.exp(UNEQUAL * rng.normal(size=(arms, 1, 1)))
    went = SEED * steady * rng.normal(size=(arms, runs, shared)) + cohort * rng.normal(size=(arms, 1, shared))
    score = ease + suits[:, None] + went + design.interaction * rng.normal(size=(arms, runs, n))
    score[0] += design.shift
    return score + rng.logistic(size=n) > 0, label


def accuracies(right, label):
    """Balanced accuracy of each arm and run, float (arms, runs)."""
    return np.mean([right[..., label == k].mean(-1) for k in range(CLASS)], 0)


@cache
def drawn_patients(patients):
    """How often each patient is drawn, float (DRAWS, patients)."""
    chance = np.full(patients, 1 / patients)
    return np.random.default_rng(0).multinomial(patients, chance, DRAWS).astype(float)


def one_cohort(design: Design, rng) -> dict:
    """Interval of one cohort with several runs: crossed, from bootstrap draws of the patients."""
    few = design.units <= FEW_RUNS
    right, label = lesions(design, rng, design.units, arms=ARMS if few else 2)
    gain, recall = right[0].astype(float) - right[1], []
    for own in (label == k for k in range(CLASS)):
        by_patient = np.concatenate([gain * own, own[None]]).reshape(design.units + 1, -1, 3).sum(2)
        drawn = drawn_patients(design.patients) @ by_patient.T
        recall.append(drawn[:, :-1] / drawn[:, -1:])
    key = full_key(PRIMARY)
    by_run = {str(arm): {key: runs} for arm, runs in enumerate(accuracies(right, label))}
    between = Replicates(design.units, design.patients, by_run=by_run).between({'0': 1, '1': -1}, key)
    runs = by_run['0'][key] - by_run['1'][key]
    return student(float(runs.mean()), *crossed(runs, np.mean(recall, 0), design.patients, between))


def many_cohorts(design: Design, rng) -> dict:
    """Interval over cohorts, each with patients and one run of its own."""
    each = (accuracies(*lesions(design, rng, 1, COHORT))[:, 0] for _ in range(design.units))
    return over_units([first - second for first, second in each])


def simulate(study, design: Design, studies: int, seed: int) -> pd.DataFrame:
    """One row per simulated study: the dict of `intervals.student`."""
    rng = np.random.default_rng([seed, design.units, design.patients, round(100 * design.interaction)])
    return pd.DataFrame([study(design, rng) for _ in range(studies)])


def true_difference(design: Design, cohort=0.0) -> float:
    """The difference that the shift makes in balanced accuracy: of many lesions with it and without it."""
    found = []
    for shift in (design.shift, 0.0):
        many, rng = Design(1, 100_000, design.interaction, shift), np.random.default_rng(0)
        found.append(np.subtract(*accuracies(*lesions(many, rng, 1, cohort, alone=True))[:, 0]))
    return float(found[0] - found[1])


def row(name, study, design: Design, interaction, studies, seed=0) -> tuple:
    """One row of COLUMNS."""
    null = simulate(study, design, studies, seed)
    shifted = Design(design.units, design.patients, design.interaction, SHIFT)
    truth = true_difference(shifted, COHORT if study is many_cohorts else 0.0)
    moved = simulate(study, shifted, studies, seed + 1)
    return (
        *(name, design.units, design.patients, interaction, studies),
        ((null.low < 0) & (null.high > 0)).mean(),
        ((moved.low < truth) & (moved.high > truth)).mean(),
        (null.p < 0.05).mean(),
        ((null.high - null.low) / 2).mean(),
        null['mean'].std(),
    )


def coverage(studies=STUDIES) -> pd.DataFrame:
    """measured/intervals.csv: COLUMNS, one row per kind of interval, size and interaction."""
    rows = []
    for interaction, sd in INTERACTION.items():
        for units in (2, 5, 16):
            for patients in (102, 900):
                rows.append(row('crossed', one_cohort, Design(units, patients, sd), interaction, studies))
        for units in (12, 24):
            rows.append(row('cohorts', many_cohorts, Design(units, 900, sd), interaction, studies))
    return pd.DataFrame(rows, columns=COLUMNS).round(4)


@cli.command
def main(argv):
    cli.parser('tools.coverage', __doc__).parse_args(argv)
    with atomic_write(measured() / 'intervals.csv') as part:
        coverage().to_csv(part, index=False)


if __name__ == '__main__':
    sys.exit(main())
