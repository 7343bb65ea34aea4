"""What is committed: notebooks with published outputs only, and a Makefile that explains itself."""

import json
import subprocess
import sys

from conftest import ROOT, make

from genmix.results import measured, verdicts
from genmix.run import imports, notebooks
from tools import publish


def idea_of(source):
    """Lines of a cell; none for a cell of imports alone, of which no notebook needs more than 24."""
    lines = source.splitlines()
    only = all(line.startswith(('import ', 'from ', '    ', ')')) or not line for line in lines)
    return [] if only and len(lines) <= 24 else lines


def test_committed_notebooks_are_clean():
    """Outputs are published ones, of the code as it is now."""
    for nb in notebooks.notebooks(appendices=True):
        cells = nb.content['cells']
        assert len(nb.parameters) and cells[0]['cell_type'] == 'markdown'
        if any(c.get('outputs') or c.get('execution_count') for c in cells):
            published = nb.content['metadata'].get('genmix', {}).get('published')
            assert published, f'{nb.name} holds outputs that were not published: clear them, or make publish'
            assert published == publish.stamp(nb.content), (
                f'the code of {nb.name} is newer than its outputs: make all, then make publish'
            )
        assert nb.path.stat().st_size < publish.LIMIT
        plain = [c for c in cells if 'parameters' not in c['metadata'].get('tags', [])]
        for source in (''.join(c['source']) for c in plain if c['cell_type'] == 'code'):
            assert len(idea_of(source)) <= 14, (nb.name, source)


def test_a_notebook_begins_without_libraries_that_only_some_functions_need():
    """Together they take seconds, in every kernel and every process beside it."""
    slow = 'sklearn scipy.stats scipy.optimize seaborn fastai timm torchvision diffusers transformers'
    every = [name for nb in notebooks.notebooks() for cell in nb.code for name in imports.imported(cell)]
    modules = sorted({n for n in every if n.startswith('genmix.') and imports.module_file(n)})
    code = f'import sys, {", ".join(modules)}\nprint(*(m for m in "{slow}".split() if m in sys.modules))'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert len(modules) > 40 and (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_help_lists_what_there_is():
    done = make(ROOT)
    assert all(f'make {word}' in done.stdout for word in ('all', 'test', 'env', 'lab'))
    assert 'SET=' in done.stdout


def test_the_takeaway_of_the_results_still_holds():
    """A sentence written by hand says which way mixing goes: no measured interval may lie above 0."""
    cells = notebooks.Notebook(ROOT / 'notebooks' / '09_results.ipynb').content['cells']
    prose = ' '.join(' '.join(''.join(c['source']) for c in cells if c['cell_type'] == 'markdown').split())
    assert '**Takeaway.** In the published run, one cohort of phantoms, mixing brought no gain' in prose
    _, low, _ = json.loads((ROOT / 'measured' / 'quick.json').read_text())['contrast']['population']
    assert low <= 0, 'write the takeaway of 09_results anew: mixing shows a gain in the published run'
    if len(long_run := measured.cohorts()) > 1:
        found = verdicts.primary(long_run.contrasts(measured.tuning())[0])
        (low,) = found[found.contrast == 'mixing at matched dose and mass'].low
        assert low <= 0, 'write the takeaway of 09_results anew: mixing shows a gain in the long run'
