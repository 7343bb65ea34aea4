import json
import re

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from genmix.run import notebooks
from genmix.run.limits import SHARED
from genmix.run.notebooks import Notebook, NotebookError


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


PARAMETERS = "run = 'scratch'\nalpha = 0.4\nname = 'x'\nmany = [1]\nmaybe: str | None = None"


def three(tmp_path):
    """Three small notebooks that share some parameters."""
    return [
        Notebook(notebook(tmp_path / '01_a.ipynb', [(PARAMETERS, 'parameters'), ('print(alpha, run)',)])),
        Notebook(
            notebook(tmp_path / '02_b.ipynb', [("run = 'scratch'\nalpha = 0.4\nsteps = 3", 'parameters')])
        ),
        Notebook(notebook(tmp_path / '03_c.ipynb', [("run = 'scratch'\nsteps = 5", 'parameters')])),
    ]


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
    with pytest.raises(NotebookError, match=word):
        _ = Notebook(notebook(tmp_path / '01_a.ipynb', cells)).parameters


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / '01_a.ipynb').write_text('{')
    with pytest.raises(NotebookError, match='01_a.ipynb is not a notebook'):
        Notebook(tmp_path / '01_a.ipynb')


def test_modules_follow_imports(tmp_path):
    def modules(name, code):
        nb = Notebook(notebook(tmp_path / f'{name}.ipynb', [(code,)]))
        return {f.relative_to(ROOT / 'genmix').as_posix() for f in nb.modules}

    rules = modules('01_a', '%matplotlib inline\nfrom genmix.mixing import rules')
    assert {'__init__.py', 'run/limits.py', 'mixing/rules.py', 'data/sampling.py'} <= rules
    assert not any(f.startswith(('classifier', 'generators')) for f in rules)
    one = modules('01_b', 'from genmix.generators.gan import dcgan')
    assert {'generators/gan/dcgan.py', 'data/sampling.py', 'run/log.py'} <= one
    assert 'generators/oracle.py' not in one and 'classifier/training.py' not in one
    every = modules('01_c', 'from genmix import generators as gen')
    assert {'generators/gan/dcgan.py', 'generators/oracle.py'} <= every


def test_bounds_are_those_of_the_configs_that_a_notebook_names(tmp_path):
    nb = Notebook(notebook(tmp_path / '08_a.ipynb', [], configs=['genmix.classifier.config:Regime']))
    assert nb.bounds['lr'] == {'above': 0} and nb.bounds['weights'] == {'choices': ('', 'imagenet')}


def test_every_parameter_that_a_config_owns_has_its_bounds():
    """08 owns alpha through GenMix, 02 its steps through GANConfig: no bound is written twice."""
    every = {nb.name: nb for nb in notebooks.notebooks(appendices=True)}
    assert every['08_classification'].bounds['alpha'] == {'above': 0}
    assert every['02_dcgan'].bounds['steps'] == {'above': 0}
    for nb in every.values():
        assert not set(nb.bounds) & set(SHARED) - {'seed'}, nb.name


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
    with pytest.raises(NotebookError, match='00_a, 01_b, 02_c wait for each other'):
        notebooks.notebooks(tmp_path)


def test_the_study_is_closed():
    """Whatever a notebook needs, an earlier one makes."""
    made = set()
    for nb in notebooks.notebooks():
        for need in nb.needs:
            assert any(notebooks.fnmatch(stage, need) for stage in made), f'{nb.name} needs {need}'
        made |= set(nb.makes)


def test_defaults_equal_the_cpu_profile():
    """Run All in JupyterLab does what `make all` does: the profile has every parameter but `run`."""
    profile = yaml.safe_load((ROOT / 'params' / 'cpu.yaml').read_text())
    for nb in notebooks.notebooks():
        want = {k: v for k, v in profile['common'].items() if k in nb.parameters} | profile.get(nb.name, {})
        assert {k: p.default for k, p in nb.parameters.items() if k != 'run'} == want, nb.name


def test_every_notebook_asks_a_question():
    every = notebooks.notebooks(ROOT / 'notebooks', appendices=True)
    assert all(notebooks.question(nb.content).endswith('?') for nb in every)
    assert notebooks.question({'cells': [{'source': ['# Title\n', '\n', 'No **bold** line.']}]}) == ''


def test_tables_that_stand_beside_the_results_make_them_stale():
    rules = {
        line.split(':')[0].split('/')[-1]: line
        for line in notebooks.rules().splitlines()
        if line.startswith('$(R)/notebooks/')
    }
    assert (
        ' measured/regime.csv ' in rules['09_results.ipynb'] and 'measured/' not in rules['07_genmix.ipynb']
    )


def test_notebooks_with_controls_depend_on_their_tables_and_images_alone():
    tables = {nb.name: set(nb.committed) for nb in notebooks.notebooks()}
    shown = {p for p in (ROOT / 'measured' / 'controls').rglob('*') if p.suffix in ('.csv', '.npz')}
    for name in ('02_dcgan', '04_textual_inversion', '05_diffusion'):
        assert tables[name] == shown
    assert tables['03_stylegan'] == set() and tables['09_results'] > shown
    assert all((ROOT / 'genmix' / reader).exists() for reader in notebooks.READERS)


def test_rules_name_real_files():
    text = notebooks.rules()
    assert '$(R)/notebooks/07_genmix.ipynb: notebooks/07_genmix.ipynb' in text
    for line in text.splitlines():
        if line.startswith('$(R)/notebooks/'):
            files = [w for w in line.split(': ', 1)[1].split() if not w.startswith('$')]
            assert files and all((ROOT / f).exists() for f in files)


# The rules of a notebook that a reader meets first.
EVERY = notebooks.notebooks(ROOT / 'notebooks', appendices=True)
RULED = [nb for nb in EVERY if not nb.optional or nb.name == notebooks.LESSON]
FIRST_CELL = ('Before, next:', 'Goals:', 'Prerequisites:', 'Time:', 'Skip if')


def tags_of(cell):
    return cell['metadata'].get('tags', [])


def lines_of(cell):
    """Lines of a code cell; none of a cell of imports alone."""
    lines = ''.join(cell['source']).splitlines()
    only = all(line.startswith(('import ', 'from ', '    ', ')')) or not line for line in lines)
    return [] if only else lines


@pytest.mark.parametrize('nb', EVERY, ids=lambda nb: nb.name)
def test_a_first_cell_says_what_a_reader_needs_to_decide(nb):
    first = ''.join(nb.content['cells'][0]['source'])
    assert [field for field in FIRST_CELL if f'- **{field}**' not in first] == []
    assert re.search(r'\*\*Time:\*\* \d+ minutes to read, (under )?\d+ to run', first)
    linked = re.findall(r'\]\((\w+\.ipynb)\)', first)
    assert linked and all((ROOT / 'notebooks' / name).exists() for name in linked)


@pytest.mark.parametrize('nb', RULED, ids=lambda nb: nb.name)
def test_prose_and_cells_are_short(nb):
    cells = nb.content['cells']
    prose = ' '.join(''.join(c['source']) for c in cells if c['cell_type'] == 'markdown')
    assert len(prose.split()) <= 900
    for cell in (c for c in cells if c['cell_type'] == 'code'):
        source = ''.join(cell['source'])
        assert max(map(len, source.splitlines()), default=0) <= 100, source
        assert 'parameters' in tags_of(cell) or len(lines_of(cell)) <= 14, source


@pytest.mark.parametrize('nb', RULED, ids=lambda nb: nb.name)
def test_parameters_are_collapsed_and_at_most_six_figures_are_not_folded(nb):
    code = [c for c in nb.content['cells'] if c['cell_type'] == 'code']
    (parameters,) = (c for c in code if 'parameters' in tags_of(c))
    assert parameters['metadata']['jupyter'] == {'source_hidden': True}
    folded = [c for c in code if 'hide-output' in tags_of(c)]
    assert all(c['metadata']['jupyter'] == {'outputs_hidden': True} for c in folded)
    shown = [c for c in code if 'study.figure(' in ''.join(c['source']) and c not in folded]
    assert len(shown) <= 6
    for source in (''.join(c['source']) for c in shown):
        assert 'caption)' in source or re.search(r"study\.figure\([^\n]*, '\w+', '[^\n]+'\)", source), source


# What a notebook is about stands in its cells (patterns), and is compared with the package (an assertion).
IDEAS = {
    '01_data': [r'left & right == set\(\)', r'disc = np\.hypot', 'correlated_noise'],
    '02_dcgan': [r'softplus\(-real_score\)', r'softplus\(-discriminator\(fake', r'package\.step\(1\)'],
    '03_stylegan': [r'own\.square\(\)\.sum\(\(2, 3, 4\)', r'modulated_conv\(x, weight, style'],
    '04_textual_inversion': [
        r'torch\.cat\(\[table, new\]\)',
        r'\(1 - alpha\)\.sqrt\(\) \* noise',
        r'new - lr \* new\.grad',
        'denoising_loss',
    ],
    '05_diffusion': [
        r'\(1 - a\)\.sqrt\(\) \* epsilon',
        r'loss\.backward\(\)',
        r'of_none \+ g \* \(of_class - of_none\)',
        r'next_a\.sqrt\(\) \* image',
    ],
    '06_generator_audit': [
        r'radius\[:, None\]',
        r'np\.linalg\.eigh',
        r'np\.sqrt\(1 - r\.max',
        r'np\.quantile',
    ],
    '07_genmix': [
        r'lam \* train\.images\[i\] \+ \(1 - lam\)',
        r'lam \* real \+ \(1 - lam\)',
        r'rules\.apply',
    ],
    '08_classification': [r'-\(soft \* z\.log_softmax\(1\)\)', 'cross_entropy', r'loss\.backward\(\)'],
    '09_results': [
        r'multinomial\(m, np\.full\(m, 1 / m\)',
        r'of_runs \+ of_patients - of_both',
        r"allclose\(\[low, high\], \[package\['low'\]",
    ],
    '10_tsne': [r'TSNE\(', r'tsne\.fit_tsne'],
}


@pytest.mark.parametrize('name', IDEAS)
def test_what_a_notebook_is_about_stands_in_its_cells(name):
    code = '\n'.join(Notebook(ROOT / 'notebooks' / f'{name}.ipynb').code)
    assert [idea for idea in IDEAS[name] if not re.search(idea, code)] == []
    assert re.search(r'^ *assert ', code, re.MULTILINE)


def test_tables_of_a_notebook_show_names_as_text():
    """A DataFrame escapes a class name that is HTML; a Styler would not, so no notebook here uses one."""
    cells = [cell for nb in RULED for cell in nb.code]
    assert [cell for cell in cells if re.search(r'\.style\.\w+\(', cell)] == []
    html = pd.DataFrame([[0.25]], index=['<b>'], columns=['<script>alert(1)</script>']).to_html()
    assert '<script' not in html and '<b>' not in html
