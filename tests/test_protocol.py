"""The protocol of the confirmatory run, and that the code does what it says."""

import hashlib
import re

from conftest import ROOT

from genmix.generators import PAPER
from genmix.mixing.arms import DOSES, arms_for
from genmix.results.contrasts import declared
from genmix.results.intervals import SMALLEST, WORDS
from genmix.results.power import cohorts_for_equivalence, cohorts_needed

SHA256 = '4879abeeb92b0478293967087011de94e783a9d6c39e4e6b15fe01592b51ab95'
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
    assert cohorts_needed(1.6, 1.0) == 23 and cohorts_for_equivalence(1.6, 1.0) == 24
    assert 'With 1.6, 23 cohorts' in TEXT and '**24 cohorts.**' in TEXT
    assert all(re.search(rf'\*\*{word}\*\*', TEXT, re.I) for word in WORDS)
