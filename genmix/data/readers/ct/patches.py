"""One CT volume with masks to square patches: each connected component is a lesion."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from genmix import StudyError
from genmix.data.images import windowed
from genmix.data.readers.ct.volume import read_mask, read_volume
from genmix.run.limits import check

LEAST_FOV_MM = 26  # that of the phantoms: a smaller field shows no liver around a small lesion
TOUCHING = np.ones((3, 3, 3), int)  # voxels that share a corner belong to one lesion


@dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """How lesions become images; the bounds are those of `run.limits`.

    image_size         pixels a side
    window             level and width in HU
    fov_times, margin_mm  side of the square patch: fov_times x long axis + 2 x margin_mm, at least 26 mm
    slices_per_lesion  the axial slices of largest area that become images, each a row of the cohort
    smallest_mm        long axis below which a component is taken for a speckle and left out
    """

    image_size: int
    window: tuple[float, float]
    fov_times: float
    margin_mm: float
    slices_per_lesion: int
    smallest_mm: float

    def __post_init__(self):
        check(**vars(self))


def lesions_of(root, volume, masks, config):
    """One volume to its patches: (uint8 (n, size, size), one dict per patch, number of speckles left out).

    masks  [(mask, mask_label, class)]; volume and masks are paths relative to root
    """
    scan = read_volume(root / volume, volume)
    patches, facts, speckles = [], [], 0
    for mask, label, kind in masks:
        marked = read_mask(root / mask, int(label) if label else None, scan, mask, volume)
        for lesion, box in _components(marked):
            hu, known = _lesion_patches(scan, lesion, box, config)
            if known[0]['diameter_mm'] < config.smallest_mm:
                speckles += 1
                continue
            if not np.isfinite(hu).all():
                raise StudyError(
                    f'"{volume}" has voxels that are not numbers (NaN or infinite) around a lesion: '
                    'fill them (air is -1000 HU) or export it again.'
                )
            about = {'lesion': facts[-1]['lesion'] + 1 if facts else 1, 'class': kind}
            about |= {'slice_mm': round(scan.slice_mm, 3), 'tilt': round(scan.tilt, 1)}
            about['burnt_in'] = scan.burnt_in
            patches += [windowed(one, *config.window) for one in hu]
            facts += [about | one for one in known]
    size = config.image_size
    return np.array(patches, np.uint8).reshape(-1, size, size), facts, speckles


def _lesion_patches(scan, lesion, box, config):
    """The axial slices of largest area of one lesion: (HU, float32 (k, size, size); one dict per slice).

    lesion, box  bool array and its place in the volume, from `_components`
    """
    areas, spacing = lesion.sum((1, 2)), scan.spacing
    n_slices = min(config.slices_per_lesion, np.count_nonzero(areas))
    chosen = np.argsort(-areas, kind='stable')[:n_slices]
    diameter = long_axis(lesion[chosen[0]], spacing[1:])
    fov = max(config.fov_times * diameter + 2 * config.margin_mm, LEAST_FOV_MM)
    border = any(s.start == 0 or s.stop == n for s, n in zip(box, scan.hu.shape))
    about = {
        'diameter_mm': round(diameter, 2),
        'volume_mm3': round(float(areas.sum() * spacing.prod()), 1),
        'spacing_mm': round(spacing[0], 3),
        'inplane_mm': round(spacing[1], 4),
        'pixel_mm': round(fov / config.image_size, 4),
    }
    patches, facts = [], []
    for j, k in enumerate(chosen, 1):
        z = box[0].start + k
        centre = np.add(ndimage.center_of_mass(lesion[k]), [box[1].start, box[2].start])
        pixels, outside = patch(scan.hu[z], centre, spacing[1:], fov, config.image_size)
        patches.append(pixels)
        place = {'cut': bool(border or outside), 'centre': [float(z), *map(float, centre)]}
        facts.append({'slice': j} | about | place)
    return np.array(patches), facts


def _components(mask):
    """Each connected component of a bool (z, y, x) as (bool box, slices of the box)."""
    rows = [np.flatnonzero(mask.any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
    around = tuple(
        slice(r[0], r[-1] + 1) for r in rows
    )  # labels take four bytes per voxel: only where needed
    labels, _ = ndimage.label(mask[around], TOUCHING)
    for k, box in enumerate(ndimage.find_objects(labels), 1):
        yield labels[box] == k, tuple(slice(b.start + a.start, b.stop + a.start) for a, b in zip(around, box))


def long_axis(lesion, spacing):
    """Longest diameter in mm of a bool (y, x), from pixel edge to pixel edge (RECIST 1.1: axial).

    spacing  mm between pixels (y, x)
    """
    points = np.argwhere(lesion & ~ndimage.binary_erosion(lesion)) * spacing
    with suppress(QhullError, ValueError):  # a line or a dot of pixels
        points = points[ConvexHull(points).vertices]
    return float((pdist(points).max() if len(points) > 1 else 0) + np.mean(spacing))


def patch(plane, centre, spacing, fov_mm, size):
    """A square of fov_mm around `centre` (row, column) of a slice, with isotropic pixels.

    (float32 (size, size), outside).  Reduction is antialiased.  Beyond the slice its border is repeated, and
    `outside` is True.
    """
    half = fov_mm / 2 / np.asarray(spacing)
    low, high = np.asarray(centre) + 0.5 - half, np.asarray(centre) + 0.5 + half  # in pixel edges
    start, stop = np.floor(low).astype(int) - 2, np.ceil(high).astype(int) + 2
    inside = [np.clip(np.arange(a, b), 0, n - 1) for a, b, n in zip(start, stop, plane.shape)]
    part = Image.fromarray(np.ascontiguousarray(plane[np.ix_(*inside)], np.float32))
    box = (low[1] - start[1], low[0] - start[0], high[1] - start[1], high[0] - start[0])
    square = part.resize((size, size), Image.BILINEAR, box=tuple(map(float, box)))
    return np.asarray(square), bool((low < 0).any() or (high > plane.shape).any())
