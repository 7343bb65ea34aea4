import sys
from types import SimpleNamespace

import pytest
import yaml

from genmix import NotEnough, StudyError
from genmix.run import interactive
from genmix.run.study import Study

ASKED = {
    '00_overview': {'dataset': 'folder', 'seed': 0},
    '01_data': {'dataset': 'folder', 'data_dir': '/x', 'seed': 0, 'lesions': [1, 2]},
    '08_classification': {'seeds': 5, 'steps': 350, 'workers': 0},
}


@pytest.fixture
def browser(project, monkeypatch):
    """A function that opens run `mine` in a notebook with these variables; `mine` was made by make."""
    folder = project / 'runs' / 'mine'
    folder.mkdir(parents=True)
    asked = {'profile': 'cpu', 'set': {}, 'notebooks': ASKED, 'files': {}}
    (folder / 'params.yaml').write_text(yaml.safe_dump(asked))
    monkeypatch.chdir(project)
    monkeypatch.delenv('GENMIX_HEADLESS', raising=False)
    monkeypatch.delenv('JPY_SESSION_NAME', raising=False)

    def open_run(cell, run='mine', file=''):
        values = {'In': ['', cell, 'from genmix.run.study import Study']}
        exec(cell, values)
        shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(user_ns=values))
        monkeypatch.setitem(sys.modules, 'IPython', shell)
        monkeypatch.setenv('JPY_SESSION_NAME', file)
        return Study(run)

    return open_run


SAME = "run = 'mine'\ndataset = 'folder'\ndata_dir = '/x'\nseed = 0\nlesions = [1, 2]\n"


@pytest.mark.parametrize('file', ['', 'work/01_data.ipynb', 'Untitled.ipynb'])
def test_other_parameters_than_those_of_the_run_stop_a_notebook(browser, file):
    assert browser(SAME, file=file).folder.name == 'mine'
    with pytest.raises(StudyError) as caught:
        browser(SAME.replace("'/x'", "''").replace('seed = 0', 'seed = 3'), file=file)
    assert str(caught.value) == (
        "runs/mine was made with data_dir = '/x', seed = 0, and here data_dir = '': open "
        'runs/mine/notebooks/01_data.ipynb, or give `run` another name.'
    )


def test_the_notebook_is_known_by_its_parameters(browser):
    with pytest.raises(StudyError, match='notebooks/08_classification.ipynb'):
        browser("run = 'mine'\nseeds: int = 2\nsteps = 350\nworkers = 0")
    with pytest.raises(StudyError, match='notebooks/00_overview.ipynb'):
        browser("run = 'mine'\ndataset = 'phantom'\nseed = 0")


def test_where_the_work_is_done_may_differ(browser):
    assert browser("run = 'mine'\nseeds = 5\nsteps = 350\nworkers = 2")


def test_a_run_that_make_has_not_begun_takes_any_parameters(browser, project):
    assert browser(SAME.replace('seed = 0', 'seed = 3'), run='scratch')
    (project / 'runs/mine/params.yaml').write_text('set: [')  # damaged: make heals it
    assert browser(SAME.replace('seed = 0', 'seed = 3'))


def test_headless_and_outside_of_notebooks_nothing_is_compared(browser, monkeypatch, project):
    monkeypatch.setenv('GENMIX_HEADLESS', '1')
    assert browser(SAME.replace('seed = 0', 'seed = 3'))
    monkeypatch.delenv('GENMIX_HEADLESS')
    monkeypatch.setitem(sys.modules, 'IPython', SimpleNamespace(get_ipython=lambda: None))
    assert Study('mine') and interactive.namespace() == {}


@pytest.mark.parametrize('kind', [StudyError, NotEnough])
def test_an_error_of_the_study_is_one_line_in_jupyter(kind, capsys):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.user_ns['kind'] = kind
    shell.run_cell("def f():\n    raise kind('runs/a is missing.')\nf()")
    said = capsys.readouterr()
    assert (said.out + said.err).strip() == f'{kind.__name__}: runs/a is missing.'
