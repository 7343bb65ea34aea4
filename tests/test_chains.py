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
    command = [
        'make',
        '--no-print-directory',
        f'PY={sys.executable}',
        'ENV=',
        f'PYTHON={sys.executable}',
        '08_classification',
        'PROFILE=smoke',
        'RUN=killed',
        'SET=generators=[dcgan] arms=[none,genmix-dcgan]',
    ]
    env = os.environ | {'PYTHONPATH': str(clone)}
    for seconds in (6, 11):
        child = subprocess.Popen(
            command,
            cwd=clone,
            env=env,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    done = make(clone, '08_classification', 'PROFILE=smoke', 'RUN=killed')
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.load(clone / 'runs' / 'killed' / 'mixed' / 'dcgan' / 'images.npy').shape == (60, 32, 32)
    assert len(list((clone / 'runs' / 'killed' / 'predictions').glob('*.csv.gz'))) == 4
    assert not list((clone / 'runs' / 'killed').rglob('*.part*'))


@pytest.mark.smoke
@pytest.mark.skipif(
    not (SHARED / 'iq_othnccd').exists(), reason="the developers' real CT slices are not on this machine"
)
def test_real_ct_slices_run_to_the_results_page(clone):
    done = make(
        clone,
        'all',
        'PROFILE=smoke',
        'RUN=iq',
        f'SET=dataset=folder data_dir={SHARED}/iq_othnccd train_fraction=0.3 seeds=1 generators=[dcgan] arms=[none,genmix-dcgan,dcgan]',
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '03_stylegan is skipped' in done.stdout
    assert 'starts' not in make(clone, 'all', 'PROFILE=smoke', 'RUN=iq').stdout
    metrics = pd.read_csv(clone / 'runs' / 'iq' / 'results' / 'metrics.csv')
    assert set(metrics.test_set) == {'holdout'} and 'genmix-dcgan' in set(metrics.arm)
    assert 'near-duplicate' in (clone / 'runs' / 'iq' / 'results' / 'table.md').read_text()


@pytest.mark.smoke
def test_folds_have_generators_of_their_own_and_decide_by_the_corrected_t(clone):
    done = make(
        clone,
        '09_results',
        'PROFILE=smoke',
        'RUN=folds',
        'SET=folds=2 n_folds=3 generators=[dcgan] arms=[classical,dcgan,genmix-dcgan] seeds=1',
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = clone / 'runs' / 'folds'
    learned_from = [
        set(pd.read_csv(run / 'synthetic' / name / 'manifest.csv').split) for name in ('dcgan', 'dcgan-f1')
    ]
    assert all(len(s) == 1 for s in learned_from) and learned_from[0] != learned_from[1]
    weights = [(run / 'generators' / name / 'generator.safetensors') for name in ('dcgan', 'dcgan-f1')]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    splits, tables = (
        pd.read_csv(run / 'cohort' / 'splits.csv'),
        [pd.read_csv(run / 'predictions' / f'genmix-dcgan-s0-f{fold}.csv.gz') for fold in (0, 1)],
    )
    for fold, table in enumerate(tables):
        held = table[table.test_set == 'holdout']
        assert set(held.patient) == set(splits[splits[f'fold{fold}'] == 'test'].patient)
    row = (
        pd.read_csv(run / 'results' / 'contrasts.csv')
        .query('a == "genmix-dcgan" and b == "dcgan" and test_set == "holdout"')
        .iloc[0]
    )
    score = (
        pd.read_csv(run / 'results' / 'metrics.csv')
        .query('metric == "balanced_accuracy" and label == "all" and test_set == "holdout"')
        .pivot(index='fold', columns='arm', values='value')
    )
    gaps = score['genmix-dcgan'] - score['dcgan']
    ratio = np.mean(
        [(splits[f'fold{k}'] == 'test').sum() / (splits[f'fold{k}'] == 'train').sum() for k in (0, 1)]
    )
    half = 12.7062 * gaps.std() * (1 / 2 + ratio) ** 0.5  # t(.975, 1)
    assert row['mean'] == pytest.approx(gaps.mean()) and row.high - row['mean'] == pytest.approx(
        half, rel=1e-3
    )
    assert 'Nadeau and Bengio' in (run / 'results' / 'table.md').read_text()
