"""CT volumes and lesion masks from disk: DICOM series, NIfTI, DICOM SEG, each checked before a voxel is believed.

NIfTI goes through nibabel: SimpleITK reads voxels that are not numbers as 0 HU, and a file that was cut short as zeros, without a word.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genmix import StudyError
from genmix.data.readers.ct.dicom import quiet, series
from genmix.data.readers.ct.dicom_seg import TOLERANCE_MM, seg_file, segments

NIFTI = ('.nii', '.nii.gz')
MM = {'meter': 1000.0, 'micron': 0.001}  # NIfTI states its unit, or means mm
SQUARE = 0.002  # cosine between axes that still pass for a right angle
# What tells a volume that was cropped to an organ, without fat or air, from gray levels that are no HU.
LEAST_RANGE_HU = 50  # between the lowest and the highest voxel: the noise of CT alone spreads further
NOISE_HU = 10  # between the lowest voxel and the 5th percentile
TISSUE_HU = 400  # enhanced vessels; stored values (HU + 1024) and most MR reach further


@dataclass(frozen=True)
class Volume:
    """A volume in axial slices.

    hu        (z, y, x): z goes up, y to the back, x to the left (LPS); a view of what was read
    affine    (4, 4), voxel (z, y, x) to mm in patient space (LPS)
    slice_mm  thickness of a slice as the header states it, else the distance between slices
    frame, series   the DICOM frame of reference and series, '' where unknown
    tilt      degrees between its slices and axial ones
    """

    hu: np.ndarray
    affine: np.ndarray
    slice_mm: float
    frame: str = ''
    series: str = ''
    tilt: float = 0.0

    @property
    def spacing(self):
        """mm between voxels along z, y, x."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


def volume(path, name):
    """The CT volume at `path`, a NIfTI file or a folder with the DICOM files of one series, in HU (int16 or float32): a Volume.

    name  how messages call it.  Raises StudyError naming what is wrong and the mend.
    """
    path, thickness, known = Path(path), None, ()
    with quiet():
        if path.is_dir():
            hu, affine, thickness, *known = series(path, name)
            if (
                np.abs(affine[:3, 0]).argmax() != 2
            ):  # coronal or sagittal: it is the thickness of other slices than ours
                thickness = None
        else:
            hu, affine = _nifti(path, name)
        _attenuation(hu, name)
    if min(hu.shape) < 2:
        raise StudyError(
            f'"{name}" is {_shape(hu)} voxels: a volume needs two slices or more; read single images with dataset=folder.'
        )
    hu, affine = _axial(hu, affine)
    between = float(np.linalg.norm(affine[:3, 0]))
    return Volume(
        hu,
        affine,
        thickness or between,
        *known,
        tilt=float(np.degrees(np.arccos(min(affine[2, 0] / between, 1)))),
    )


def mask(path, label, like, name, volume_name):
    """bool (z, y, x) on the grid of the Volume `like`: where the mask has `label` (a number; None: the only one).

    path  NIfTI, a DICOM SEG file, or a folder with one.  Raises StudyError when it is empty, lies on another grid, or cannot be read.
    """
    path = Path(path)
    with quiet():
        nifti = path.name.lower().endswith(NIFTI) and not path.is_dir()
        marked = (
            _nifti_mask(path, label, like, name, volume_name)
            if nifti
            else segments(seg_file(path, name), label, like, name, volume_name)
        )
    if not marked.any():
        raise StudyError(f'Mask "{name}" is empty: contour the lesion, or remove its row from the table.')
    return marked


def _axial(voxels, affine):
    """The view of `voxels` in axial slices, (z, y, x), and its affine: axes turned and flipped, nothing resampled."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    turn = io_orientation(affine)
    affine = affine @ inv_ornt_aff(turn, voxels.shape)
    return apply_orientation(voxels, turn).transpose(2, 1, 0), affine[:, [2, 1, 0, 3]]


def _shape(voxels):
    return ' x '.join(map(str, voxels.shape))


# ---- NIfTI


def _nifti(path, name):
    """(voxels of three dimensions in the order of the file, affine to LPS mm)."""
    import nibabel

    if not path.name.lower().endswith(NIFTI):
        raise StudyError(
            f'"{name}" is neither NIfTI (.nii, .nii.gz) nor a folder of DICOM files: convert it or correct the table.'
        )
    if path.stat().st_size == 0:
        raise StudyError(f'"{name}" is a file of zero bytes: copy it again.')
    try:
        open(path, 'rb').close()  # nibabel calls what may not be read a strange file
        image = nibabel.load(path)
        data, codes = image.dataobj, (image.header['sform_code'], image.header['qform_code'])
        voxels = data.get_unscaled()
        if (data.slope, data.inter) != (1, 0):  # nibabel scales in float64: twice the memory
            voxels = np.multiply(voxels, np.float32(data.slope), dtype=np.float32, casting='unsafe')
            voxels += np.float32(data.inter)
    except MemoryError:
        raise
    except PermissionError:
        raise StudyError(f'"{name}" may not be read: ask for the right to, or copy it.') from None
    except Exception:  # nibabel, gzip and zlib have many names for a damaged file
        raise StudyError(
            f'"{name}" cannot be read as NIfTI (damaged or cut short): copy or export it again.'
        ) from None
    voxels = voxels.reshape(voxels.shape[:3]) if set(voxels.shape[3:]) == {1} else voxels
    if voxels.ndim != 3 or voxels.dtype.kind not in 'iuf':
        raise StudyError(
            f'"{name}" has {voxels.ndim} dimensions ({_shape(voxels)}), a series in time, phases or colours: '
            'save the one 3D volume that was contoured.'
        )
    if max(codes) <= 0:
        raise StudyError(
            f'"{name}" states no geometry (sform and qform code 0), so nobody knows its axes: convert it again from the DICOM files.'
        )
    affine = (
        np.diag([-1, -1, 1, 1]) @ image.affine
    )  # NIfTI counts to the right and the front, DICOM to the left and the back
    affine[:3] *= MM.get(image.header.get_xyzt_units()[0], 1.0)
    length = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = affine[:3, :3] / np.maximum(length, 1e-9)
    if (
        not np.isfinite(affine).all()
        or length.min() <= 0
        or np.abs(cosines.T @ cosines - np.eye(3)).max() > SQUARE
    ):
        raise StudyError(
            f'"{name}" has axes that are not at right angles (a sheared or tilted scan, or no geometry): resample it to a straight grid.'
        )
    return voxels.astype(np.float32) if voxels.dtype == np.float64 else voxels, affine


def _attenuation(hu, name):
    """StudyError where the values cannot be Hounsfield units."""
    low, high = np.nanmin(hu), np.nanmax(hu)
    if np.isnan(low) or low == high:
        raise StudyError(f'"{name}" holds one value only ({low:g}): export it again.')
    says = f'"{name}" holds gray levels from {low:g} to {high:g}, not Hounsfield units'
    if high - low < LEAST_RANGE_HU:
        raise StudyError(f'{says}: export it without scaling.')
    if (
        low >= 0
    ):  # no air, no fat: a crop within an organ, or gray levels; those pile up at the lower end, or reach beyond tissue
        darkest, brightest = np.nanpercentile(hu, [5, 95])
        if (
            hu.dtype == np.uint8
            or (low, high) == (0, 255)
            or darkest - low < NOISE_HU
            or brightest > TISSUE_HU
        ):
            raise StudyError(
                f'{says} (air is -1000): export it without windowing or scaling, rescaled to HU.'
            )


def _nifti_mask(path, label, like, name, volume_name):
    marked, affine = _axial(*_nifti(path, name))  # contouring tools flip axes, and say so in the header
    if marked.shape != like.hu.shape:
        raise StudyError(
            f'Mask "{name}" is {_shape(marked.T)} voxels but volume "{volume_name}" is {_shape(like.hu.T)}: '
            'save the mask on the grid of the volume.'
        )
    corners = np.array([[*c, 1] for c in np.ndindex(2, 2, 2)]) * [*(n - 1 for n in marked.shape), 1]
    away = np.linalg.norm((corners @ (affine - like.affine).T)[:, :3], axis=1).max()
    if away > TOLERANCE_MM:  # it would mark other tissue, silently
        raise StudyError(
            f'Mask "{name}" lies in another frame than volume "{volume_name}" (corners up to {away:.1f} mm apart): '
            'give both the same origin, spacing and orientation.'
        )
    if (
        marked.dtype.kind == 'f' and not (marked == np.rint(marked)).all()
    ):  # what is not a number is unequal to itself
        raise StudyError(
            f'Mask "{name}" holds fractions or values that are not numbers: save whole labels (0 is background).'
        )
    if marked.min() < 0:
        raise StudyError(
            f'Mask "{name}" has negative values, as a CT volume has and a mask has not: name the mask in the column "mask".'
        )
    if (
        label is None and len(found := np.unique(marked[marked != 0])) > 1
    ):  # the organ, perhaps, and the lesion
        raise StudyError(
            f'Mask "{name}" has {len(found)} labels ({", ".join(f"{v:g}" for v in found[:8])}): give mask_label, a row for each that is a lesion.'
        )
    if label is not None and not (marked == label).any():
        found = ', '.join(f'{v:g}' for v in np.unique(marked)[:8])
        raise StudyError(
            f'Mask "{name}" has no label {label} (it has {found}): correct mask_label in the table.'
        )
    return marked != 0 if label is None else marked == label
