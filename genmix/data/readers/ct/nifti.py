"""NIfTI volumes and masks from disk.

They go through nibabel: SimpleITK reads voxels that are not numbers as 0 HU, and a file that was cut short as
zeros, without a warning.
"""

import numpy as np

from genmix import StudyError
from genmix.data.readers.ct.dicom import is_dicom

ENDINGS = ('.nii', '.nii.gz')
MM = {'meter': 1000.0, 'micron': 0.001}  # NIfTI states its unit, or means mm
GZIP = b'\x1f\x8b'
SAME = 0.01  # share by which two statements of a voxel's size may differ: headers round
SQUARE = 0.002  # cosine between axes that still pass for a right angle


def is_nifti(path):
    return path.name.lower().endswith(ENDINGS) and not path.is_dir()


def read_nifti(path, name):
    """(voxels of three dimensions in the order of the file, affine (4, 4) to LPS mm).

    Integers keep their type, floats and scaled values are float32.  Raises StudyError naming what is wrong.
    """
    if not path.name.lower().endswith(ENDINGS):
        if path.stat().st_size and is_dicom(path):
            raise StudyError(
                f'"{name}" is one DICOM file, and a volume is a folder with the slices of a series: '
                'name the folder, or convert a file of many frames to NIfTI (dcm2niix does).'
            )
        raise StudyError(
            f'"{name}" is neither NIfTI (.nii, .nii.gz) nor a folder of DICOM files: '
            'convert it or correct the table.'
        )
    if path.stat().st_size == 0:
        raise StudyError(f'"{name}" is a file of zero bytes: copy it again.')
    voxels, image = _load(path, name)
    voxels = voxels.reshape(voxels.shape[:3]) if set(voxels.shape[3:]) == {1} else voxels
    if voxels.ndim != 3 or voxels.dtype.kind not in 'iuf':
        shape = ' x '.join(map(str, voxels.shape))
        raise StudyError(
            f'"{name}" has {voxels.ndim} dimensions ({shape}), a series in time, phases or colours: '
            'save the one 3D volume that was contoured.'
        )
    affine = _affine(image, name)
    return voxels.astype(np.float32) if voxels.dtype == np.float64 else voxels, affine


def _load(path, name):
    """(rescaled voxels, nibabel image)."""
    import nibabel

    try:
        with open(path, 'rb') as file:  # a file without permission is to nibabel one of an unknown kind
            compressed = file.read(2) == GZIP
        if compressed != path.name.lower().endswith('.gz'):
            right = path.stem if path.suffix.lower() == '.gz' else f'{path.name}.gz'
            is_or_not = 'is' if compressed else 'is not'
            raise StudyError(f'"{name}" {is_or_not} compressed, against its ending: rename it to "{right}".')
        image = nibabel.load(path)
        data = image.dataobj
        voxels = data.get_unscaled()
        if (data.slope, data.inter) != (1, 0):  # nibabel scales in float64: twice the memory
            voxels = np.multiply(voxels, np.float32(data.slope), dtype=np.float32, casting='unsafe')
            voxels += np.float32(data.inter)
    except (MemoryError, StudyError):
        raise
    except PermissionError:
        raise StudyError(f'"{name}" may not be read: ask for the right to, or copy it.') from None
    except Exception:  # nibabel, gzip and zlib raise errors of many types for a damaged file
        raise StudyError(
            f'"{name}" cannot be read as NIfTI (damaged or cut short): copy or export it again.'
        ) from None
    return voxels, image


def _affine(image, name):
    """(4, 4) from voxels to LPS mm; StudyError where it is missing or its axes are not at right angles."""
    if max(image.header['sform_code'], image.header['qform_code']) <= 0:
        raise StudyError(
            f'"{name}" states no geometry (sform and qform code 0), so its axes are unknown: '
            'convert it again from the DICOM files.'
        )
    _check_sizes(image, name)
    # NIfTI counts to the right and the front, DICOM to the left and the back
    affine = np.diag([-1, -1, 1, 1]) @ image.affine
    affine[:3] *= MM.get(image.header.get_xyzt_units()[0], 1.0)
    length = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = affine[:3, :3] / np.maximum(length, 1e-9)
    skew = np.abs(cosines.T @ cosines - np.eye(3)).max()
    if not np.isfinite(affine).all() or length.min() <= 0 or skew > SQUARE:
        raise StudyError(
            f'"{name}" has axes that are not at right angles (a sheared or tilted scan, or no geometry): '
            'resample it to a straight grid.'
        )
    return affine


def _check_sizes(image, name):
    """StudyError where the geometry in use (sform, else qform) and pixdim state different voxel sizes."""
    stated = np.array(image.header.get_zooms()[:3], float)
    used = np.linalg.norm(image.affine[:3, :3], axis=0)
    if np.abs(used / np.maximum(stated, 1e-9) - 1).max() > SAME:
        one, other = (' x '.join(f'{v:.3g}' for v in sizes) for sizes in (used, stated))
        raise StudyError(
            f'"{name}" states two sizes of its voxels, {one} (sform) and {other} (pixdim), '
            'so lesions in mm are unknown: convert it again from the DICOM files, or correct the wrong one.'
        )
