"""Longer ways through the Makefile on the smoke profile: killed and started again, real lesions, folds."""

import os
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED, make, make_command, shell_environment


@pytest.mark.smoke
def test_killed_anywhere_it_completes(clone):
    """kill -9 of the whole process group at two moments; one more `make` then completes the predictions."""
    asked = 'SET=generators=[dcgan] arms=[none,genmix-dcgan@1/8]'
    goal = ('08_classification', 'PROFILE=smoke', 'RUN=killed', asked)
    command = make_command(*goal)
    silent = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL, 'start_new_session': True}
    for seconds in (6, 11):
        child = subprocess.Popen(command, cwd=clone, env=shell_environment(clone), **silent)
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    done = make(clone, *goal)
    assert done.returncode == 0, done.stdout + done.stderr
    run = clone / 'runs' / 'killed'
    assert np.load(run / 'mixed' / 'dcgan' / 'images.npy').shape == (60, 32, 32)
    assert len(list((run / 'predictions').glob('*.csv.gz'))) == 4
    assert not list(run.rglob('*.part*'))


@pytest.mark.smoke
@pytest.mark.skipif(not (SHARED / 'iq_othnccd').exists(), reason='the real CT slices are not on this machine')
def test_real_ct_slices_run_to_the_results_page(clone):
    goal = ('all', 'PROFILE=smoke', 'RUN=iq')
    data = f'dataset=folder data_dir={SHARED}/iq_othnccd train_fraction=0.3'
    done = make(clone, *goal, f'SET={data} seeds=1 generators=[dcgan] arms=[none,genmix-dcgan@1/8,dcgan@1/8]')
    assert done.returncode == 0, done.stdout + done.stderr
    assert '03_stylegan is skipped' in done.stdout
    again = make(clone, *goal)
    assert again.returncode == 0 and 'starts' not in again.stdout
    results = clone / 'runs' / 'iq' / 'results'
    metrics = pd.read_csv(results / 'metrics.csv')
    assert set(metrics.test_set) == {'holdout'} and 'genmix-dcgan@1/8' in set(metrics.arm)
    assert 'near-duplicate' in (results / 'table.md').read_text()


@pytest.mark.smoke
def test_folds_have_generators_of_their_own_and_decide_by_the_corrected_t(clone):
    settings = 'folds=2 n_folds=3 generators=[dcgan] arms=[classical,dcgan@1/8,genmix-dcgan@1/8] seeds=1'
    done = make(clone, '09_results', 'PROFILE=smoke', 'RUN=folds', f'SET={settings}')
    assert done.returncode == 0, done.stdout + done.stderr
    run = clone / 'runs' / 'folds'
    splits = pd.read_csv(run / 'cohort' / 'splits.csv')
    generators_differ(run)
    for fold in (0, 1):
        table = pd.read_csv(run / 'predictions' / f'genmix-dcgan@1of8-s0-f{fold}.csv.gz')
        held = table[table.test_set == 'holdout']
        assert set(held.patient) == set(splits[splits[f'fold{fold}'] == 'test'].patient)
    row = pd.read_csv(run / 'results' / 'contrasts.csv')
    pair = 'a == "genmix-dcgan@1/8" and b == "dcgan@1/8" and test_set == "holdout"'
    row = row.query(pair + ' and metric == "balanced_accuracy" and rule == "prior"').iloc[0]
    mean, half = corrected_t(run, splits)
    assert row['mean'] == pytest.approx(mean) and row.high - mean == pytest.approx(half, rel=1e-3)
    assert 'Nadeau and Bengio' in (run / 'results' / 'table.md').read_text()


def generators_differ(run):
    """Each fold has weights and a training split of its own."""
    names = 'dcgan', 'dcgan-f1'
    learned_from = [set(pd.read_csv(run / 'synthetic' / name / 'manifest.csv').split) for name in names]
    assert all(len(s) == 1 for s in learned_from) and learned_from[0] != learned_from[1]
    first, second = (run / 'generators' / name / 'generator.safetensors' for name in names)
    assert first.read_bytes() != second.read_bytes()


def corrected_t(run, splits):
    """(mean, half of the 95 % interval) of genmix-dcgan@1/8 - dcgan@1/8 over two folds."""
    metrics = pd.read_csv(run / 'results' / 'metrics.csv')
    chosen = 'metric == "balanced_accuracy" and rule == "prior" and label == "all" and test_set == "holdout"'
    score = metrics.query(chosen).pivot(index='fold', columns='arm', values='value')
    gaps = score['genmix-dcgan@1/8'] - score['dcgan@1/8']
    folds = [splits[f'fold{k}'] for k in (0, 1)]
    ratio = np.mean([(fold == 'test').sum() / (fold != 'test').sum() for fold in folds])
    return gaps.mean(), 12.7062 * gaps.std() * (1 / 2 + ratio) ** 0.5  # t(.975, 1)
