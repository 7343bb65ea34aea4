"""The data sheet of the phantom has every number of the simulator."""

import re

import numpy as np
import pytest
from conftest import ROOT

from genmix.data.phantom import plan, render, scanner

SHEET = (ROOT / 'docs' / 'phantom.md').read_text(encoding='utf-8')
ROWS = [line.strip('|').split('|') for line in SHEET.splitlines() if line.startswith('| ')]
# Names of things, and what decides how is computed, not what is drawn.
NO_ASSUMPTION = {'CLASS_NAMES', 'POPULATIONS', 'LOOKS', 'CHUNK', 'PIXELS_SIDE_BY_SIDE', 'FWHM_TO_MTF'}
CONSTANTS = {
    name: value
    for module in (plan, render, scanner)
    for name, value in vars(module).items()
    if name.isupper() and name not in NO_ASSUMPTION
}


def numbers(text):
    """Numbers of a cell, such as `.12`, `-4` and `**676**`."""
    return [float(n) for n in re.findall(r'-?\d*\.?\d+', text)]


def flat(value):
    """The numbers of a constant, in their order."""
    if isinstance(value, dict):
        return [n for part in value.values() for n in flat(part)]
    return [float(n) for n in np.ravel(value)]


@pytest.mark.parametrize('name', CONSTANTS)
def test_every_constant_stands_in_the_sheet_with_its_value(name):
    rows = [row for row in ROWS if f'`{name}`' in row[0]]
    assert rows, f'docs/phantom.md lacks {name}'
    value, shown = CONSTANTS[name], [n for row in rows for n in numbers(row[1])]
    together = [n for other in re.findall(r'`([A-Z_0-9]+)`', rows[0][0]) for n in flat(CONSTANTS[other])]
    assert shown == pytest.approx(together), f'docs/phantom.md has other numbers of {name}'
    assert all(n in shown for n in flat(value))


@pytest.mark.parametrize('subtype', plan.LOOKS.index)
def test_every_look_stands_in_the_sheet(subtype):
    (row,) = (row for row in ROWS if row[0].strip() == subtype)
    look = plan.LOOKS.loc[subtype]
    assert [numbers(cell) for cell in row[1:]] == [
        list(np.atleast_1d(look[c]).astype(float)) for c in plan.LOOKS
    ]


def test_what_is_no_assumption_in_the_code_is_not_one_in_the_sheet():
    """Constants whose comment says `Assumption` stand below that heading, and those of a source do not."""
    before, after = SHEET.split('## Assumptions')
    for name in ('COUNTS', 'KVP100_GAIN', 'LIVER_PLAIN', 'FATTY_SHARE', 'LIVER_GAIN', 'FLASH_BELOW_MM'):
        assert f'| `{name}` |' in before and f'`{name}`' not in after
    source = (ROOT / 'genmix' / 'data' / 'phantom' / 'plan.py').read_text(encoding='utf-8')
    marked = re.findall(r'^([A-Z_0-9]+) = .*# .*Assumption', source, re.MULTILINE)
    assert len(marked) > 8 and [name for name in marked if f'`{name}`' not in after] == []
