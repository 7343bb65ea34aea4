"""Write the phantoms as a hospital would send them: CT volumes with contoured lesions, and their table.

    python -m genmix.data.phantom.write_ct data/phantom_ct --lesions 60 20 40 --patients 60   (--format dicom)

For trying `dataset=ct` without patients' data, and for testing the reader against lesions that are known.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.phantom.ct_volume import render_volume
from genmix.data.phantom.plan import CLASS_NAMES, plan
from genmix.data.readers.ct.dicom import require_packages

FORMATS = ('nifti', 'dicom')
INTERCEPT = -1024  # of the DICOM files
# Attributes of every DICOM slice: mandatory ones that stay empty, and constants.
EMPTY = (
    *('PatientBirthDate', 'PatientSex', 'StudyDate', 'StudyTime', 'AccessionNumber', 'StudyID'),
    *('ReferringPhysicianName', 'PositionReferenceIndicator'),
)
SLICE = {
    'Modality': 'CT',
    'ImageType': ['DERIVED', 'SECONDARY', 'AXIAL'],
    'Manufacturer': 'GenMix study',
    'SeriesNumber': 1,
    'ImageOrientationPatient': [1, 0, 0, 0, 1, 0],
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


def write(
    folder, counts=(60, 20, 40), n_patients=None, format='nifti', seed=0, slices=None, jobs=-1, tags=None
):
    """Write the phantoms of population `dev` into `folder`: one volume and mask per patient, and lesions.csv.

    counts, n_patients, seed  as of `plan.plan`
    format  one of FORMATS
    slices  of every volume, more where lesions need them; None: as few as fit
    jobs    processes, -1: one per core
    tags    {attribute: value} of every DICOM slice, such as PatientName: to test that none of it is kept

    Returns one row per lesion: patient, volume, mask, class, mask_label, z, y, x (voxel of its planned
    centre), diameter_mm, hu (mean within a quarter of the diameter of its centre, without noise).

    Raises StudyError for an unknown format, a folder that has a lesions.csv, or a package that is missing.
    """
    if format not in FORMATS:
        raise StudyError(f'format is "{format}": choose one of {", ".join(FORMATS)}.')
    from joblib import Parallel, delayed

    require_packages()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / 'lesions.csv').exists():  # it may be that of real patients
        raise StudyError(f'"{folder}" has a lesions.csv already: name a new folder, or remove the old set.')
    save = partial(_save_dicom, tags=tags or {}) if format == 'dicom' else _save_nifti
    patients = plan('dev', counts, n_patients, seed).groupby('patient')
    truth = Parallel(jobs)(
        delayed(_write_one)(partial(save, folder), name, own, slices, [seed, i])
        for i, (name, own) in enumerate(patients)
    )
    truth = pd.concat(truth, ignore_index=True)
    masks = truth.drop_duplicates(['volume', 'mask_label'])
    masks[['patient', 'volume', 'mask', 'mask_label', 'class']].to_csv(folder / 'lesions.csv', index=False)
    return truth


def _write_one(save, patient, lesions, slices, seed):
    hu, marked, pixel_mm, truth = render_volume(lesions.reset_index(drop=True), slices, seed)
    spacing = lesions.slice_mm.iloc[0], pixel_mm, pixel_mm
    volume, mask = save(patient, np.rint(hu).astype(np.int16), marked, spacing)
    return truth.assign(patient=patient, volume=volume, mask=mask)


def _save_nifti(folder, patient, hu, marked, spacing):
    import SimpleITK as sitk

    (folder / 'volumes').mkdir(exist_ok=True)
    names = f'volumes/{patient}.nii.gz', f'volumes/{patient}_mask.nii.gz'
    for name, voxels in zip(names, (hu, marked)):
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing(tuple(map(float, spacing[::-1])))
        sitk.WriteImage(image, str(folder / name), useCompression=True, compressionLevel=1)
    return names


def _save_dicom(folder, patient, hu, marked, spacing, tags):
    """A series of CT slices, and a SEG with a segment for each class that the patient has."""
    import highdicom as hd
    from pydicom.uid import generate_uid

    names = f'{patient}/ct', f'{patient}/seg.dcm'
    (folder / names[0]).mkdir(parents=True, exist_ok=True)
    uids = {name: generate_uid() for name in ('StudyInstanceUID', 'SeriesInstanceUID', 'FrameOfReferenceUID')}
    slices = [_slice(patient, z, plane, spacing, uids, tags) for z, plane in enumerate(hu)]
    for i, one in enumerate(
        np.random.default_rng(len(hu)).permutation(len(hu))
    ):  # file names do not tell the order
        slices[one].save_as(folder / names[0] / f'IM{i:04d}.dcm', enforce_file_format=True)
    code, manual = hd.sr.CodedConcept('52988006', 'SCT', 'Lesion'), hd.seg.SegmentAlgorithmTypeValues.MANUAL
    labels = range(1, int(marked.max()) + 1)
    pixels = np.stack([marked == k for k in labels], -1).astype(np.uint8)
    segments = [hd.seg.SegmentDescription(k, CLASS_NAMES[k - 1], code, code, manual) for k in labels]
    numbers = generate_uid(), 2, generate_uid(), 1  # of the series and of the file
    maker = 'GenMix study', 'phantom', '1', '1'  # manufacturer, model, software, serial number
    seg = hd.seg.Segmentation(slices, pixels, 'BINARY', segments, *numbers, *maker)
    seg.save_as(folder / names[1])
    return names


def _slice(patient, z, plane, spacing, uids, tags):
    """One axial CT slice of uint16 pixels as a pydicom data set."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    own = {
        'SOPClassUID': CTImageStorage,
        'SOPInstanceUID': generate_uid(),
        **uids,
        'PatientID': patient,
        'PatientName': f'Phantom^{patient}',
        'InstanceNumber': z + 1,
        'ImagePositionPatient': [0, 0, float(z * spacing[0])],
        'PixelSpacing': [round(float(s), 6) for s in spacing[1:]],
        'SliceThickness': float(spacing[0]),
        'Rows': plane.shape[0],
        'Columns': plane.shape[1],
    }
    one = Dataset()
    for name, value in (dict.fromkeys(EMPTY, '') | SLICE | own | tags).items():
        setattr(one, name, value)
    one.PixelData = (plane - INTERCEPT).clip(0).astype('<u2').tobytes()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return one


def main(argv=None):
    about = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog='python -m genmix.data.phantom.write_ct', description=about)
    parser.add_argument('folder')
    parser.add_argument('--lesions', nargs=3, type=int, default=[60, 20, 40], metavar=CLASS_NAMES)
    parser.add_argument('--patients', type=int)
    parser.add_argument('--format', choices=FORMATS, default='nifti')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    truth = write(args.folder, args.lesions, args.patients, args.format, args.seed)
    lesions = f'{len(truth)} lesions of {truth.patient.nunique()} patients'
    print(f'{lesions}: make all RUN=ct SET="dataset=ct data_dir={args.folder}"')


if __name__ == '__main__':
    main()
