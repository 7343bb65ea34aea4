"""One DICOM series of CT slices from disk: sorted by position, rescaled to HU, each header checked first."""

import numpy as np

from genmix import StudyError
from genmix.data.readers.ct.dicom import dicom_files, open_dicom, slice_hu

BESIDE = ('SEG', 'RTSTRUCT', 'SR', 'PR', 'KO', 'DOC')  # what archives put next to a series; not slices
SCREEN = '1.2.840.10008.5.1.4.1.1.7'  # secondary capture: a dose report or screen save beside the slices
NEEDED = (
    *('ImagePositionPatient', 'ImageOrientationPatient', 'PixelSpacing', 'Rows', 'Columns'),
    *('RescaleSlope', 'RescaleIntercept'),
)
HEADER = (
    *('Modality', 'SeriesInstanceUID', 'SOPInstanceUID', 'ImageType', 'SliceThickness', 'RescaleType'),
    *('NumberOfFrames', 'FrameOfReferenceUID', 'SamplesPerPixel', 'SOPClassUID', 'BurnedInAnnotation'),
    *NEEDED,
)
UNITS = ('', 'HU', 'US')  # of the rescaled values; US is "unspecified", of old scanners
EVEN = 0.05  # a slice may lie off an even stack by this share of the distance between two,
ROUNDED_MM = 0.15  # or by this: some headers round positions to a tenth of a millimetre


def read_series(folder, name):
    """One DICOM series, slices in the order of their positions, rescaled to HU.

    (voxels (slice, row, column) int16 or float32, affine (4, 4) to LPS mm, slice thickness in mm or None,
    frame of reference, UID of the series, whether a header says that text is burnt in).  Raises StudyError
    naming the file or folder and the fix.
    """
    slices = _slices(folder, name)
    first = slices[0][1]
    axes = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(*axes)
    slices.sort(key=lambda s: np.dot(normal, np.array(s[1].ImagePositionPatient, float)))
    positions = np.array([s[1].ImagePositionPatient for s in slices], float)
    between = _slice_distance(positions, normal, name)
    plain = all(float(h.RescaleSlope) == 1 and float(h.RescaleIntercept) % 1 == 0 for _, h in slices)
    voxels = np.empty((len(slices), first.Rows, first.Columns), np.int16 if plain else np.float32)
    for z, (path, header) in enumerate(slices):
        voxels[z] = np.clip(slice_hu(path, f'{name}/{path.name}', header), -32768, 32767)
    rows, columns = map(float, first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([between * normal, rows * axes[1], columns * axes[0]], 1)
    affine[:3, 3] = positions[0]
    thickness = first.get('SliceThickness')
    uids = [str(first.get(tag, '')) for tag in ('FrameOfReferenceUID', 'SeriesInstanceUID')]
    burnt_in = any(str(h.get('BurnedInAnnotation', '')).upper() == 'YES' for _, h in slices)
    return voxels, affine, float(thickness) if thickness else None, *uids, burnt_in


def _slices(folder, name):
    """[(path, header)] of the one CT series in a folder, each header checked."""
    headers = [(p, open_dicom(p, f'{name}/{p.name}', HEADER)) for p in dicom_files(folder)]
    slices = {
        h.get('SOPInstanceUID', p.name): (p, h)  # the same slice copied twice is one
        for p, h in reversed(headers)
        if h.get('Modality') not in BESIDE and 'LOCALIZER' not in (h.get('ImageType') or ())
    }
    if not slices:
        raise StudyError(
            f'Folder "{name}" holds no DICOM slice: correct the column "volume", or copy the series into it.'
        )
    slices = list(slices.values())
    slices = [s for s in slices if not _is_screen(s[1])] or slices
    for path, header in slices:
        _check_header(header, f'{name}/{path.name}')
    _check_grid(slices, name)
    return slices


def _is_screen(header):
    """Whether a file is a picture of a screen: captured, and without a place in the patient."""
    captured = str(header.get('SOPClassUID', '')).startswith(SCREEN)
    return captured and header.get('ImagePositionPatient') in (None, '')


def _check_header(header, where):
    """StudyError when a slice is not CT in HU, or lacks geometry."""
    if header.get('Modality') != 'CT':
        raise StudyError(
            f'"{where}" is of modality {str(header.get("Modality"))[:16]}, not CT: '
            'gray levels have no Hounsfield scale there; take it out of the table.'
        )
    if header.get('NumberOfFrames') or (header.get('SamplesPerPixel') or 1) != 1:
        raise StudyError(
            f'"{where}" holds several frames or colours in one file: '
            'convert it to one file per slice or to NIfTI (dcm2niix does).'
        )
    for tag in NEEDED:
        if header.get(tag) in (None, ''):
            raise StudyError(f'"{where}" lacks {tag}: export the original series, with full headers.')
    if (unit := str(header.get('RescaleType') or '').strip().upper()) not in UNITS:
        raise StudyError(
            f'"{where}" has values in {unit[:16]}, not Hounsfield units (RescaleType): take the series in HU.'
        )


def _check_grid(slices, name):
    """StudyError when the slices are not of one series and one grid."""
    series = {h.get('SeriesInstanceUID') for _, h in slices}
    if len(series) > 1:
        raise StudyError(
            f'Folder "{name}" holds {len(series)} DICOM series: '
            'give each a folder of its own, and list the one that was contoured.'
        )
    if len(slices) < 2:
        raise StudyError(
            f'Folder "{name}" holds one slice: '
            'a volume needs the whole series; read single images with dataset=folder.'
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


def _slice_distance(positions, normal, name):
    """mm between slices; StudyError where one is missing or doubled, or the gantry was tilted."""
    depth = positions @ normal
    steps = np.diff(depth)
    usual = np.median(steps)
    if (steps < max(EVEN * usual, 1e-3)).any():
        k = int(np.argmin(steps))
        raise StudyError(
            f'"{name}" has two slices at the same position ({depth[k]:.1f} mm), '
            'as when two phases share a folder: keep one of them.'
        )
    off = positions - np.linspace(positions[0], positions[-1], len(positions))  # from an even stack
    least = min(max(ROUNDED_MM, EVEN * usual), 0.4 * usual)
    if np.abs(off @ normal).max() > least:
        raise _uneven(depth, steps, usual, name)
    through = positions[-1] - positions[0]
    aside = np.linalg.norm(through - through @ normal * normal)
    sideways = np.linalg.norm(off - np.outer(off @ normal, normal), axis=1).max()
    if aside > max(ROUNDED_MM, EVEN * (through @ normal)) or sideways > least:
        raise StudyError(
            f'"{name}" was scanned with a tilted gantry (slices shift sideways): '
            'resample it to a straight grid (dcm2niix does).'
        )
    return float(steps.mean())


def _uneven(depth, steps, usual, name):
    """The StudyError of a stack with a gap: slices that are missing, or other distances."""
    k = int(np.argmax(np.abs(steps - usual)))
    missing = round(steps[k] / usual) - 1
    if missing > 0 and abs(steps[k] / usual - missing - 1) <= EVEN * (missing + 1):
        gap = f'between {depth[k]:.1f} and {depth[k + 1]:.1f} mm'
        return StudyError(f'"{name}" lacks {missing} slice(s) {gap}: export the whole series again.')
    return StudyError(
        f'"{name}" has uneven distances between slices ({steps.min():.2f} to {steps.max():.2f} mm): '
        'resample it, or take the evenly spaced series.'
    )
