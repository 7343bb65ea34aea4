"""Pictures inside a notebook made smaller: first packed better, then coarser, the largest first, until they fit."""

import base64
import io
from functools import partial

import numpy as np
from PIL import Image, ImageSequence

LEVELS = (
    64,
    32,
    16,
)  # of gray (and of red, green, blue) in a picture that has to be smaller: lesions are noise, which no lossless code shrinks


def pack(outputs, room):
    """Re-encode the PNG and GIF pictures of `outputs`, in place, until all together take `room` bytes of base64 or nothing more can be done."""
    found = [(o, kind) for o in outputs for kind in WAYS if kind in o['data']]
    raw = [base64.b64decode(o['data'][kind]) for o, kind in found]
    ways = [WAYS[kind] for _, kind in found]
    best, step = [way[0](data) for way, data in zip(ways, raw)], [0] * len(raw)
    while sum(map(in_base64, best)) > room and (
        left := [i for i in range(len(raw)) if step[i] + 1 < len(ways[i])]
    ):
        i = max(left, key=lambda i: len(best[i]))
        step[i] += 1
        best[i] = min(best[i], ways[i][step[i]](raw[i]), key=len)
    for (output, kind), data in zip(found, best):
        output['data'][kind] = base64.b64encode(data).decode()


def in_base64(data):
    return -(-len(data) // 3) * 4


def still(data, levels=256):
    """PNG bytes of a picture on white, each channel rounded to so many even levels: as gray, as colours of a palette or as RGB, what is smallest."""
    image = Image.open(io.BytesIO(data)).convert('RGBA')
    image = rounded(
        Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image).convert('RGB'), levels
    )
    forms = [form for form in (as_gray(image), as_palette(image)) if form] or [image]
    return min((saved([form], 'png', optimize=True) for form in forms), key=len)


def moving(data, levels=0):
    """GIF bytes of an animation: as it is, or half as wide and high, each channel rounded to so many even levels."""
    film = Image.open(io.BytesIO(data))
    if not levels:
        return data
    frames = [
        (rounded(f.convert('RGB').reduce(2), levels), f.info.get('duration', 100))
        for f in ImageSequence.Iterator(film)
    ]
    images, each = (
        [as_palette(image) or image.quantize(dither=Image.Dither.NONE) for image, _ in frames],
        [each for _, each in frames],
    )
    return saved(
        images, 'gif', save_all=True, append_images=images[1:], duration=each, loop=film.info.get('loop', 0)
    )


def rounded(image, levels):
    """Even levels keep what is inside a dark lesion; a palette that follows the histogram, as in Image.quantize, would make it one blot."""
    return (
        image
        if levels == 256
        else image.point([round(round(v / 255 * (levels - 1)) * 255 / (levels - 1)) for v in range(256)] * 3)
    )


def as_gray(image):
    """An RGB image with one channel, None when it has colour."""
    red, green, blue = image.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else None


def as_palette(image):
    """An RGB image with a palette of just its colours, None when there are more than 256."""
    pixels = np.asarray(image).reshape(-1, 3)
    colours, index = np.unique(pixels @ [65536, 256, 1], return_inverse=True)
    if len(colours) > 256:
        return None
    found = Image.fromarray(index.reshape(image.height, image.width).astype(np.uint8)).convert('P')
    found.putpalette(
        np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).astype(np.uint8).tobytes()
    )
    return found


def saved(images, kind, **how):
    packed = io.BytesIO()
    images[0].save(packed, kind, **how)
    return packed.getvalue()


# from faithful to small
WAYS = {
    'image/png': [still, *(partial(still, levels=n) for n in LEVELS)],
    'image/gif': [moving, *(partial(moving, levels=n) for n in (256, *LEVELS))],
}
