"""The cells of A8_reliability, on a run with a population and on one with a hold-out alone."""

import numpy as np
import pandas as pd
from conftest import ROOT, blobs
from notebook_cells import run_cells
from test_subgroups_page import ARMS, finished, here  # noqa: F401

from genmix.data.phantom import plan
from genmix.run.notebooks import Notebook

PAGE = Notebook(ROOT / 'notebooks' / 'A8_reliability.ipynb')


def test_a_population_answers_both_questions(here):  # noqa: F811
    cohort, tested = (
        plan.draw(name, lesions, image_size=32)
        for name, lesions in (('cohort', (20,) * 3), ('test', (150,) * 3))
    )
    finished(here, cohort, tested, 'population')
    run_cells(PAGE, {'run': 'test', 'bootstrap_draws': 50, 'studies': 40})
    saved = here.folder / 'reliability'
    bins, errors = (pd.read_csv(saved / f'{name}.csv') for name in ('diagrams', 'selection_error'))
    assert set(bins.arm) == set(ARMS) and set(bins.probabilities) == {'as trained', 'bias and temperature'}
    n = bins.groupby(['arm', 'probabilities']).n.sum()
    assert np.allclose(n, len(tested))  # each lesion once, over both runs
    assert len(errors) and errors.wrong_winner.between(0, 1).all() and errors.selection_regret.min() >= 0


def test_a_hold_out_alone_has_no_studies_to_draw(here, capsys):  # noqa: F811
    cohort = blobs((20, 20, 20))
    finished(here, cohort, cohort, 'holdout')
    run_cells(PAGE, {'run': 'test', 'bootstrap_draws': 50})
    assert 'Only phantoms have a population' in capsys.readouterr().out
    assert [path.name for path in sorted((here.folder / 'reliability').glob('*.csv'))] == ['diagrams.csv']
