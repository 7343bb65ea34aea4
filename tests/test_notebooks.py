"""The notebooks themselves, through the real Makefile, on the smoke profile."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, SHARED
from genmix import plan

TOY = '''
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
'''


def make(folder, *words, **kwargs):
    """Run make in `folder` with the Python of these tests."""
    env = {k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'GENMIX_HEADLESS')} | {'PYTHONPATH': str(folder)}
    return subprocess.run(['make', '--no-print-directory', f'PY={sys.executable}', 'ENV=', f'PYTHON={sys.executable}', *words], cwd=folder, env=env,
                          capture_output=True, text=True, **kwargs)


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A copy of the project as a user would clone it."""
    folder = tmp_path_factory.mktemp('clone') / 'genmix-study'
    folder.mkdir()
    for name in ('genmix', 'notebooks', 'params'):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints'))
    for name in ('Makefile', 'requirements.lock', 'pyproject.toml'):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope='module')
def finished(clone):
    """The whole chain on the smoke profile, with a generator of the user's own."""
    (clone / 'my_generator.py').write_text(TOY)
    done = make(clone, 'all', 'PROFILE=smoke', 'SET=plugins=[my_generator.py]')
    assert done.returncode == 0, done.stdout + done.stderr
    return clone, done


def files(folder):
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob('*') if p.is_file() and p.suffix != '.lock'}


@pytest.mark.smoke
def test_the_chain_leaves_what_it_promises(finished):
    clone, done = finished
    run = clone / 'runs' / 'smoke'
    for name in ('params.yaml', 'cohort/images.npy', 'cohort/manifest.csv', 'cohort/splits.csv', 'generators/dcgan/train_log.csv',
                 'synthetic/dcgan/images.npy', 'synthetic/stylegan/images.npy', 'synthetic/oracle/manifest.csv', 'mixed/dcgan/manifest.csv', 'classifiers/classical/model.safetensors',
                 'predictions/genmix-dcgan-s1-f0.csv.gz', 'results/metrics.csv', 'results/contrasts.csv', 'results/table.csv', 'results/table.md',
                 'results/table.tex', 'audit/generator_card.csv', 'embedding/neighbours.csv', 'figures/figure4.svg', 'figures/06_dcgan.png', 'figures/figure1.svg', 'figures/figure3.png', 'timings.csv'):
        assert (run / name).exists(), name
    assert 'runs/smoke is complete' in done.stdout
    assert not done.stderr.strip(), done.stderr
    for nb in plan.notebooks():
        cells = json.loads((run / 'notebooks' / f'{nb.name}.ipynb').read_text())['cells']
        outputs = [o for c in cells for o in c.get('outputs', [])]
        assert not [o for o in outputs if o['output_type'] == 'error' or o.get('name') == 'stderr'], nb.name
        assert sum('image/png' in o.get('data', {}) for o in outputs) >= 3, f'{nb.name} shows its figures'
        assert str(clone) not in json.dumps(outputs), f'{nb.name} names a path of this machine'


@pytest.mark.smoke
def test_a_toy_generator_of_ten_lines_takes_part_everywhere(finished):
    run = finished[0] / 'runs' / 'smoke'
    metrics = pd.read_csv(run / 'results' / 'metrics.csv')
    assert {'toy', 'mixup-toy', 'genmix-toy', 'genmix-dcgan', 'genmix-oracle', 'oversample-mixup', 'none'} <= set(metrics.arm)
    assert set(metrics[metrics.arm == 'genmix-toy'].generator) == {'toy'} and set(metrics.test_set) == {'holdout', 'population'}
    primary = pd.read_csv(run / 'results' / 'contrasts.csv')
    assert {'genmix-toy', 'genmix-dcgan'} <= set(primary.a) and 'mean of genmix-dcgan genmix-stylegan genmix-toy' in set(primary.a)


@pytest.mark.smoke
def test_no_test_patient_is_seen(finished):
    run = finished[0] / 'runs' / 'smoke'
    splits = pd.read_csv(run / 'cohort' / 'splits.csv')
    seen = set(splits[splits.fold0 == 'train'].id)
    for name in ('dcgan', 'stylegan', 'toy', 'oracle'):
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
    kept = [n for n in before if n.startswith(('generators/', 'synthetic/', 'predictions/', 'results/', 'cohort/'))]
    assert all(files(run)[n] == before[n] for n in kept)


@pytest.mark.smoke
def test_another_set_is_refused_and_a_bad_one_is_named(finished):
    clone, _ = finished
    for words, said in ((['SET=alpha=0.9'], 'RUN=name'), (['RUN=other', 'SET=alhpa=0.9'], 'did you mean "alpha"'),
                        (['RUN=other', 'SET=alpha=high'], 'alpha takes float'), (['RUN=other', 'SET=alpha=0'], 'alpha is 0'),
                        (['RUN=other', 'SET=arms=[genmix]'], 'no arm "genmix"'), (['RUN=other', 'SET=generators=[vae]'], 'no generator "vae"'), (['RUN=other4', 'SET=dataset=folder data_dir=nowhere'], 'nowhere')):
        refused = make(clone, '08_classification', 'PROFILE=smoke', *words)
        assert refused.returncode != 0
        lines = [line for line in refused.stderr.splitlines() if not line.startswith('make')]
        assert len(lines) == 1 and said in lines[0], refused.stderr


@pytest.mark.smoke
def test_killed_anywhere_it_completes(clone):
    """kill -9 of the whole process group at several moments; then one `make all` gives the whole study."""
    command = ['make', '--no-print-directory', f'PY={sys.executable}', 'ENV=', f'PYTHON={sys.executable}', 'all', 'PROFILE=smoke', 'RUN=killed',
               'SET=generators=[dcgan] arms=[none,genmix-dcgan]']
    env = os.environ | {'PYTHONPATH': str(clone)}
    for seconds in (6, 11):
        child = subprocess.Popen(command, cwd=clone, env=env, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    done = make(clone, 'all', 'PROFILE=smoke', 'RUN=killed')
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.load(clone / 'runs' / 'killed' / 'mixed' / 'dcgan' / 'images.npy').shape == (60, 32, 32)
    assert (clone / 'runs' / 'killed' / 'results' / 'table.md').exists()
    assert not list((clone / 'runs' / 'killed').rglob('*.part*'))


@pytest.mark.smoke
def test_without_make(clone):
    env = os.environ | {'PYTHONPATH': str(clone)}
    call = [sys.executable, '-m', 'genmix.runner', '--all', '--params', 'params/smoke.yaml', '--run', 'plain', '--set', 'generators=[oracle]', 'arms=[none,oracle]', 'seeds=1']
    done = subprocess.run(call, cwd=clone, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'starts' not in subprocess.run(call, cwd=clone, env=env, capture_output=True, text=True).stdout


@pytest.mark.smoke
@pytest.mark.skipif(not (SHARED / 'iq_othnccd').exists(), reason='the developers\' real CT slices are not on this machine')
def test_real_ct_slices_run_to_the_results_page(clone):
    done = make(clone, 'all', 'PROFILE=smoke', 'RUN=iq', f'SET=dataset=folder data_dir={SHARED}/iq_othnccd train_fraction=0.3 seeds=1 arms=[none,genmix-dcgan,dcgan]')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'oracle is dropped' in done.stdout
    assert 'starts' not in make(clone, 'all', 'PROFILE=smoke', 'RUN=iq').stdout
    metrics = pd.read_csv(clone / 'runs' / 'iq' / 'results' / 'metrics.csv')
    assert set(metrics.test_set) == {'holdout'} and 'genmix-dcgan' in set(metrics.arm)
    assert 'near-duplicate' in (clone / 'runs' / 'iq' / 'results' / 'table.md').read_text()


def test_committed_notebooks_are_clean():
    for nb in plan.notebooks(appendices=True):
        assert len(nb.parameters) and nb.content['cells'][0]['cell_type'] == 'markdown'
        for cell in nb.content['cells']:
            assert not cell.get('outputs') and cell.get('execution_count') is None
            source = ''.join(cell['source'])
            assert cell['cell_type'] != 'code' or 'parameters' in cell['metadata'].get('tags', []) or len(source.splitlines()) <= 14, (nb.name, source)


def test_help_lists_what_there_is():
    said = subprocess.run(['make', '--no-print-directory'], cwd=ROOT, capture_output=True, text=True).stdout
    assert all(f'make {word}' in said for word in ('all', 'test', 'env', 'lab')) and 'SET=' in said
