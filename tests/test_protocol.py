"""The protocol of the confirmatory run, and that the code does what it says."""

import hashlib
import re

import pytest
from conftest import ROOT
from test_contrasts import TUNING

from genmix import StudyError
from genmix.audit.findings import GATE
from genmix.generators import PAPER
from genmix.mixing.arms import DOSES, arms_for
from genmix.results import measured, protocol
from genmix.results.contrasts import declared
from genmix.results.intervals import SMALLEST, WORDS
from genmix.results.power import power, power_of_equivalence
from genmix.results.verdicts import ALPHA

SHA256 = '1f1e2500e4feff75563a319ec715819688e831eef35f814e85b4a12833abe7c1'
TEXT = (ROOT / 'PROTOCOL.md').read_text(encoding='utf-8')


def test_the_protocol_is_as_it_was_declared():
    found = hashlib.sha256((ROOT / 'PROTOCOL.md').read_bytes()).hexdigest()
    assert found == SHA256, (
        'PROTOCOL.md has changed: list the change under Deviations (or fill in Tuned settings, before the '
        f'first cohort), then put {found} here.'
    )


def test_gates_are_those_of_the_code():
    rows = re.findall(r'^\| (\d) \| ([^|:,]+)', TEXT, re.M)
    assert [int(gate) for gate, _ in rows] == [1, 2, 3, 4, 5]
    names = {c.gate: c.name for c in declared(arms_for(PAPER))}
    assert {gate for gate, _ in names.items()} == {2, 3, 4, 5}
    for gate, title in rows[1:]:
        assert names[int(gate)].startswith(title.split(',')[0].split(' with ')[0].strip()), (gate, title)
    assert all(name in TEXT for name in PAPER) and DOSES == (1 / 8, 1 / 2) and '1/8 or 1/2' in TEXT


def test_numbers_are_those_of_the_code():
    assert SMALLEST == 0.01 and '**1 point** of balanced accuracy' in TEXT
    assert ALPHA / 5 == 0.01 and 'share 5 %, 1 % each' in TEXT and '**24 cohorts.**' in TEXT
    found = [power(24, 1.0, 1.2, 0.01), power_of_equivalence(24, 1.2, 1.0, 0.01), power(24, 1.0, 1.6, 0.05)]
    said = re.findall(r'power of (\d+) %', re.sub(r'\s+', ' ', TEXT))
    assert [round(100 * value) for value in found] == [int(value) for value in said]
    assert all(re.search(rf'\*\*{word}\*\*', TEXT, re.I) for word in WORDS)


def test_the_gate_of_the_cards_is_that_of_the_code():
    assert GATE == {'tstr': 0.8, 'coverage': 0.05}
    assert 'TSTR below .8, or coverage below .05' in re.sub(r'\s+', ' ', TEXT)


def with_settings(settings):
    """The protocol with other values in the lines of its tuned settings."""
    text = TEXT
    for what, value in protocol.declared_settings(TEXT).items():
        assert text.count(f'- {what}: {value}') == 1, what
        text = text.replace(f'- {what}: {value}', f'- {what}: {settings[what]}')
    return text


UNFILLED = with_settings(dict.fromkeys(protocol.declared_settings(TEXT), protocol.OPEN))


def filled(tuning, steps=350):
    """The protocol with the settings of another tuning."""
    about = {protocol.COMMIT: '0123456789ab', protocol.STEPS: str(steps)}
    return with_settings(protocol.settings_lines(tuning) | about)


def test_its_settings_are_those_of_the_committed_tuning():
    assert protocol.steps_of_contrasts(TEXT, measured.tuning()) == 350
    assert len(measured.tuning()) == 144


def test_settings_are_read_as_they_are_printed():
    text = filled(TUNING)
    said = protocol.declared_settings(text)
    assert said[protocol.METHODS['genmix']] == '1/2, natural, 1000'
    assert (
        said[protocol.METHODS['none']] == 'real, natural, 350' and said[protocol.BEST] == '1/8, natural, 350'
    )
    assert protocol.steps_of_contrasts(text, TUNING) == 350
    assert set(said) == {protocol.COMMIT, protocol.STEPS, *protocol.settings_lines(TUNING)}


def test_an_open_or_wrong_setting_is_named():
    with pytest.raises(StudyError, match='is not filled in .commit of'):
        protocol.steps_of_contrasts(UNFILLED, TUNING)
    text = filled(TUNING)
    with pytest.raises(StudyError, match='measured/tuning.csv is missing'):
        protocol.steps_of_contrasts(text, None)
    other = TUNING.assign(balanced_accuracy=TUNING.balanced_accuracy + 0.1 * (TUNING.dose == 0.125))
    with pytest.raises(
        StudyError, match='PROTOCOL.md says "tuned GenMix .* but measured/tuning.csv says 1/8'
    ):
        protocol.steps_of_contrasts(text, other)
    with pytest.raises(StudyError, match='give one number'):
        protocol.steps_of_contrasts(filled(TUNING, '350 or 1000'), TUNING)
