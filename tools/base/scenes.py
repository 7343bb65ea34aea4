"""Procedural scenes for the `mixed` base: shapes, tones, sizes, edges, positions, textures, noise.

General shapes, not lesions; but people who know lesions wrote them, so what `mixed` can do with a lesion is
no proof of what a base that never met such shapes could.  The variant `natural` is trained without them.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from genmix.generators.pretrained.captions import place, tone

LEVELS = {
    'black': (0.02, 0.18),
    'dark': (0.22, 0.36),
    'gray': (0.4, 0.58),
    'bright': (0.62, 0.78),
    'white': (0.82, 0.97),
}
RADII = {  # of the side
    'tiny': (0.05, 0.08),
    'small': (0.09, 0.14),
    'medium': (0.16, 0.23),
    'large': (0.25, 0.36),
    'huge': (0.4, 0.55),
}
EDGES = {'sharp': (0.006, 0.012), 'soft': (0.025, 0.045), 'blurred': (0.05, 0.07)}  # width, of the side
GRAIN = {'fine': (0.4, 0.8), 'coarse': (1.1, 2.2)}  # correlation length, pixels
COUNTS = {'two': 2, 'three': 3, 'many': 7}


def round_shape(d, angle, r, rng, waves=()):
    """Signed distance of a disc whose radius has `waves`: pairs (number, amplitude)."""
    return d - r * (1 + sum(a * np.sin(k * angle + rng.uniform(0, 6.3)) for k, a in waves))


# Each: signed distance (negative inside) of a shape of radius r around the origin; u, v rotated coordinates,
# d their length, angle theirs.
SHAPES = {
    'disc': lambda u, v, d, angle, r, rng: d - r,
    'ellipse': lambda u, v, d, angle, r, rng: np.hypot(u, v * rng.uniform(1.4, 2.2)) - r,
    'ring': lambda u, v, d, angle, r, rng: np.abs(d - r) - r * rng.uniform(0.12, 0.3),
    'square': lambda u, v, d, angle, r, rng: np.maximum(np.abs(u), np.abs(v)) - 0.8 * r,
    'triangle': lambda u, v, d, angle, r, rng: np.maximum(v - 0.5 * r, np.abs(u) * 0.87 - v * 0.5 - 0.5 * r),
    'star': lambda u, v, d, angle, r, rng: d - r * (0.7 + 0.3 * np.cos(5 * angle)),
    'cross': lambda u, v, d, angle, r, rng: np.maximum(np.minimum(np.abs(u), np.abs(v)) - 0.25 * r, d - r),
    'bar': lambda u, v, d, angle, r, rng: np.maximum(np.abs(u) - 1.3 * r, np.abs(v) - 0.25 * r),
    'crescent': lambda u, v, d, angle, r, rng: np.maximum(
        d - r, 0.9 * r - np.hypot(u - rng.uniform(0.4, 0.8) * r, v)
    ),
    'blob': lambda u, v, d, angle, r, rng: round_shape(d, angle, r, rng, [(2, 0.16), (3, 0.12), (5, 0.06)]),
}
# What shapes are drawn from: discs and rings, which prompt_tests asks for, three times as often as others.
DRAWN = [*SHAPES, *('disc', 'ring') * 2]


def noise(rng, size, length):
    """Gaussian noise (size, size) of standard deviation 1, correlated over `length` pixels."""
    field = gaussian_filter(rng.standard_normal((size, size)).astype(np.float32), length, mode='wrap')
    return field / field.std()


def inside(distance, width):
    """1 inside a shape, 0 outside, a smooth step of `width` between."""
    return 1 / (1 + np.exp((distance / width).clip(-30, 30)))


def draw(rng, size=64):
    """One scene: uint8 (size, size) and {attribute: words} for sentences.of_scene."""
    y, x = (
        np.mgrid[:size, :size].astype(np.float32) + 0.5
    ) / size  # lengths are shares of the side from here on
    words = {}
    level, image = ground(y, x, rng, words)
    if rng.random() < 0.15:
        image = clutter(image, y, x, rng, words)
    image = figures(image, level, y, x, rng, words)
    if rng.random() < 0.15:
        image = gaussian_filter(image, rng.uniform(0.5, 1.5))
    if rng.random() < 0.3:
        kind, amount = str(rng.choice(list(GRAIN))), 0.01 * 10 ** rng.random()
        image = image + amount * noise(rng, size, rng.uniform(*GRAIN[kind]))
        strength = 'strong ' if amount > 0.06 else 'faint ' if amount < 0.025 else ''
        words['grain'] = f'with {strength}{kind} grain'
    return (image.clip(0, 1) * 255).round().astype(np.uint8), words


def ground(y, x, rng, words):
    """The background: its level, and the level with a texture (H, W)."""
    words['ground_tone'] = str(rng.choice(list(LEVELS)))
    level = rng.uniform(*LEVELS[words['ground_tone']])
    textures = [*['plain'] * 8, *['shaded'] * 4, 'cloudy', 'striped', 'rough']
    words['ground_texture'] = kind = str(rng.choice(textures))
    return level, level + texture(kind, y, x, rng, rng.uniform(0.015, 0.07))


def texture(kind, y, x, rng, amount):
    """A texture (H, W) around zero, of standard deviation about `amount`."""
    along = x * np.cos(a := rng.uniform(0, 6.3)) + y * np.sin(a)
    if kind in ('cloudy', 'rough'):
        lengths = (0.07, 0.14) if kind == 'cloudy' else (0.02, 0.035)
        return amount * noise(rng, len(y), len(y) * rng.uniform(*lengths))
    if kind == 'striped':
        return 1.4 * amount * np.sin(along * rng.uniform(15, 60) + rng.uniform(0, 6.3))
    return 3 * amount * (along - along.mean()) if kind == 'shaded' else np.zeros_like(y)


def clutter(image, y, x, rng, words):
    """Lines or dots behind the figures."""
    sign, kind = rng.choice([-1, 1]), str(rng.choice(['lines', 'dots']))
    for _ in range(rng.integers(2, 7)):
        cy, cx, a = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0, 6.3)
        u, v = rotated(y - cy, x - cx, a)
        distance = np.abs(v + rng.uniform(-0.6, 0.6) * u * u) if kind == 'lines' else np.hypot(u, v)
        image = image + sign * rng.uniform(0.1, 0.3) * inside(distance - rng.uniform(0.012, 0.035), 0.012)
    words['clutter'] = f'over {"bright" if sign > 0 else "dark"} {kind}'
    return image


def figures(image, level, y, x, rng, words):
    """One shape, or several of a kind, on the background."""
    kind, edge, size = (str(rng.choice(list(of))) for of in (DRAWN, EDGES, RADII))
    count = str(rng.choice(['one', 'one', 'one', 'one', 'two', 'three', 'many']))
    single = count == 'one'
    size = size if single else {'large': 'small', 'huge': 'medium'}.get(size, size)
    value = figure_level(level, rng)
    if not single:
        words['count'] = count
    words['shape'] = kind if single else kind + ('es' if kind == 'cross' else 's')
    words |= {'edge': edge, 'size': size, 'tone': tone(value)}
    words['strength'] = 'faint' if abs(value - level) < 0.13 else ''
    words['texture'] = fill = str(rng.choice([*['plain'] * 5, 'cloudy', 'rough', 'striped']))
    width, offset = rng.uniform(*EDGES[edge]), 0.12 if single else 0.38
    for _ in range(COUNTS.get(count, 1)):
        cy, cx = 0.5 + rng.uniform(-offset, offset, 2)
        a, r = rng.uniform(0, 6.3), rng.uniform(*RADII[size])
        u, v = rotated(y - cy, x - cx, a)
        distance = SHAPES[kind](u, v, np.hypot(u, v), np.arctan2(v, u), r, rng)
        mask = inside(distance, width)
        image = image * (1 - mask) + mask * (value + texture(fill, y, x, rng, rng.uniform(0.02, 0.07)))
        if single:
            image = detail(image, mask, distance, (cy, cx, r), y, x, rng, words)
            words['place'] = place(cy * 1.6 - 0.3, cx * 1.6 - 0.3)
    return image


def figure_level(level, rng):
    """Gray level of a figure: near that of the background in a quarter of the cases, else of another tone."""
    others = [v for v in LEVELS.values() if abs(np.mean(v) - level) > 0.1]
    if rng.random() < 0.25:
        return np.clip(level + rng.choice([-1, 1]) * rng.uniform(0.05, 0.12), 0, 1)
    return rng.uniform(*others[rng.integers(len(others))])


def rotated(y, x, a):
    """Coordinates (u, v) of points (y, x) along and across the direction of angle `a`."""
    return x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a)


def detail(image, mask, distance, where, y, x, rng, words):
    """Half of the single shapes carry a rim, a core or dots, brighter or darker."""
    kind = str(rng.choice(['', '', '', 'rim', 'core', 'dots']))
    if not kind:
        return image
    (cy, cx, r), sign, amount = where, rng.choice([-1, 1]), rng.uniform(0.12, 0.4)
    if kind == 'rim':
        mark = np.exp(-((distance / rng.uniform(0.02, 0.045)) ** 2))
    elif kind == 'core':
        mark = mask * inside(np.hypot(y - cy, x - cx) - rng.uniform(0.3, 0.6) * r, rng.uniform(0.01, 0.05))
    else:
        angles, radii = rng.uniform(0, 6.3, rng.integers(2, 8)), r * rng.uniform(0.1, 1, 8)
        spots = [(cy + p * np.sin(a), cx + p * np.cos(a)) for a, p in zip(angles, radii)]
        squares = ((y - py) ** 2 + (x - px) ** 2 for py, px in spots)
        mark = sum(np.exp(-square / rng.uniform(0.018, 0.05) ** 2) for square in squares).clip(0, 1)
    words['detail'] = f'with {"bright" if sign > 0 else "dark"} {kind}'
    return image + sign * amount * mark
