"""A committed number that was edited is noticed."""

import shutil

import pytest
from conftest import ROOT
from map_examples import made_up

from genmix import StudyError
from genmix.results import measured
from tools import checksums

MEASURED = ROOT / 'measured'


@pytest.fixture
def here(project, monkeypatch):
    """A copy of what is committed, with a map."""
    shutil.copytree(MEASURED, project / 'measured')
    made_up(20).to_csv(project / 'measured' / 'map.csv', index=False)
    checksums.note(project / 'measured', 'map.csv')
    monkeypatch.chdir(project)
    return project / 'measured'


def test_what_is_committed_is_as_it_was_measured():
    files = {p.relative_to(MEASURED).as_posix() for p in MEASURED.rglob('*') if p.is_file()} - {measured.SUMS}
    known = measured.checksums(MEASURED)
    assert files == set(known), 'python -m tools.checksums FILE notes what was measured anew, or is gone'
    edited = [name for name in sorted(files) if measured.digest(MEASURED / name) != known[name]]
    assert not edited, f'{edited} were edited: git checkout measured'


@pytest.mark.parametrize('damage', ['a digit', 'a row', 'two columns'])
def test_an_edited_number_is_named(here, damage):
    path = here / 'map.csv'
    lines = path.read_text().splitlines()
    if damage == 'a digit':
        lines[5] = lines[5][:-1] + ('1' if lines[5][-1] != '1' else '2')
    elif damage == 'a row':
        del lines[7]
    else:
        lines[0] = lines[0].replace('blur', 'x').replace('modes', 'blur').replace('x', 'modes')
    path.write_text('\n'.join(lines) + '\n')
    with pytest.raises(StudyError, match=r'^measured/map.csv is not as it was measured: restore it'):
        measured.effect_map()
    assert checksums.main(['map.csv']) == 0 and len(measured.effect_map()) >= 119


def test_every_table_that_is_read_is_compared(here):
    for name, read in (('tuning.csv', measured.tuning), ('data_size.csv', measured.data_size)):
        (here / name).write_text('method,steps\ngenmix,350\n')
        checksums.note(here, name)
        assert len(read()) == 1
        (here / name).write_text('method,steps\ngenmix,351\n')
        with pytest.raises(StudyError, match=f'^measured/{name} is not as it was measured'):
            read()


def test_only_what_is_named_is_noted_anew(here):
    for name in ('map.csv', 'intervals.csv'):
        (here / name).write_text((here / name).read_text() + '\n')
    (here / 'regime.csv').unlink()
    checksums.note(here, 'intervals.csv', 'regime.csv', 'absent.csv')
    assert measured.checksums(here).keys() == {'map.csv', *measured.checksums(MEASURED)} - {'regime.csv'}
    with pytest.raises(StudyError, match='measured/map.csv is not as it was measured'):
        measured.effect_map()


def test_a_folder_without_checksums_is_read(here):
    (here / measured.SUMS).unlink()
    assert len(measured.effect_map()) == 120 and measured.checksums(here) == {}
