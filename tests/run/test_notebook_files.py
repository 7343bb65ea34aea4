import json

import pytest
import yaml
from conftest import ROOT

from genmix.run import notebooks
from genmix.run.notebooks import Notebook, PlanError


def notebook(path, cells, **about):
    """Write a small notebook: cells are (source, *tags) of code."""
    cells = [
        {
            'cell_type': 'code',
            'source': source,
            'metadata': {'tags': list(tags)},
            'outputs': [],
            'execution_count': None,
            'id': f'c{i}',
        }
        for i, (source, *tags) in enumerate(cells)
    ]
    about = {
        'genmix': about,
        'kernelspec': {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'},
    }
    path.write_text(json.dumps({'cells': cells, 'metadata': about, 'nbformat': 4, 'nbformat_minor': 5}))
    return path


def test_parameters_are_typed_literals(tmp_path):
    nb = Notebook(
        notebook(
            tmp_path / '01_a.ipynb',
            [('a = 1\nb = 0.5  # why\nc: str | None = None\nd = [1, 2]\ne = True', 'parameters')],
        )
    )
    p = nb.parameters
    assert {k: v.default for k, v in p.items()} == {'a': 1, 'b': 0.5, 'c': None, 'd': [1, 2], 'e': True}
    assert (
        p['b'].accepts(2) and not p['a'].accepts(2.5) and not p['a'].accepts(True) and not p['e'].accepts(1)
    )
    assert p['c'].accepts(None) and not p['a'].accepts(None)
    assert p['d'].accepts([3]) and not p['d'].accepts(['x']) and not p['d'].accepts(3)


@pytest.mark.parametrize(
    'cells, word',
    [
        ([('a = 1',)], '0 cells'),
        ([('a = 1', 'parameters')] * 2, '2 cells'),
        ([('a = f()', 'parameters')], 'literal'),
    ],
)
def test_bad_parameter_cells_are_named(tmp_path, cells, word):
    with pytest.raises(PlanError, match=word):
        Notebook(notebook(tmp_path / '01_a.ipynb', cells)).parameters


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / '01_a.ipynb').write_text('{')
    with pytest.raises(PlanError, match='01_a.ipynb is not a notebook'):
        Notebook(tmp_path / '01_a.ipynb')


def test_modules_follow_imports(tmp_path):
    nb = Notebook(notebook(tmp_path / '01_a.ipynb', [('%matplotlib inline\nfrom genmix import mixing',)]))
    assert [f.name for f in nb.modules] == ['__init__.py', 'limits.py', 'mixing.py']
    nb = Notebook(notebook(tmp_path / '01_b.ipynb', [('from genmix.generators import dcgan',)]))
    names = {f.relative_to(ROOT).as_posix() for f in nb.modules}
    whole = Notebook(notebook(tmp_path / '01_c.ipynb', [('from genmix import generators as gen',)]))
    assert {'dcgan.py', 'oracle.py'} <= {f.name for f in whole.modules} and 'oracle.py' not in {
        f.name for f in nb.modules
    }
    assert {
        'genmix/generators/dcgan.py',
        'genmix/mixing.py',
        'genmix/study.py',
    } <= names and 'genmix/classify.py' not in names


def test_inputs_expand_patterns(tmp_path):
    every = [
        Notebook(notebook(tmp_path / '01_a.ipynb', [], makes=['cohort'])),
        Notebook(
            notebook(tmp_path / '02_b.ipynb', [], needs=['cohort'], makes=['synthetic/b', 'generators/b'])
        ),
        Notebook(notebook(tmp_path / '07_c.ipynb', [], needs=['cohort', 'synthetic/*'])),
    ]
    assert notebooks.inputs_of(every[2], every) == ['cohort', 'synthetic/b']


def test_appendices_are_not_part_of_all(tmp_path):
    notebook(tmp_path / '01_a.ipynb', [])
    notebook(tmp_path / 'A1_b.ipynb', [], optional=True)
    assert [nb.name for nb in notebooks.notebooks(tmp_path)] == ['01_a']
    assert [nb.name for nb in notebooks.notebooks(tmp_path, appendices=True)] == ['01_a', 'A1_b']


def test_a_notebook_waits_for_what_it_needs_whatever_its_number(tmp_path):
    notebook(tmp_path / '00_a.ipynb', [], needs=['x/*', 'y'], makes=['a'])
    notebook(tmp_path / '01_b.ipynb', [], makes=['x/b'])
    notebook(tmp_path / '02_c.ipynb', [], needs=['x/*'], makes=['y'])
    notebook(tmp_path / '03_d.ipynb', [], makes=['x/d'])
    assert [nb.name for nb in notebooks.notebooks(tmp_path)] == ['01_b', '03_d', '02_c', '00_a']
    notebook(tmp_path / '01_b.ipynb', [], needs=['a'], makes=['x/b'])
    with pytest.raises(PlanError, match='00_a, 01_b, 02_c wait for each other'):
        notebooks.notebooks(tmp_path)


def test_the_study_is_closed():
    """Whatever a notebook needs, an earlier one makes."""
    made = set()
    for nb in notebooks.notebooks():
        for need in nb.needs:
            assert any(notebooks.fnmatch(stage, need) for stage in made), f'{nb.name} needs {need}'
        made |= set(nb.makes)


def test_defaults_equal_the_cpu_profile():
    """Run All in JupyterLab does what `make all` does; every parameter but `run` is written in the profile."""
    profile = yaml.safe_load((ROOT / 'params' / 'cpu.yaml').read_text())
    for nb in notebooks.notebooks():
        want = {k: v for k, v in profile['common'].items() if k in nb.parameters} | profile.get(nb.name, {})
        assert {k: p.default for k, p in nb.parameters.items() if k != 'run'} == want, nb.name


def test_tables_that_stand_beside_the_results_make_them_stale():
    rules = {
        line.split(':')[0].split('/')[-1]: line
        for line in notebooks.rules().splitlines()
        if line.startswith('$(R)/notebooks/')
    }
    assert (
        ' measured/regime.csv ' in rules['09_results.ipynb'] and 'measured/' not in rules['07_genmix.ipynb']
    )


def test_rules_name_real_files():
    text = notebooks.rules()
    assert '$(R)/notebooks/07_genmix.ipynb: notebooks/07_genmix.ipynb' in text
    for line in text.splitlines():
        if line.startswith('$(R)/notebooks/'):
            files = [w for w in line.split(': ', 1)[1].split() if not w.startswith('$')]
            assert files and all((ROOT / f).exists() for f in files)
