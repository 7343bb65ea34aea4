"""The data of the lesson: what is committed, and how it is made from a run."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, blobs

from genmix import StudyError
from genmix.data import build
from genmix.generators.synthetic import sample_set
from genmix.results import measured
from tools import lesson_pack

FOLDER = ROOT / 'measured' / 'lesson'


def test_the_committed_pack_is_small_and_holds_no_pickle():
    """5 MB; every array is plain numbers or text, of the shapes that the lesson reads."""
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= lesson_pack.LIMIT == 5_000_000
    pack = np.load(measured.as_committed(FOLDER / 'pack.npz'), allow_pickle=False)
    about = json.loads(measured.as_committed(FOLDER / 'about.json').read_text(encoding='utf-8'))
    n, size = len(pack['images']), pack['images'].shape[1]
    assert len(pack['labels']) == len(pack['patients']) == n > 200 and about['best'] in about['generators']
    assert pack['film'].shape == (len(pack['film_steps']), 3, lesson_pack.FILM, size, size)
    assert np.bincount(pack['test_labels']).tolist() == [lesson_pack.TESTS] * 3
    for name in about['generators']:
        each = lesson_pack.BEST if name == about['best'] else lesson_pack.OTHERS
        assert np.bincount(pack[f'{name}_labels']).tolist() == [each] * 3
    assert {array.dtype.kind for array in map(pack.get, pack.files)} <= {'u', 'i', 'U'}
    assert all(pack[name].dtype == np.uint8 for name in pack.files if name.endswith('images'))
    rows = pd.DataFrame(about['contrasts'])
    assert (rows.low <= rows['mean']).all() and (rows['mean'] <= rows.high).all()
    assert rows.contrast.str.startswith('mixing at').sum() == 1 and len(rows) > 1


def table(study, **differs):
    """A contrasts.csv: two contrasts of mixing, and others that the lesson does not show."""
    rows = [
        ('mixing at matched dose and mass', 'balanced_accuracy', 'prior', 'population', 0.02),
        ('mixing, dcgan', 'balanced_accuracy', 'prior', 'population', 0.03),
        ('mixing, dcgan', 'balanced_accuracy', 'prior', 'holdout', 0.5),
        ('mixing, dcgan', 'balanced_accuracy', 'argmax', 'population', 0.5),
        ('synthesis given mixing', 'balanced_accuracy', 'prior', 'population', 0.5),
        ('mixing, every generator', 'balanced_accuracy', 'prior', 'population', 0.5),
    ]
    found = pd.DataFrame(rows, columns=['contrast', 'metric', 'rule', 'test_set', 'mean'])
    found = found.assign(
        a='a', b='b', gate=2, low=found['mean'] - 0.01, high=found['mean'] + 0.01, n=24, cohorts=24
    )
    path = study.path('results', 'contrasts.csv')
    found.assign(verdict='higher', **differs).to_csv(path, index=False)
    return path


class Painter:
    """Stands for a trained generator."""

    name = 'dcgan'
    notebook = '02_dcgan'

    def sample(self, label, n, seed):
        return np.random.default_rng([label, seed]).integers(0, 256, (n, 32, 32)).astype(np.uint8)


@pytest.fixture
def run(study, monkeypatch):
    """A run on phantoms with one synthetic set, and a film of a few steps."""
    monkeypatch.chdir(study.home)
    config = build.CohortConfig(
        dataset='phantom', image_size=32, n_folds=3, folds=1, train_fraction=1.0, seed=0
    )
    build.make_cohort(study, config, lesions=[12, 9, 12], patients=20)
    made = sample_set(Painter(), build.part(study, 'train'), 90, 0)
    study.stage('synthetic/dcgan', made.save)
    monkeypatch.setattr(lesson_pack, 'FILM_PROFILE', 'smoke')
    monkeypatch.setattr(lesson_pack, 'TESTS', 4)
    monkeypatch.setattr(lesson_pack.controls_summary, 'read', lambda: None)
    table(study)
    return study


def test_a_pack_is_made_from_a_run_by_one_command_and_the_same_bytes_again(run):
    assert lesson_pack.main(['--run', run.run]) == 0
    folder = run.home / 'measured' / 'lesson'
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {*before} == {'pack.npz', 'about.json'}
    assert measured.checksums(folder.parent).keys() == {'lesson/pack.npz', 'lesson/about.json'}
    pack = np.load(io.BytesIO(before['pack.npz']))
    train = build.part(run, 'train')
    assert np.array_equal(pack['images'], train.images) and np.array_equal(pack['patients'], train.patients)
    assert pack['film'].shape == (6, 3, 4, 32, 32) and pack['film_steps'].tolist() == [2, 4, 6, 8, 10, 12]
    assert np.bincount(pack['dcgan_labels']).tolist() == [80] * 3
    rows = json.loads(before['about.json'])['contrasts']
    assert [(row['contrast'], row['mean']) for row in rows] == [
        ('mixing at matched dose and mass', 0.02),
        ('mixing, DCGAN', 0.03),
    ]
    lesson_pack.main(['--run', run.run])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_a_run_lacks_is_one_sentence_and_nothing_is_written(run, monkeypatch, capsys):
    (run.folder / 'results' / 'contrasts.csv').unlink()
    assert lesson_pack.main(['--run', run.run]) == 1
    assert 'contrasts.csv is not there' in capsys.readouterr().err
    table(run)
    monkeypatch.setattr(lesson_pack, 'LIMIT', 1000)
    assert lesson_pack.main(['--run', run.run]) == 1 and 'The pack would take' in capsys.readouterr().err
    assert not [*(run.home / 'measured').rglob('*.*')]
    (run.folder / 'synthetic' / 'dcgan' / 'images.npy').unlink()
    with pytest.raises(StudyError, match='has no synthetic set'):
        lesson_pack.synthetic(run)


def test_patients_are_never_packed(run, monkeypatch):
    monkeypatch.setattr(lesson_pack.build, 'part', lambda study, role: blobs())
    with pytest.raises(StudyError, match='it holds no patients'):
        lesson_pack.collect(run)
