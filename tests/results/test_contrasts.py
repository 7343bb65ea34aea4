import logging
from dataclasses import replace

import pandas as pd
import pytest

from genmix.generators import PAPER
from genmix.mixing.arms import Arm, arms_for
from genmix.results.bootstrap import difference
from genmix.results.contrasts import (
    BALANCE,
    EACH,
    MIXING,
    PRACTICAL,
    SYNTHESIS,
    brief,
    declared,
    exploratory,
    mixing_at_doses,
    tuned,
    with_g,
)

TUNING = pd.DataFrame(
    [
        ('synthetic', 0.125, 'natural', 350, 0.74),
        ('synthetic', 0.5, 'natural', 350, 0.71),
        ('genmix', 0.125, 'natural', 350, 0.75),
        ('genmix', 0.5, 'natural', 1000, 0.76),
        ('real', 0.0, 'natural', 350, 0.735),
        ('real', 0.0, 'balanced', 350, 0.73),
        ('mixup', 0.0, 'natural', 350, 0.73),
    ],
    columns=['method', 'dose', 'balance', 'steps', 'balanced_accuracy'],
)


def by_gate(contrasts):
    return {gate: [c for c in contrasts if c.gate == gate] for gate in range(6)}


def test_each_contrast_is_the_formula_of_the_protocol():
    arms = arms_for([*PAPER, 'oracle', 'toy'], ['cutmix'])
    found = by_gate(declared(arms, TUNING))
    (mixing,), (synthesis,), (balance,) = found[MIXING], found[SYNTHESIS], found[BALANCE]
    assert mixing.weights == {
        name: sign / 8
        for g in PAPER
        for q in ('1/8', '1/2')
        for name, sign in ((f'genmix-{g}@{q}', 1), (f'{g}@{q}', -1))
    }
    assert synthesis.weights == {f'genmix-{g}@1/8': 1 / 4 for g in PAPER} | {'mixup': -1}
    assert [c.weights for c in found[EACH]] == [
        {f'genmix-{g}@1/8': 0.5, f'genmix-{g}@1/2': 0.5, f'{g}@1/8': -0.5, f'{g}@1/2': -0.5} for g in PAPER
    ]
    assert balance.weights == (
        {f'genmix-{g}@1/8': 1 / 4 for g in PAPER}
        | {f'genmix-{g}@1/8-balanced': -1 / 4 for g in PAPER}
        | {'classical': -1, 'oversample': 1}
    )
    for c in declared(arms, TUNING):
        assert sum(c.weights.values()) == pytest.approx(0)
        assert not any('oracle' in name or 'toy' in name or 'cutmix' in name for name in c.weights)


def test_sides_are_named_by_arms():
    (mixing,) = by_gate(declared(arms_for(['dcgan'])))[MIXING]
    assert mixing.a == 'mean of genmix-dcgan@1/8 genmix-dcgan@1/2'
    (synthesis,) = by_gate(declared(arms_for(['dcgan'])))[SYNTHESIS]
    assert (synthesis.a, synthesis.b) == ('genmix-dcgan@1/8', 'mixup')


def test_arms_are_found_by_fields_not_by_names():
    """Arms with names of another convention give the same contrasts."""
    arms = arms_for(PAPER)
    renamed = {f'arm{i}': replace(arm, name=f'arm{i}') for i, arm in enumerate(arms.values())}
    back = dict(zip(renamed, arms))
    for one, other in zip(declared(arms), declared(renamed)):
        assert one.weights == {back[name]: w for name, w in other.weights.items()}


def as_trained(steps=350, lengths=(1000,)):
    """Arms as a run holds them: all with their steps."""
    arms = arms_for(PAPER, lengths=lengths)  # more of them tuned than not
    return {name: replace(arm, steps=arm.steps or steps) for name, arm in arms.items()}


def test_the_practical_contrast_is_of_the_tuned_arms():
    arms = as_trained()
    assert tuned(TUNING, 'genmix')[['dose', 'steps']].tolist() == [0.5, 1000]
    (practical,) = by_gate(declared(arms, TUNING))[PRACTICAL]
    assert practical.weights == (
        {f'genmix-{g}@1/2-1000': 1 / 4 for g in PAPER} | {f'{g}@1/8': -1 / 4 for g in PAPER}
    )
    untuned = {name: arm for name, arm in arms.items() if arm.steps == 350}
    assert not by_gate(declared(untuned, TUNING))[PRACTICAL]
    other = TUNING.assign(balanced_accuracy=TUNING.balanced_accuracy + 0.1 * (TUNING.method == 'real'))
    (practical,) = by_gate(declared(arms, other))[PRACTICAL]
    assert practical.b == 'classical' and practical.weights['classical'] == -1


def test_a_setting_is_judged_by_its_mean_over_cohorts_and_generators():
    rows = [
        ('genmix', g, dose, 'natural', 350, cohort, score)
        for dose, scores in ((0.125, (0.7, 0.7, 0.7, 0.7)), (0.5, (0.9, 0.6, 0.6, 0.6)))
        for (g, cohort), score in zip([(g, c) for g in 'ab' for c in (9000, 9001)], scores)
    ]
    columns = ['method', 'generator', 'dose', 'balance', 'steps', 'cohort', 'balanced_accuracy']
    table = pd.DataFrame(rows, columns=columns)
    best = tuned(table, 'genmix')  # not the one with the single highest score
    assert best.dose == 0.125 and best.balanced_accuracy == pytest.approx(0.7)
    equal = table.assign(balanced_accuracy=0.7)
    assert tuned(equal[::-1], 'genmix').dose == 0.5 and tuned(equal, 'genmix').dose == 0.125


def test_a_tuned_arm_stands_for_none_of_the_factorial():
    arms = as_trained()
    longer_first = dict(sorted(arms.items(), key=lambda item: -item[1].steps))
    for c in declared(longer_first):
        assert {arms[name].steps for name in c.weights} == {350}
    every = [name for c in exploratory(longer_first) for name in c.weights]
    assert {arms[name].steps for name in every} == {350}


def test_without_tuning_the_practical_contrast_is_left_out_with_a_line(caplog):
    log = logging.getLogger('genmix')
    log.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, 'genmix'):
        assert not by_gate(declared(arms_for(PAPER)))[PRACTICAL]
        assert 'no measured/tuning.csv' in caplog.text
        lacking = {n: a for n, a in arms_for(PAPER).items() if n != 'genmix-dcgan@1/2'}
        assert not by_gate(declared(lacking, TUNING))[PRACTICAL] and 'not every tuned arm' in caplog.text
    log.removeHandler(caplog.handler)


def test_a_run_with_few_arms_declares_what_it_can():
    quick = {n: a for n, a in arms_for(PAPER).items() if a.balance == 'natural' and a.kind != 'mixup-union'}
    found = by_gate(declared(quick))
    assert [len(found[gate]) for gate in range(1, 6)] == [0, 1, 1, 4, 0]
    one = by_gate(declared(arms_for(['dcgan'])))
    assert [len(one[gate]) for gate in range(1, 6)] == [0, 1, 1, 0, 1]
    assert declared({'none': Arm(name='none', kind='real', classical=False)}) == [] == exploratory({})


def test_exploratory_pairs_hold_dose_and_balance_or_change_one_of_them():
    arms = arms_for(['dcgan', 'toy', 'oracle'], ['cutmix'])
    pairs = {(c.a, c.b) for c in exploratory(arms)}
    assert {('oversample', 'classical'), ('dcgan@1/2', 'dcgan@1/8'), ('dcgan@1/8', 'classical')} <= pairs
    assert {('genmix-dcgan@1/8', 'mixup'), ('genmix-dcgan@1/8', 'mixup-dcgan@1/8')} <= pairs
    assert {
        ('genmix-dcgan@1/8-balanced', 'genmix-dcgan@1/8'),
        ('genmix-dcgan-offline', 'genmix-dcgan@1/8'),
    } <= pairs
    assert {('genmix-toy@1/8', 'toy@1/8'), ('cutmix-dcgan@1/2', 'genmix-dcgan@1/2')} <= pairs
    assert ('genmix-dcgan@1/8', 'dcgan@1/8') not in pairs  # declared
    assert len(pairs) == len(exploratory(arms)) and all(c.gate == 0 for c in exploratory(arms))


def test_what_is_asked_of_several_generators_has_one_name():
    found = exploratory(arms_for(['dcgan', 'toy', 'oracle'], ['cutmix']))
    asked = [c.name for c in found if c.generator == 'dcgan']
    assert len(set(asked)) == len(asked) - 2  # each rule of a plugin at two doses
    for c in found:
        named = {g for g in ('dcgan', 'toy', 'oracle') if any(g in name for name in c.weights)}
        assert named == ({c.generator} if c.generator else set())
    first, second = ({c.name: with_g(c.a, [g]) for c in found if c.generator == g} for g in ('dcgan', 'toy'))
    assert first.items() <= second.items()


def test_a_side_with_several_generators_is_named_by_one_of_them():
    found = {c.gate: c for c in declared(arms_for(PAPER))}
    assert brief(found[MIXING].a) == 'mean of genmix-g@1/8 and genmix-g@1/2'
    assert brief(found[MIXING].b) == 'mean of g@1/8 and g@1/2'
    assert brief(found[BALANCE].b) == 'mean of genmix-g@1/8-balanced - oversample'
    assert brief(found[EACH].a) == found[EACH].a.replace('8 g', '8 and g') and brief('mixup') == 'mixup'
    assert [c.generator for c in declared(arms_for(PAPER)) if c.gate == EACH] == list(PAPER)
    assert found[MIXING].generator == ''


def test_mixing_at_each_dose_compares_equal_doses():
    low, high = mixing_at_doses(arms_for(PAPER))
    assert (low.name, high.name, low.gate) == ('mixing at dose 1/8', 'mixing at dose 1/2', 0)
    assert low.weights == difference([f'genmix-{g}@1/8' for g in PAPER], [f'{g}@1/8' for g in PAPER])
    assert all(name.endswith('@1/2') for name in high.weights) and len(high.weights) == 8
    assert mixing_at_doses(arms_for([])) == []
