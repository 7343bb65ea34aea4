"""Cohorts of real images: the rule for their augmentation, and sentences without the protocol's words."""

import json

import pytest
from test_claims import card
from test_cohorts import made_up, true_rate

from genmix import StudyError
from genmix.results import measured
from genmix.results.cohorts import compact_card
from genmix.results.intervals import WORDS, over_units
from genmix.results.real_sets import NONE, chosen_strength, rule_in_words, summarise_real
from genmix.results.verdicts import primary
from tools import checksums

LOSES = {NONE: [0.7, 0.8], '1': [0.6, 0.7], '0.5': [0.78, 0.74], '0.25': [0.77, 0.74]}


@pytest.mark.parametrize(
    'changes, strength',
    [
        ({}, 0.5),
        ({'1': [0.76, 0.76]}, 1.0),  # of equal ones the first
        ({'0.25': [0.9, 0.7]}, 0.25),  # the mean decides, not the number of cohorts
        ({NONE: [0.76, 0.76]}, 0.5),  # not below
        ({NONE: [0.77, 0.76]}, 0.0),  # the best is below: out
    ],
)
def test_the_strength_is_the_best_on_dev_or_the_set_is_out(changes, strength):
    tried = LOSES | changes
    assert chosen_strength(tried) == strength
    said = rule_in_words({'tried': tried, 'division': {'dev': 2}})
    assert '`none` 7' in said and '2 dev cohorts' in said
    assert (f'strength {strength:g} is taken' in said) == (strength > 0) == ('the set is out' not in said)


def test_sentences_have_intervals_and_what_is_detectable_but_no_words_of_the_protocol():
    cohorts = made_up(true_rate, range(100, 106))
    lines = summarise_real(cohorts)
    judged, _ = cohorts.contrasts()
    assert len(lines) == len(primary(judged)) and primary(judged).verdict.isin(WORDS).all()
    assert not [line for line in lines for word in WORDS if word in line]
    assert all('(6 cohorts, population); detectable ' in line for line in lines)
    find = {arm.name for arm in cohorts.arms.values() if arm.kind == 'genmix' and arm.dose == 1 / 8}
    low = [n for n in find if cohorts.arms[n].balance == 'natural' and not cohorts.arms[n].stored]
    low = sorted(n for n in low if 'oracle' not in n)
    expected = over_units(cohorts.values(cohorts_difference(low), 'balanced_accuracy', 'prior'))
    (line,) = [line for line in lines if line.startswith('synthesis given mixing')]
    assert f'{100 * expected["mean"]:+.1f} [{100 * expected["low"]:+.1f}, ' in line
    assert line.endswith(f'detectable {100 * expected["minimum_detectable_effect"]:.1f} points')


def cohorts_difference(low):
    return {name: 1 / len(low) for name in low} | {'mixup': -1.0}


def test_generators_whose_cards_fail_are_named_below_the_contrasts():
    """By the mean of their cards over the cohorts, not by one of them."""
    cohorts = made_up(true_rate, range(100, 104))
    for i, cohort in enumerate(cohorts.found):
        low = {('stylegan', 'coverage'): 0.0, ('dcgan', 'coverage'): 0.0 if i == 0 else 0.9}
        cohort.about['card'] = compact_card(card(low))
    *contrasts, last = summarise_real(cohorts)
    assert last.startswith('below the gate of the audit, mean over the cohorts: stylegan: ')
    assert 'dcgan' not in last and len(contrasts) == len(summarise_real(made_up(true_rate, range(100, 104))))


@pytest.fixture
def kept(project, monkeypatch):
    """A project with two cohorts of one divided set in measured/real; (folder, the cohorts)."""
    monkeypatch.chdir(project)
    folder, cohorts = project / 'measured' / 'real' / 'chest', made_up(true_rate, [100, 101]).found
    for cohort in cohorts:
        cohort.about['set'] = {'name': 'chest', 'division': {'cohorts': 15}}
        object.__setattr__(cohort, 'labels', cohorts[0].labels)
        cohort.save(folder / f'cohort-{cohort.about["cohort"]}.npz')
    (folder / 'set.json').write_text(json.dumps({'tried': LOSES}))
    return folder, cohorts


def test_a_divided_set_is_read_with_its_cohorts(kept):
    folder, cohorts = kept
    ((name, (about, found)),) = measured.real_sets().items()
    assert name == 'chest' and about['tried'] == LOSES and len(found) == 2
    assert len(measured.cohorts()) == 0  # those of the protocol are others
    checksums.note(folder.parents[1], 'real/chest/cohort-101.npz')
    path = folder / 'cohort-101.npz'
    path.write_bytes(path.read_bytes() + b'x')
    with pytest.raises(StudyError, match='real/chest/cohort-101.npz is not as it was measured'):
        measured.real_sets()


def test_cohorts_of_other_divisions_or_other_test_images_do_not_mix(kept):
    folder, (first, second) = kept
    checksums.note(folder.parents[1])
    second.about['set'] = {'name': 'chest', 'division': {'cohorts': 16}}
    second.save(folder / 'cohort-101.npz')
    with pytest.raises(StudyError, match='100 and 101 differ in the set, or how it is divided'):
        measured.real_sets()
    second.about['set'] = first.about['set']
    object.__setattr__(second, 'labels', (second.labels + 1) % 3)
    second.save(folder / 'cohort-101.npz')
    with pytest.raises(StudyError, match='differ in the images they are tested on'):
        measured.real_sets()
