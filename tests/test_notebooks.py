"""The notebooks themselves, through the real Makefile, on the smoke profile."""

import json
import os
import re
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT, make

from genmix.run import notebooks
from tools import publish

TOY = """
import numpy as np
from genmix.generators import register
@register
class Toy:
    name = 'toy'
    def __init__(self, means): self.means = means
    @classmethod
    def fit(cls, cohort, out_dir): m = np.stack([cohort.images[cohort.labels == k].mean(0) for k in (0, 1, 2)]); np.save(out_dir / 'm.npy', m); return cls(m)
    @classmethod
    def load(cls, folder): return cls(np.load(folder / 'm.npy'))
    def sample(self, label, n, seed): return (self.means[label] + np.random.default_rng(seed).normal(0, 9, (n, 1, 1))).clip(0, 255).astype(np.uint8)
"""


@pytest.fixture(scope='module')
def finished(clone):
    """The whole chain on the smoke profile, with a generator of the user's own."""
    (clone / 'my_generator.py').write_text(TOY)
    done = make(clone, 'all', 'PROFILE=smoke', 'SET=plugins=[my_generator.py]')
    assert done.returncode == 0, done.stdout + done.stderr
    return clone, done


def files(folder):
    return {
        p.relative_to(folder).as_posix(): p.stat().st_mtime_ns
        for p in folder.rglob('*')
        if p.is_file() and p.suffix != '.lock'
    }


@pytest.mark.smoke
def test_the_chain_leaves_what_it_promises(finished):
    clone, done = finished
    run = clone / 'runs' / 'smoke'
    for name in (
        'params.yaml',
        'cohort/images.npy',
        'cohort/manifest.csv',
        'cohort/splits.csv',
        'generators/dcgan/train_log.csv',
        'synthetic/dcgan/images.npy',
        'synthetic/stylegan/images.npy',
        'synthetic/textual_inversion/images.npy',
        'synthetic/diffusion/images.npy',
        'figures/figure2.gif',
        'synthetic/oracle/manifest.csv',
        'mixed/dcgan/manifest.csv',
        'classifiers/classical/model.safetensors',
        'predictions/genmix-dcgan-s1-f0.csv.gz',
        'results/metrics.csv',
        'results/contrasts.csv',
        'results/claims.csv',
        'results/arms.csv',
        'results/selection_error.csv',
        'audit/mixing/gains.csv',
        'results/table.csv',
        'results/table.md',
        'results/table.tex',
        'audit/generator_card.csv',
        'embedding/neighbours.csv',
        'overview/lesion.csv',
        'figures/figure4.svg',
        'figures/06_dcgan.png',
        'figures/figure1.svg',
        'figures/figure3.png',
        'timings.csv',
    ):
        assert (run / name).exists(), name
    assert 'runs/smoke is complete' in done.stdout
    assert not done.stderr.strip(), done.stderr
    for nb in notebooks.notebooks():
        cells = json.loads((run / 'notebooks' / f'{nb.name}.ipynb').read_text())['cells']
        outputs = [o for c in cells for o in c.get('outputs', [])]
        assert not [o for o in outputs if o['output_type'] == 'error' or o.get('name') == 'stderr'], nb.name
        assert sum('image/png' in o.get('data', {}) for o in outputs) >= 3, f'{nb.name} shows its figures'
        assert str(clone) not in json.dumps(outputs), f'{nb.name} names a path of this machine'


@pytest.mark.smoke
def test_a_toy_generator_of_ten_lines_takes_part_everywhere(finished):
    run = finished[0] / 'runs' / 'smoke'
    metrics = pd.read_csv(run / 'results' / 'metrics.csv')
    assert {
        'toy',
        'mixup-toy',
        'genmix-toy',
        'genmix-dcgan',
        'genmix-oracle',
        'oversample-mixup',
        'none',
    } <= set(metrics.arm)
    own = metrics[metrics.arm == 'genmix-toy']
    assert set(own.generator) == {'toy'} and set(own.kind) == {'genmix'}
    assert set(metrics.test_set) == {'holdout', 'population'}
    contrasts = pd.read_csv(run / 'results' / 'contrasts.csv')
    assert {('genmix-toy', 'toy'), ('genmix-dcgan', 'dcgan')} <= set(zip(contrasts.a, contrasts.b))
    means = {a for a in contrasts.a if a.startswith('mean of ')}  # declared: of the paper's generators alone
    assert means == {'mean of genmix-dcgan genmix-diffusion genmix-stylegan genmix-textual_inversion'}
    assert not pd.read_csv(run / 'results' / 'claims.csv').part.str.contains('toy').any()


@pytest.mark.smoke
def test_no_test_patient_is_seen(finished):
    run = finished[0] / 'runs' / 'smoke'
    splits = pd.read_csv(run / 'cohort' / 'splits.csv')
    seen = set(splits[splits.fold0 == 'train'].id)
    for name in ('dcgan', 'stylegan', 'textual_inversion', 'diffusion', 'toy', 'oracle'):
        assert set(pd.read_csv(run / 'mixed' / name / 'manifest.csv').real) <= seen
    p = pd.read_csv(run / 'predictions' / 'dcgan-s0-f0.csv.gz')
    assert not set(p.patient) & set(splits[splits.fold0 == 'train'].patient)


@pytest.mark.smoke
def test_twice_does_nothing_and_prose_costs_no_training(finished):
    clone, _ = finished
    run = clone / 'runs' / 'smoke'
    before = files(run)
    again = make(clone, 'all', 'PROFILE=smoke')
    assert again.returncode == 0 and 'starts' not in again.stdout and files(run) == before
    source = clone / 'notebooks' / '02_dcgan.ipynb'
    source.write_text(source.read_text().replace('The losses of a GAN do not fall', 'GAN losses do not fall'))
    edited = make(clone, 'all', 'PROFILE=smoke')
    assert re.findall(r'▸ (\w+) starts', edited.stdout) == ['02_dcgan'] and 'made in' not in edited.stdout
    kept = [
        n
        for n in before
        if n.startswith(('generators/', 'synthetic/', 'predictions/', 'results/', 'cohort/'))
    ]
    assert all(files(run)[n] == before[n] for n in kept)


@pytest.mark.smoke
def test_a_published_run_leaves_nothing_to_do(finished):
    clone, _ = finished

    def call(*words):
        return subprocess.run(
            [sys.executable, '-m', 'tools.publish', '--run', 'smoke', *words],
            cwd=clone,
            env=os.environ | {'PYTHONPATH': str(clone)},
            capture_output=True,
            text=True,
        )

    def sources():
        return {p.name: p.read_bytes() for p in (clone / 'notebooks').iterdir()}

    untouched, refused = sources(), call()
    assert refused.returncode == 1 and 'profile smoke' in refused.stderr and sources() == untouched
    before = files(clone / 'runs' / 'smoke')
    done = call('--any')
    assert done.returncode == 0, done.stdout + done.stderr
    for nb in notebooks.notebooks(clone / 'notebooks'):
        assert nb.path.stat().st_size < publish.LIMIT and nb.content['metadata']['genmix'][
            'published'
        ] == publish.stamp(nb.content)
        text = nb.path.read_text()
        assert (
            '▸' not in text
            and 'papermill' not in json.dumps(nb.content['metadata'])
            and text.count('"image/png": "') >= 3
        )
    again = make(clone, 'all', 'PROFILE=smoke')
    assert (
        again.returncode == 0 and 'starts' not in again.stdout and files(clone / 'runs' / 'smoke') == before
    ), again.stdout + again.stderr


@pytest.mark.smoke
def test_another_set_is_refused_and_a_bad_one_is_named(finished):
    clone, _ = finished
    for words, said in (
        (['SET=alpha=0.9'], 'RUN=name'),
        (['RUN=other', 'SET=alhpa=0.9'], 'did you mean "alpha"'),
        (['RUN=other', 'SET=alpha=high'], 'alpha takes float'),
        (['RUN=other', 'SET=alpha=0'], 'alpha is 0'),
        (['RUN=other', 'SET=arms=[genmix]'], 'no arm "genmix"'),
        (['RUN=other', 'SET=generators=[vae]'], 'no generator "vae"'),
        (['RUN=other4', 'SET=dataset=folder data_dir=nowhere'], 'nowhere'),
    ):
        refused = make(clone, '08_classification', 'PROFILE=smoke', *words)
        assert refused.returncode != 0
        lines = [line for line in refused.stderr.splitlines() if not line.startswith('make')]
        assert len(lines) == 1 and said in lines[0], refused.stderr


@pytest.mark.smoke
def test_without_make(finished):
    """The runner alone knows what is stale: nothing at first, then what was removed and what stands on it."""
    clone, _ = finished
    call = [sys.executable, '-m', 'genmix.runner', '--all', '--params', 'params/smoke.yaml', '--run', 'smoke']

    def run():
        return subprocess.run(
            call, cwd=clone, env=os.environ | {'PYTHONPATH': str(clone)}, capture_output=True, text=True
        )

    assert 'starts' not in run().stdout
    (clone / 'runs/smoke/notebooks/07_genmix.ipynb').unlink()
    again = run()
    assert again.returncode == 0 and re.findall(r'▸ (\w+) starts', again.stdout) == ['07_genmix'], (
        again.stdout + again.stderr
    )
    assert 'mixed/dcgan: kept' in again.stdout


@pytest.mark.smoke
def test_a_deleted_prediction_is_made_again_and_no_other(finished):
    clone, _ = finished
    folder = clone / 'runs' / 'smoke' / 'predictions'
    before, lost = files(folder), folder / 'mixup-dcgan-s1-f0.csv.gz'
    same = lost.read_bytes()
    lost.unlink()
    again = make(clone, 'all', 'PROFILE=smoke')
    assert again.returncode == 0 and re.findall(r'▸ (\w+) starts', again.stdout) == ['08_classification'], (
        again.stdout + again.stderr
    )
    assert lost.read_bytes() == same and 'mixup-dcgan-s1-f0.csv.gz is gone' in again.stdout
    now = files(folder)
    assert {n for n in before if n.endswith('.gz') and now[n] != before[n]} == {lost.name}


@pytest.mark.smoke
def test_one_prediction_file_changes_table_and_prose_alike(finished):
    """One arm is made to look perfect in one file of predictions: numbers, verdict and sentences follow."""
    run = finished[0] / 'runs' / 'smoke'

    def read():
        cells = json.loads((run / 'notebooks' / '09_results.ipynb').read_text())['cells']
        text = {
            c['id']: ''.join(''.join(o['data'].get('text/markdown', '')) for o in c['outputs'] if 'data' in o)
            for c in cells
            if c['cell_type'] == 'code'
        }
        prose = next(
            v
            for v in text.values()
            if 'is higher than' in v or 'is not distinguishable from' in v or 'is lower than' in v
        )
        return (
            (run / 'results' / 'table.md').read_text(),
            pd.read_csv(run / 'results' / 'claims.csv'),
            prose,
            text['claims-table'],
        )

    table, parts, prose, claims = read()
    file = run / 'predictions' / 'genmix-dcgan-s0-f0.csv.gz'
    p = pd.read_csv(file, dtype={'id': str})
    for k, name in enumerate(c for c in p if c.startswith('p_')):
        p[name] = (p.label == k).astype(float)
    p.to_csv(file, index=False)
    (run / 'notebooks' / '09_results.ipynb').unlink()
    assert make(finished[0], '09_results', 'PROFILE=smoke').returncode == 0
    table_now, parts_now, prose_now, claims_now = read()

    def row(text):
        return next(line for line in text.splitlines() if line.startswith('| genmix-dcgan'))

    def line(text):
        return next(
            line
            for line in text.splitlines()
            if line.startswith('- genmix-dcgan') and ('from dcgan:' in line or 'than dcgan:' in line)
        )

    assert row(table) != row(table_now) and line(prose) != line(prose_now) and claims != claims_now

    def own(t):
        return t[(t.claim == 'GenMix improves every generator') & t.part.str.startswith('genmix-dcgan')][
            'mean'
        ].item()

    assert own(parts_now) > own(parts) + 0.05
    assert f'{100 * own(parts_now):+.1f} points' in line(prose_now)


def test_committed_notebooks_are_clean():
    """Outputs are published ones, of the code that stands there now."""
    for nb in notebooks.notebooks(appendices=True):
        assert len(nb.parameters) and nb.content['cells'][0]['cell_type'] == 'markdown'
        published, shown = (
            nb.content['metadata'].get('genmix', {}).get('published'),
            [c for c in nb.content['cells'] if c.get('outputs') or c.get('execution_count')],
        )
        assert not shown or published, (
            f'{nb.name} holds outputs that were not published: clear them, or run make publish'
        )
        assert not shown or published == publish.stamp(nb.content), (
            f'the code of {nb.name} has changed since its outputs were published: make all, then make publish'
        )
        assert nb.path.stat().st_size < publish.LIMIT
        for cell in nb.content['cells']:
            source = ''.join(cell['source'])
            assert (
                cell['cell_type'] != 'code'
                or 'parameters' in cell['metadata'].get('tags', [])
                or len(source.splitlines()) <= 14
            ), (nb.name, source)


def test_help_lists_what_there_is():
    said = subprocess.run(['make', '--no-print-directory'], cwd=ROOT, capture_output=True, text=True).stdout
    assert all(f'make {word}' in said for word in ('all', 'test', 'env', 'lab')) and 'SET=' in said
