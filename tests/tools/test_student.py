import json
import shutil

import nbformat
import pytest
from conftest import ROOT, make
from test_notebook_files import notebook

from genmix.run import notebooks
from tools import student


def tags(content):
    return [tag for cell in content['cells'] for tag in cell['metadata'].get('tags', [])]


def test_solutions_and_outputs_go_and_all_else_stays():
    for nb in notebooks.notebooks(appendices=True):
        before, after = nb.content, student.edition(nb.path)
        nbformat.validate(after)
        left = [cell for cell in before['cells'] if 'solution' not in cell['metadata'].get('tags', [])]
        assert [(c['id'], ''.join(c['source'])) for c in left] == [(c.id, c.source) for c in after.cells]
        assert (
            tags(after).count('exercise') == tags(before).count('exercise')
            and tags(after).count('parameters') == 1
        )
        assert not any(c.get('outputs') or c.get('execution_count') for c in after.cells)
        assert 'published' not in after.metadata['genmix'] and {**before['metadata'], 'genmix': None} == {
            **after.metadata,
            'genmix': None,
        }


def test_no_edition_holds_an_answer():
    every = notebooks.notebooks(appendices=True)
    solved = {nb.path: student.solutions(nb.content) for nb in every}
    assert sum(map(len, solved.values())) > 40
    for path, found in solved.items():
        assert student.leaks(student.edition(path), found) == [], path.name
    whole = notebooks.Notebook(ROOT / 'notebooks' / '07_genmix.ipynb').content
    given = {name for name, _ in student.leaks(whole, solved[ROOT / 'notebooks' / '07_genmix.ipynb'])}
    assert given == {'07.1', '07.2', '07.3', '07.4'}, 'in the complete notebook all are seen'


@pytest.mark.parametrize(
    ('cell', 'what'),
    [
        ('check("01.1", my_x)\n(3 + 4) * 11', '(3 + 4) * 11'),
        ("my_x = 0  # 77\ncheck('01.1', my_x)", '77'),
        ('It is about 1,234 of them.', '1,234'),
        ('n = sum(range(7))', 'n = sum(range(7))'),
    ],
)
def test_what_gives_an_answer_away_is_found(cell, what):
    found = {'01.1': ('n = sum(range(7))\nmy_x = (3 + 4) * 11, 1234', ['my_x'])}
    book = {'cells': [{'source': 'my_x = 0  # your answer'}, {'source': cell}]}
    assert what in [text for _, text in student.leaks(book, found)]
    assert student.leaks({'cells': [{'source': 'my_x = 0'}, {'source': "check('01.1', my_x)"}]}, found) == []


def test_the_folder_is_written_whole_and_holds_no_other_notebook(project, monkeypatch, capsys):
    (project / 'notebooks').mkdir()
    notebook(
        project / 'notebooks' / '01_a.ipynb',
        [("run = ''", 'parameters'), ('my_x = 0', 'exercise'), ('my_x = 1', 'solution')],
    )
    content = json.loads((project / 'notebooks' / '01_a.ipynb').read_text())
    content['cells'][1]['outputs'] = [{'output_type': 'stream', 'name': 'stdout', 'text': ['seen']}]
    (project / 'notebooks' / '01_a.ipynb').write_text(json.dumps(content))
    monkeypatch.chdir(project)
    shutil.copy(project / 'notebooks' / '01_a.ipynb', project / 'notebooks' / '09_gone.ipynb')
    student.main([])
    (project / 'notebooks' / '09_gone.ipynb').unlink()
    student.main([])
    assert [p.name for p in (project / 'student').iterdir()] == [
        '01_a.ipynb'
    ] and '1 notebooks' in capsys.readouterr().out
    written = json.loads((project / 'student' / '01_a.ipynb').read_text())
    assert [''.join(c['source']) for c in written['cells']] == [
        "run = ''",
        'my_x = 0',
    ] and 'seen' not in json.dumps(written)
    assert notebooks.Notebook(project / 'student' / '01_a.ipynb').parameters.keys() == {'run'}
    answered = json.dumps(written).replace('my_x = 0', 'my_x = 42')
    (project / 'student' / '01_a.ipynb').write_text(answered)
    student.main([])
    assert (project / 'student' / '01_a.ipynb').read_text() == answered, 'what a student wrote stays'


def test_the_edition_needs_no_git(clone):
    assert not (clone / '.git').exists()
    done = make(clone, 'student')
    assert done.returncode == 0 and f'{len(list((clone / "student").iterdir()))} notebooks' in done.stdout


def test_git_leaves_the_edition_alone():
    assert 'student/' in (ROOT / '.gitignore').read_text().split()
