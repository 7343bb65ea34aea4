"""A patient's phantom lesions in one CT volume, with their mask."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from genmix.data.phantom.plan import CLASS_NAMES
from genmix.data.phantom.render import lesion, liver
from genmix.data.phantom.scanner import blurred, correlated_noise

PLANE = 128  # pixels a side of a slice
LEAST_PIXEL_MM = 0.7  # usual for an abdomen of 360 mm in 512 pixels
FIELD_SHARE = 0.65  # of the slice that the field of the largest lesion may take
AIR_HU = -1000
GAP_MM = 8  # liver between lesions that lie above each other, and beyond the outermost


def render_volume(lesions, slices=None, seed=0):
    """A patient's lesions above each other in one liver, as scanned.

    lesions  rows of `plan.plan` of one patient
    slices   of the volume, more where the lesions need them; None: as few as fit
    seed     int or list of ints

    Returns (hu float64 (z, y, x), mask uint8 (z, y, x) of 1 + class index, pixel_mm, a DataFrame of one row
    per lesion: class, mask_label, z, y, x (voxel of the planned centre), diameter_mm, hu).
    """
    rng = np.random.default_rng(seed)
    first, slice_mm = lesions.iloc[0], lesions.slice_mm.iloc[0]
    pixel_mm = max(LEAST_PIXEL_MM, lesions.fov_mm.max() / (FIELD_SHARE * PLANE))
    # slices above and below each middle
    reach = np.ceil((lesions.diameter_mm / 2 + GAP_MM) / slice_mm).astype(int)
    middle = (2 * reach).cumsum() - reach
    depth = max(2 * reach.sum() + 1, slices or 0)
    middle += (depth - 2 * reach.sum() - 1) // 2
    pixel = np.full((1, 1, 1), pixel_mm)
    axis = (np.arange(PLANE) - (PLANE - 1) / 2) * pixel
    p = _parameters(first)
    scene = np.repeat(liver(p, axis, axis.swapaxes(1, 2), rng), depth, 0)
    marked, rows = np.zeros(scene.shape, np.uint8), []
    for i, one in lesions.iterrows():
        rows.append(_add_lesion(scene, marked, one, middle[i], reach[i], axis, pixel, rng))
    body = np.hypot(axis, 0.9 * axis.swapaxes(1, 2)) < 0.6 * PLANE * pixel_mm  # air in the corners
    hu = np.where(body, scene, AIR_HU)
    scan = {name: getattr(p, name) for name in ('fwhm_mm', 'noise_hu', 'streak', 'streak_angle')}
    for z in range(depth):
        plane = blurred(hu[z : z + 1], pixel, p.fwhm_mm)
        hu[z : z + 1] = plane + correlated_noise(PLANE, pixel, rng, **scan)
    return hu + first.offset_hu, marked, pixel_mm, pd.DataFrame(rows)


def _parameters(row):
    """A row of the plan as `render.liver` and `render.lesion` take it."""
    p = SimpleNamespace(**{name: np.full((1, 1, 1), value) for name, value in row.items()})
    p.radius = p.diameter_mm / 2
    return p


def _add_lesion(scene, marked, row, middle, reach, axis, pixel, rng):
    """Add one lesion to the slices around `middle` of scene and mask, in place; its row of the table.

    The middle slice is rendered as a patch is; other slices show the lesion shrunk as a ball would be.  The
    mask holds it where it covers half of a voxel or more.
    """
    p, pixel_mm = _parameters(row), pixel.item()
    away = rng.uniform(-0.05, 0.05, 2) * PLANE * pixel_mm  # off the middle of the slice, mm
    shape = int(rng.integers(2**31))  # the same stream for every slice: the same lesion
    x, y = axis - away[1], axis.swapaxes(1, 2) - away[0]
    for z in range(middle - reach, middle + reach + 1):
        shrunk = 1 - ((z - middle) * row.slice_mm / p.radius.item()) ** 2
        if shrunk <= 0.01:
            continue
        at = x / np.sqrt(shrunk), y / np.sqrt(shrunk)
        with_lesion = [
            lesion(p, *at, hu, np.random.default_rng(shape))[0]
            for hu in (np.full((1, PLANE, PLANE), 1000.0), np.zeros((1, PLANE, PLANE)), scene[z : z + 1])
        ]
        through = (with_lesion[0] - with_lesion[1]) / 1000  # share of liver left
        scene[z] = with_lesion[2]
        marked[z][through <= 0.5] = 1 + row.label
    seen = blurred(scene[middle : middle + 1], pixel, p.fwhm_mm)[0] + row.offset_hu
    inside = (marked[middle] == 1 + row.label) & (np.hypot(x, y)[0] < 0.75 * row.diameter_mm)
    return {
        'class': CLASS_NAMES[row.label],
        'mask_label': 1 + row.label,
        'z': middle,
        'y': (PLANE - 1) / 2 + away[0] / pixel_mm,
        'x': (PLANE - 1) / 2 + away[1] / pixel_mm,
        'diameter_mm': row.diameter_mm,
        'hu': _mean_near_centre(seen, inside, 0.25 * row.diameter_mm, pixel_mm),
    }


def _mean_near_centre(plane, inside, radius_mm, pixel_mm):
    """Mean of `plane` over the pixels of `inside` closer than radius_mm to their centre."""
    rows, columns = np.nonzero(inside)
    near = np.hypot(rows - rows.mean(), columns - columns.mean()) * pixel_mm < radius_mm
    return plane[rows[near], columns[near]].mean()
