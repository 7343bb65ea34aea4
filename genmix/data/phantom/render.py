"""From planned lesions to what the scanner shows: the scene in HU, then blur and noise.

Inside, `p` holds one (n, 1, 1) array for each column of the plan, and x, y are mm from the lesion's centre,
(n, 1, N) and (n, N, 1).  Small numbers in the code that only shape things (waviness, taper, margins) are
assumptions too.
"""

from types import SimpleNamespace

import numpy as np

from genmix.data.phantom.chunks import padded, side_by_side
from genmix.data.phantom.scanner import blurred, correlated_noise

# ---- around the lesion.  Assumptions, all of them
TEXTURE_HU, TEXTURE_MM = 2.5, 2.5  # parenchyma: sd and correlation length
VEIN_SHARES = (0.75, 0.5, 0.3)  # patches with a first, second, third vein
VEIN_RADIUS_MM = (1.5, 0.4)  # median and log sd
SATELLITE_SHARE, EDGE_SHARE = 0.12, 0.18  # patches with a second lesion, with the liver's edge
FAT_HU, WALL_HU = (-100, 8), (60, 10)  # beyond the edge: mean and sd
# ---- inside the lesion.  Assumptions, but for where nodules sit and the frequency of rims (Jang 2002, PMID
#      12439304; of colorectal metastases 73 % have a discernible rim, 49 % a thick one: Ann Acad Med
#      Singapore 2003;32:191)
NECROSIS_SHARE, NECROSIS_HU, NECROSIS_ABOVE_MM = 0.33, (12, 34), 12
RIM_WIDTH, RIM_LEAST_MM = (0.18, 0.34), 1.6  # of the radius; the thinnest
WEAK_RIM_SHARE, WEAK_RIM, STRONG_RIM = 0.35, (0.5, 0.75), (1.2, 1.7)  # metastases: 0 is the core, 1 the liver
RING_OF_BLOOD = (0.8, 0.95)  # hemangiomas with a closed ring: HU over the blood's
NODULE_FILL = (0.3, 0.1)  # radius over the lesion's: mean and sd
NODULE_FILL_TIMING = 0.1  # added per sd of a later scan
NODULE_OF_BLOOD, TUMOUR_NODULE_OF_BLOOD = (0.92, 1), (0.75, 0.95)  # HU over the blood's
CHUNK = 64  # lesions rendered at a time; part of the random stream, so never changed
PIXELS_SIDE_BY_SIDE = 2e7  # from here on chunks are rendered in processes side by side: 15 s in one


def render_hu(lesions, image_size=64, seed=0, noise=True):
    """Patches of the planned lesions in HU, before the window: float64 (n, image_size, image_size).

    lesions  rows of `plan.plan`
    seed     int or SeedSequence; shapes and noise have separate streams, so shapes are equal at every size
    noise    False leaves the noise out (physics tests, teaching)
    """
    seed = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    streams = [np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, k)) for k in (0, 1)]
    shape_rng, noise_rng = (np.random.default_rng(stream) for stream in streams)
    chunks = [lesions.iloc[i : i + CHUNK] for i in range(0, len(lesions), CHUNK)]
    noise_rng = noise_rng if noise else None
    if len(lesions) * image_size**2 >= PIXELS_SIDE_BY_SIDE:
        return np.concatenate(side_by_side(_patch, chunks, image_size, shape_rng, noise_rng))
    return np.concatenate([_patch(rows, image_size, shape_rng, noise_rng) for rows in chunks])


def _patch(rows, size, shape_rng, noise_rng):
    """One chunk: render with a border, scan, cut the border off."""
    p = SimpleNamespace(**{name: rows[name].to_numpy()[:, None, None] for name in rows})
    p.radius, p.pixel_mm = p.diameter_mm / 2, p.fov_mm / size
    border, full = size // 8, padded(size)
    axis = (np.arange(full) - (full - 1) / 2) * p.pixel_mm
    x = axis + _u(p, shape_rng, -0.06, 0.06) * p.fov_mm
    y = axis.swapaxes(1, 2) + _u(p, shape_rng, -0.06, 0.06) * p.fov_mm
    scene = lesion(p, x, y, liver(p, x, y, shape_rng), shape_rng)
    hu = blurred(scene, p.pixel_mm, p.fwhm_mm) + p.offset_hu
    if noise_rng:
        scan = {name: getattr(p, name) for name in ('fwhm_mm', 'noise_hu', 'streak', 'streak_angle')}
        hu = hu + correlated_noise(full, p.pixel_mm, noise_rng, **scan)
    return hu[:, border:-border, border:-border]


def _u(p, rng, low, high):
    """One uniform number per lesion, (n, 1, 1)."""
    return rng.uniform(low, high, p.radius.shape)


def _normal(p, rng, mean_sd):
    """One normal number per lesion, (n, 1, 1)."""
    return rng.normal(*mean_sd, p.radius.shape)


def _step(x, width):
    """0 to 1 across +-width around x = 0, smooth."""
    s = np.clip(0.5 + x / (2 * width), 0, 1)
    return s * s * (3 - 2 * s)


def _field(x, y, length, rng, waves=28):
    """Random field of unit variance, correlation length in mm: plane waves, equal at every pixel size."""
    k = rng.normal(size=(2, len(x), 1, waves)) / length
    phase = rng.uniform(0, 2 * np.pi, (len(x), 1, waves))
    a, b = k[0] * x.swapaxes(1, 2), k[1] * y + phase
    rows, columns = np.concatenate([np.cos(b), -np.sin(b)], 2), np.concatenate([np.cos(a), np.sin(a)], 2)
    return np.sqrt(2 / waves) * rows @ columns.swapaxes(1, 2)


def _where(keep, render, p, x, y, hu, rng, *more):
    """hu after `render(p, x, y, hu, rng, ...)` of the lesions that the boolean array `keep` (n,) picks."""
    if not keep.any():
        return hu
    some = SimpleNamespace(**{name: column[keep] for name, column in vars(p).items()})
    hu[keep] = render(some, x[keep], y[keep], hu[keep], rng, *(m[keep] for m in more))
    return hu


def liver(p, x, y, rng):
    """Parenchyma in HU (n, N, N) with veins, and in some patches a satellite lesion or the liver's edge."""
    hu = p.liver + TEXTURE_HU * _field(x, y, np.full_like(p.radius, TEXTURE_MM), rng)
    veins = [(share, _vein) for share in VEIN_SHARES]
    for share, render in veins + [(SATELLITE_SHARE, _satellite), (EDGE_SHARE, _beyond)]:
        hu = _where(rng.random(len(hu)) < share, render, p, x, y, hu, rng)
    return hu


def _vein(p, x, y, hu, rng):
    """A vein and its branch: tilted, bent, tapering tubes that leave the slice."""
    angle, tilt = _u(p, rng, 0, 2 * np.pi), np.arcsin(_u(p, rng, -0.9, 0.9))
    caliber = VEIN_RADIUS_MM[0] * np.exp(_normal(p, rng, (0, VEIN_RADIUS_MM[1]))).clip(0.5, 2.7)
    away, place = _u(p, rng, 0, 2 * np.pi), p.radius + 1.5 * caliber + _u(p, rng, 0, 0.22) * p.fov_mm
    x, y = x - place * np.cos(away), y - place * np.sin(away)
    fork = angle + _u(p, rng, 0.5, 1.1) * rng.choice([-1, 1], p.radius.shape)
    beyond_fork = x * np.cos(fork) + y * np.sin(fork) > 0
    stem = _tube(p, x, y, angle, tilt, caliber, rng)
    branch = _tube(p, x, y, fork, 0.7 * tilt, 0.75 * caliber, rng) * beyond_fork
    return hu + np.maximum(stem, branch) * (p.blood * _u(p, rng, 0.88, 1) - hu)


def _tube(p, x, y, angle, tilt, caliber, rng):
    """Overlap of the slice with a tube through the origin of x, y: chord above each pixel, over slice_mm."""
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    across = across - _u(p, rng, -1, 1) * along**2 / p.fov_mm
    radius = caliber * np.clip(1 - along * _u(p, rng, 0.2, 0.8) / p.fov_mm, 0.4, 1.4)
    half = np.sqrt(np.maximum(radius**2 - across**2, 0)) / np.cos(tilt)
    middle = along * np.tan(tilt)
    top, bottom = np.minimum(middle + half, p.slice_mm / 2), np.maximum(middle - half, -p.slice_mm / 2)
    return np.maximum(top - bottom, 0) / p.slice_mm


def _satellite(p, x, y, hu, rng):
    """A small second lesion of the same attenuation."""
    angle, place = _u(p, rng, 0, 2 * np.pi), p.radius + _u(p, rng, 0.12, 0.3) * p.fov_mm
    radius = np.maximum(1.5, _u(p, rng, 0.12, 0.3) * p.radius)
    distance = np.hypot(x - place * np.cos(angle), y - place * np.sin(angle))
    return hu + 0.8 * _step(radius - distance, 1.0) * (p.core - hu)


def _beyond(p, x, y, hu, rng):
    """The liver ends at a round edge: a layer of fat, then body wall or bowel."""
    angle, bend = _u(p, rng, 0, 2 * np.pi), np.maximum(_u(p, rng, 45, 120), p.fov_mm * _u(p, rng, 0.8, 1.5))
    gap = np.maximum(_u(p, rng, 0.33, 0.55) * p.fov_mm, 1.02 * p.radius)
    depth = np.hypot(x - (gap - bend) * np.cos(angle), y - (gap - bend) * np.sin(angle)) - bend
    fat, other = _normal(p, rng, FAT_HU), _normal(p, rng, WALL_HU)
    layer = _u(p, rng, -8, 22) + 1.5 * _field(x, y, np.full_like(p.radius, 8.0), rng)
    outside = other + _step(layer - depth, 1.5) * (fat - other)
    return hu + _step(depth, _u(p, rng, 0.5, 2)) * (outside - hu)


def lesion(p, x, y, hu, rng):
    """The scene `hu` (n, N, N) with the lesion in it, averaged through the slice (partial volume)."""
    rho = np.hypot(x, y) + 1e-9
    direction = (x + 1j * y) / rho
    modes = _modes(p, rng)
    wobble = _field(x, y, np.maximum(0.32 * p.radius, 1.2), rng)
    edge = p.radius * _outline(modes, direction) + p.rough * 0.5 * p.radius * wobble
    inside = _interior(p, x, y, rho, wobble, modes, rng)
    rim_width = np.maximum(_u(p, rng, *RIM_WIDTH) * p.radius, RIM_LEAST_MM) * (1 + 0.25 * wobble)
    rim_hu = _rim_hu(p, rng)
    thin_side = 0.5 + 0.5 * (direction * np.exp(1j * _u(p, rng, 0, 2 * np.pi))).real
    patchy = p.rim * (1 - (_u(p, rng, 0, 0.6) + 0.3 * (p.label == 1)) * thin_side)
    height, level = p.radius * _u(p, rng, 0.85, 1.15), p.radius * _u(p, rng, -0.3, 0.3)
    total = 0
    for z in np.array([-1, 0, 1]) / 3:
        shrink = np.sqrt(np.clip(1 - ((level + z * p.slice_mm) / height) ** 2, 0, 1))
        depth = shrink * edge - rho
        rim = patchy * _step(rim_width - depth, 0.4 * rim_width)
        total = total + _step(depth, 2 * p.margin) * (shrink > 0) * (inside + rim * (rim_hu - inside) - hu)
    return hu + total / 3


def _modes(p, rng):
    """Complex Fourier modes 0..7 of the outline: an ellipse and waviness."""
    real, imaginary = rng.normal(0, np.sqrt(0.5), (2, len(p.radius), 1, 8))
    modes = p.rough * (3 / np.arange(1, 9)) ** 2 * (real + 1j * imaginary)
    modes[..., :2] = 0
    modes[..., 2:3] += _u(p, rng, 0, 0.16) * np.exp(1j * _u(p, rng, 0, 2 * np.pi))
    return modes


def _outline(modes, direction):
    """Radius over mean radius in each `direction` (unit complex numbers), by Horner's rule."""
    total = 0
    for k in range(modes.shape[-1] - 1, 0, -1):
        total = (total + modes[..., k : k + 1]) * direction
    return 1 + total.real


def _rim_hu(p, rng):
    """Rims: in metastases between core and liver or above the liver, in hemangiomas near the blood."""
    weak = _u(p, rng, 0, 1) < WEAK_RIM_SHARE
    share = np.where(weak, _u(p, rng, *WEAK_RIM), _u(p, rng, *STRONG_RIM))
    return np.where(p.label == 1, p.blood * _u(p, rng, *RING_OF_BLOOD), p.core + share * (p.liver - p.core))


def _interior(p, x, y, rho, wobble, modes, rng):
    """HU inside the lesion: mottling, a necrotic centre, enhancing nodules."""
    hu = p.core + p.mottle * _field(x, y, np.maximum(0.24 * p.radius, 1), rng)
    necrotic = np.isin(p.subtype, ['solid', 'target']) & (p.diameter_mm > NECROSIS_ABOVE_MM)
    necrotic &= _u(p, rng, 0, 1) < NECROSIS_SHARE
    centre = _step(_u(p, rng, 0.35, 0.65) * p.radius + 0.12 * p.radius * wobble - rho, 0.16 * p.radius)
    hu = hu + necrotic * centre * (np.minimum(_u(p, rng, *NECROSIS_HU), p.core) - hu)
    return _where(p.nodules[:, 0, 0] > 0, _nodules, p, x, y, hu, rng, modes)


def _nodules(p, x, y, hu, rng, modes):
    """Globular nodules that hug the rim from inside, unevenly spread, blood-bright (WJR 2024;16:139)."""
    benign = p.label == 1
    fill = (_normal(p, rng, NODULE_FILL) + NODULE_FILL_TIMING * p.timing).clip(0.14, 0.55)
    fill = np.where(benign, fill, 0.2) * (12 / p.radius) ** 0.25
    bright = p.blood * np.where(benign, _u(p, rng, *NODULE_OF_BLOOD), _u(p, rng, *TUMOUR_NODULE_OF_BLOOD))
    start, lobes = _u(p, rng, 0, 2 * np.pi), _field(x, y, np.maximum(0.18 * p.radius, 1), rng)
    share = np.zeros_like(hu)
    for k in range(p.nodules.max()):
        angle = start + 2 * np.pi * (k + _u(p, rng, -0.35, 0.35)) / p.nodules
        size = np.maximum(fill * p.radius * _u(p, rng, 0.6, 1.15), 1)
        place = p.radius * _outline(modes, np.exp(1j * angle)) - 0.75 * size
        across = x * np.cos(angle) + y * np.sin(angle) - place
        along = (y * np.cos(angle) - x * np.sin(angle)) / _u(p, rng, 1, 1.7)
        near = _step(size * (1 + 0.25 * lobes) - np.hypot(across, along), 0.3 * size)
        share = np.maximum(share, near * (p.nodules > k))
    return hu + share * (bright - hu)
