"""The lesson, executed by `make lesson` in a fresh clone that has no finished run."""

import json

import nbformat
import pytest
from conftest import make

from genmix.run.log import MARK
from tools import student


@pytest.mark.smoke
def test_the_lesson_runs_from_its_pack_alone(clone):
    done = make(clone, 'lesson', 'PROFILE=smoke')
    assert done.returncode == 0, done.stdout + done.stderr
    run = clone / 'runs' / 'smoke'
    assert not (run / 'cohort').exists() and not (run / 'synthetic').exists()
    cells = json.loads((run / 'notebooks' / 'L_lesson.ipynb').read_text())['cells']
    outputs = {c['id']: c.get('outputs', []) for c in cells}
    texts = {
        name: ''.join(''.join(o.get('text', o.get('data', {}).get('text/plain', ''))) for o in found)
        for name, found in outputs.items()
    }
    errors = [o for found in outputs.values() for o in found if o.get('name') == 'stderr']
    assert not [line for o in errors for line in ''.join(o['text']).splitlines() if not line.startswith(MARK)]
    for part in ('split', 'mix', 'mass'):
        assert 'Not yet' in texts[f'{part}-check'] and 'Correct.' in texts[f'{part}-solution']
    pictures = [
        name for name, found in outputs.items() if any('image/png' in o.get('data', {}) for o in found)
    ]
    assert pictures == ['quiz-figure', 'film', 'lambda', 'simplex', 'scores-figure', 'forest']
    assert '95 % interval' in texts['verdict-solution']


@pytest.mark.smoke
def test_the_edition_for_students_runs_before_anything_is_answered(clone):
    place = clone / 'notebooks' / 'L_lesson.ipynb'
    nbformat.write(student.edition(place), place)
    done = make(clone, 'lesson', 'PROFILE=smoke', 'RUN=students')
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_lesson_opens_it_when_asked(clone):
    assert make(clone, '-n', 'lesson', 'LAB=yes').stdout.strip().endswith('-m tools.lab --first L_lesson')
    assert make(clone, '-n', 'lesson').stdout.strip().endswith('L_lesson')
