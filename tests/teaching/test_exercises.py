"""The check cells, and the exercises of the notebooks: every question has an answer to fill in, a check and a solution that passes it."""

import ast
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import blobs

from genmix.results import contrasts
from genmix.results.neighbours import mixing_rate, neighbour_agreement
from genmix.run import notebooks
from genmix.teaching.exercises import check

STUDIES = notebooks.notebooks()


def test_check_answers_and_never_raises():
    assert check(1.0005, 1, tolerance=1e-3) == 'Correct.' and 'Not yet' in check(1.1, 1)
    assert check(' Class Agreement', 'class agreement') == 'Correct.' and 'Not yet' in check('', 'coverage')
    assert 'is no number' in check('many', 3) and 'is no number' in check(None, 3)


def exercises(notebook):
    """[(answer, check, solution)] of a notebook as code, taken from the three cells in a row that make an exercise."""
    cells = [(c['metadata'].get('tags', []), ''.join(c['source'])) for c in notebook.content['cells']]
    at = [i for i, (tags, _) in enumerate(cells) if 'exercise' in tags]
    assert all('solution' in cells[i + 2][0] and 'check(' in cells[i + 1][1] for i in at), notebook.name
    assert sum('solution' in tags for tags, _ in cells) == len(at)
    return [tuple(code for _, code in cells[i : i + 3]) for i in at]


def value(code, names):
    """What the last expression of a cell gives, executed among `names`."""
    *body, last = ast.parse(code).body
    exec(compile(ast.Module(body, []), 'cell', 'exec'), names)
    return eval(compile(ast.Expression(last.value), 'cell', 'eval'), names)


def messages(answer):
    return list(answer) if isinstance(answer, (list, tuple)) else [answer]


def at_hand():
    """{notebook: what its exercises find at hand}: small stand-ins for what its cells have made."""
    rng, lesions = np.random.default_rng(0), blobs()
    mix = SimpleNamespace(
        lam=rng.beta(0.4, 0.4, 3000), a=rng.integers(0, 45, 3000), b=rng.integers(0, 45, 3000)
    )
    ladder = (0, 0.35, 0.7, 1, 1.3)
    return {
        '00_overview': {
            'found': [SimpleNamespace(lam=0.61)],
            'made': {'dcgan': 0, 'oracle': 0},
            'arms': SimpleNamespace(PLAIN=tuple('abcde')),
        },
        '01_data': {'cohort': lesions, 'test': blobs((9, 2, 5))},
        '02_dcgan': {
            'size': 64,
            'train': lesions,
            'spread': pd.DataFrame({'real': [20.0, 30, 25], 'DCGAN': [10.0, 18, 20]}),
        },
        '03_stylegan': {
            'ladder': ladder,
            'shares': {psi: {k: 0.2 + psi for k in range(3)} for psi in ladder},
        },
        '06_generator_audit': {'held': {'second': lesions}},
        '07_genmix': {'one': mix, 'train': lesions, 'shown': blobs(seed=1), 'alpha': 0.4},
        '08_classification': {'steps': 350, 'batch_size': 64, 'train': lesions, 'mixed_share': 0.25},
        '09_results': {'contrasts': contrasts},
        '10_tsne': {'mixing_rate': mixing_rate, 'neighbour_agreement': neighbour_agreement},
    }


@pytest.mark.parametrize('notebook', STUDIES, ids=lambda nb: nb.name)
def test_every_solution_passes_its_check_and_no_empty_answer_does(notebook):
    names = {'np': np, 'pd': pd} | at_hand().get(notebook.name, {})
    found = exercises(notebook)
    assert 3 <= len(found) <= 5
    for answer, checked, solution in found:
        assert answer.startswith('my_') and '     # ' in answer
        exec(answer, names)
        assert any(said.startswith('Not yet') for said in messages(value(checked, names))), checked
        exec(solution, names)
        assert set(messages(value(checked, names))) == {'Correct.'}, solution
    if notebook.name == '07_genmix':  # what the question says of theory holds
        assert check((1 + 0.4) / (1 + 0.8), names['my_power'], tolerance=0.05) == 'Correct.'


@pytest.mark.parametrize('notebook', STUDIES, ids=lambda nb: nb.name)
def test_questions_are_numbered(notebook):
    text = '\n'.join(
        ''.join(c['source']) for c in notebook.content['cells'] if c['cell_type'] == 'markdown'
    ).split('## Exercises')[1]
    numbers = [int(line.split('.')[0]) for line in text.splitlines() if line.split('.')[0].isdigit()]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= len(exercises(notebook))
