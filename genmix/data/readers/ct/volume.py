"""CT volumes and lesion masks from disk (DICOM, NIfTI), checked and turned to axial slices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genmix import StudyError
from genmix.data.readers.ct.dicom import no_stderr
from genmix.data.readers.ct.dicom_seg import TOLERANCE_MM, read_segment, seg_file
from genmix.data.readers.ct.dicom_series import read_series
from genmix.data.readers.ct.nifti import is_nifti, read_nifti

# What distinguishes a volume cropped to an organ, without fat or air, from gray levels that are no HU.
LEAST_RANGE_HU = 50  # between the lowest and the highest voxel: the noise of CT alone has a wider range
NOISE_HU = 10  # between the lowest voxel and the 5th percentile
TISSUE_HU = 400  # enhanced vessels; stored values (HU + 1024) and most MR reach further


@dataclass(frozen=True)
class Volume:
    """A volume in axial slices.

    hu        (z, y, x): z goes up, y to the back, x to the left (LPS); a view of what was read
    affine    (4, 4), voxel (z, y, x) to mm in patient space (LPS)
    slice_mm  thickness of a slice as the header states it, else the distance between slices
    frame, series   the DICOM frame of reference and series, '' where unknown
    burnt_in  whether a header says that text is burnt into the pixels
    tilt      degrees between its slices and axial ones
    """

    hu: np.ndarray
    affine: np.ndarray
    slice_mm: float
    frame: str = ''
    series: str = ''
    burnt_in: bool = False
    tilt: float = 0.0

    @property
    def spacing(self):
        """mm between voxels along z, y, x."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


def read_volume(path, name):
    """The CT volume at `path`, NIfTI or a folder with one DICOM series, in HU (int16 or float32): a Volume.

    name  how messages call it.  Raises StudyError naming what is wrong and the fix.
    """
    path, thickness, known = Path(path), None, ()
    with no_stderr():
        if path.is_dir():
            hu, affine, thickness, *known = read_series(path, name)
            if (
                np.abs(affine[:3, 0]).argmax() != 2
            ):  # coronal or sagittal: of other slices than the axial ones
                thickness = None
        else:
            hu, affine = read_nifti(path, name)
        _check_hounsfield(hu, name)
    if min(hu.shape) < 2:
        raise StudyError(
            f'"{name}" is {_shape(hu)} voxels: '
            'a volume needs two slices or more; read single images with dataset=folder.'
        )
    hu, affine = _axial(hu, affine)
    between = float(np.linalg.norm(affine[:3, 0]))
    tilt = float(np.degrees(np.arccos(min(affine[2, 0] / between, 1))))
    return Volume(hu, affine, thickness or between, *known, tilt=tilt)


def read_mask(path, label, like, name, volume_name):
    """bool (z, y, x) on the grid of the Volume `like`: where the mask has `label`.

    path   NIfTI, a DICOM SEG file, or a folder with one
    label  value in the mask or number of the segment; None: the only one
    name, volume_name  how messages call mask and volume

    Raises StudyError when the mask is empty, lies on another grid, or cannot be read.
    """
    path = Path(path)
    with no_stderr():
        if is_nifti(path):
            voxels, affine = _axial(*read_nifti(path, name))  # contouring tools flip axes, as the header says
            _check_grid(voxels, affine, like, name, volume_name)
            marked = _labelled(voxels, label, name)
        else:
            marked = read_segment(seg_file(path, name), label, like, name, volume_name)
    if not marked.any():
        raise StudyError(f'Mask "{name}" is empty: contour the lesion, or remove its row from the table.')
    return marked


def _axial(voxels, affine):
    """A view of `voxels` in axial slices (z, y, x), axes permuted and flipped, not resampled; its affine."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    turn = io_orientation(affine)
    affine = affine @ inv_ornt_aff(turn, voxels.shape)
    return apply_orientation(voxels, turn).transpose(2, 1, 0), affine[:, [2, 1, 0, 3]]


def _shape(voxels):
    return ' x '.join(map(str, voxels.shape))


def _check_hounsfield(hu, name):
    """StudyError where the values cannot be Hounsfield units."""
    low, high = np.nanmin(hu), np.nanmax(hu)
    if np.isnan(low) or low == high:
        raise StudyError(f'"{name}" holds one value only ({low:g}): export it again.')
    says = f'"{name}" holds gray levels from {low:g} to {high:g}, not Hounsfield units'
    if high - low < LEAST_RANGE_HU:
        raise StudyError(f'{says}: export it without scaling.')
    if low < 0:
        return
    # no air, no fat: a crop within an organ, or gray levels, which accumulate at the low end or exceed tissue
    darkest, brightest = np.nanpercentile(hu, [5, 95])
    as_bytes = hu.dtype == np.uint8 or (low, high) == (0, 255)
    if as_bytes or darkest - low < NOISE_HU or brightest > TISSUE_HU:
        raise StudyError(f'{says} (air is -1000): export it without windowing or scaling, rescaled to HU.')


def _check_grid(voxels, affine, like, name, volume_name):
    """StudyError when a mask has another shape than its volume, or lies elsewhere."""
    if voxels.shape != like.hu.shape:
        raise StudyError(
            f'Mask "{name}" is {_shape(voxels.T)} voxels but volume "{volume_name}" is {_shape(like.hu.T)}: '
            'save the mask on the grid of the volume.'
        )
    corners = np.array([[*c, 1] for c in np.ndindex(2, 2, 2)]) * [*(n - 1 for n in voxels.shape), 1]
    away = np.linalg.norm((corners @ (affine - like.affine).T)[:, :3], axis=1).max()
    if away > TOLERANCE_MM:  # it would mark other tissue, without a warning
        raise StudyError(
            f'Mask "{name}" lies in another frame than volume "{volume_name}" '
            f'(corners up to {away:.1f} mm apart): give both the same origin, spacing and orientation.'
        )


def _labelled(voxels, label, name):
    """bool, where the voxels of a mask have `label`, or are not 0; StudyError where that is not defined."""
    fractions = voxels.dtype.kind == 'f' and not (voxels == np.rint(voxels)).all()  # NaN is unequal to itself
    if fractions:
        raise StudyError(
            f'Mask "{name}" holds fractions or values that are not numbers: '
            'save whole labels (0 is background).'
        )
    if voxels.min() < 0:
        raise StudyError(
            f'Mask "{name}" has negative values, as a CT volume has and a mask has not: '
            'name the mask in the column "mask".'
        )
    if label is None:
        if len(found := np.unique(voxels[voxels != 0])) > 1:  # the organ, perhaps, and the lesion
            raise StudyError(
                f'Mask "{name}" has {len(found)} labels ({", ".join(f"{v:g}" for v in found[:8])}): '
                'give mask_label, a row for each that is a lesion.'
            )
        return voxels != 0
    if not (marked := voxels == label).any():
        found = ', '.join(f'{v:g}' for v in np.unique(voxels)[:8])
        raise StudyError(
            f'Mask "{name}" has no label {label} (it has {found}): correct mask_label in the table.'
        )
    return marked
