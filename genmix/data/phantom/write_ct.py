"""The phantoms as a hospital would send them: CT volumes with contoured lesions, and the table that goes with them.

    python -m genmix.data.ct_write data/phantom_ct --lesions 60 20 40 --patients 60          (--format dicom)

For trying `dataset=ct` without patients' data, and for testing the reader against lesions that are known.
"""

import argparse
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.phantom import plan
from genmix.data.phantom import render as render_module
from genmix.data.readers.ct import dicom

FORMATS = ('nifti', 'dicom')
PLANE = 128  # pixels a side of a slice
LEAST_PIXEL_MM = 0.7  # usual for an abdomen of 360 mm in 512 pixels
FIELD_SHARE = 0.65  # of the slice that the field of the largest lesion may take
AIR_HU = -1000
GAP_MM = 8  # liver between lesions that lie above each other, and beyond the outermost
INTERCEPT = -1024  # of the DICOM files


def write(
    folder,
    counts=(60, 20, 40),
    n_patients=None,
    format='nifti',
    seed=0,
    slices=None,
    jobs=None,
    **identifiers,
):
    """Write the phantoms of population `dev` into `folder`: one volume and one mask a patient, and lesions.csv.

    counts, n_patients, seed   as of phantom.plan;  slices  of every volume (more where lesions need them); None: as few as fit
    identifiers                DICOM attributes of every slice and mask, such as PatientName='...': to test what becomes of them
    Returns one row a lesion: patient, volume, class, z, y, x (voxel of its planned centre), diameter_mm, hu (mean within a quarter of the
    diameter of its centre, without grain).

    A lesion's middle slice is what ctscan paints for its plan; other slices show it shrunk as a ball would be.  Masks hold
    1 + the class index, where the lesion covers half of a voxel or more.  Raises StudyError for an unknown format and
    a folder that has a lesions.csv.
    """
    if format not in FORMATS:
        raise StudyError(f'format is "{format}": choose one of {", ".join(FORMATS)}.')
    from joblib import Parallel, delayed

    dicom.installed()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / 'lesions.csv').exists():  # it may be that of real patients
        raise StudyError(f'"{folder}" has a lesions.csv already: name a new folder, or remove the old set.')
    lesions = plan.plan('dev', counts, n_patients, seed)
    save = {
        'nifti': partial(_save_nifti, folder),
        'dicom': partial(_save_dicom, folder, identifiers=identifiers),
    }[format]
    patients = list(lesions.groupby('patient'))
    truth = Parallel(jobs or -1)(
        delayed(_write_one)(save, name, own, slices, [seed, i]) for i, (name, own) in enumerate(patients)
    )
    truth = pd.concat(truth, ignore_index=True)
    table = truth.drop_duplicates(['volume', 'mask_label'])[
        ['patient', 'volume', 'mask', 'mask_label', 'class']
    ]
    table.to_csv(folder / 'lesions.csv', index=False)
    return truth


def _write_one(save, patient, lesions, slices, seed):
    hu, marked, pixel_mm, truth = render(lesions.reset_index(drop=True), slices, seed)
    volume, mask = save(
        patient, np.rint(hu).astype(np.int16), marked, (lesions.slice_mm.iloc[0], pixel_mm, pixel_mm)
    )
    return truth.assign(patient=patient, volume=volume, mask=mask)


# ---- one volume


def render(lesions, slices=None, seed=0):
    """A patient's lesions above each other in one liver: (hu (z, y, x), mask uint8, pixel_mm, one row a lesion).

    lesions  rows of phantom.plan of one patient;  seed  int or list of ints
    """
    rng = np.random.default_rng(seed)
    first, slice_mm = lesions.iloc[0], lesions.slice_mm.iloc[0]
    pixel_mm = max(LEAST_PIXEL_MM, lesions.fov_mm.max() / (FIELD_SHARE * PLANE))
    reach = np.ceil((lesions.diameter_mm / 2 + GAP_MM) / slice_mm).astype(
        int
    )  # slices above and below each middle
    middle = (2 * reach).cumsum() - reach
    depth = max(2 * reach.sum() + 1, slices or 0)
    middle += (depth - 2 * reach.sum() - 1) // 2
    scanner = {
        name: np.full((1, 1, 1), first[name]) for name in ('fwhm_mm', 'noise_hu', 'streak', 'streak_angle')
    }
    pixel = np.full((1, 1, 1), pixel_mm)
    axis = (np.arange(PLANE) - (PLANE - 1) / 2) * pixel
    scene = np.repeat(render_module._liver(_parameters(first), axis, axis.swapaxes(1, 2), rng), depth, 0)
    marked, rows = np.zeros(scene.shape, np.uint8), []
    for i, lesion in lesions.iterrows():
        rows.append(_paint(scene, marked, lesion, middle[i], reach[i], axis, pixel, rng))
    body = np.hypot(axis, 0.9 * axis.swapaxes(1, 2)) < 0.6 * PLANE * pixel_mm  # air in the corners
    hu = np.where(body, scene, AIR_HU)
    for z in range(depth):
        hu[z : z + 1] = render_module.blurred(hu[z : z + 1], pixel, scanner['fwhm_mm']) + render_module.grain(
            PLANE, pixel, rng, **scanner
        )
    return hu + first.offset_hu, marked, pixel_mm, pd.DataFrame(rows)


def _parameters(lesion):
    p = SimpleNamespace(**{name: np.full((1, 1, 1), value) for name, value in lesion.items()})
    p.radius = p.diameter_mm / 2
    return p


def _paint(scene, marked, lesion, middle, reach, axis, pixel, rng):
    """Paint one lesion into the slices around `middle` of scene and mask, both in place; its row of the truth."""
    p, pixel_mm = _parameters(lesion), pixel.item()
    away = rng.uniform(-0.05, 0.05, 2) * PLANE * pixel_mm  # off the middle of the slice, mm
    shape = int(rng.integers(2**31))  # the same stream for every slice: the same lesion
    x, y = axis - away[1], axis.swapaxes(1, 2) - away[0]
    for z in range(middle - reach, middle + reach + 1):
        shrunk = 1 - ((z - middle) * lesion.slice_mm / p.radius.item()) ** 2
        if shrunk <= 0.01:
            continue
        at = x / np.sqrt(shrunk), y / np.sqrt(shrunk)

        def lesion_on(hu):
            return render_module._lesion(p, *at, hu, np.random.default_rng(shape))[0]

        through = (
            lesion_on(np.full((1, PLANE, PLANE), 1000.0)) - lesion_on(np.zeros((1, PLANE, PLANE)))
        ) / 1000  # share of liver left
        scene[z] = lesion_on(scene[z : z + 1])
        marked[z][through <= 0.5] = 1 + lesion.label
    inside = marked[middle] == 1 + lesion.label
    rows, columns = np.nonzero(inside & (np.hypot(x, y)[0] < 0.75 * lesion.diameter_mm))
    near = np.hypot(rows - rows.mean(), columns - columns.mean()) * pixel_mm < 0.25 * lesion.diameter_mm
    seen = render_module.blurred(scene[middle : middle + 1], pixel, p.fwhm_mm)[0] + lesion.offset_hu
    return {
        'class': plan.CLASS_NAMES[lesion.label],
        'mask_label': 1 + lesion.label,
        'z': middle,
        'y': (PLANE - 1) / 2 + away[0] / pixel_mm,
        'x': (PLANE - 1) / 2 + away[1] / pixel_mm,
        'diameter_mm': lesion.diameter_mm,
        'hu': seen[rows[near], columns[near]].mean(),
    }


# ---- files


def _save_nifti(folder, patient, hu, marked, spacing):
    import SimpleITK as sitk

    (folder / 'volumes').mkdir(exist_ok=True)
    names = f'volumes/{patient}.nii.gz', f'volumes/{patient}_mask.nii.gz'
    for name, voxels in zip(names, (hu, marked)):
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing(tuple(map(float, spacing[::-1])))
        sitk.WriteImage(image, str(folder / name), useCompression=True, compressionLevel=1)
    return names


def _save_dicom(folder, patient, hu, marked, spacing, identifiers):
    """A series of CT slices, and a SEG with a segment for each class that the patient has."""
    import highdicom as hd
    from pydicom.uid import generate_uid

    names = f'{patient}/ct', f'{patient}/seg.dcm'
    (folder / names[0]).mkdir(parents=True, exist_ok=True)
    uids = {name: generate_uid() for name in ('StudyInstanceUID', 'SeriesInstanceUID', 'FrameOfReferenceUID')}
    slices = [_slice(patient, z, plane, spacing, uids, identifiers) for z, plane in enumerate(hu)]
    for i, one in enumerate(np.random.default_rng(len(hu)).permutation(len(hu))):  # names tell no order
        slices[one].save_as(folder / names[0] / f'IM{i:04d}.dcm', enforce_file_format=True)
    code = hd.sr.CodedConcept('52988006', 'SCT', 'Lesion')
    labels = range(1, int(marked.max()) + 1)
    about = [
        hd.seg.SegmentDescription(
            k, plan.CLASS_NAMES[k - 1], code, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL
        )
        for k in labels
    ]
    seg = hd.seg.Segmentation(
        slices,
        np.stack([marked == k for k in labels], -1).astype(np.uint8),
        'BINARY',
        about,
        generate_uid(),
        2,
        generate_uid(),
        1,
        'GenMix study',
        'phantom',
        '1',
        '1',
    )
    seg.save_as(folder / names[1])
    return names


def _slice(patient, z, plane, spacing, uids, identifiers):
    """One axial CT slice of uint16 pixels as a pydicom data set."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    one = Dataset()
    attributes = {
        'SOPClassUID': CTImageStorage,
        'SOPInstanceUID': generate_uid(),
        **uids,
        'Modality': 'CT',
        'ImageType': ['DERIVED', 'SECONDARY', 'AXIAL'],
        'PatientID': patient,
        'PatientName': f'Phantom^{patient}',
        'PatientBirthDate': '',
        'PatientSex': '',
        'StudyDate': '',
        'StudyTime': '',
        'AccessionNumber': '',
        'StudyID': '',
        'ReferringPhysicianName': '',
        'Manufacturer': 'GenMix study',
        'PositionReferenceIndicator': '',
        'SeriesNumber': 1,
        'InstanceNumber': z + 1,
        'ImagePositionPatient': [0, 0, float(z * spacing[0])],
        'ImageOrientationPatient': [1, 0, 0, 0, 1, 0],
        'PixelSpacing': [round(float(s), 6) for s in spacing[1:]],
        'SliceThickness': float(spacing[0]),
        'Rows': plane.shape[0],
        'Columns': plane.shape[1],
        'SamplesPerPixel': 1,
        'PhotometricInterpretation': 'MONOCHROME2',
        'BitsAllocated': 16,
        'BitsStored': 16,
        'HighBit': 15,
        'PixelRepresentation': 0,
        'RescaleIntercept': INTERCEPT,
        'RescaleSlope': 1,
        'RescaleType': 'HU',
    }
    for name, value in (attributes | identifiers).items():
        setattr(one, name, value)
    one.PixelData = (plane - INTERCEPT).clip(0).astype('<u2').tobytes()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return one


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog='python -m genmix.data.ct_write', description=__doc__.splitlines()[0]
    )
    parser.add_argument('folder')
    parser.add_argument('--lesions', nargs=3, type=int, default=[60, 20, 40], metavar=tuple(plan.CLASS_NAMES))
    parser.add_argument('--patients', type=int)
    parser.add_argument('--format', choices=FORMATS, default='nifti')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    truth = write(args.folder, args.lesions, args.patients, args.format, args.seed)
    print(
        f'{len(truth)} lesions of {truth.patient.nunique()} patients: make all RUN=ct SET="dataset=ct data_dir={args.folder}"'
    )


if __name__ == '__main__':
    main()
