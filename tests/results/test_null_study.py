"""Studies whose truth is known: how often are verdicts wrong, and does what must come out come out?"""

import numpy as np
import pandas as pd
import pytest
from test_contrasts import TUNING

from genmix.generators import PAPER
from genmix.mixing.arms import arms_for
from genmix.results.cohorts import Cohorts
from genmix.results.contrasts import declared
from genmix.results.intervals import SMALLEST
from genmix.results.metrics import full_key
from genmix.results.verdicts import ALPHA, LOSS, OUTCOMES, contrasts_table, judge

ARMS = {name: arm for name, arm in arms_for(PAPER).items() if not arm.stored}
COHORTS, STUDIES = 24, 200
EVERY = declared(ARMS, TUNING.assign(steps=0))  # all five gates
AT_MOST = ALPHA + 2.6 * (ALPHA * (1 - ALPHA) / STUDIES) ** 0.5  # of so many studies, in 99.5 of 100 tests


def a_study(rng, effect=lambda arm: 0.0):
    """Cohorts of which only the outcomes of their arms are known: each has a level of its own, and each
    training of an arm varies by about a point."""
    cohorts = Cohorts([None] * COHORTS)
    outcomes = []
    for _ in range(COHORTS):
        level = 0.75 + 0.04 * rng.normal()
        own = {}
        for name, arm in ARMS.items():
            score = level + effect(arm) + 0.012 * rng.normal()
            own[name] = {
                full_key(OUTCOMES[0][0], 'prior'): score,
                full_key(OUTCOMES[0][0], 'argmax'): score + 0.01 * rng.normal(),
                full_key('macro_auc'): 0.9 + 0.5 * (score - level) + 0.006 * rng.normal(),
                full_key(LOSS): 0.6 - (score - level) + 0.02 * rng.normal(),
            }
        outcomes.append(own)
    cohorts.__dict__['outcomes'] = outcomes
    return cohorts


def words(rng, effect=lambda arm: 0.0):
    """The verdicts of one study: {contrast: word}."""
    cohorts = a_study(rng, effect)
    table = judge(contrasts_table(EVERY, cohorts.estimate, COHORTS, COHORTS, 'population'))
    rows = table[table.verdict != '']
    return dict(zip(rows.contrast, rows.verdict))


def share_with(wrong, effect=lambda arm: 0.0, seed=0):
    """Share of studies in which any contrast has one of these verdicts."""
    rng, hits = np.random.default_rng(seed), 0
    for _ in range(STUDIES):
        hits += any(word in wrong for word in words(rng, effect).values())
    return hits / STUDIES


def test_identical_arms_are_told_apart_in_at_most_alpha_of_studies():
    """All arms alike: any 'higher' or 'lower', at any of the five gates or for any generator, is false."""
    assert {c.gate for c in EVERY} == {1, 2, 3, 4, 5}
    assert 0 < share_with(('higher', 'lower')) <= AT_MOST


def test_a_difference_of_a_point_is_called_equivalent_in_at_most_alpha_of_studies():
    """GenMix is worth just the smallest effect of interest: 'equivalent' is false for every contrast."""

    def effect(arm):
        return SMALLEST * (arm.kind == 'genmix' and arm.balance == 'natural')

    truth = {c.name: sum(w * effect(ARMS[name]) for name, w in c.weights.items()) for c in EVERY}
    assert all(value == pytest.approx(SMALLEST) for value in truth.values())
    assert share_with(('equivalent',), effect, seed=1) <= AT_MOST


def test_what_holds_is_found():
    """Three points: found nearly always; and a study of no difference mostly ends with 'equivalent'."""
    rng = np.random.default_rng(2)
    found = [words(rng, lambda arm: 0.03 * (arm.kind == 'genmix')) for _ in range(30)]
    said = pd.DataFrame(found)
    assert (said['mixing at matched dose and mass'] == 'higher').mean() > 0.9
    assert (said['synthesis given mixing'] == 'higher').mean() > 0.9
    same = pd.DataFrame([words(rng) for _ in range(30)])
    assert (same['mixing at matched dose and mass'] == 'equivalent').mean() > 0.8


def test_harm_is_found_and_its_dilution_is_no_gain_for_others():
    """One generator of noise: mixing is found to mend what it harms, for that generator alone."""

    def effect(arm):
        own = {'synthetic': 0.16, 'genmix': 0.08}.get(arm.kind, 0.0)
        return -own * arm.dose * (arm.generator == 'dcgan')

    rng = np.random.default_rng(3)
    said = pd.DataFrame([words(rng, effect) for _ in range(30)])
    assert (said['mixing, dcgan'] == 'higher').mean() > 0.9
    assert not said['mixing, every generator'].isin(['higher', 'lower']).any()
