"""The clip art that the base is trained on: Debian's package openclipart-png, dedicated to the public domain.

Pictures with transparency in a tree of named categories.  Medical and anatomical ones are left out (MEDICAL),
and pictures that look alike are counted once.  The words of a picture are those of its file name that NOUNS
knows, and of its folder.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from genmix import StudyError
from genmix.generators.pretrained import captions
from tools.base import photographs
from tools.base.nouns import FOLDERS, TRANSLATED

NOUNS = frozenset(captions.NOUNS.split())
PACKAGE, LICENCE = 'openclipart-png', 'public domain'
BELOW = Path('usr', 'share', 'openclipart', 'png')
SIDE = 128  # longer side in pixels to which a picture is reduced
LARGEST = 40_000_000  # pixels
# Left out: folders and words of file names, matched from the beginning of a word.
MEDICAL = {
    'folders': ('people/bodypart', 'science/medicine'),
    'words': (
        *(
            'medic',
            'brain',
            'skull',
            'teschio',
            'skelet',
            'bone',
            'blood',
            'sangue',
            'organ',
            'anatom',
            'xray',
        ),
        *(
            'lung',
            'liver',
            'kidney',
            'heart_human',
            'doctor',
            'dottore',
            'nurse',
            'hospital',
            'siringa',
            'dente',
        ),
        *(
            'syringe',
            'pill',
            'helix',
            'dna',
            'micros',
            'microscop',
            'virus',
            'provetta',
            'iris_and',
            'eyeball',
        ),
        *('tooth', 'ear_-_', 'mouth_-_', 'radiation', 'biohazard', 'amibe', 'cell', 'pregnan', 'handicap'),
        *('ambulan', 'fingerprint', 'stethoscop', 'surgeon', 'pharmac', 'clinic', 'cancer', 'lesion', 'tumo'),
    ),
}
# Pages, borders and sheets of colour, whose words would teach nothing.
NOT_PICTURES = ('special/examples', 'recreation/games/cards/bordered', 'recreation/games/cards/ornamental')


class Picture(NamedTuple):
    """`file` is below the package's folder, `folder` its category; `nouns` name it, specific ones first."""

    file: str
    folder: str
    nouns: tuple


def pictures(root):
    """Every picture below `root` that may be used, as a list of Picture sorted by file."""
    files = sorted(p.relative_to(root) for p in Path(root).rglob('*.png'))
    found = (Picture(f.as_posix(), f.parent.as_posix(), nouns_of(f)) for f in files if not is_left_out(f))
    return [picture for picture in found if picture.nouns]


def is_left_out(file):
    """Whether a picture is medical or anatomical, or no picture of a thing."""
    folder, name = file.parent.as_posix(), re.sub('[^a-z]+', '_', file.stem.lower())
    if folder.startswith((*MEDICAL['folders'], *NOT_PICTURES)):
        return True
    return any(re.search(f'(^|_){re.escape(word)}', name) for word in MEDICAL['words'])


def nouns_of(file):
    """The words of a picture: those of its name, then those of its folders, each once."""
    words = re.findall('[a-z]+', file.stem.lower())
    named = [TRANSLATED.get(w, w) for w in words]
    named = [n for n in (w if w in NOUNS else w.removesuffix('s') for w in named) if n in NOUNS]
    parents = [p.as_posix() for p in file.parents]
    return tuple(dict.fromkeys([*named, *(FOLDERS[p] for p in parents if p in FOLDERS)]))


def read(path):
    """A picture in gray and its opacity, uint8 (2, H, W), cut to what is opaque; None when nothing is.

    The longer side is at most SIDE pixels.  A file with more than LARGEST pixels is None as well.
    """
    try:
        image = Image.open(path)
    except Image.DecompressionBombError:
        return None
    with image:
        if image.width * image.height > LARGEST:
            return None
        image = image.convert('RGBA')
        box = image.getchannel('A').point(lambda a: 255 * (a > 8)).getbbox()
        if box is None:
            return None
        image = image.crop(box)
        if max(image.size) > 4 * SIDE:
            image = image.reduce(max(image.size) // (2 * SIDE))
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        return np.stack([np.asarray(image.convert('LA').getchannel(c)) for c in 'LA'])


def fingerprint(picture):
    """A hash that pictures which look alike share: gray and opacity at 12 x 12, in 6 steps each."""
    small = [Image.fromarray(channel).resize((12, 12), Image.Resampling.BOX) for channel in picture]
    gray, alpha = (np.asarray(x, np.float32) / 255 for x in small)
    return np.round(6 * np.stack([gray * alpha, alpha])).astype(np.uint8).tobytes()


def collect(packages, cache):
    """[(Picture, uint8 (2, H, W))] of the clip art, one of those that look alike; [] when not in `packages`.

    Raises StudyError when the package cannot be downloaded: without it this is another base.
    """
    if PACKAGE not in packages:
        return []
    if not photographs.fetch([PACKAGE], cache):
        raise StudyError(
            f'{PACKAGE} could not be downloaded, and most pictures of the base are in it: try again.'
        )
    root, kept = Path(cache) / PACKAGE / BELOW, {}
    for picture in pictures(root):
        pixels = read(root / picture.file)
        if pixels is not None and min(pixels.shape[1:]) >= 12:
            kept.setdefault(fingerprint(pixels), (picture, pixels))
    return list(kept.values())
