"""Longer ways through the Makefile on the smoke profile: killed and begun again, on real lesions."""
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from conftest import SHARED, make


@pytest.mark.smoke
def test_killed_anywhere_it_completes(clone):
    """kill -9 of the whole process group at several moments; then one `make` gives everything up to the predictions."""
    command = ['make', '--no-print-directory', f'PY={sys.executable}', 'ENV=', f'PYTHON={sys.executable}', '08_classification', 'PROFILE=smoke', 'RUN=killed',
               'SET=generators=[dcgan] arms=[none,genmix-dcgan]']
    env = os.environ | {'PYTHONPATH': str(clone)}
    for seconds in (6, 11):
        child = subprocess.Popen(command, cwd=clone, env=env, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    done = make(clone, '08_classification', 'PROFILE=smoke', 'RUN=killed')
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.load(clone / 'runs' / 'killed' / 'mixed' / 'dcgan' / 'images.npy').shape == (60, 32, 32)
    assert len(list((clone / 'runs' / 'killed' / 'predictions').glob('*.csv.gz'))) == 4
    assert not list((clone / 'runs' / 'killed').rglob('*.part*'))


@pytest.mark.smoke
@pytest.mark.skipif(not (SHARED / 'iq_othnccd').exists(), reason='the developers\' real CT slices are not on this machine')
def test_real_ct_slices_run_to_the_results_page(clone):
    done = make(clone, 'all', 'PROFILE=smoke', 'RUN=iq', f'SET=dataset=folder data_dir={SHARED}/iq_othnccd train_fraction=0.3 seeds=1 generators=[dcgan] arms=[none,genmix-dcgan,dcgan]')
    assert done.returncode == 0, done.stdout + done.stderr
    assert '03_stylegan is skipped' in done.stdout
    assert 'starts' not in make(clone, 'all', 'PROFILE=smoke', 'RUN=iq').stdout
    metrics = pd.read_csv(clone / 'runs' / 'iq' / 'results' / 'metrics.csv')
    assert set(metrics.test_set) == {'holdout'} and 'genmix-dcgan' in set(metrics.arm)
    assert 'near-duplicate' in (clone / 'runs' / 'iq' / 'results' / 'table.md').read_text()
