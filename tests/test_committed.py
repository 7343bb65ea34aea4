"""What is committed: notebooks with published outputs only, and a Makefile that explains itself."""

import json
import subprocess
import sys
from functools import cache

from conftest import ROOT, make

from genmix.appendix import controls_summary
from genmix.generators import PAPER
from genmix.generators.latent.known_words import MEASURED, WRITTEN
from genmix.mixing.arms import arms_for
from genmix.results import contrasts, measured, verdicts
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
    scores = json.loads((ROOT / 'measured' / 'quick.json').read_text())['scores']['population']
    low, high = (
        sum(w * scores[arm][0] for arm, w in c.weights.items())
        for c in contrasts.mixing_at_doses(arms_for(PAPER))
    )
    tuned = measured.tuning().query('dose == .5').pivot_table('balanced_accuracy', 'steps', 'method')
    loss = tuned.synthetic - tuned.genmix
    assert high < -0.01 < low and loss[1000] < loss[350] / 2, 'what 09_results says of doses and lengths'


committed_controls = cache(controls_summary.read)


def control(generator, question, metric, setting=None):
    """A score of measured/controls over all classes, on base `mixed` where it has one: (value, low, high)."""
    t = committed_controls().scores
    t = t[(t.generator == generator) & (t.question == question) & (t.metric == metric) & (t.label == 'all')]
    t = t[t.base.isin(['mixed', '']) & ((t.setting == setting) | (setting is None))]
    (row,) = t.itertuples()
    return row.score, row.low, row.high


def test_what_notebooks_say_of_the_controls_still_holds():
    """Sentences written by hand in 02, 04, 05 and A4; apart means that intervals do not meet."""

    def below(generator, question, metric, setting=None, than='study', apart=True):
        one, other = control(generator, question, metric, setting), control(generator, than, metric)
        return one[2] < other[1] if apart else one[0] < other[0]

    assert below('dcgan', 'd4_augmentation', 'diversity') and below('dcgan', 'd4_augmentation', 'coverage')
    assert control('dcgan', 'steps', 'tstr')[1] > control('dcgan', 'study', 'tstr')[2]
    for words in (MEASURED, WRITTEN):
        for metric in ('tstr', 'coverage'):
            assert below('textual_inversion', 'prompt', metric, words, 'nps_correction'), (words, metric)
    caption = control('textual_inversion', 'prompt', 'class_agreement', WRITTEN)
    assert caption[1] > control('textual_inversion', 'nps_correction', 'class_agreement')[2]
    assert all(below('textual_inversion', 'guidance', 'tstr', g) for g in ('2.0', '3.0'))
    assert 0.15 < control('textual_inversion', 'strength', 'copy_ratio', '0.3')[0] < 0.25
    assert (
        control('textual_inversion', 'strength', 'tstr', '0.3')[1]
        > control('textual_inversion', 'study', 'tstr')[2]
    )
    assert below('diffusion', 'scratch', 'coverage') and below('diffusion', 'scratch', 'diversity')
    assert not below('diffusion', 'scratch', 'tstr', apart=False)
    assert below('diffusion', 'nps_correction', 'coverage')
    final = {
        name: committed_controls().curves(name).kid.dropna().iloc[-1]
        for name in ('diffusion-mixed-study', 'diffusion-mixed-scratch-True')
    }
    assert final['diffusion-mixed-study'] < final['diffusion-mixed-scratch-True']
