"""Check cells and exercises: a question, an answer to fill in, a check, a solution that passes it."""

import ast
import re
from collections import Counter

import numpy as np
import pytest

from genmix.run import notebooks
from genmix.teaching import exercises
from genmix.teaching.exercises import check
from genmix.teaching.tasks import TASKS
from tools import student

EVERY = [nb for nb in notebooks.notebooks(appendices=True) if student.solutions(nb.content)]
WORDS = {'np': np, 'check': check}


def test_check_answers_and_never_raises():
    assert check('07.2', 14.14) == check('07.2', '14.1421') == 'Correct.'
    assert check('06.1', '  Class  agreement ') == 'Correct.' != check('06.1', 'coverage')
    assert check('01.1', 136 / 260, 1 / 3) == check('01.1', (0.523, 0.333)) == 'Correct.'
    assert 'not a percentage' in check('00.1', 39) and 'not a percentage' in check('01.1', 52.3, 33.3)
    assert check('07.1', 0.7, 0.3) == 'Not yet: 3 numbers are expected, not 2.'
    for answer in (15, 0, None, '', 'many', float('nan'), [], lambda: 1):
        assert check('07.2', answer).startswith('Not yet'), answer
    assert check('07.2').startswith('Hint: ') and "check('07.2')" in check('07.2', 15)


def test_a_function_is_called_and_its_errors_are_said():
    assert check('07.4', lambda *parents: None) == 'Not yet: the function returns nothing yet.'
    assert check('07.4', lambda x: x).startswith('Not yet: TypeError: ')
    assert check('00.1', '46 %') == "Not yet: a number is expected, not '46 %'."
    assert (
        check('07.4', lambda x, y, x_syn, y_syn, lam: 1 / 0)
        == 'Not yet: ZeroDivisionError: division by zero.'
    )

    def wrapped(x, y, x_syn, y_syn, lam):
        """The usual mistakes: the result in the type of the image; the label left as it is."""
        w = lam.reshape(-1, 1, 1)
        return (w * x + (1 - w) * x_syn).astype(np.uint8), y

    assert check('07.4', wrapped).startswith('Not yet: for a hint')


@pytest.mark.parametrize('name', ['01.3', 'L.1'])
def test_a_split_by_lesion_or_of_another_size_is_none_by_patient(name):
    def by_patient(patients, share, rng):
        left = rng.permutation(np.unique(patients))[: round(share * len(set(patients)))]
        return np.array([patient in left for patient in patients])

    def by_lesion(patients, share, rng):
        return rng.random(len(patients)) < share

    def of_half(patients, share, rng):
        return by_patient(patients, 0.5, rng)

    def always_the_same(patients, share, rng):
        return by_patient(patients, share, np.random.default_rng(0))

    assert check(name, by_patient) == 'Correct.'
    for wrong in (by_lesion, of_half, always_the_same):
        assert check(name, wrong).startswith('Not yet'), wrong.__name__


def parts(notebook):
    """[(answer, check, solution)] of a notebook as code: the three consecutive cells of each exercise."""
    cells = [(c['metadata'].get('tags', []), ''.join(c['source'])) for c in notebook.content['cells']]
    at = [i for i, (tags, _) in enumerate(cells) if 'exercise' in tags]
    assert all('solution' in cells[i + 2][0] and cells[i + 1][1].startswith('check(') for i in at)
    return [tuple(code for _, code in cells[i : i + 3]) for i in at]


def value(code, names):
    """Value of the last expression of a cell, executed among `names`."""
    *body, last = ast.parse(code).body
    exec(compile(ast.Module(body, []), 'cell', 'exec'), names)
    return eval(compile(ast.Expression(last.value), 'cell', 'eval'), names)


@pytest.mark.parametrize('notebook', EVERY, ids=lambda nb: nb.name)
def test_no_empty_answer_passes_and_every_solution_does_in_its_own_cell(notebook):
    names = student.OF_THE_NOTEBOOK | WORDS
    found = parts(notebook)
    assert 3 <= len(found) <= 5 and len(found) == len(student.solutions(notebook.content))
    for place, (answer, checked, solution) in enumerate(found, 1):
        assert answer.startswith(('my_', 'def my_')) and '  # ' in answer
        assert checked.startswith(f"check('{notebook.name.split('_')[0]}.{place}', my_")
        exec(answer, names)
        assert value(checked, names).startswith('Not yet'), checked
        assert value(solution, names) == 'Correct.', solution  # so it stands in the committed outputs
        assert value(checked, names) == 'Correct.', checked


@pytest.mark.parametrize('notebook', EVERY, ids=lambda nb: nb.name)
def test_questions_are_numbered_and_have_the_level_of_their_exercise(notebook):
    prose = '\n'.join(''.join(c['source']) for c in notebook.content['cells'] if c['cell_type'] == 'markdown')
    found = re.findall(r'^(\d+)\. (★*)', prose.rpartition('## Exercises')[2], re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    for name in student.solutions(notebook.content):
        number, level = name.split('.')[1], exercises.keys()[name]['level']
        assert dict(found)[number] == '★' * level, name


def test_eight_exercises_ask_for_code_and_no_answer_can_be_read():
    assert len({*TASKS} - {'L.1', 'L.2'}) == 8 and {*TASKS} <= {*exercises.keys()}
    assert {key['level'] for key in exercises.keys().values()} == {1, 2, 3}
    text = exercises.KEYS.read_text(encoding='utf-8')
    every = {name: own for nb in EVERY for name, own in student.solutions(nb.content).items()}
    assert {*every} == {*exercises.keys()}
    for name, own in every.items():
        key = exercises.keys()[name]
        assert key['hint'] and {*key} == {'level', 'hint', 'width', 'slack', 'salt', 'sealed'}
        assert exercises.sealed(name, key, student.answers(*own)) == key['sealed'], 'make it anew: --seal'
        for number in (n for answer in student.answers(*own) for n in student.numbers_of(answer)):
            forms = {form for form in student.written(number) if student.significant(form) > 2}
            assert not [form for form in forms if student.stands_in(form, text)], name


def test_salts_differ_so_that_equal_answers_look_different():
    assert max(Counter(key['salt'] for key in exercises.keys().values()).values()) == 1
