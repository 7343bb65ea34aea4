"""Copies of notebooks: refreshed while they are as they were, and never over what a reader wrote."""

import json

import pytest
from test_notebook_files import notebook

from tools.copies import renew


@pytest.fixture
def book(tmp_path):
    """A function: the notebook 01_a with this answer cell, as a dict."""

    def make(answer='my_x = 0'):
        path = notebook(tmp_path / '01_a.ipynb', [("run = ''", 'parameters'), (answer, 'exercise')])
        return json.loads((path or tmp_path / '01_a.ipynb').read_text())

    return make


def saved(path, change=lambda content: None):
    """Save a copy as JupyterLab does after Run All, with `change` made by the reader."""
    content = json.loads(path.read_text())
    content['metadata']['kernelspec'] = {'name': 'python3', 'display_name': 'Python 3 (ipykernel)'}
    for cell in content['cells']:
        output = {'output_type': 'stream', 'name': 'stdout', 'text': ['5']}
        cell |= {'execution_count': 1, 'outputs': [output], 'source': ''.join(cell['source'])}
    change(content)
    path.write_text(json.dumps(content))
    return path.read_bytes()


def answer(content):
    content['cells'][1]['source'] = 'my_x = 42'


def test_a_copy_that_nobody_touched_follows_the_notebook(book, tmp_path, capsys):
    place = tmp_path / 'lab' / '01_a.ipynb'
    assert renew({'01_a.ipynb': book()}, place.parent) == ['01_a.ipynb']
    before = place.stat().st_mtime_ns
    assert renew({'01_a.ipynb': book()}, place.parent) == [] and place.stat().st_mtime_ns == before
    published = book()
    published['cells'][0]['outputs'] = [{'output_type': 'stream', 'name': 'stdout', 'text': ['new']}]
    assert capsys.readouterr().out == ''
    assert renew({'01_a.ipynb': published}, place.parent) == ['01_a.ipynb'] and 'new' in place.read_text()
    assert 'lab/01_a.ipynb is renewed' in capsys.readouterr().out


def test_a_copy_that_was_executed_stays_until_the_cells_change(book, tmp_path, capsys):
    place = tmp_path / 'lab' / '01_a.ipynb'
    renew({'01_a.ipynb': book()}, place.parent)
    mine = saved(place)
    assert renew({'01_a.ipynb': book()}, place.parent) == [] and place.read_bytes() == mine
    assert renew({'01_a.ipynb': book('my_y = 0')}, place.parent) and 'my_y' in place.read_text()
    assert 'lab/01_a.ipynb is renewed' in capsys.readouterr().out


def test_what_a_reader_wrote_stays_and_is_said_where_there_is_a_newer_one(book, tmp_path, capsys):
    place = tmp_path / 'lab' / '01_a.ipynb'
    renew({'01_a.ipynb': book()}, place.parent)
    mine = saved(place, answer)
    assert renew({'01_a.ipynb': book()}, place.parent) == [] and capsys.readouterr().out == ''
    assert renew({'01_a.ipynb': book('my_y = 0')}, place.parent) == [] and place.read_bytes() == mine
    assert 'lab/01_a.ipynb has changes of yours and stays' in capsys.readouterr().out


@pytest.mark.parametrize('text', ['{}', '', '{"cells": []}', '[1]', '{"cells": [], "metadata": {}}'])
def test_a_file_that_is_no_copy_is_the_readers(book, tmp_path, capsys, text):
    for name in ('01_a.ipynb', 'mine.ipynb'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    place = tmp_path / 'lab'
    place.mkdir()
    for name in ('01_a.ipynb', 'mine.ipynb'):
        (place / name).write_text(text)
    assert renew({'01_a.ipynb': book()}, place) == []
    assert {p.read_text() for p in place.iterdir()} == {text} and len(list(place.iterdir())) == 2
    assert '01_a.ipynb has changes of yours and stays' in capsys.readouterr().out


def test_the_copy_of_a_notebook_that_is_gone_goes_unless_it_was_edited(book, tmp_path):
    place = tmp_path / 'student'
    renew({'01_a.ipynb': book(), '02_b.ipynb': book(), '03_c.ipynb': book()}, place)
    saved(place / '02_b.ipynb')
    saved(place / '03_c.ipynb', answer)
    assert renew({}, place) == [] and [p.name for p in place.iterdir()] == ['03_c.ipynb']
