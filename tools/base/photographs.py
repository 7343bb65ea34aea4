"""The photographs that the base is trained on: their licences, where they come from, and crops of them.

They come from two Python packages and one of Debian's wallpaper packages, and all are everyday pictures in
the public domain, under CC0 or under CC-BY: no GPL and no share-alike.  Medical pictures that scikit-image
ships (retina, ihc, cell, microaneurysms) are left out, and so is every file whose licence could not be read
(moon, page, motorcycle).
"""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from genmix import StudyError
from genmix.run.log import log


class Photograph(NamedTuple):
    """`subject` is what a caption calls it, alternatives separated by '|'; `file` is below the package."""

    package: str
    file: str
    subject: str
    licence: str


CC0, PUBLIC, BY2, BY4 = 'CC0-1.0', 'public domain', 'CC-BY-2.0', 'CC-BY-4.0'
LOMIRI = 'lomiri-wallpapers-16.04'
PHOTOGRAPHS = [
    Photograph(*row)
    for row in [
        ('scikit-learn', 'china.jpg', 'a temple|a roof|a house', BY2),
        ('scikit-learn', 'flower.jpg', 'a flower|a plant', BY2),
        ('scikit-image', 'astronaut.png', 'a woman|a face', PUBLIC),
        ('scikit-image', 'brick.png', 'bricks|a wall', CC0),
        ('scikit-image', 'camera.png', 'a man with a camera|a man', CC0),
        ('scikit-image', 'chelsea.png', 'a cat|fur', CC0),
        ('scikit-image', 'clock_motion.png', 'a clock', PUBLIC),
        ('scikit-image', 'coffee.png', 'a cup|a cup on wood', CC0),
        ('scikit-image', 'coins.png', 'coins|a coin', PUBLIC),
        ('scikit-image', 'grass.png', 'grass', CC0),
        ('scikit-image', 'gravel.png', 'gravel|stones', CC0),
        ('scikit-image', 'hubble_deep_field.jpg', 'stars|the night sky', PUBLIC),
        ('scikit-image', 'rocket.jpg', 'a rocket', PUBLIC),
        ('scikit-image', 'text.png', 'text|letters', PUBLIC),
        (LOMIRI, 'Picture_0B_by_freespace.jpg', 'a fruit|a plate', BY4),
        (LOMIRI, 'Picture_1A_by_freespace.jpg', 'brushes', BY4),
        (LOMIRI, 'Wine_by_Jakkub_Mede.jpg', 'a room|a glass', BY4),
        (LOMIRI, 'aitzgorri_by_Aitzol_Berasategi.jpg', 'a mountain|trees', BY4),
        (LOMIRI, 'friends_by_Aitzol_Berasategi.jpg', 'dogs|a house', BY4),
        (LOMIRI, 'life_by_Aitzol_Berasategi.jpg', 'a river|stones', BY4),
        (LOMIRI, 'picosdeeuropa_by_Aitzol_Berasategi.jpg', 'mountains|snow', BY4),
        (LOMIRI, 'seeding_by_Clements_Engelhardt.jpg', 'a plant|a meadow', CC0),
        (LOMIRI, 'sunset_by_Aitzol_Berasategi.jpg', 'a sun|hills', BY4),
        (LOMIRI, 'umang_by_Abhishek_Mudgal.jpg', 'shades', BY4),
    ]
]
# Who made the pictures that must be credited and whose file names do not say so, from the packages' notes.
AUTHORS = {
    'china.jpg': 'danielbuechele (flickr.com/photos/danielbuechele/6061409035)',
    'flower.jpg': 'vultilion (flickr.com/photos/vultilion/6056698931)',
}
# Python packages: import name, folder of their pictures.
PYTHON = {'scikit-learn': ('sklearn', 'datasets/images'), 'scikit-image': ('skimage', 'data')}
LARGEST = (
    1400  # longer side in pixels to which a photograph is reduced first: wallpapers have little detail beyond
)


def author(file):
    """Who made a picture, '' where neither its name nor AUTHORS says so (no licence asks for it then)."""
    return AUTHORS.get(file, Path(file).stem.partition('_by_')[2].replace('_', ' '))


def fetch(packages, cache):
    """Download the Debian packages, with the system's own package tool, and unpack them in folder `cache`.

    Returns those that are there.  A package that cannot be downloaded is left out with a log line.
    """
    there = []
    for package in packages:
        folder = Path(cache) / package
        try:
            if not folder.exists():
                part = folder.with_name(f'.{package}.part').resolve()
                part.mkdir(parents=True, exist_ok=True)
                how = {'check': True, 'capture_output': True, 'timeout': 600}
                subprocess.run(['apt-get', 'download', package], cwd=part, **how)
                subprocess.run(['dpkg-deb', '-x', str(next(part.glob('*.deb'))), str(part)], **how)
                os.rename(part, folder.resolve())
            there.append(package)
        except (OSError, subprocess.SubprocessError, StopIteration) as error:
            log.info(
                f'{package} is left out: {type(error).__name__}; '
                'its photographs are missing from the training images of the base'
            )
    return there


def folder_of(package, cache):
    """The folder of the pictures of a package.  StudyError when scikit-image is not installed."""
    if package not in PYTHON:
        return Path(cache) / package / 'usr' / 'share' / 'backgrounds'
    module, below = PYTHON[package]
    found = find_spec(module)
    if found is None:
        raise StudyError(
            f'{package} is not installed, and its photographs are part of the base: '
            'run .venv/bin/python -m pip install -c requirements.lock -e ".[base]".'
        )
    return Path(found.origin).parent / below


def collect(packages, cache):
    """The photographs of `packages` that are there, as [(Photograph, float32 (H, W) in [0, 1])]."""
    debian = [p for p in packages if p in {photo.package for photo in PHOTOGRAPHS} - set(PYTHON)]
    kept = [p for p in packages if p in PYTHON] + fetch(debian, cache)
    return [
        (photo, read(folder_of(photo.package, cache) / photo.file))
        for photo in PHOTOGRAPHS
        if photo.package in kept
    ]


def read(path):
    """A picture in gray, float32 (H, W) in [0, 1], its longer side at most LARGEST pixels."""
    with Image.open(path) as picture:
        picture.draft('RGB', (2 * LARGEST, 2 * LARGEST))
        picture = picture.convert('L')
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        return np.asarray(picture, np.float32) / 255


def one_crop(picture, size, rng):
    """One square crop of a picture float32 (H, W) in [0, 1]: uint8 (size, size).

    Position is uniform, the side log-uniform from `size` pixels to the whole picture; half of the crops are
    mirrored, and half have their gray levels changed (gamma) and their range narrowed.  A crop that shows
    nearly nothing is drawn again, up to 8 times.
    """
    shortest = min(picture.shape)
    for _ in range(8):
        side = int(round(np.exp(rng.uniform(np.log(min(size, shortest)), np.log(shortest)))))
        y, x = (rng.integers(0, extent - side + 1) for extent in picture.shape)
        patch = picture[y : y + side, x : x + side]
        if patch.std() > 0.02:
            break
    patch = Image.fromarray(patch).resize((size, size), Image.Resampling.LANCZOS)
    patch = np.asarray(patch)[:, :: rng.choice([1, -1])].clip(0, 1)
    if rng.random() < 0.5:
        low, high = rng.uniform(0, 0.35), rng.uniform(0.65, 1)
        patch = low + (high - low) * patch ** rng.uniform(0.6, 1.6)
    return (patch * 255).round().astype(np.uint8)
