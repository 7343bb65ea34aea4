"""Longer ways through the Makefile on the smoke profile: killed and started again, real lesions, folds."""

import os
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED, make, make_command, shell_environment

from genmix.data.phantom import write_ct


@pytest.mark.smoke
@pytest.mark.long
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
@pytest.mark.long
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


# Of a patient, in the headers of DICOM files; folders and the table carry the number as well.
PLANTED = {
    'PatientName': 'Zimmermannova^Hildegard',
    'PatientBirthDate': '19470311',
    'AccessionNumber': 'ACC99887766',
    'PatientID': 'MRN5551234567',
    'OtherPatientNames': 'Geborene^Obermayer',
    'StudyID': 'STUDY31337',
    'PatientComments': 'lives in Kaltenbrunn',
    'ReferringPhysicianName': 'Quacksalber^Anton',
}
WORDS = (
    'Zimmermannova Hildegard 19470311 ACC99887766 MRN5551234567 Obermayer STUDY31337 Kaltenbrunn Quacksalber'
)


@pytest.fixture(scope='module')
def dicom(clone, tmp_path_factory):
    """`make all` on two folds of DICOM with PLANTED; (run, what make said, lesions, names of patients)."""
    folder = tmp_path_factory.mktemp('dicom') / 'ct'
    truth = write_ct.write(folder, (12, 9, 10), 16, 'dicom', tags=PLANTED)
    rows = pd.read_csv(folder / 'lesions.csv')
    for patient in rows.patient.unique():
        (folder / patient).rename(folder / f'{PLANTED["PatientID"]}-{patient}')
    for column in ('patient', 'volume', 'mask'):
        rows[column] = f'{PLANTED["PatientID"]}-' + rows[column]
    rows.to_csv(folder / 'lesions.csv', index=False)
    asked = f'dataset=ct data_dir={folder} folds=2 n_folds=3 train_fraction=1.0 generators=[dcgan] seeds=1'
    asked += ' arms=[none,dcgan@1/8,genmix-dcgan@1/8]'
    done = make(clone, 'all', 'PROFILE=smoke', 'RUN=ct', f'SET={asked}')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'starts' not in make(clone, 'all', 'PROFILE=smoke', 'RUN=ct').stdout
    return clone / 'runs' / 'ct', done.stdout + done.stderr, len(truth), set(rows.patient)


@pytest.mark.smoke
@pytest.mark.long
def test_a_whole_run_on_dicom_names_nobody(dicom):
    """Headers, table and folders carry identifiers: no file of the run has one."""
    run, said, lesions, patients = dicom
    assert len(pd.read_csv(run / 'cohort/manifest.csv')) == lesions
    assert (run / 'results/table.md').exists()
    kept = [said.encode()] + [str(f.relative_to(run)).encode() for f in run.rglob('*')]
    kept += [f.read_bytes() for f in run.rglob('*') if f.is_file()]
    kept += [
        np.load(f, allow_pickle=False)['facts'].item().encode() for f in (run / '.volumes').glob('*.npz')
    ]
    for word in (*WORDS.split(), *patients):
        assert not any(word.encode() in one or word.encode('utf-16-le') in one for one in kept), word
    assert any(b'P0001-' in one for one in kept)


@pytest.mark.smoke
@pytest.mark.long
def test_folds_have_generators_of_their_own_and_decide_by_the_corrected_t(dicom):
    run = dicom[0]
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
