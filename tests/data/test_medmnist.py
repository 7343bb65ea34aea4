"""MedMNIST as published or nearly so: official parts, borders, what is not fetched and what is refused."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
from conftest import SHARED, config_of
from test_duplicates import pictures

from genmix import StudyError
from genmix.data import build, duplicates
from genmix.data.readers import medmnist
from genmix.data.splits import official_splits

medmnist_package = pytest.importorskip('medmnist')
REAL = SHARED / 'medmnist'
needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason="the developers' MedMNIST files are not on this machine"
)


def arrays(counts=(24, 6, 10), size=28, seed=0, colour=False):
    """Unrelated pictures of two classes in turn, as MedMNIST stores them."""
    images = pictures(sum(counts), seed, size)
    images = np.stack([images] * 3, -1) if colour else images
    labels = (np.arange(sum(counts)) % 2).astype(np.uint8)
    cuts = np.cumsum(counts)[:2]
    parts = zip(medmnist.PARTS, np.split(images, cuts), np.split(labels, cuts))
    return {
        f'{part}_{what}': value
        for part, x, y in parts
        for what, value in (('images', x), ('labels', y[:, None]))
    }


def config(**changes):
    values = {'dataset': 'medmnist', 'image_size': 32, 'train_fraction': 1.0} | changes
    return config_of(build.CohortConfig, '01_data', **values)


@pytest.fixture
def npz(tmp_path):
    np.savez(tmp_path / 'breastmnist.npz', **arrays())
    return tmp_path / 'breastmnist.npz'


def test_28_pixels_are_bordered_not_stretched(npz, monkeypatch):
    monkeypatch.setattr(medmnist, 'CHUNK', 7 * 28 * 28)  # read in pieces, as large sets are
    cohort, notes = medmnist.load(npz, 32)
    assert len(cohort) == 40 and cohort.class_names == ('malignant', 'normal, benign')
    assert cohort.images.shape[1:] == (32, 32)
    stored = np.load(npz)['train_images']
    assert np.array_equal(cohort.images[:24, 2:30, 2:30], stored)
    assert np.array_equal(cohort.images[:24, 0, 2:30], stored[:, 0])
    assert np.array_equal(cohort.images[:24, 5, 31], stored[:, 3, 27])
    assert medmnist.load(npz, 64)[0].images.shape[1:] == (64, 64)
    # neither the published bytes nor the published counts
    assert [n[3] for n in notes[:2]] == ['not verified', 'look']


def test_colour_becomes_gray(tmp_path):
    np.savez(tmp_path / 'dermamnist_64.npz', **arrays(size=64, colour=True))
    cohort, notes = medmnist.load(tmp_path, 64, 'dermamnist', 64)
    stored = np.load(tmp_path / 'dermamnist_64.npz')['train_images']
    assert np.array_equal(cohort.images[:24], stored[..., 0]) and len(cohort.class_names) == 7
    assert notes[2][:4] == ('colour images turned to gray', 40, 40, 'look')


def test_one_channel_of_colour(tmp_path):
    held = arrays(size=64, colour=True)
    held['train_images'][..., 1] = 255 - held['train_images'][..., 0]
    np.savez(tmp_path / 'dermamnist_64.npz', **held)
    cohort, _ = medmnist.load(tmp_path, 64, 'dermamnist', 64, channel='green')
    assert np.array_equal(cohort.images[:24], held['train_images'][..., 1])
    with pytest.raises(StudyError, match='channel is "alpha": choose one of gray, red'):
        medmnist.load(tmp_path, 64, 'dermamnist', 64, channel='alpha')


def test_the_official_split_parts_no_copies(tmp_path):
    planted = arrays()
    for what in ('images', 'labels'):
        planted[f'train_{what}'][3] = planted[f'test_{what}'][1]
    np.savez(tmp_path / 'breastmnist.npz', **planted)
    cohort, notes = medmnist.load(tmp_path / 'breastmnist.npz', 32)
    splits = official_splits(cohort)
    part = cohort.extra.official
    assert (splits.fold0[part == 'test'] == 'test').all() and (splits.fold0[part == 'val'] == 'unused').all()
    assert splits.fold0[part == 'train'].value_counts().to_dict() == {'train': 23, 'unused': 1}
    assert splits.fold0[3] == 'unused' and notes[-1][1:4] == (1, 30, 'fixed')
    few, some = (official_splits(cohort, f) for f in (0.3, 0.6))
    trained = [set(rows.id[rows.fold0 == 'train']) for rows in (few, some, splits)]
    assert trained[0] < trained[1] < trained[2]
    with pytest.raises(StudyError, match='"malignant" is missing from the official'):
        official_splits(cohort[(cohort.labels == 1) | (part == 'val').to_numpy()])


def test_through_make_cohort(study, npz):
    reading = {'data_dir': str(npz), 'medmnist_flag': '', 'medmnist_size': 28, 'download': False}
    cohort, splits = build.make_cohort(study, config(), **reading, fov_times=2.0)
    assert splits.fold0.value_counts().to_dict() == {'train': 24, 'test': 10, 'unused': 6}
    assert 'cluster-0001' in cohort.patients
    anew = build.make_cohort(study, config(folds=2), data_dir=str(npz))[1]
    assert {'fold0', 'fold1'} <= set(anew) and set(anew.fold0) == {'train', 'test'}


def test_checksum_and_counts_of_the_published_file(npz, monkeypatch):
    about = medmnist_package.info.INFO['breastmnist']
    monkeypatch.setitem(about, 'MD5', hashlib.md5(npz.read_bytes()).hexdigest())
    monkeypatch.setitem(about, 'n_samples', {'train': 24, 'val': 6, 'test': 10})
    assert [n[3] for n in medmnist.load(npz, 32)[1][:2]] == ['ok', 'ok']


def test_nothing_is_fetched_unless_asked(tmp_path, monkeypatch):
    calls = []

    def fetch(split, download, size, root):
        calls.append(size)
        np.savez(f'{root}/breastmnist.npz', **arrays())

    monkeypatch.setattr(medmnist_package, 'BreastMNIST', fetch)
    with pytest.raises(StudyError, match='download=True'):
        medmnist.load(tmp_path, 32, 'breastmnist')
    assert not calls
    assert len(medmnist.load(tmp_path, 32, 'breastmnist', download=True)[0]) == 40 and calls == [28]
    medmnist.load(tmp_path, 32, 'breastmnist', download=True)
    assert calls == [28]

    def closed(**_):
        raise RuntimeError('no network\nat all')

    monkeypatch.setattr(medmnist_package, 'PneumoniaMNIST', closed)
    with pytest.raises(StudyError, match='pneumoniamnist.npz could not be downloaded: check the network'):
        medmnist.load(tmp_path, 32, 'pneumoniamnist', download=True)


@pytest.mark.parametrize(
    'flag, options, says',
    [
        ('', {}, 'needs medmnist_flag'),
        ('chestmnist', {}, 'several labels per image'),
        ('organmnist3d', {}, 'no 2D set'),
        ('brestmnist', {}, 'no 2D set'),
        ('breastmnist', {'size': 32}, 'medmnist_size is 32'),
    ],
)
def test_sets_that_are_refused(tmp_path, flag, options, says):
    with pytest.raises(StudyError, match=says):
        medmnist.load(tmp_path, 32, flag, **options)


@pytest.mark.parametrize(
    'change, says',
    [
        ({'test_labels': None}, 'has no test_labels'),
        ({'val_labels': np.full((6, 1), 2)}, 'labels that do not fit'),
        ({'val_labels': np.zeros((5, 1))}, 'labels that do not fit'),
        ({'train_images': np.zeros((24, 64, 64), np.uint8)}, 'not uint8 of 28 x 28'),
        ({'train_images': np.zeros((24, 28, 28))}, 'float64'),
        ({'val_labels': np.array([{}] * 6)}, 'cannot be read'),
        ('cut', 'cannot be read'),
        ('empty', 'cannot be read'),
    ],
)
def test_files_that_are_refused(npz, change, says):
    if change == 'cut':
        npz.write_bytes(npz.read_bytes()[:5000])
    elif change == 'empty':
        npz.write_bytes(b'')
    else:
        np.savez(npz, **{name: value for name, value in (arrays() | change).items() if value is not None})
    with pytest.raises(StudyError, match=says) as caught:
        medmnist.load(npz, 32)
    assert '\n' not in str(caught.value)


def test_a_name_that_contradicts_the_flag(npz):
    with pytest.raises(StudyError, match='breastmnist by its name, but medmnist_flag is pneumoniamnist'):
        medmnist.load(npz, 32, 'pneumoniamnist')
    npz.rename(npz.with_name('mine.npz'))
    assert len(medmnist.load(npz.with_name('mine.npz'), 32, 'breastmnist')[0]) == 40


def test_a_header_that_claims_too_much(npz):
    content = arrays()
    with zipfile.ZipFile(npz, 'w') as file:
        for name, value in content.items():
            member = io.BytesIO()
            if name == 'train_images':
                claim = {'descr': '|u1', 'fortran_order': False, 'shape': (10**12, 28, 28)}
                np.lib.format.write_array_header_1_0(member, claim)
            else:
                np.save(member, value)
            file.writestr(f'{name}.npy', member.getvalue())
    with pytest.raises(StudyError, match='train_images is cut short'):
        medmnist.load(npz, 32)


def test_large_sets_are_not_called_clean(npz, monkeypatch):
    monkeypatch.setattr(duplicates, 'MANY', 5)
    note = medmnist.load(npz, 32)[1][-1]
    assert note[3] == 'not verified' and 'only exact copies' in note[4]


def test_the_packages_own_folder_is_part_of_the_key(study, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / '.medmnist').mkdir()
    for counts in ((24, 6, 10), (24, 6, 12)):
        np.savez(tmp_path / '.medmnist/breastmnist.npz', **arrays(counts))
        cohort, _ = build.make_cohort(study, config(), medmnist_flag='breastmnist')
        assert len(cohort) == sum(counts)


@needs_real
def test_the_shared_sets(study):
    """What the checks find in BreastMNIST: frames that follow each other, one of them under both classes.

    Some of them follow each other across the border of the official split.
    """
    reading = {'data_dir': str(REAL), 'medmnist_flag': 'breastmnist'}
    cohort, splits = build.make_cohort(study, config(image_size=64), **reading)
    found, flagged = build.check_tables(study)
    count = found.set_index('check')['count']
    assert count['official counts'] == '780' and count['redundant exact copies'] == '1'
    assert count['copies with conflicting classes'] == '2' and len(cohort) == 778
    conflicting = flagged.id[flagged.check == 'copies with conflicting classes']
    assert sorted(conflicting.str[:5]) == ['test-', 'train']
    assert 60 <= int(count['images outside the official test part that nearly copy a test image']) <= 110
    assert not set(cohort.patients[splits.fold0 == 'train']) & set(cohort.patients[splits.fold0 == 'test'])
    counts = medmnist.load(REAL / 'pneumoniamnist.npz', 32)[0].counts
    assert counts.to_dict() == {'normal': 1583, 'pneumonia': 4273}
