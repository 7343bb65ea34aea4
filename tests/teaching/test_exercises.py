"""Check cells and exercises: each question has an answer to fill in, a check, a solution that passes it."""

import ast
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import blobs

from genmix.mixing.arms import arms_for
from genmix.results import intervals
from genmix.results.neighbours import mixing_rate, neighbour_agreement
from genmix.run import notebooks
from genmix.teaching.exercises import check

STUDIES = notebooks.notebooks()


def test_check_answers_and_never_raises():
    assert check(1.0005, 1, tolerance=1e-3) == 'Correct.' and 'Not yet' in check(1.1, 1)
    assert check(' Class Agreement', 'class agreement') == 'Correct.' and 'Not yet' in check('', 'coverage')
    assert 'is no number' in check('many', 3) and 'is no number' in check(None, 3)


def exercises(notebook):
    """[(answer, check, solution)] of a notebook as code: the three consecutive cells of each exercise."""
    cells = [(c['metadata'].get('tags', []), ''.join(c['source'])) for c in notebook.content['cells']]
    at = [i for i, (tags, _) in enumerate(cells) if 'exercise' in tags]
    assert all('solution' in cells[i + 2][0] and 'check(' in cells[i + 1][1] for i in at), notebook.name
    assert sum('solution' in tags for tags, _ in cells) == len(at)
    return [tuple(code for _, code in cells[i : i + 3]) for i in at]


def value(code, names):
    """Value of the last expression of a cell, executed among `names`."""
    *body, last = ast.parse(code).body
    exec(compile(ast.Module(body, []), 'cell', 'exec'), names)
    return eval(compile(ast.Expression(last.value), 'cell', 'eval'), names)


def messages(answer):
    return list(answer) if isinstance(answer, (list, tuple)) else [answer]


def stand_ins():
    """{notebook: {name: value}}: small stand-ins for what the cells before the exercises have made."""
    rng, lesions = np.random.default_rng(0), blobs()
    mix = SimpleNamespace(
        lam=rng.beta(0.4, 0.4, 3000), a=rng.integers(0, 45, 3000), b=rng.integers(0, 45, 3000)
    )
    psis = (0, 0.35, 0.7, 1, 1.3)
    return {
        '00_overview': {
            'traces': [SimpleNamespace(lam=0.61)],
            'sets': {'dcgan': 0, 'oracle': 0},
            'arms_for': arms_for,
        },
        '01_data': {'cohort': lesions, 'test': blobs((9, 2, 5))},
        '02_dcgan': {
            'size': 64,
            'train': lesions,
            'sd': pd.DataFrame({'training': [20.0, 30, 25], 'DCGAN': [10.0, 18, 20]}),
        },
        '03_stylegan': {'psis': psis, 'sd_by_psi': {psi: {k: 0.2 + psi for k in range(3)} for psi in psis}},
        '06_generator_audit': {'held': {'reference': lesions}},
        '07_genmix': {'mixtures': mix, 'train': lesions, 'partners': blobs(seed=1), 'alpha': 0.4},
        '08_classification': {'steps': 350, 'batch_size': 64, 'train': lesions, 'mixed_share': 0.25},
        '09_results': {'intervals': intervals},
        '10_tsne': {'mixing_rate': mixing_rate, 'neighbour_agreement': neighbour_agreement},
    }


@pytest.mark.parametrize('notebook', STUDIES, ids=lambda nb: nb.name)
def test_every_solution_passes_its_check_and_no_empty_answer_does(notebook):
    names = {'np': np, 'pd': pd, 'check': check} | stand_ins().get(notebook.name, {})
    found = exercises(notebook)
    assert 3 <= len(found) <= 5
    for answer, checked, solution in found:
        assert answer.startswith('my_') and '  # ' in answer
        exec(answer, names)
        assert any(message.startswith('Not yet') for message in messages(value(checked, names))), checked
        exec(solution, names)
        assert set(messages(value(checked, names))) == {'Correct.'}, solution
    if notebook.name == '07_genmix':  # the theory that the question states holds
        assert check((1 + 0.4) / (1 + 0.8), names['my_power'], tolerance=0.05) == 'Correct.'


@pytest.mark.parametrize('notebook', STUDIES, ids=lambda nb: nb.name)
def test_questions_are_numbered(notebook):
    text = '\n'.join(
        ''.join(c['source']) for c in notebook.content['cells'] if c['cell_type'] == 'markdown'
    ).split('## Exercises')[1]
    numbers = [int(line.split('.')[0]) for line in text.splitlines() if line.split('.')[0].isdigit()]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= len(exercises(notebook))
