"""The cells of A7_subgroups, on runs that have all of what it shows and on one that has little."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, blobs
from notebook_cells import run_cells
from test_subgroups import guesses

from genmix.appendix.noise import compared
from genmix.data.phantom import plan
from genmix.data.splits import make_splits
from genmix.mixing.arms import arms_for
from genmix.run.notebooks import Notebook
from genmix.run.study import Study
from tools import checksums

PAGE = Notebook(ROOT / 'notebooks' / 'A7_subgroups.ipynb')
ARMS = {name: arm for name, arm in arms_for(['dcgan']).items() if name in ('classical', 'genmix-dcgan@1/8')}


@pytest.fixture
def here(project, monkeypatch):
    """The run `test` of a project without measured tables, and the figures that are drawn in it."""
    (project / 'measured').mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setattr(Study, 'figure', None)  # `run_cells` replaces it: the original comes back afterwards
    return Study('test')


def finished(study, cohort, tested, test_set):
    """Stages of a run: its cohort, its test population, two runs of each of the ARMS."""
    study.stage('cohort', cohort.save)
    make_splits(cohort).to_csv(study.folder / 'cohort' / 'splits.csv', index=False)
    if tested is not cohort:
        study.stage('population', tested.save)
    lesions = tested.manifest.assign(subtype=tested.extra.get('subtype', ''))
    files = []
    for k, name in enumerate(ARMS):
        for seed, run in guesses(lesions, name, seed=k).groupby('seed'):
            path = study.path('predictions', f'{k}-s{seed}-f0.csv.gz')
            names = dict(zip([f'p_{n}' for n in plan.CLASS_NAMES], [f'p_{n}' for n in cohort.class_names]))
            own = run.drop(columns=['arm', 'seed', 'fold']).rename(columns=names).filter(regex='^(?!mass)')
            own.assign(test_set=test_set).to_csv(path, index=False)
            about = {'arm': name, 'seed': seed, 'fold': 0, 'mass': [0.5, 0.1, 0.4]}
            path.with_name(f'{k}-s{seed}-f0.json').write_text(json.dumps(about))
            files.append(path)
    study.sign('predictions', {'arms': {name: asdict(arm) for name, arm in ARMS.items()}}, files=files)


def test_a_run_on_phantoms_has_everything(here, capsys):
    cohort, tested = (plan.draw(name, (20, 20, 20), image_size=32) for name in ('cohort', 'test'))
    finished(here, cohort, tested, 'population')
    rows = [
        (noise, arm.name, arm.kind, arm.generator, cohort, 0.7 + noise / 100, 0.7, 0.8)
        for noise in (1.0, 2.0)
        for arm in compared(['oracle'])
        for cohort in (9000, 9001)
    ]
    columns = ['noise', 'arm', 'method', 'generator', 'cohort', 'balanced_accuracy', 'argmax', 'macro_auc']
    pd.DataFrame(rows, columns=columns).to_csv(here.home / 'measured' / 'noise.csv', index=False)
    checksums.note(here.home / 'measured', 'noise.csv')
    run_cells(PAGE, {'run': 'test', 'bootstrap_draws': 50, 'gallery': 5})
    said, saved = capsys.readouterr().out, here.folder / 'subgroups'
    assert (
        'The long run has 0 cohorts so far' in said and 'make noise' not in said and 'no column' not in said
    )
    table, wrong = (pd.read_csv(saved / f'{name}.csv') for name in ('subgroups', 'failures'))
    assert set(table.by) == {'all lesions', 'subtype', 'diameter', 'slice thickness'}
    assert set(table.arm) == set(ARMS) and len(wrong) == 5 and set(wrong.id) <= set(tested.ids)
    assert (wrong.predicted != wrong.label).all()


def test_real_images_without_sizes_say_what_is_missing(here, capsys):
    cohort = blobs((20, 20, 20))
    finished(here, cohort, cohort, 'holdout')
    run_cells(PAGE, {'run': 'test', 'dataset': 'folder', 'bootstrap_draws': 50})
    said = capsys.readouterr().out
    assert 'The manifest has no column subtype, diameter_mm, slice_mm' in said
    assert 'The long run is on phantoms' in said and '`make noise` measures it' in said
    table = pd.read_csv(here.folder / 'subgroups' / 'subgroups.csv')
    assert set(table.by) == {'all lesions'} and np.isfinite(table.low).all()
