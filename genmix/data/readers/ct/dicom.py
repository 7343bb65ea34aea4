"""One DICOM series of CT slices from disk: sorted by position, rescaled to HU, each header checked before a voxel is believed.

Nothing of a header but geometry and attenuation leaves this module, and messages name files and numbers only.
"""

import logging
import os
import warnings
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from genmix import StudyError

EXTRA = ('SimpleITK', 'pydicom', 'highdicom', 'nibabel')
NOT_DICOM = (
    '.txt',
    '.csv',
    '.json',
    '.xml',
    '.html',
    '.pdf',
    '.jpg',
    '.jpeg',
    '.png',
    '.md',
    '.ini',
    '.db',
    '.exe',
    '.inf',
)
BESIDE = ('SEG', 'RTSTRUCT', 'SR', 'PR', 'KO', 'DOC')  # what archives put next to a series; not slices
HEADER = (
    'Modality',
    'SeriesInstanceUID',
    'SOPInstanceUID',
    'ImageType',
    'ImagePositionPatient',
    'ImageOrientationPatient',
    'PixelSpacing',
    'Rows',
    'Columns',
    'SliceThickness',
    'RescaleSlope',
    'RescaleIntercept',
    'RescaleType',
    'NumberOfFrames',
    'FrameOfReferenceUID',
    'SamplesPerPixel',
)
PIXELS = (
    'SOPClassUID',
    'SOPInstanceUID',
    'Rows',
    'Columns',
    'SamplesPerPixel',
    'PhotometricInterpretation',
    'BitsAllocated',
    'BitsStored',
    'HighBit',
    'PixelRepresentation',
    'PixelData',
)  # what a decoder must know
AIR_HU, DENSEST_HU = -1024, 3071  # what 12 bits hold: padding beyond them is made air
UNITS = ('', 'HU', 'US')  # of the rescaled values; US is "unspecified", of old scanners
EVEN = 0.05  # a slice may lie off an even stack by this share of the distance between two,
ROUNDED_MM = 0.15  # or by this: some headers round positions to a tenth of a millimetre


def installed():
    """StudyError when a package of the extra `ct` is missing.  Nothing is imported: most sets need only some of them."""
    for name in EXTRA:
        if find_spec(name) is None:
            raise StudyError(
                f'dataset=ct needs the package {name}: install the extra with `pip install genmix[ct]`.'
            )


@cache
def _dicom():
    """pydicom, quiet: its warnings quote header values."""
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for name in ('pydicom', 'highdicom'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pydicom


@contextmanager
def quiet():
    """What readers write to the process's own error stream (C libraries do, with paths in it) is not shown."""
    keep, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        os.dup2(keep, 2)
        os.close(keep), os.close(nowhere)


def open_file(path, name, **options):
    """A DICOM file as a pydicom data set."""
    if path.stat().st_size == 0:
        raise StudyError(f'"{name}" is a file of zero bytes: copy it again.')
    try:
        header = _dicom().dcmread(path, force=True, **options)
        known = 'SOPClassUID' in header or 'Modality' in header
    except Exception as error:  # pydicom has many names for a damaged file
        raise StudyError(
            f'"{name}" cannot be read as DICOM ({type(error).__name__}): copy or export it again.'
        ) from None
    if not known:
        raise StudyError(f'"{name}" is not a DICOM file: move it out of the folder, or copy it again.')
    return header


def series(folder, name):
    """One DICOM series, slices in the order of their positions, rescaled to HU.

    (voxels (slice, row, column) int16 or float32, affine (4, 4) to LPS mm, slice thickness in mm or None, frame of reference, UID of the series)
    """
    slices = _slices(folder, name)
    first = slices[0][1]
    axes = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(*axes)
    slices.sort(key=lambda s: np.dot(normal, np.array(s[1].ImagePositionPatient, float)))
    positions = np.array([s[1].ImagePositionPatient for s in slices], float)
    between = _distance(positions, normal, name)
    plain = all(float(h.RescaleSlope) == 1 and float(h.RescaleIntercept) % 1 == 0 for _, h in slices)
    voxels = np.empty((len(slices), first.Rows, first.Columns), np.int16 if plain else np.float32)
    for z, (path, header) in enumerate(slices):
        voxels[z] = np.clip(_pixels(path, f'{name}/{path.name}', header), -32768, 32767)
    rows, columns = map(float, first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([between * normal, rows * axes[1], columns * axes[0]], 1)
    affine[:3, 3] = positions[0]
    thickness = first.get('SliceThickness')
    return (
        voxels,
        affine,
        float(thickness) if thickness else None,
        str(first.get('FrameOfReferenceUID', '')),
        str(first.get('SeriesInstanceUID', '')),
    )


def _slices(folder, name):
    """[(path, header)] of the one CT series in a folder, each header checked for what follows."""
    files = sorted(
        p
        for p in folder.iterdir()
        if p.is_file() and not p.name.startswith(('.', 'DICOMDIR')) and p.suffix.lower() not in NOT_DICOM
    )
    headers = [
        (p, open_file(p, f'{name}/{p.name}', stop_before_pixels=True, specific_tags=list(HEADER)))
        for p in files
    ]
    slices = [
        (p, h)
        for p, h in headers
        if h.get('Modality') not in BESIDE and 'LOCALIZER' not in (h.get('ImageType') or ())
    ]
    slices = list(
        {h.get('SOPInstanceUID', p.name): (p, h) for p, h in reversed(slices)}.values()
    )  # the same slice copied twice is one
    if not slices:
        raise StudyError(
            f'Folder "{name}" holds no DICOM slice: correct the column "volume", or copy the series into it.'
        )
    for path, h in slices:
        where = f'{name}/{path.name}'
        if h.get('Modality') != 'CT':
            raise StudyError(
                f'"{where}" is of modality {str(h.get("Modality"))[:16]}, not CT: '
                'gray levels have no Hounsfield scale there; take it out of the table.'
            )
        if h.get('NumberOfFrames') or (h.get('SamplesPerPixel') or 1) != 1:
            raise StudyError(
                f'"{where}" holds several frames or colours in one file: convert it to one file a slice or to NIfTI (dcm2niix does).'
            )
        for tag in (
            'ImagePositionPatient',
            'ImageOrientationPatient',
            'PixelSpacing',
            'Rows',
            'Columns',
            'RescaleSlope',
            'RescaleIntercept',
        ):
            if h.get(tag) in (None, ''):
                raise StudyError(f'"{where}" lacks {tag}: export the original series, with full headers.')
        if (unit := str(h.get('RescaleType') or '').strip().upper()) not in UNITS:
            raise StudyError(
                f'"{where}" has values in {unit[:16]}, not Hounsfield units (RescaleType): take the series in HU.'
            )
    _agree(slices, name)
    return slices


def _agree(slices, name):
    """StudyError when the slices are not of one series and one grid."""
    series = {h.get('SeriesInstanceUID') for _, h in slices}
    if len(series) > 1:
        raise StudyError(
            f'Folder "{name}" holds {len(series)} DICOM series: give each a folder of its own, and list the one that was contoured.'
        )
    if len(slices) < 2:
        raise StudyError(
            f'Folder "{name}" holds one slice: a volume needs the whole series; read single images with dataset=folder.'
        )
    for tag, what in (
        ('Rows', 'sizes'),
        ('Columns', 'sizes'),
        ('PixelSpacing', 'pixel spacings'),
        ('ImageOrientationPatient', 'orientations'),
    ):
        values = np.array([h[tag].value for _, h in slices], float)
        if np.ptp(values, axis=0).max() > 1e-3:
            raise StudyError(
                f'The slices of "{name}" have different {what} ({tag}): keep the files of one series.'
            )


def _distance(positions, normal, name):
    """mm between slices; StudyError where one is missing, doubled, or the stack is tilted."""
    depth = positions @ normal
    steps = np.diff(depth)
    usual = np.median(steps)

    def at(k):
        return f'between {depth[k]:.1f} and {depth[k + 1]:.1f} mm'

    if (steps < max(EVEN * usual, 1e-3)).any():
        k = int(np.argmin(steps))
        raise StudyError(
            f'"{name}" has two slices at the same position ({depth[k]:.1f} mm), as when two phases share a folder: keep one of them.'
        )
    line = np.linspace(positions[0], positions[-1], len(positions))  # where an even stack has its slices
    off, least = positions - line, min(max(ROUNDED_MM, EVEN * usual), 0.4 * usual)
    if np.abs(off @ normal).max() > least:
        k = int(np.argmax(np.abs(steps - usual)))
        missing = round(steps[k] / usual) - 1
        if missing > 0 and abs(steps[k] / usual - missing - 1) <= EVEN * (missing + 1):
            raise StudyError(f'"{name}" lacks {missing} slice(s) {at(k)}: export the whole series again.')
        raise StudyError(
            f'"{name}" has uneven distances between slices ({steps.min():.2f} to {steps.max():.2f} mm): '
            'resample it, or take the evenly spaced series.'
        )
    through = positions[-1] - positions[0]
    aside = np.linalg.norm(through - through @ normal * normal)
    if (
        aside > max(ROUNDED_MM, EVEN * (through @ normal))
        or np.linalg.norm(off - np.outer(off @ normal, normal), axis=1).max() > least
    ):
        raise StudyError(
            f'"{name}" was scanned with a tilted gantry (slices shift sideways): resample it to a straight grid (dcm2niix does).'
        )
    return float(steps.mean())


def _decompressed(full):
    """Stored values (row, column) of a compressed slice, float32.

    SimpleITK decodes what hospitals send, but turns MONOCHROME1 round and rescales by itself: it is shown a copy that says neither,
    nor whose it is.
    """
    import SimpleITK as sitk

    copy = _dicom().Dataset()
    for tag in PIXELS:
        copy[tag] = full[tag]
    if copy.PhotometricInterpretation == 'MONOCHROME1':
        copy['PhotometricInterpretation'] = _dicom().DataElement(0x00280004, 'CS', 'MONOCHROME2')
    copy.file_meta = full.file_meta
    with TemporaryDirectory() as folder:
        copy.save_as(Path(folder) / 'slice.dcm', enforce_file_format=True)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(Path(folder) / 'slice.dcm'), sitk.sitkFloat32))[0]


def _pixels(path, name, header):
    """One slice in HU, padding as air.  MONOCHROME1 only turns the display round: HU come from the rescale alone."""
    try:
        full = open_file(path, name)
        syntax = full.file_meta.setdefault(
            'TransferSyntaxUID', _dicom().uid.ImplicitVRLittleEndian
        )  # old files state none
        slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
        stored = _decompressed(full) if syntax.value.is_compressed else full.pixel_array
        hu = stored * slope + intercept
        if isinstance(
            padding := full.get('PixelPaddingValue'), int
        ):  # signed or not, whatever the pixels are
            hu[((stored.astype(np.int32) ^ padding) & 0xFFFF == 0) & ((hu < AIR_HU) | (hu > DENSEST_HU))] = (
                AIR_HU
            )
    except (StudyError, MemoryError):
        raise
    except Exception:  # pydicom and GDCM raise errors of many types for a damaged file
        raise StudyError(
            f'"{name}" has pixels that cannot be read (damaged or cut short): copy or export it again.'
        ) from None
    return hu
