"""The stage `cohort` of every dataset, and how notebooks read it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, config_of

from genmix import StudyError
from genmix.audit import heldout
from genmix.data import build
from genmix.data.phantom import plan


def config(**changes):
    values = {'image_size': 32, 'train_fraction': 1.0} | changes
    return config_of(build.CohortConfig, '01_data', **values)


def small_cohort(study):
    return build.make_cohort(study, config(), lesions=(9, 6, 9), patients=12)


def test_phantom_cohort_is_made_once_and_split(study):
    half, lesions = config(train_fraction=0.5), {'lesions': (30, 12, 18), 'patients': 30}
    cohort, splits = build.make_cohort(study, half, **lesions)
    stamp = study.path('cohort', 'provenance.json').stat().st_mtime_ns
    build.make_cohort(study, half, **lesions, window=(40, 400))  # of another dataset
    assert study.path('cohort', 'provenance.json').stat().st_mtime_ns == stamp
    parts = {role: build.part(study, role) for role in ('train', 'unused', 'test')}
    assert sum(map(len, parts.values())) == 60 and all(len(p) for p in parts.values())
    who = [set(p.patients) for p in parts.values()]
    assert not (who[0] & who[1] or who[0] & who[2] or who[1] & who[2])


def test_every_cohort_is_checked(study):
    cohort, _ = small_cohort(study)
    found, flagged = build.check_tables(study)
    assert found.columns.tolist() == ['check', 'count', 'of', 'verdict', 'note']
    assert flagged.columns.tolist() == ['id', 'patient', 'class', 'check']
    count = found.set_index('check')['count']
    assert count['images'] == '24' and count['class cyst'] == '9' and set(flagged.id) <= set(cohort.ids)


def test_the_populations_never_meet(study):
    cohort, _ = small_cohort(study)
    population = build.population(study, (9, 6, 9))
    assert not set(cohort.patients) & set(population.patients)
    assert population.images.shape == cohort.images.shape
    assert not any(np.array_equal(a, b) for a in cohort.images for b in population.images)


def test_probabilities_are_calibrated_on_patients_of_their_own(study):
    """Apart from cohort and population, from the audit's lesions, and from those of another cohort."""
    cohort, _ = small_cohort(study)
    mine = build.calibration(study, 3)
    assert mine.counts.tolist() == [3, 3, 3] and mine.images.shape[1:] == cohort.images.shape[1:]
    others = [cohort, build.population(study, (9, 9, 9)), build.calibration(study, 3, seed=1)]
    others += [plan.draw('dev', (3, 3, 3), seed=seed) for seed in (*heldout.AUDIT_SEEDS.values(), 9000)]
    assert not any(set(mine.patients) & set(other.patients) for other in others)


def test_a_folder_that_changes_is_read_again(study, tmp_path):
    from PIL import Image

    rng, root = np.random.default_rng(0), tmp_path / 'set'
    for name in ('a', 'b'):
        (root / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (40, 40)).astype(np.uint8)).save(root / name / f'{i}.png')
    first, _ = build.make_cohort(study, config(dataset='folder'), data_dir=str(root))
    (root / 'a' / '0.png').unlink()
    second, _ = build.make_cohort(study, config(dataset='folder'), data_dir=str(root))
    assert (len(first), len(second)) == (12, 11) and first.class_names == ('a', 'b')
    table = tmp_path / 'outside.csv'
    for patient in ('x', 'y'):
        rows = [f'{k}/{i}.png,{patient}{k}{i % 3},{k}\n' for k in 'ab' for i in range(1, 6)]
        table.write_text('file,patient,label\n' + ''.join(rows))
        files = {'data_dir': str(root), 'labels_csv': str(table)}
        third, _ = build.make_cohort(study, config(dataset='folder'), **files)
        assert third.patients[0].startswith(patient)


def test_a_change_behind_a_link_is_seen(study, tmp_path):
    from PIL import Image

    rng, real, root = np.random.default_rng(0), tmp_path / 'real', tmp_path / 'links'
    root.mkdir()
    for name in ('a', 'b'):
        (real / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (40, 40)).astype(np.uint8)).save(real / name / f'{i}.png')
        (root / name).symlink_to(real / name)
    (real / 'a' / '.circle').symlink_to(real)
    first, _ = build.make_cohort(study, config(dataset='folder'), data_dir=str(root))
    (real / 'a' / '0.png').unlink()
    second, _ = build.make_cohort(study, config(dataset='folder'), data_dir=str(root))
    assert (len(first), len(second)) == (12, 11)


def test_options_reach_the_reader_of_folders(study, tmp_path):
    from PIL import Image

    rng, root = np.random.default_rng(0), tmp_path / 'set'
    for name in ('a', 'b'):
        (root / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(root / name / f'{i}.png')
    (root / 'a' / 'broken.png').write_text('no image')
    options = {'data_dir': str(root), 'channel': 'blue', 'skip_faulty': True}
    cohort, _ = build.make_cohort(study, config(dataset='folder', image_size=64), **options)
    blue = np.asarray(Image.open(root / 'a' / '0.png').resize((64, 64), Image.BILINEAR))[..., 2]
    assert len(cohort) == 12 and np.array_equal(cohort.images[0], blue)
    found = build.check_tables(study)[0].set_index('check')
    assert found.verdict[['faulty images', 'colour images turned to gray']].tolist() == ['left out', 'look']


@pytest.mark.parametrize(
    'given, word',
    [
        ({'dataset': 'dicom'}, 'dataset is "dicom".*ct, medmnist'),
        ({'dataset': 'ct'}, 'dataset=ct needs data_dir.*lesions.csv'),
        ({'dataset': 'medmnist'}, 'needs medmnist_flag'),
        ({'image_size': 50}, 'image_size is "?50'),
        ({'dataset': 'folder'}, 'needs data_dir'),
        ({'dataset': 'folder', 'data_dir': 'nowhere'}, 'nowhere'),
    ],
)
def test_errors(study, given, word):
    reading = {'data_dir': given.pop('data_dir')} if 'data_dir' in given else {}
    with pytest.raises(StudyError, match=word):
        build.make_cohort(study, config(**given), **reading)


def test_a_lonely_notebook_says_what_it_misses(study):
    with pytest.raises(StudyError, match='make 01_data'):
        build.part(study)


def test_patients_called_na_stay_apart(study, tmp_path):
    from PIL import Image

    rng, root = np.random.default_rng(0), tmp_path / 'set'
    rows = []
    for i, patient in enumerate(['NA', 'null', 'None', '007', 'nan', '8'] * 2):
        file = f'{i}.png'
        root.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40)).astype(np.uint8)).save(root / file)
        rows.append(f'{file},{patient},{"ab"[i % 2]}\n')
    (root / 'labels.csv').write_text('file,patient,label\n' + ''.join(rows))
    cohort, splits = build.make_cohort(study, config(dataset='folder'), data_dir=str(root))
    assert set(cohort.patients) == {'NA', 'null', 'None', '007', 'nan', '8'} == set(splits.patient)


def test_a_phantom_run_loads_no_other_reader_and_no_torch():
    code = 'import sys, genmix.data.build; print(" ".join(sys.modules))'
    env = os.environ | {'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, env=env, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert 'genmix.data.phantom.plan' in loaded and 'genmix.data.readers' not in loaded
    unwanted = {'torch', 'pydicom', 'nibabel', 'highdicom', 'SimpleITK', 'medmnist', 'fastai', 'sklearn'}
    assert not unwanted & set(loaded)
