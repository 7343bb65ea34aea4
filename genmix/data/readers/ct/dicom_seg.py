"""Lesion masks from DICOM SEG: each frame is placed where its position lies on the grid of a volume."""

import numpy as np

from genmix import StudyError
from genmix.data.readers.ct.dicom import dicom_files, is_dicom, open_dicom
from genmix.data.readers.ct.dicom_series import EVEN, ROUNDED_MM

TOLERANCE_MM = 0.1  # corner to corner between a volume and its mask


def seg_file(path, name):
    """The DICOM SEG at `path`: the file itself, or the only one in the folder."""
    if path.is_file() and path.stat().st_size and not is_dicom(path):
        raise StudyError(
            f'Mask "{name}" is neither NIfTI nor DICOM SEG: save the segmentation as a label map in NIfTI '
            '(.nii.gz) on the grid of the volume (3D Slicer: Export to files).'
        )
    if path.is_file():
        return path
    tags = ('Modality', 'SOPClassUID')
    found = [p for p in dicom_files(path) if open_dicom(p, f'{name}/{p.name}', tags).get('Modality') == 'SEG']
    if len(found) != 1:
        raise StudyError(
            f'Folder "{name}" holds {len(found)} DICOM SEG files: name the one file in the column "mask".'
        )
    return found[0]


def read_segment(path, label, like, name, volume_name):
    """bool (z, y, x) on the grid of the Volume `like`: one segment of a DICOM SEG.

    label  number of the segment; None: the only one
    name, volume_name  how messages call mask and volume

    Raises StudyError for a file that is no plain binary SEG, another label, series or grid.
    """
    seg = open_dicom(path, name)
    frames, numbers = _binary_frames(seg, name)
    if label is None and len(numbers) > 1:
        raise StudyError(
            f'Mask "{name}" has {len(numbers)} segments ({", ".join(map(str, numbers[:8]))}): '
            'give mask_label, a row for each that is a lesion.'
        )
    label = numbers[0] if label is None else label
    if label not in numbers:
        raise StudyError(
            f'Mask "{name}" has no segment {label} (it has {", ".join(map(str, numbers))}): '
            'correct mask_label in the table.'
        )
    _check_series(seg, like, name, volume_name)
    marked = np.zeros(like.hu.shape, bool)
    chosen = [k for k, (number, _) in enumerate(frames) if number == label]
    for k, pixels in zip(chosen, _unpacked(seg, chosen, name)):
        to_voxel = np.linalg.inv(like.affine) @ frames[k][1]
        if not _mark(np.argwhere(pixels), to_voxel, pixels.shape, like.spacing, marked):
            raise StudyError(
                f'Mask "{name}" does not lie on the grid of volume "{volume_name}": '
                'take the SEG that was drawn on this series.'
            )
    return marked


def _binary_frames(seg, name):
    """(frames, numbers of the segments) of an open SEG; StudyError unless it is binary and uncompressed."""
    if seg.get('Modality') != 'SEG':
        raise StudyError(
            f'Mask "{name}" is DICOM of modality {str(seg.get("Modality"))[:16]}: '
            'convert contours to DICOM SEG or NIfTI.'
        )
    try:
        kind, numbers = seg.SegmentationType, [int(s.SegmentNumber) for s in seg.SegmentSequence]
        compressed = getattr(seg.file_meta.get('TransferSyntaxUID'), 'is_encapsulated', False)
        frames = _frames(seg) if kind == 'BINARY' else []
    except Exception as error:
        raise StudyError(
            f'Mask "{name}" cannot be read as DICOM SEG ({type(error).__name__}): export it again.'
        ) from None
    if kind != 'BINARY' or seg.get('BitsAllocated') != 1 or compressed:
        raise StudyError(
            f'Mask "{name}" is a DICOM SEG of type {str(kind)[:16]}, or compressed: '
            'save it as BINARY, uncompressed.'
        )
    return frames, numbers


def _check_series(seg, like, name, volume_name):
    """StudyError when the SEG was drawn on another series than the volume."""
    drawn_on = {str(s.get('SeriesInstanceUID')) for s in seg.get('ReferencedSeriesSequence') or ()}
    frame = str(seg.get('FrameOfReferenceUID', like.frame))
    for what, another in (
        ('frame of reference', like.frame and frame != like.frame),
        ('series', like.series and drawn_on and like.series not in drawn_on),
    ):
        if another:
            raise StudyError(
                f'Mask "{name}" was drawn on another {what} than volume "{volume_name}": '
                'take the SEG that was drawn on this series.'
            )


def _frames(seg):
    """[(number of the segment, (4, 3) from (row, column, 1) to LPS mm)] of a DICOM SEG."""
    shared, frames = seg.SharedFunctionalGroupsSequence[0], []
    for own in seg.PerFrameFunctionalGroupsSequence:
        orientation, measures, position, segment = (
            (own if f'{tag}Sequence' in own else shared)[f'{tag}Sequence'][0]
            for tag in ('PlaneOrientation', 'PixelMeasures', 'PlanePosition', 'SegmentIdentification')
        )
        x, y = np.array(orientation.ImageOrientationPatient, float).reshape(2, 3)
        rows, columns = map(float, measures.PixelSpacing)
        place = np.stack([rows * y, columns * x, np.array(position.ImagePositionPatient, float)], 1)
        frames.append((int(segment.ReferencedSegmentNumber), np.vstack([place, [0, 0, 1]])))
    return frames


def _unpacked(seg, chosen, name):
    """The chosen frames of an open SEG, one at a time: all together they may be a hundred volumes."""
    try:
        size, packed = seg.Rows * seg.Columns, np.frombuffer(seg.PixelData, np.uint8)
        for first in (k * size for k in chosen):  # a frame may begin within a byte
            bits = np.unpackbits(packed[first // 8 : -(-(first + size) // 8)], bitorder='little')
            yield bits[first % 8 : first % 8 + size].reshape(seg.Rows, seg.Columns)
    except Exception:
        raise StudyError(
            f'Mask "{name}" has pixels that cannot be read (damaged or cut short): export it again.'
        ) from None


def _mark(points, to_voxel, shape, spacing, marked):
    """Set the `points` (k, 2) of a frame in `marked`; False where the frame does not lie on its grid.

    to_voxel  (4, 3), from (row, column, 1) of the frame to voxels.  Within the slice it fits to TOLERANCE_MM;
    to the next slice it may be as far as headers round.
    """
    turned = np.rint(to_voxel[:3, :2])
    to_nearest = np.c_[turned, np.rint(to_voxel[:3, 2])].T
    through = turned.any(1).argmin()  # the axis of the volume along which frames are stacked
    corners = np.array([[r, c, 1] for r in (0, shape[0] - 1) for c in (0, shape[1] - 1)])
    near = np.rint(corners @ to_nearest)
    rounded = np.clip(2 * ROUNDED_MM, 2 * EVEN * spacing, 0.45 * spacing)
    tolerance = np.where(np.arange(3) == through, rounded, TOLERANCE_MM)
    if (np.abs(turned).sum(0) != 1).any() or turned.any(1).sum() != 2:
        return False
    if (np.abs((corners @ to_voxel.T)[:, :3] - near) * spacing > tolerance).any():
        return False
    at = (np.c_[points, np.ones(len(points))] @ to_nearest).astype(int)
    if (at < 0).any() or (at >= marked.shape).any():
        return False
    marked[tuple(at.T)] = True
    return True
