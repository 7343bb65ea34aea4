"""Folders that were once refused wrongly, misread or lost in part: what becomes of each now."""

import shutil

import pytest
from conftest import SHARED, config_of

from genmix import StudyError
from genmix.data import checks, splits
from genmix.data.readers import folder
from genmix.data.readers.ct import dataset, patches

CASES = SHARED.parent / 'cases'
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the developers' inputs are not on this machine")

READ = {  # folder: images, classes, patients
    'busi_layout': (36, 3, 36),
    'tiny': (6, 3, 6),
    'endings': (38, 2, 38),
    'with_dcm': (6, 2, 6),
    'eadir_top': (12, 2, 12),
    'na_patient': (24, 2, 24),
    'names_na': (36, 3, 36),
    'names_tex': (60, 5, 60),
    'colour': (24, 2, 24),
    'rgb16': (16, 2, 16),
    'mixdepth': (16, 2, 16),
}
ASKED = {  # folder: the check that asks for a look
    'busi_layout': 'masks and overlays of images',
    'tiny': 'patients of the smallest class',
    'with_dcm': 'files of other kinds',
    'endings': 'images whose file format goes with a class',
    'na_patient': 'images of patients named as if unknown',
    'colour': 'colour images turned to gray',
    'mixdepth': 'images whose bits per pixel goes with a class',
}
REFUSED = {
    'case_csv': 'classes "Benign" and "benign", which differ in case',
    'names_case': 'classes "Benign" and "benign", which differ in case',
    'split_flat': 'parts of a split, not classes: make one sub-folder per class',
    'copies': '"benign" has 0 of its 8 patients left after the checks',
    'onepx': '64 x 1 pixels: .*set skip_faulty=True',
}
CT = {
    'gz_plain': 'rename it to "a.nii"',
    'nii_gzipped': 'rename it to "a.nii.gz"',
    'htj2k': 'no decoder is here',
    'nrrd_mask': 'neither NIfTI nor DICOM SEG',
    'sform_ones': 'states two sizes of its voxels',
    'enhanced_file': 'is one DICOM file, and a volume is a folder',
    'mask_float_eps': 'holds fractions',
}


@pytest.mark.parametrize('name', READ)
@pytest.mark.filterwarnings('ignore:Patients of the rarest class')
def test_folders_that_are_read(name):
    cohort, table, _ = checks.examine(*folder.load(CASES / name))
    assert (len(cohort), len(cohort.class_names), len(set(cohort.patients))) == READ[name]
    assert len(splits.make_splits(cohort)) == len(cohort) and cohort.images.max() > 200
    if name in ASKED:
        assert table.set_index('check').verdict[ASKED[name]] in ('look', 'left out')


@pytest.mark.parametrize('name', REFUSED)
def test_folders_that_are_refused(name):
    with pytest.raises(StudyError, match=REFUSED[name]):
        checks.examine(*folder.load(CASES / name))


@pytest.mark.parametrize('name', [*CT, 'dose_report'])
def test_ct(name, tmp_path, monkeypatch):
    monkeypatch.setenv('GENMIX_SALT', 'a salt of the tests')
    root = shutil.copytree(CASES / 'ct' / name, tmp_path / name)
    config = config_of(patches.PatchConfig, '01_data', image_size=32)
    if name == 'dose_report':
        assert dataset.load(root, config, jobs=1)[0].extra.diameter_mm.tolist() == pytest.approx(
            [12.45, 12.45]
        )
        return
    with pytest.raises(StudyError, match=CT[name]):
        dataset.load(root, config, jobs=1)
