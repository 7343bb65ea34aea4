"""From CT volumes with masks to the lesions in them: what goes in comes out.

What hospitals send is read, or its fault is named.
"""

import gzip
import itertools
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, config_of

from genmix import StudyError
from genmix.data import build, images
from genmix.data.phantom import plan, write_ct
from genmix.data.phantom.ct_volume import render_volume
from genmix.data.readers.ct import dataset, patches
from genmix.data.readers.ct.dicom_series import SCREEN
from genmix.data.readers.ct.pseudonyms import pseudonyms, salt
from genmix.data.readers.ct.table import read_table
from genmix.data.readers.ct.volume import read_mask, read_volume
from genmix.run.log import MARK

sitk = pytest.importorskip('SimpleITK')
nibabel = pytest.importorskip('nibabel')
pydicom = pytest.importorskip('pydicom')
generate_uid = pydicom.uid.generate_uid

COUNTS, PATIENTS = (6, 4, 5), 9


def patch_config(**changes):
    return config_of(patches.PatchConfig, '01_data', **{'image_size': 32} | changes)


def load(root, classes=(), cache=None, **changes):
    """(cohort, notes) of a set, at 32 pixels where `changes` say no other."""
    return dataset.load(root, patch_config(**changes), classes=classes, cache=cache, jobs=1)


@pytest.fixture(autouse=True)
def own_salt(monkeypatch):
    monkeypatch.setenv('GENMIX_SALT', 'a salt of the tests')
    monkeypatch.setenv('GENMIX_HEADLESS', '1')


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
    """The same phantoms as NIfTI and as DICOM: {format: (folder, truth)}."""
    root = tmp_path_factory.mktemp('sets')
    return {
        kind: (root / kind, write_ct.write(root / kind, COUNTS, PATIENTS, kind, jobs=1))
        for kind in write_ct.FORMATS
    }


# ---- what goes in comes out


@pytest.mark.parametrize('kind', write_ct.FORMATS)
def test_phantoms_come_back(sets, kind):
    folder, truth = sets[kind]
    rows = read_table(folder, '')
    found = []
    for volume, group in rows.groupby('volume', sort=False):
        masks = group[['mask', 'mask_label', 'class']].values.tolist()
        _, facts, speckles = patches.lesions_of(folder, volume, masks, patch_config(image_size=64))
        assert speckles == 0
        found.append(pd.DataFrame(facts).assign(volume=volume))
    found = pd.concat(found, ignore_index=True)
    assert len(found) == len(truth) == sum(COUNTS)
    for lesion in truth.itertuples():
        own = found[found.volume == lesion.volume]
        away = [np.abs(np.subtract(centre, (lesion.z, lesion.y, lesion.x))) for centre in own.centre]
        best = own.iloc[int(np.argmin([a.sum() for a in away]))]
        assert min(a.max() for a in away) < 1 and best['class'] == lesion._1
        # the outline is wavy and elliptic, so the long axis lies somewhat above the planned mean diameter
        assert 0.85 < best.diameter_mm / lesion.diameter_mm < 1.5
        assert 0.4 < best.volume_mm3 / (np.pi / 6 * lesion.diameter_mm**3) < 1.8


@pytest.mark.parametrize('kind', write_ct.FORMATS)
def test_attenuation_comes_back(sets, kind):
    """The middle of each patch has the HU of the phantom, within the noise of the mean of a lesion."""
    folder, truth = sets[kind]
    cohort, _ = load(folder, image_size=64, window=(0.0, 2040.0))  # 8 HU a gray level
    hu = cohort.images.astype(float) * 2040 / 255 - 1020
    y, x = np.mgrid[:64, :64] - 31.5
    for volume, own in truth.groupby('volume', sort=False):
        rows = np.flatnonzero(
            cohort.extra.volume == cohort.extra.volume.unique()[list(truth.volume.unique()).index(volume)]
        )
        radius = 0.25 * cohort.extra.diameter_mm.to_numpy()[rows] / cohort.extra.pixel_mm.to_numpy()[rows]
        seen = sorted(hu[r][np.hypot(x, y) < k].mean() for r, k in zip(rows, radius))
        np.testing.assert_allclose(
            seen, sorted(own.hu), atol=12
        )  # noise of 12 HU, coarse, over some dozen voxels


def test_both_formats_give_the_same_patches(sets):
    a, b = (load(sets[kind][0])[0] for kind in write_ct.FORMATS)
    assert (
        np.array_equal(a.images, b.images)
        and np.array_equal(a.patients, b.patients)
        and np.array_equal(a.labels, b.labels)
    )
    assert a.class_names == plan.CLASS_NAMES and a.counts.tolist() == list(COUNTS)


def test_two_readers_agree(sets):
    """Our axial view of both formats beside SimpleITK's: the same voxels at the same millimetres."""
    other = sitk.DICOMOrient(sitk.ReadImage(str(sets['nifti'][0] / sets['nifti'][1].volume[0])), 'LPS')
    for folder, truth in sets.values():
        ours = read_volume(folder / truth.volume[0], 'a')
        assert np.array_equal(
            ours.hu.clip(-1024), sitk.GetArrayFromImage(other).clip(-1024)
        )  # DICOM pixels here start there
        np.testing.assert_allclose(
            (ours.affine @ [3, 5, 7, 1])[:3], other.TransformIndexToPhysicalPoint((7, 5, 3)), atol=1e-3
        )


def test_the_middle_slice_is_the_phantom():
    """Without noise, a volume's middle slice is a phantom: the attenuation at its centre is the plan's."""
    lesion = plan.plan('dev', (1, 0, 0))
    hu, mask, pixel_mm, truth = render_volume(
        lesion.assign(noise_hu=1e-6, offset_hu=0.0, diameter_mm=30.0, fov_mm=60.0)
    )
    z, y, x = (int(round(truth[axis][0])) for axis in 'zyx')
    assert abs(hu[z, y, x] - lesion.core[0]) < 4 and mask[z, y, x] == 1
    assert hu[0, 0, 0] < -900 and abs(np.median(hu[0][mask[z] == 1]) - lesion.liver[0]) < 25
    area = (mask == 1).sum((1, 2))
    assert area.argmax() == z and np.all(np.diff(area[:z]) >= 0) and np.all(np.diff(area[z:]) <= 0)


# ---- patches


def test_pixels_are_isotropic_and_centred():
    """A disc in a slice of 0.5 x 1 mm voxels is round in the patch, in its middle, at the scale asked for."""
    y, x = np.mgrid[:120, :60].astype(float)
    plane = 100.0 * (np.hypot((y - 40.3) * 0.5, x - 30.6) < 10)
    pixels, outside = patches.patch(plane, (40.3, 30.6), (0.5, 1.0), 40, 80)
    rows, columns = np.nonzero(pixels > 50)
    assert not outside and abs(rows.mean() - 39.5) < 0.5 and abs(columns.mean() - 39.5) < 0.5
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 2 and abs(np.ptp(rows) + 1 - 40) <= 2
    assert patches.patch(plane, (3, 3), (0.5, 1.0), 40, 80)[1]


def test_reduction_is_antialiased():
    checks = np.indices((256, 256)).sum(0) % 2 * 100.0
    assert np.abs(patches.patch(checks, (127.5, 127.5), (1.0, 1.0), 200, 32)[0] - 50).max() < 2


@pytest.mark.parametrize('shape, mm', [((1, 1), 1.0), ((1, 7), 7.0), ((3, 4), 1 + np.hypot(2, 3))])
def test_long_axis(shape, mm):
    assert patches.long_axis(np.pad(np.ones(shape, bool), 2), np.ones(2)) == pytest.approx(mm)


def test_window():
    assert images.windowed(np.array([-21, -20, 90, 200, 201.0]), 90, 220).tolist() == [0, 0, 128, 255, 255]


# ---- a small set, for what can go wrong


def place(shape=(8, 40, 40), at=(4, 20, 18), seed=0):
    """HU and mask of a ball of 20 HU in liver of 100 HU, air in the corners."""
    z, y, x = np.ogrid[tuple(map(slice, shape))]
    ball = ((z - at[0]) * 3.0) ** 2 + ((y - at[1]) * 0.8) ** 2 + ((x - at[2]) * 0.8) ** 2 < 36
    body = np.hypot(y - shape[1] / 2, x - shape[2] / 2) < 19 + 0 * z
    hu = np.where(ball, 20, np.where(body, 100, -1000)) + np.random.default_rng(seed).integers(-60, 61, shape)
    return hu.astype(np.int16), ball.astype(np.uint8)


TABLE = (
    'patient,volume,mask,mask_label,class\n'
    'A,volumes/a.nii.gz,volumes/a_mask.nii.gz,,cyst\n'
    'B,b/ct,b/seg.dcm,1,tumour\n'
)


@pytest.fixture(scope='session')
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp('small')
    write_ct._save_nifti(root, 'a', *place(), (3.0, 0.8, 0.8))
    write_ct._save_dicom(root, 'b', *place(at=(3, 17, 22), seed=1), (3.0, 0.8, 0.8), {})
    (root / 'lesions.csv').write_text(TABLE)
    return root


@pytest.fixture
def root(original, tmp_path):
    shutil.copytree(original, tmp_path / 'set')
    return tmp_path / 'set'


def read(root, **options):
    return load(root, **options)[0]


CASES = {}


def case(says='', **options):
    """Register a fault: `says` is part of the message; '' where the set is read like the original."""
    return lambda spoil: CASES.setdefault(spoil.__name__, (spoil, says, options))


def slices(root):
    """The DICOM files by position, and their data sets."""
    rows = [(p, pydicom.dcmread(p)) for p in (root / 'b/ct').iterdir()]
    return sorted(rows, key=lambda r: r[1].ImagePositionPatient[2])


def edit(root, which=slice(None), **tags):
    for path, one in slices(root)[which]:
        for name, value in tags.items():
            setattr(one, name, value(one) if callable(value) else value)
        one.save_as(path)


def nifti(root, name, voxels, affine=None):
    old = nibabel.load(root / 'volumes/a.nii.gz').affine
    nibabel.save(
        nibabel.Nifti1Image(voxels, old if affine is None else affine), root / f'volumes/{name}.nii.gz'
    )


def voxels(root, name='a'):
    return np.asarray(nibabel.load(root / f'volumes/{name}.nii.gz').dataobj)


def seg(root, marked, kind='BINARY'):
    """Another SEG on the slices as they are, without the optional SpacingBetweenSlices."""
    import highdicom as hd

    code = hd.sr.CodedConcept('52988006', 'SCT', 'Lesion')
    about = [hd.seg.SegmentDescription(1, 'lesion', code, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL)]
    one = hd.seg.Segmentation(
        [s for _, s in slices(root)],
        marked,
        kind,
        about,
        generate_uid(),
        2,
        generate_uid(),
        1,
        'm',
        'p',
        '1',
        '1',
    )
    for group in [one.SharedFunctionalGroupsSequence[0], *one.PerFrameFunctionalGroupsSequence]:
        if 'PixelMeasuresSequence' in group:
            group.PixelMeasuresSequence[0].pop('SpacingBetweenSlices', None)
    one.save_as(root / 'b/seg.dcm')


def table(root, text, encoding='utf-8'):
    (root / 'lesions.csv').write_bytes(text.encode(encoding))


@case('IM0002.dcm" has pixels that cannot be read')
def truncated_slice(root):
    path = root / 'b/ct/IM0002.dcm'
    path.write_bytes(path.read_bytes()[:-1000])


@case('IM0002.dcm"')
def slice_cut_in_its_header(root):
    path = root / 'b/ct/IM0002.dcm'
    path.write_bytes(path.read_bytes()[:300])


@case('IM0003.dcm" is a file of zero bytes')
def zero_byte_slice(root):
    (root / 'b/ct/IM0003.dcm').write_bytes(b'')


@case(r'"b/ct" lacks 1 slice\(s\) between 3.0 and 9.0 mm')
def missing_slice(root):
    slices(root)[2][0].unlink()


@case('two slices at the same position')
def two_phases_in_one_folder(root):
    _, one = slices(root)[2]
    one.SOPInstanceUID = generate_uid()
    one.save_as(root / 'b/ct/again.dcm')


@case()
def same_slice_copied_twice(root):
    shutil.copy(root / 'b/ct/IM0001.dcm', root / 'b/ct/IM0001 (1).dcm')


@case('uneven distances between slices')
def inconsistent_spacing(root):
    edit(
        root,
        slice(5, None),
        ImagePositionPatient=lambda one: [0, 0, float(one.ImagePositionPatient[2]) + 1.3],
    )


@case('tilted gantry')
def gantry_tilt(root):
    edit(
        root,
        ImagePositionPatient=lambda one: [
            0,
            float(one.ImagePositionPatient[2]) * 0.3,
            float(one.ImagePositionPatient[2]),
        ],
    )


@case('2 DICOM series')
def two_series(root):
    edit(root, slice(4, None), SeriesInstanceUID=generate_uid())


@case('modality MR, not CT')
def magnetic_resonance(root):
    edit(root, Modality='MR')


@case()
def monochrome1(root):
    edit(root, PhotometricInterpretation='MONOCHROME1')


@case('lacks RescaleSlope')
def no_rescale(root):
    for path, one in slices(root):
        del one.RescaleSlope
        one.save_as(path)


@case('several frames')
def multi_frame(root):
    edit(root, NumberOfFrames=2)


@case('different pixel spacings')
def mixed_pixel_spacing(root):
    edit(root, slice(0, 1), PixelSpacing=[0.7, 0.7])


@case('different orientations')
def coronal_among_axial(root):
    edit(root, slice(0, 1), ImageOrientationPatient=[1, 0, 0, 0, 0, -1])


@case()
def localizer_beside(root):
    _, one = slices(root)[0]
    one.SOPInstanceUID, one.ImageType, one.ImageOrientationPatient = (
        generate_uid(),
        ['ORIGINAL', 'PRIMARY', 'LOCALIZER'],
        [1, 0, 0, 0, 0, -1],
    )
    one.save_as(root / 'b/ct/scout.dcm')


@case()
def clutter_beside(root):
    for name in ('DICOMDIR', '.DS_Store', 'readme.txt', 'Thumbs.db'):
        (root / 'b/ct' / name).write_text('no image')
    shutil.copy(root / 'b/seg.dcm', root / 'b/ct/seg.dcm')


@case('"b/ct/note.dcm" is not a DICOM file')
def text_named_dicom(root):
    (root / 'b/ct/note.dcm').write_text('This is a letter, not an image. ' * 20)


@case('holds one slice')
def lonely_slice(root):
    for path, _ in slices(root)[1:]:
        path.unlink()


@case('holds no DICOM slice')
def empty_folder(root):
    for path, _ in slices(root):
        path.unlink()


@case()
def no_preamble(root):
    for path, _ in slices(root):
        path.write_bytes(path.read_bytes()[132:])


@case()
def no_preamble_and_no_meta_header(root):
    for path, one in slices(root):
        pydicom.dcmwrite(path, pydicom.Dataset(one), implicit_vr=True, little_endian=True)


@case()
def dose_report_beside(root):
    _, one = slices(root)[0]
    one.SOPInstanceUID, one.SOPClassUID, one.SeriesInstanceUID = generate_uid(), SCREEN, generate_uid()
    one.ImageType = ['DERIVED', 'SECONDARY', 'SCREEN SAVE']
    del one.ImagePositionPatient, one.ImageOrientationPatient, one.RescaleSlope
    one.save_as(root / 'b/ct/DoseReport.dcm')


@case('lacks ImagePositionPatient: export the original series')
def screen_saves_alone(root):
    for path, one in slices(root):
        one.SOPClassUID = SCREEN
        del one.ImagePositionPatient
        one.save_as(path)


@case('is compressed as High-Throughput JPEG 2000 .*, for which no decoder is here')
def compressed_without_a_decoder(root):
    for path, one in slices(root):
        one.compress(pydicom.uid.RLELossless)
        one.file_meta.TransferSyntaxUID = '1.2.840.10008.1.2.4.201'
        one.save_as(path)


@case()
def compressed_run_length(root):
    for path, one in slices(root):
        one.compress(pydicom.uid.RLELossless)
        one.save_as(path)


@case()
def compressed_jpeg_2000(root):
    for path, one in slices(root):
        writer = sitk.ImageFileWriter()
        writer.UseCompressionOn()
        writer.SetCompressor('JPEG2000')
        writer.SetFileName(str(path))
        writer.Execute(sitk.GetImageFromArray(one.pixel_array[None]))
        new = pydicom.dcmread(path)
        one.PixelData, one.file_meta.TransferSyntaxUID = new.PixelData, new.file_meta.TransferSyntaxUID
        one['PixelData'].is_undefined_length = True
        one.save_as(path)
    assert one.file_meta.TransferSyntaxUID.is_compressed


@case()
def compressed_monochrome1(root):
    for path, one in slices(root):
        one.PhotometricInterpretation = 'MONOCHROME1'
        one.compress(pydicom.uid.RLELossless)
        one.save_as(path)


@case('Mask "volumes/a.seg.nrrd" is neither NIfTI nor DICOM SEG: save the segmentation as a label map')
def mask_of_3d_slicer(root):
    (root / 'volumes/a.seg.nrrd').write_bytes(b'NRRD0004\ntype: unsigned char\n' + bytes(200))
    table(root, TABLE.replace('a_mask.nii.gz', 'a.seg.nrrd'))


@case('Mask "volumes/a.png" is neither NIfTI nor DICOM SEG')
def picture_as_mask(root):
    image = sitk.GetImageFromArray(np.zeros((40, 40), np.uint8))
    sitk.WriteImage(image, str(root / 'volumes/a.png'))
    table(root, TABLE.replace('a_mask.nii.gz', 'a.png'))


@case('"b/ct/IM0001.dcm" is one DICOM file, and a volume is a folder')
def one_file_as_volume(root):
    table(root, TABLE.replace('b/ct', 'b/ct/IM0001.dcm'))


@case('"volumes/a.nii.gz" is not compressed, against its ending: rename it to "a.nii"')
def plain_nifti_with_the_ending_of_gzip(root):
    path = root / 'volumes/a.nii.gz'
    path.write_bytes(gzip.decompress(path.read_bytes()))


@case('"volumes/a.nii" is compressed, against its ending: rename it to "a.nii.gz"')
def gzip_with_the_ending_of_plain_nifti(root):
    (root / 'volumes/a.nii.gz').rename(root / 'volumes/a.nii')
    table(root, TABLE.replace('a.nii.gz', 'a.nii'))


@case(r'states two sizes of its voxels, 1 x 1 x 3 \(sform\) and 0.8 x 0.8 x 3 \(pixdim\)')
def sform_and_pixdim_that_disagree(root):
    image = nibabel.load(root / 'volumes/a.nii.gz')
    voxels = np.asarray(image.dataobj)
    other = nibabel.Nifti1Image(voxels, image.affine)
    other.set_sform(image.affine @ np.diag([1.25, 1.25, 1, 1]), 'scanner')
    other.set_qform(image.affine, 'scanner')
    nibabel.save(other, root / 'volumes/a.nii.gz')


@case()
def pixdim_that_is_rounded(root):
    image = nibabel.load(root / 'volumes/a.nii.gz')
    image.header['pixdim'][1:4] *= 1.004
    raw = bytearray(gzip.decompress((root / 'volumes/a.nii.gz').read_bytes()))
    raw[80:92] = image.header['pixdim'][1:4].tobytes()
    (root / 'volumes/a.nii.gz').write_bytes(gzip.compress(bytes(raw)))


@case('"b/pipe.nii.gz", which is neither a file nor a folder')
def pipe_as_volume(root):
    os.mkfifo(root / 'b/pipe.nii.gz')
    table(root, TABLE.replace('b/ct', 'b/pipe.nii.gz'))


@case('drawn on another series')
def seg_of_another_phase(root):
    edit(root, SeriesInstanceUID=generate_uid())


@case('type FRACTIONAL, or compressed: save it as BINARY')
def seg_of_probabilities(root):
    seg(root, place(at=(3, 17, 22), seed=1)[1] * 0.9, 'FRACTIONAL')


@case('type LABELMAP, or compressed')
def seg_as_label_map(root):
    seg(root, place(at=(3, 17, 22), seed=1)[1], 'LABELMAP')


@case()
def seg_without_spacing_between_slices(root):
    seg(root, place(at=(3, 17, 22), seed=1)[1])


@case()
def positions_rounded_to_a_tenth(root):
    rng = np.random.default_rng(0)
    edit(
        root,
        ImagePositionPatient=lambda one: [
            0,
            0,
            float(one.ImagePositionPatient[2]) + float(rng.choice([-0.05, 0, 0.05])),
        ],
    )
    seg(root, place(at=(3, 17, 22), seed=1)[1])


@case('values in MGML, not Hounsfield')
def iodine_map(root):
    edit(root, RescaleType='MGML')


@case('gray levels from 0 to 1.., not Hounsfield')
def windowed_dicom(root):
    for path, one in slices(root):
        one.PixelData = np.clip(one.pixel_array.astype(int) - 1004, 0, 255).astype('<u2').tobytes()
        one.RescaleIntercept = 0
        one.save_as(path)


@case()
def padding_beyond_the_field(root):
    """Unsigned 63536 is a signed -2000: far from the lesion, no metal of 32767 HU."""
    for path, one in slices(root):
        pixels = one.pixel_array.copy()
        pixels[:1] = 63536
        one.PixelData = pixels.tobytes()
        one.add_new('PixelPaddingValue', 'US', 63536)
        one.save_as(path)
    assert read_volume(root / 'b/ct', 'b').hu[:, 0].max() == -1024


@case('drawn on another frame of reference')
def seg_of_another_series(root):
    edit(root, FrameOfReferenceUID=generate_uid())


@case('no segment 2')
def missing_segment(root):
    table(root, TABLE.replace('seg.dcm,1', 'seg.dcm,2'))


@case('modality RTSTRUCT: convert')
def contours_instead_of_seg(root):
    one = pydicom.dcmread(root / 'b/seg.dcm')
    one.Modality = 'RTSTRUCT'
    one.save_as(root / 'b/seg.dcm')


@case('"b/seg.dcm" does not lie on the grid')
def seg_off_the_grid(root):
    edit(root, ImagePositionPatient=lambda one: [0.3, 0, float(one.ImagePositionPatient[2])])


@case('Mask "b/seg.dcm" cannot be read|"b/seg.dcm" cannot be read')
def truncated_seg(root):
    path = root / 'b/seg.dcm'
    path.write_bytes(path.read_bytes()[:3000])


@case('volumes/a.nii.gz" is a file of zero bytes')
def zero_byte_nifti(root):
    (root / 'volumes/a.nii.gz').write_bytes(b'')


@case('a.nii.gz" cannot be read as NIfTI')
def truncated_nifti(root):
    path = root / 'volumes/a.nii.gz'
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@case('has 4 dimensions')
def four_dimensions(root):
    nifti(root, 'a', np.stack([voxels(root)] * 2, -1))


@case()
def four_dimensions_of_one(root):
    nifti(root, 'a', voxels(root)[..., None])


@case('not numbers')
def nan_at_the_lesion(root):
    hu = voxels(root).astype(np.float32)
    hu[22, 20, 4] = np.nan
    nifti(root, 'a', hu)


@case()
def nan_far_from_the_lesion(root):
    hu = voxels(root).astype(np.float32)
    hu[:, :, 0] = np.nan
    nifti(root, 'a', hu)


@case('gray levels from 0 to 1.., not Hounsfield')
def windowed_to_bytes(root):
    nifti(root, 'a', np.clip(voxels(root) + 20, 0, 255).astype(np.uint8))


@case('gray levels from 0 to .*rescaled to HU')
def stored_values(root):
    nifti(root, 'a', (voxels(root) + 1024).clip(0))


@case('gray levels from .*, not Hounsfield')
def z_scores(root):
    nifti(root, 'a', (voxels(root) / 500).astype(np.float32))


@case('gray levels from .*, not Hounsfield')
def magnetic_resonance_as_nifti(root):
    nifti(root, 'a', abs(voxels(root)) + np.int16(300))


@case('states no geometry')
def nifti_without_geometry(root):
    for name in ('a', 'a_mask'):
        image = nibabel.Nifti1Image(voxels(root, name), None)
        image.set_sform(None, 0), image.set_qform(None, 0)
        nibabel.save(image, root / f'volumes/{name}.nii.gz')


@case('as volume and as mask')
def volume_as_its_own_mask(root):
    table(root, TABLE.replace('a_mask', 'a'))


@case('negative values')
def volume_copied_as_mask(root):
    shutil.copy(root / 'volumes/a.nii.gz', root / 'volumes/a_mask.nii.gz')


@case(r'has 2 labels \(1, 2\): give mask_label')
def organ_and_lesion_without_label(root):
    marked = voxels(root, 'a_mask')
    nifti(root, 'a_mask', np.where(marked, 2, marked + np.uint8(1)))


@case('twice with the same mask_label')
def label_in_two_spellings(root):
    table(root, TABLE + 'B,b/ct,b/seg.dcm,01,tumour\n')


@case('line 4, has no mask_label')
def label_and_none_of_one_mask(root):
    table(root, TABLE + 'B,b/ct,b/seg.dcm,,tumour\n')


@case('lines 3 and 4, have patients that differ in case, spaces or leading zeros')
def patient_in_two_spellings(root):
    table(root, TABLE.replace('\nB,', '\n007b,') + '7B,b/ct2,b/seg.dcm,1,tumour\n')
    (root / 'b/ct2').mkdir()


@case('2 columns "class"')
def column_twice(root):
    table(root, TABLE.replace(',class', ',class,Class '))


@case('line 2, has more fields than the header')
def comma_in_a_field(root):
    table(root, TABLE.replace('cyst', 'cyst,of the left lobe'))


@case('not a readable table')
def quote_that_is_never_closed(root):
    table(root, TABLE.replace('\nA,', '\nA,"'))


@case('line 5, has no patient')
def lines_are_counted_as_an_editor_does(root):
    table(root, TABLE.replace('\nB,', '\n\n,,,,\n,'))


@case('which does not exist')
def name_that_no_disk_takes(root):
    table(root, TABLE.replace('volumes/a.nii.gz', 'x' * 300))


@case('put the names into quotes', classes=[False, True])
def classes_that_yaml_reads_as_booleans(root):
    table(root, TABLE.replace('cyst', 'no').replace('tumour', 'yes'))


@case('one value only')
def empty_volume(root):
    nifti(root, 'a', np.zeros((40, 40, 8), np.int16))


@case('not at right angles')
def sheared_axes(root):
    affine = np.diag([-0.8, -0.8, 3.0, 1])
    affine[1, 2] = 0.9
    image = nibabel.Nifti1Image(voxels(root), affine)
    image.set_qform(None, code=0)
    nibabel.save(image, root / 'volumes/a.nii.gz')


@case('a_mask.nii.gz" is 40 x 40 x 7 voxels but volume')
def mask_of_another_shape(root):
    nifti(root, 'a_mask', voxels(root, 'a_mask')[..., :7])


@case('another frame than volume "volumes/a.nii.gz" .corners up to 10.0 mm')
def mask_of_another_frame(root):
    affine = nibabel.load(root / 'volumes/a.nii.gz').affine.copy()
    affine[0, 3] += 10
    nifti(root, 'a_mask', voxels(root, 'a_mask'), affine)


@case()
def mask_with_flipped_axes(root):
    image = nibabel.load(root / 'volumes/a_mask.nii.gz')
    flipped = image.as_reoriented([[0, -1], [1, 1], [2, -1]])
    nibabel.save(flipped, root / 'volumes/b_mask.nii.gz')
    assert not np.array_equal(voxels(root, 'a_mask'), voxels(root, 'b_mask'))
    table(root, TABLE.replace('a_mask', 'b_mask'))


@case('a_mask.nii.gz" is empty')
def empty_mask(root):
    nifti(root, 'a_mask', np.zeros((40, 40, 8), np.uint8))


@case('holds fractions')
def probabilities_as_mask(root):
    nifti(root, 'a_mask', voxels(root, 'a_mask').astype(np.float32) * 0.7)


@case(r'has no label 5 \(it has 0, 1\)')
def label_that_is_not_there(root):
    table(root, TABLE.replace('a_mask.nii.gz,', 'a_mask.nii.gz,5'))


@case('neither NIfTI')
def picture_as_volume(root):
    (root / 'volumes/a.png').write_bytes(b'x')
    table(root, TABLE.replace('a.nii.gz', 'a.png'))


@case()
def table_of_a_spreadsheet(root):
    table(
        root,
        TABLE.replace(',', ';').replace('\n', '\r\n').replace('class', ' Class ') + ';;;;\r\n',
        'utf-8-sig',
    )


@case('no column "mask"')
def missing_column(root):
    table(root, TABLE.replace(',mask,', ',segmentation,'))


@case('not a readable table')
def table_in_latin_1(root):
    table(root, TABLE.replace('tumour', 'métastase'), 'latin-1')


@case('lists no lesions')
def table_without_rows(root):
    table(root, TABLE.splitlines()[0] + '\n')


@case('unknown class "tumour" .did you mean "tumor"', classes=['cyst', 'tumor'])
def unknown_class(root):
    pass


@case('The table has the classes "Cyst" and "cyst", which differ in case')
def class_in_two_spellings(root):
    table(root, TABLE.replace('tumour', 'Cyst'))


@case('one class only')
def one_class(root):
    table(root, TABLE.replace('tumour', 'cyst'))


@case('line 3, has no patient')
def row_without_patient(root):
    table(root, TABLE.replace('\nB,', '\n,'))


@case('leaves the data folder')
def path_out_of_the_folder(root):
    table(root, TABLE.replace('b/ct', '../b/ct'))


@case('leaves the data folder')
def path_of_a_windows_drive(root):
    table(root, TABLE.replace('b/ct', 'C:\\b\\ct'))


@case('"volumes/x.nii.gz", which does not exist')
def file_that_is_not_there(root):
    table(root, TABLE.replace('a.nii.gz', 'x.nii.gz'))


@case('twice with the same mask_label')
def row_listed_twice(root):
    table(root, TABLE + TABLE.splitlines()[1] + '\n')


@case('to 2 patients')
def volume_of_two_patients(root):
    table(root, TABLE + 'C,b/ct,volumes/a_mask.nii.gz,,cyst\n')


@case('mask_label "left"')
def label_in_words(root):
    table(root, TABLE.replace('a_mask.nii.gz,', 'a_mask.nii.gz,left'))


@case()
def path_with_spaces_and_accents(root):
    (root / 'volumes').rename(root / 'Läsionen Größe 3 中')
    (root / 'b').rename(root / 'patiënt № 2')
    table(root, TABLE.replace('volumes', 'Läsionen Größe 3 中').replace('b/', 'patiënt № 2/'))


@pytest.mark.parametrize('name', CASES)
def test_what_hospitals_send(root, original, name, capfd):
    spoil, says, options = CASES[name]
    spoil(root)
    if says:
        with pytest.raises(StudyError, match=says) as caught:
            read(root, **options)
        said = str(caught.value)
        assert '\n' not in said and len(said) < 330 and ': ' in said and str(root) not in said
    else:
        cohort = read(root, **options)
        assert np.array_equal(cohort.images, read(original).images)
    logged = capfd.readouterr().err.splitlines()
    assert all(line.startswith(f'{MARK} fault: ') for line in logged) and len(logged) <= bool(says)


def test_a_crop_within_the_organ_is_read(root):
    """No fat, no air: liver of 100 HU with noise of 12 and a lesion of 60 are still Hounsfield units."""
    hu, marked = place()
    inner = np.random.default_rng(0).normal(np.where(marked, 60, 110), 12).clip(1).astype(np.int16)
    write_ct._save_nifti(root, 'a', inner, marked, (3.0, 0.8, 0.8))
    assert inner.min() >= 0 and len(read(root)) == 2


def test_classes_may_be_numbers(root):
    table(root, TABLE.replace('cyst', '1').replace('tumour', '0'))
    assert read(root, classes=[1, 0]).class_names == ('1', '0')


@pytest.mark.parametrize(
    'distance, digits', [(0.625, 1), (0.7, 1), (0.75, 2), (1.25, 1), (1.25, 2), (2.5, 3)]
)
@pytest.mark.parametrize('kept', [slice(None), [12], [10, 13]])
def test_segmentations_of_rounded_positions(root, distance, digits, kept):
    """Positions with one decimal, frames only where something is marked: each frame goes to its own slice."""
    shutil.rmtree(root / 'b')
    hu, marked = place((24, 41, 43), at=(12, 17, 22), seed=1)  # frames that begin within a byte
    write_ct._save_dicom(root, 'b', hu, marked, (distance, 0.8, 0.8), {})
    edit(
        root,
        ImagePositionPatient=lambda one: [0, 0, round(float(one.ImagePositionPatient[2]) - 313.125, digits)],
    )
    some = np.zeros_like(marked)
    some[kept] = marked[12]
    seg(root, some)
    scan = read_volume(root / 'b/ct', 'b')
    assert np.array_equal(read_mask(root / 'b/seg.dcm', 1, scan, 'seg', 'b'), some > 0)


def test_every_fault_is_logged_before_the_run_stops(root, capsys):
    (root / 'b/ct/IM0003.dcm').write_bytes(b'')
    (root / 'volumes/a.nii.gz').write_bytes(b'')
    with pytest.raises(StudyError, match='the first of 2 faults'):
        read(root)
    assert capsys.readouterr().err.count('fault: ') == 2


def test_burnt_in_text_is_mentioned(root):
    edit(root, slice(0, 1), BurnedInAnnotation='YES')
    cohort, notes = load(root)
    rows = {check: row for check, *row in notes}
    assert rows['images of scans with burnt-in text'][:3] == [1, 2, 'look'] and len(cohort) == 2


def test_libraries_that_are_not_there(root, monkeypatch):
    monkeypatch.setitem(sys.modules, 'SimpleITK', None)
    with pytest.raises(StudyError, match=r'pip install genmix\[ct\]'):
        read(root)
    unwanted = '("SimpleITK", "pydicom", "highdicom", "medmnist")'
    code = f'import genmix.data.build, sys; sys.exit(any(m in sys.modules for m in {unwanted}))'
    env = os.environ | {'PYTHONPATH': str(ROOT)}
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, env=env).returncode == 0


# ---- lesions


def test_components_labels_and_slices(root):
    """Two balls with label 1 and one with label 2: three lesions, of the classes of their rows.

    A speckle is left out.
    """
    (hu, one), (_, two), (_, three) = (
        place((20, 40, 40), (4, 14, 14)),
        place((20, 40, 40), (15, 26, 26)),
        place((20, 40, 40), (10, 14, 26)),
    )
    marked = one + two + 2 * three
    marked[0, 38, 2] = 1
    write_ct._save_nifti(root, 'a', hu, marked, (3.0, 0.8, 0.8))
    table(
        root,
        TABLE.replace(
            'mask.nii.gz,,cyst\n', 'mask.nii.gz,1,cyst\nA,volumes/a.nii.gz,volumes/a_mask.nii.gz,2,tumour\n'
        ),
    )
    cohort, notes = load(root)
    assert (
        cohort.manifest['class'].tolist() == ['cyst', 'cyst', 'tumour', 'tumour']
        and len(set(cohort.patients)) == 2
    )
    assert [n[1] for n in notes if n[0].startswith('components')] == [1]
    thick = load(root, slices_per_lesion=3)[0]
    assert len(thick) == 12 and thick.ids[0].endswith('L001-S1') and len(set(thick.ids)) == 12
    assert np.array_equal(thick.images[::3], cohort.images)


def test_field_of_view(root):
    wide, tight = (load(root, fov_times=t, margin_mm=m)[0] for t, m in ((4.0, 0.0), (1.0, 10.0)))
    size = tight.extra.diameter_mm
    np.testing.assert_allclose(wide.extra.pixel_mm * 32, 4 * size, atol=0.02)
    np.testing.assert_allclose(tight.extra.pixel_mm * 32, size + 20, atol=0.02)
    assert wide.extra.cut.all() and set(size.between(11, 14)) == {True}


def test_sagittal_storage_is_turned_to_axial(root):
    before = read(root)
    image = nibabel.load(root / 'volumes/a.nii.gz'), nibabel.load(root / 'volumes/a_mask.nii.gz')
    for one, name in zip(image, ('a', 'a_mask')):
        turned = one.as_reoriented(nibabel.orientations.axcodes2ornt(('A', 'S', 'L')))
        voxels = np.ascontiguousarray(turned.dataobj)
        nibabel.save(nibabel.Nifti1Image(voxels, turned.affine), root / f'volumes/{name}.nii.gz')
    assert voxels.shape != (40, 40, 8) and np.array_equal(read(root).images, before.images)


# ---- resuming


def test_a_reading_goes_on_where_it_was(root, tmp_path, monkeypatch):
    (root / 'b/ct/IM0003.dcm').rename(root / 'kept')
    (root / 'b/ct/IM0003.dcm').write_bytes(b'')
    with pytest.raises(StudyError):
        read(root, cache=tmp_path / 'cache')
    assert len(list((tmp_path / 'cache').glob('*.npz'))) == 1
    (root / 'kept').rename(root / 'b/ct/IM0003.dcm')
    seen = []
    monkeypatch.setattr(
        patches, 'read_volume', lambda path, name: seen.append(name) or read_volume(path, name)
    )
    whole = read(root, cache=tmp_path / 'cache')
    again = read(root, cache=tmp_path / 'cache')
    assert (
        seen == ['b/ct']
        and np.array_equal(again.images, whole.images)
        and again.manifest.equals(whole.manifest)
    )
    read(root, cache=tmp_path / 'cache', window=(40.0, 400.0))
    assert len(seen) == 3
    kept = sorted((tmp_path / 'cache').glob('*.npz'))
    assert len(kept) == 2  # what the finished reading does not use is gone
    kept[0].write_bytes(b'')
    wide = read(root, cache=tmp_path / 'cache', window=(40.0, 400.0))
    assert len(seen) == 4 and kept[0].stat().st_size  # a damaged file is read again
    monkeypatch.setattr(patches, 'LEAST_FOV_MM', 60)
    assert not np.array_equal(read(root, cache=tmp_path / 'cache', window=(40.0, 400.0)).images, wide.images)


def test_a_process_that_is_ended(root, monkeypatch):
    import joblib

    def ended(*_, **__):
        raise joblib.externals.loky.process_executor.TerminatedWorkerError(
            'exit codes of the workers are {SIGKILL(-9)}'
        )
        yield

    monkeypatch.setattr(joblib, 'Parallel', lambda *_, **__: ended)
    with pytest.raises(StudyError, match='ended from outside'):
        read(root)


def test_memory_that_runs_out(root, monkeypatch):
    monkeypatch.setattr(nibabel, 'load', lambda _: np.empty(2**60, np.uint8))
    with pytest.raises(StudyError, match='does not fit into memory'):
        read(root)


@pytest.mark.skipif(os.geteuid(), reason='only root can become somebody who may not read')
def test_what_may_not_be_read(root):
    for folder in itertools.takewhile(lambda p: p != Path(tempfile.gettempdir()), [root, *root.parents]):
        folder.chmod(0o755)
    read(root)  # whatever is imported late is imported as somebody who may
    for what, says in (
        ('b/ct', '"b/ct" or its mask may not be read'),
        ('b', 'The folder of "ct" may not be read'),
        ('lesions.csv', '"lesions.csv" may not be read'),
        ('volumes/a.nii.gz', '"volumes/a.nii.gz" may not be read'),
    ):
        mode = (root / what).stat().st_mode
        (root / what).chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(StudyError, match=says):
                read(root)
        finally:
            os.seteuid(0)
            (root / what).chmod(mode)


# ---- geometry


def test_coronal_series_and_tilted_ones(root):
    """The thickness of coronal slices is not that of ours; slices far from axial are read and counted."""
    for path, one in slices(root):
        one.ImageOrientationPatient, one.ImagePositionPatient = (
            [1, 0, 0, 0, 0, -1],
            [0, one.ImagePositionPatient[2], 0],
        )
        one.save_as(path)
    scan = read_volume(root / 'b/ct', 'b')
    assert scan.slice_mm == pytest.approx(0.8) and scan.tilt == pytest.approx(0, abs=1e-3)
    turned, angle = np.eye(4), np.deg2rad(40)
    turned[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    for name in ('a', 'a_mask'):
        nifti(root, name, voxels(root, name), turned @ np.diag([-0.8, -0.8, 3.0, 1]))
    assert read_volume(root / 'volumes/a.nii.gz', 'a').tilt == pytest.approx(40)
    table(root, TABLE.replace('B,b/ct,b/seg.dcm,1', 'A,volumes/c.nii.gz,volumes/c_mask.nii.gz,1'))
    write_ct._save_nifti(root, 'c', *place(), (3.0, 0.8, 0.8))
    assert [n[1:4] for n in load(root)[1] if 'tilted' in n[0]] == [(1, 2, 'look')]


def test_scaled_nifti_takes_four_bytes_a_voxel(root):
    image = nibabel.load(root / 'volumes/a.nii.gz')
    hu = np.asarray(image.dataobj)
    image = nibabel.Nifti1Image((hu * 2 - 20).astype(np.int16), image.affine)
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, root / 'volumes/s.nii.gz')
    path = root / 'volumes/s.nii.gz'
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[112:120] = struct.pack(
        '<ff', 0.5, 10
    )  # nibabel scales what it saves: put the numbers into the header by hand
    raw[352:] = (hu * 2 - 20).astype('<i2').tobytes(order='F')
    path.write_bytes(gzip.compress(bytes(raw)))
    again = read_volume(path, 's')
    assert again.hu.dtype == np.float32 and np.array_equal(
        again.hu, read_volume(root / 'volumes/a.nii.gz', 'a').hu
    )


# ---- privacy


def test_ids_hang_on_the_salt(monkeypatch, tmp_path):
    names = pseudonyms(['MRN-1', 'MRN-2', 'MRN-1'])
    assert (
        len(names) == 2
        and names == pseudonyms(['MRN-1', 'MRN-2'])
        and not any('MRN' in v for v in names.values())
    )
    monkeypatch.setenv('GENMIX_SALT', 'another salt of the tests')
    assert not set(names.values()) & set(pseudonyms(['MRN-1', 'MRN-2']).values())
    monkeypatch.delenv('GENMIX_SALT')
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    assert salt() == salt() == (tmp_path / 'genmix/salt').read_text() and len(salt()) == 32
    assert (tmp_path / 'genmix/salt').stat().st_mode & 0o077 == 0 and len(
        list((tmp_path / 'genmix').iterdir())
    ) == 1


def test_a_secret_that_is_none_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv('GENMIX_SALT', 'short')
    with pytest.raises(StudyError, match='GENMIX_SALT has 5 characters'):
        salt()
    monkeypatch.delenv('GENMIX_SALT')
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    (tmp_path / 'genmix').mkdir()
    (tmp_path / 'genmix/salt').touch()
    with pytest.raises(StudyError, match='is empty or cut short'):
        salt()
    monkeypatch.setenv('XDG_CONFIG_HOME', '/dev/null')
    with pytest.raises(StudyError, match='set GENMIX_SALT'):
        salt()


def test_real_tables_are_not_overwritten(root):
    with pytest.raises(StudyError, match='has a lesions.csv already'):
        write_ct.write(root, COUNTS, PATIENTS)
    assert (root / 'lesions.csv').read_text() == TABLE


def test_the_cohort_of_a_ct_set(study, root, monkeypatch):
    """Through make_cohort: split by patient, checked, and made again when the salt changes."""
    for i in range(3):
        write_ct._save_nifti(root, f'n{i}', *place(seed=7 + i), (3.0, 0.8, 0.8))
        write_ct._save_nifti(root, f't{i}', *place(at=(4, 22, 20), seed=17 + i), (3.0, 0.8, 0.8))
    table(
        root,
        TABLE
        + ''.join(
            f'{k}{i},volumes/{k}{i}.nii.gz,volumes/{k}{i}_mask.nii.gz,,{name}\n'
            for k, name in (('n', 'cyst'), ('t', 'tumour'))
            for i in range(3)
        ),
    )
    (root / 'lesions.csv').rename(root / 'second.csv')
    config = config_of(build.CohortConfig, '01_data', dataset='ct', image_size=32, train_fraction=1.0)
    reading = {'data_dir': str(root), 'labels_csv': 'second.csv', 'classes': [], **vars(patch_config())}
    del reading['image_size']
    cohort, splits = build.make_cohort(study, config, **reading, medmnist_size=28)
    assert len(cohort) == 8 and set(splits.fold0) == {'train', 'test'}
    assert splits.groupby('patient').fold0.nunique().max() == 1
    found, _ = build.check_tables(study)
    assert 'contrast phase, kernel and dose' in set(found.check)
    assert set(found.verdict) <= {'ok', 'look', 'fixed', 'not verified', 'fact'}
    monkeypatch.setenv('GENMIX_SALT', 'another salt of the tests')
    again, _ = build.make_cohort(study, config, **reading)
    assert not set(again.patients) & set(cohort.patients)
