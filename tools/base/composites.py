"""Clip art on a ground: how one picture becomes many, and what a caption may say about each.

An object is placed at a random size, place, rotation and tone on a plain, a graded or a photographic ground;
some are softened, and some carry grain, as a camera adds it.
"""

from collections import Counter

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from genmix.generators.pretrained.captions import place, tone
from tools.base.nouns import EVERYDAY
from tools.base.photographs import one_crop

SIZES = ((0.22, 'tiny'), (0.34, 'small'), (0.52, 'medium'), (0.76, 'large'), (2.0, 'huge'))  # of the side
WHOLE = ('gradient', 'pattern')  # what fills the picture


def compose(picture, nouns, photos, rng, size=64):
    """One composite of a picture uint8 (2, H, W): uint8 (size, size) and {attribute: words}.

    nouns    name the picture      photos    float32 (H, W) in [0, 1] each, for photographic grounds
    """
    words = {'noun': nouns}
    background, words['ground'] = ground(photos, rng, size)
    fill = nouns[-1] in WHOLE
    scale = 1.25 if fill else float(np.exp(rng.uniform(np.log(0.17), np.log(1.0))))
    alpha, gray, (cy, cx) = placed(picture, scale, rng, size)
    gray = toned(gray, alpha, background, rng, fill)
    if rng.random() < 0.3:
        radius = rng.uniform(0.6, 2.2)
        alpha, gray = gaussian_filter(alpha, radius), gaussian_filter(gray, radius)
        words['edge'] = 'blurred' if radius > 1.5 else 'soft'
    image = background * (1 - alpha) + gray * alpha
    if rng.random() < 0.2:
        image = image + grain(rng, size, words)
    words['tone'] = tone(float((gray * alpha).sum() / max(alpha.sum(), 1e-6)))
    if not fill:
        words['size'] = next(word for limit, word in SIZES if scale < limit)
        words['place'] = place(cy, cx)
    return (image.clip(0, 1) * 255).round().astype(np.uint8), words


def chances(pictures):
    """The chance of each picture to be drawn.

    In one half a folder has a chance proportional to the square root of the number of its pictures, so that
    many alike do not outweigh the others; the other half is shared by EVERYDAY things alike.
    """
    folders = Counter(picture.folder for picture in pictures)
    things = [next((noun for noun in picture.nouns if noun in EVERYDAY), '') for picture in pictures]
    counts = Counter(things)
    even = np.array([folders[picture.folder] ** -0.5 for picture in pictures])
    everyday = np.array([1 / counts[thing] if thing else 0.0 for thing in things])
    parts = [part / part.sum() for part in (even, everyday) if part.any()]
    return np.mean(parts, 0)


def ground(photos, rng, size):
    """A ground float32 (size, size) in [0, 1] and words for it."""
    kind, level = rng.choice(['plain', 'shaded', 'photo'], p=[0.6, 0.25, 0.15]), rng.uniform(0.03, 0.97)
    if kind == 'plain':
        return np.full((size, size), level, np.float32), f'on a plain {tone(level)} background'
    if kind == 'shaded':
        y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
        a, slope = rng.uniform(0, 6.3), rng.uniform(0.1, 0.35)
        slant = np.hypot(y, x) - 0.7 if rng.random() < 0.3 else y * np.sin(a) + x * np.cos(a)
        return (level + slope * slant).clip(0, 1), f'on a shaded {tone(level)} background'
    photo = photos[rng.integers(len(photos))]
    crop = one_crop(photo, size, rng).astype(np.float32) / 255
    crop = gaussian_filter(crop, rng.uniform(0, 3))
    crop = level + rng.uniform(0.15, 0.8) * (crop - crop.mean())
    return crop.clip(0, 1), f'on a {tone(float(crop.clip(0, 1).mean()))} photo'


def placed(picture, scale, rng, size):
    """Opacity, gray float32 (size, size) and centre in [0, 1) of a picture with `scale` of the side."""
    if rng.random() < 0.5:
        picture = picture[:, :, ::-1]
    angle = rng.uniform(0, 360) if rng.random() < 0.15 else rng.normal(0, 6)
    height, width = picture.shape[1:]
    span = scale * size / max(height, width)
    half = scale / 2 * np.array([height, width]) / max(height, width)
    room = np.maximum(0.5 - half, 0.05)
    cy, cx = 0.5 + rng.uniform(-1, 1, 2) * room * (rng.random() < 0.7)
    c, s = np.cos(np.radians(angle)) / span, np.sin(np.radians(angle)) / span
    x0, y0 = width / 2 - c * cx * size - s * cy * size, height / 2 + s * cx * size - c * cy * size
    matrix, shrink = (c, s, x0, -s, c, y0), max(1.0, 1 / span)
    layers = []
    for channel in (picture[0].astype(np.float32) * picture[1] / 255, picture[1].astype(np.float32)):
        smooth = gaussian_filter(channel, 0.45 * (shrink - 1)) if shrink > 1 else channel
        moved = Image.fromarray(smooth).transform(
            (size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
        )
        layers.append(np.asarray(moved).clip(0, 255) / 255)
    alpha = layers[1]
    return alpha, layers[0] / np.maximum(alpha, 1e-3), (min(cy, 0.999), min(cx, 0.999))


def toned(gray, alpha, background, rng, fill=False):
    """Gray levels of an object, changed at random; some become silhouettes, all stand out from the ground."""
    low, high = rng.uniform(0, 0.3), rng.uniform(0.6, 1)
    if rng.random() < 0.15:
        low, high = high, low  # a negative
    gray = low + (high - low) * gray.clip(0, 1) ** rng.uniform(0.7, 1.5)
    level = rng.uniform(0.03, 0.97)
    if rng.random() < 0.3 and not fill:
        gray = np.full_like(gray, level)
    weight = alpha / max(alpha.sum(), 1e-6)
    around, inside = float((background * weight).sum()), float((gray * weight).sum())
    spread = float((weight * (gray - inside) ** 2).sum()) ** 0.5
    if abs(inside - around) < 0.15 and spread < 0.12:
        gray = gray + (0.3 if around < 0.5 else -0.3)
    return gray.clip(0, 1)


def grain(rng, size, words):
    """Noise float32 (size, size) as film and sensors have it; adds `grain` to the words."""
    coarse = rng.random() < 0.5
    noise = gaussian_filter(
        rng.standard_normal((size, size)), rng.uniform(0.9, 1.8) if coarse else rng.uniform(0, 0.6)
    )
    amount = 0.01 * 8 ** rng.random()
    strength = 'strong ' if amount > 0.05 else 'faint ' if amount < 0.02 else ''
    words['grain'] = f'with {strength}{"coarse" if coarse else "fine"} grain'
    return amount * noise / noise.std()
