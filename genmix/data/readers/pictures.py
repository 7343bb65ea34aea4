"""One picture from disk: its gray levels, and what of the file may go with a class."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from genmix import StudyError

FORMATS = ('PNG', 'JPEG', 'TIFF', 'BMP', 'WEBP')
ENDINGS = ('.png', '.jpg', '.jpeg', '.jpe', '.jfif', '.tif', '.tiff', '.bmp', '.webp')
KINDS = 'PNG, JPEG, TIFF, BMP or WebP'
SMALLEST = 32  # pixels: a smaller lesion would be all interpolation at the study's size
CHANNELS = ('red', 'green', 'blue')
GRAY = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow converts colour to gray
COLOURED = 8  # gray levels between the channels of a pixel, on average: JPEG alone makes fewer
COLOUR_LOST = 'only gray levels are used: channel=red, green or blue takes one channel instead of their mean'


class Picture(NamedTuple):
    """Pixels (size, size), uint8 or, of more than 8 bits, float32; and facts of the file."""

    pixels: np.ndarray
    width: int
    height: int
    bits: int
    format: str
    colour: bool


def read_picture(path, name, size, channel='gray'):
    """The picture at `path` as a Picture, padded to a square and reduced or enlarged to `size` pixels a side.

    name     how messages call it
    channel  gray, or the one channel of colour pictures that is taken: red, green, blue

    Raises StudyError naming what is wrong with the file, and the fix.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        what = 'is a link to a file that does not exist' if path.is_symlink() else 'is not a regular file'
        raise StudyError(f'"{name}" {what}: restore or remove it.')
    try:
        with Image.open(path, formats=FORMATS) as image:
            kind, pages = image.format, getattr(image, 'n_frames', 1)
            pixels, bits, colour = _gray_levels(image, path, channel)
    except Image.DecompressionBombError:
        raise StudyError(f'"{name}" has more pixels than can be read safely: reduce it.') from None
    except PermissionError:
        raise StudyError(f'"{name}" may not be read: ask for the right to, or copy it.') from None
    except StudyError as error:
        raise StudyError(f'"{name}" {error}') from None
    except Exception as error:  # decoders raise errors of many types for a damaged file
        raise StudyError(f'"{name}" cannot be read as {KINDS} ({error}): replace or remove it.') from error
    _check(pixels, 1 if kind == 'MPO' else pages, name)  # the second picture of a phone is a preview
    # bilinear with antialiasing: no overshoot beside bright edges
    square = Image.fromarray(_pad(pixels)).resize((size, size), Image.BILINEAR)
    return Picture(np.asarray(square), *pixels.shape[::-1], bits, kind, colour)


def _gray_levels(image, path, channel):
    """(uint8 or float32 (H, W), bits, whether it has colours) of an open image, upright."""
    if image.format in ('PNG', 'TIFF') and ';16' in str(image.tile) and not image.mode.startswith('I'):
        image, colour = _deep_colour(image, path, channel)
        return np.asarray(image), 16, colour
    image = ImageOps.exif_transpose(image)
    image.info.pop('transparency', None)  # transparency is not the gray of the lesion
    if image.mode.startswith(('I', 'F')):
        return np.asarray(image, np.float32), 16 if ';16' in image.mode else 32, False
    if image.mode in ('L', 'LA', 'La', '1'):
        return np.asarray(image.convert('L')), 8, False
    rgb = image.convert('RGB')
    pixels = np.asarray(rgb.convert('L') if channel == 'gray' else rgb.getchannel(CHANNELS.index(channel)))
    return pixels, 8, has_colours(np.asarray(rgb))


def _deep_colour(image, path, channel):
    """(float image, upright; whether it has colours) of 16 bits in several channels: Pillow would keep 8."""
    if image.format != 'PNG':
        raise StudyError('has 16 bits in several channels: save it as 16-bit gray, or as PNG.')
    from torchvision.io import ImageReadMode, decode_image  # slow to load, and seldom needed

    deep = decode_image(str(path), ImageReadMode.UNCHANGED).numpy().astype(np.float32)
    colour, gray = len(deep) > 2 and has_colours(np.moveaxis(deep[:3], 0, -1) / 257), deep[0]
    if len(deep) > 2:
        gray = np.tensordot(GRAY, deep[:3], 1) if channel == 'gray' else deep[CHANNELS.index(channel)]
    upright = Image.fromarray(gray.astype(np.float32))
    upright.info = {key: image.info[key] for key in ('exif',) if key in image.info}
    return ImageOps.exif_transpose(upright), colour


def has_colours(rgb):
    """Whether the channels of (H, W, 3), 0-255, differ by more than COLOURED gray levels on average."""
    step = max(1, min(rgb.shape[:2]) // 256)  # of large pictures some pixels are enough
    rgb = rgb[::step, ::step]
    return bool((rgb.max(2).astype(float) - rgb.min(2)).mean() > COLOURED)


def _check(pixels, pages, name):
    """StudyError for several pages, a small image, or values that are not numbers."""
    if pages > 1:
        raise StudyError(f'"{name}" holds {pages} pages: save each as a file of its own.')
    if min(pixels.shape) < SMALLEST:
        raise StudyError(
            f'"{name}" is {pixels.shape[1]} x {pixels.shape[0]} pixels: '
            f'images need at least {SMALLEST} a side; remove or replace it.'
        )
    if not np.isfinite(pixels).all():
        raise StudyError(
            f'"{name}" has pixels that are not numbers (NaN or infinite): replace them or remove the image.'
        )


def _pad(pixels):
    """`pixels` (H, W) centred in a square of the median of their border.

    Stretching would turn round lesions oval, and cropping may cut them off; a black border would be an edge
    that reveals the shape of the file.
    """
    height, width = pixels.shape
    side = max(height, width)
    if height == width:
        return pixels
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    square = np.full((side, side), np.median(border), pixels.dtype)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def to_common_range(pixels):
    """uint8 (n, H, W) of images that are uint8 or, of more than 8 bits, float32.

    Deep images share one robust range: a range per image would remove real differences of brightness, that of
    the type would leave 12-bit images black.  Two numbers over all images reveal nothing about the test part.
    """
    deep = [p for p in pixels if p.dtype != np.uint8]
    if deep:
        low, high = np.percentile(deep, [0.5, 99.5])
        if high <= low:  # more than 99 % of one value: no robust range, so the whole one
            low, high = np.min(deep), np.max(deep)

        def gray(p):
            return np.clip(np.rint((p - low) * (255 / max(high - low, 1e-6))), 0, 255).astype(np.uint8)

        pixels = [p if p.dtype == np.uint8 else gray(p) for p in pixels]
    return np.stack(pixels)
