"""The protocol of the confirmatory run, and that the code does what it says."""

import hashlib
import re

from conftest import ROOT

from genmix.generators import PAPER
from genmix.mixing.arms import DOSES, arms_for
from genmix.results.contrasts import declared
from genmix.results.intervals import SMALLEST, WORDS
from genmix.results.power import power, power_of_equivalence
from genmix.results.verdicts import ALPHA

SHA256 = 'f9ef6cdb40103fedf3bfacbc4c687384a83b0010b5b77a247b06cf69a5fc65b5'
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
