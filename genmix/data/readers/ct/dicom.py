"""One DICOM file from disk: its header, and its pixels in HU.

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
    *('.txt', '.csv', '.json', '.xml', '.html', '.pdf', '.md', '.ini', '.db'),
    *('.jpg', '.jpeg', '.png', '.exe', '.inf'),
)
PIXELS = (  # what a decoder must know
    *('SOPClassUID', 'SOPInstanceUID', 'Rows', 'Columns', 'SamplesPerPixel', 'PhotometricInterpretation'),
    *('BitsAllocated', 'BitsStored', 'HighBit', 'PixelRepresentation', 'PixelData'),
)
DECODED = tuple(  # transfer syntaxes of compressed pixels that SimpleITK knows
    f'1.2.840.10008.1.2.{n}' for n in ('4.50', '4.51', '4.57', '4.70', '4.80', '4.81', '4.90', '4.91', '5')
)
AIR_HU, DENSEST_HU = -1024, 3071  # the range of 12 bits: padding beyond them is made air


def require_packages():
    """StudyError when a package of the extra `ct` is missing.  None is imported: most sets need only some."""
    for name in EXTRA:
        if find_spec(name) is None:
            raise StudyError(
                f'dataset=ct needs the package {name}: install the extra with `pip install genmix[ct]`.'
            )


@cache
def _pydicom():
    """pydicom without its warnings, which quote header values."""
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for name in ('pydicom', 'highdicom'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pydicom


@contextmanager
def no_stderr():
    """Hide warnings, and what C libraries write to the error stream of the process, with paths in it."""
    keep, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        os.dup2(keep, 2)
        os.close(keep), os.close(nowhere)


def dicom_files(folder):
    """The files in `folder` that may be DICOM by their names, sorted."""
    return sorted(
        p
        for p in folder.iterdir()
        if p.is_file() and not p.name.startswith(('.', 'DICOMDIR')) and p.suffix.lower() not in NOT_DICOM
    )


def open_dicom(path, name, tags=None):
    """A DICOM file as a pydicom data set; with `tags`, only these attributes and no pixels.

    name  how messages call it.  Raises StudyError when the file is empty, damaged or not DICOM.
    """
    if path.stat().st_size == 0:
        raise StudyError(f'"{name}" is a file of zero bytes: copy it again.')
    options = {'stop_before_pixels': True, 'specific_tags': list(tags)} if tags else {}
    try:
        header = _pydicom().dcmread(path, force=True, **options)
        known = 'SOPClassUID' in header or 'Modality' in header
    except Exception as error:  # pydicom raises errors of many types for a damaged file
        raise StudyError(
            f'"{name}" cannot be read as DICOM ({type(error).__name__}): copy or export it again.'
        ) from None
    if not known:
        raise StudyError(f'"{name}" is not a DICOM file: move it out of the folder, or copy it again.')
    return header


def is_dicom(path):
    """Whether a file has the mark of DICOM, or can be read as DICOM without it."""
    with open(path, 'rb') as file:
        if file.read(132)[128:] == b'DICM':
            return True
    try:
        return bool(open_dicom(path, path.name, ('Modality', 'SOPClassUID')))
    except StudyError:
        return False


def slice_hu(path, name, header):
    """The pixels (row, column) of one slice in HU, padding as air.

    MONOCHROME1 only inverts the display: HU come from the rescale alone.
    Raises StudyError when the pixels cannot be decoded.
    """
    try:
        full, implicit = open_dicom(path, name), _pydicom().uid.ImplicitVRLittleEndian
        syntax = full.file_meta.setdefault('TransferSyntaxUID', implicit)  # old files state none
        if syntax.value.is_encapsulated and syntax.value not in DECODED:
            raise StudyError(
                f'"{name}" is compressed as {syntax.value.name[:64]}, for which no decoder is here: '
                'export it uncompressed, or decompress it first (`gdcmconv --raw`, dcm2niix).'
            )
        slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
        stored = _decompressed(full) if syntax.value.is_compressed else full.pixel_array
        hu = stored * slope + intercept
        if isinstance(
            padding := full.get('PixelPaddingValue'), int
        ):  # signed or not, whatever the pixels are
            padded = (stored.astype(np.int32) ^ padding) & 0xFFFF == 0
            hu[padded & ((hu < AIR_HU) | (hu > DENSEST_HU))] = AIR_HU
    except (StudyError, MemoryError):
        raise
    except Exception:  # pydicom and GDCM raise errors of many types for a damaged file
        raise StudyError(
            f'"{name}" has pixels that cannot be read (damaged or cut short): copy or export it again.'
        ) from None
    return hu


def _decompressed(full):
    """Stored values (row, column) of a compressed slice, float32.

    SimpleITK decodes what hospitals send, but inverts MONOCHROME1 and rescales by itself: it gets a copy with
    neither of these attributes, nor any about the patient.
    """
    import SimpleITK as sitk

    copy = _pydicom().Dataset()
    for tag in PIXELS:
        copy[tag] = full[tag]
    if copy.PhotometricInterpretation == 'MONOCHROME1':
        copy['PhotometricInterpretation'] = _pydicom().DataElement(0x00280004, 'CS', 'MONOCHROME2')
    copy.file_meta = full.file_meta
    with TemporaryDirectory() as folder:
        copy.save_as(Path(folder) / 'slice.dcm', enforce_file_format=True)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(Path(folder) / 'slice.dcm'), sitk.sitkFloat32))[0]
