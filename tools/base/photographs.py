"""The photographs that the base is trained on: their licences, where they come from, and crops of them.

They come from two Python packages and from Debian's wallpaper packages, and all are everyday pictures.
Medical pictures that scikit-image ships (retina, ihc, cell, microaneurysms) are left out, and so is every
file whose licence could not be read (moon, page, motorcycle).
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


CC0, PUBLIC, GPL = 'CC0-1.0', 'public domain', 'GPL-2+'
BY2, BY4, SA3, SA4 = 'CC-BY-2.0', 'CC-BY-4.0', 'CC-BY-SA-3.0', 'CC-BY-SA-4.0'
OLD, NEW = 'lomiri-wallpapers-16.04', 'lomiri-wallpapers-20.04'
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
        ('mate-backgrounds', 'mate/nature/Aqua.jpg', 'water|a drop', GPL),
        ('mate-backgrounds', 'mate/nature/Blinds.jpg', 'a leaf', GPL),
        ('mate-backgrounds', 'mate/nature/Dune.jpg', 'grass on a beach|grass', GPL),
        ('mate-backgrounds', 'mate/nature/FreshFlower.jpg', 'a flower|petals', GPL),
        ('mate-backgrounds', 'mate/nature/Garden.jpg', 'flowers|a garden', GPL),
        ('mate-backgrounds', 'mate/nature/GreenMeadow.jpg', 'a meadow|grass', GPL),
        ('mate-backgrounds', 'mate/nature/LadyBird.jpg', 'flowers|a beetle', GPL),
        ('mate-backgrounds', 'mate/nature/RainDrops.jpg', 'leaves|drops', GPL),
        ('mate-backgrounds', 'mate/nature/Storm.jpg', 'clouds|a road', GPL),
        ('mate-backgrounds', 'mate/nature/TwoWings.jpg', 'seeds|a plant', GPL),
        ('mate-backgrounds', 'mate/nature/Wood.jpg', 'wood', GPL),
        ('mate-backgrounds', 'mate/nature/YellowFlower.jpg', 'a flower|petals', GPL),
        ('mate-backgrounds', 'mate/abstract/Elephants.jpg', 'a painting', GPL),
        ('mate-backgrounds', 'mate/desktop/Stripes.png', 'a curtain', GPL),
        ('mate-backgrounds', 'mate/desktop/Ubuntu-Mate-Cold-no-logo.png', 'lights|the night sky', SA4),
        (OLD, 'Bridge_by_Sander_Klootwijk.jpg', 'a beach|sky', SA4),
        (OLD, 'Dragonfly_by_Bolly.jpg', 'a tree|leaves', SA4),
        (OLD, 'Picture_0B_by_freespace.jpg', 'a fruit|a plate', BY4),
        (OLD, 'Picture_1A_by_freespace.jpg', 'brushes', BY4),
        (OLD, 'Wine_by_Jakkub_Mede.jpg', 'a room|a glass', BY4),
        (OLD, 'aitzgorri_by_Aitzol_Berasategi.jpg', 'a mountain|trees', BY4),
        (OLD, 'analogpattern_by_Peter_Nerlich.jpg', 'film', SA4),
        (OLD, 'free_by_Peter_Nerlich.jpg', 'lamps|lights', SA4),
        (OLD, 'friends_by_Aitzol_Berasategi.jpg', 'dogs|a house', BY4),
        (OLD, 'greentock_by_Peter_Nerlich.jpg', 'a clock', SA4),
        (OLD, 'life_by_Aitzol_Berasategi.jpg', 'a river|stones', BY4),
        (OLD, 'picosdeeuropa_by_Aitzol_Berasategi.jpg', 'mountains|snow', BY4),
        (OLD, 'seeding_by_Clements_Engelhardt.jpg', 'a plant|a meadow', CC0),
        (OLD, 'sunset_by_Aitzol_Berasategi.jpg', 'a sun|hills', BY4),
        (OLD, 'umang_by_Abhishek_Mudgal.jpg', 'shades', BY4),
        (NEW, 'Fossa_by_Jasper_Roks.jpg', 'folds|paper', SA3),
        (NEW, 'Infinite-Sea_by_Aury88.jpg', 'stars over the sea|stars', SA3),
        (NEW, 'Kleiber_by_Lukas_Baubkus.jpg', 'bark|a bird', SA3),
        (NEW, 'Painting-Colors_by__herobrine7gamer.jpg', 'paper|ribbons', SA3),
        ('ukui-wallpapers', '2004default.jpg', 'a ribbon', SA3),
        ('ukui-wallpapers', 'calla.png', 'a drawing of a flower|a drawing', SA3),
        ('ukui-wallpapers', 'city.png', 'a drawing of a house|a drawing', SA3),
        ('ukui-wallpapers', 'desert.png', 'a drawing of hills|a drawing', SA3),
        ('ukui-wallpapers', 'fluent-color.png', 'silk|waves', SA3),
        ('ukui-wallpapers', 'goldfish.png', 'a fish', SA3),
        ('ukui-wallpapers', 'rollpaper.png', 'paper|a drawing', SA3),
        ('ukui-wallpapers', 'rhythm.jpg', 'waves|ribbons', SA3),
        ('ukui-wallpapers', 'string.jpg', 'curves|waves', SA3),
        ('gnome-backgrounds', 'gnome/adwaita-d.webp', 'tiles', SA3),
        ('gnome-backgrounds', 'gnome/grid-l.webp', 'a mosaic|tiles', GPL),
        ('gnome-backgrounds', 'gnome/licorice-l.webp', 'tiles|a pattern', GPL),
        ('gnome-backgrounds', 'gnome/truchet-d.webp', 'a pattern', GPL),
        ('gnome-backgrounds', 'gnome/wood-d.webp', 'wood|slats', GPL),
        ('gnome-backgrounds', 'gnome/wood-l.webp', 'wood|slats', GPL),
    ]
]
# Python packages: import name, folder of their pictures.
PYTHON = {'scikit-learn': ('sklearn', 'datasets/images'), 'scikit-image': ('skimage', 'data')}
LARGEST = (
    1400  # longer side in pixels to which a photograph is reduced first: wallpapers have little detail beyond
)


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
    debian = [p for p in packages if p not in PYTHON]
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


def crops(pictures, n, size=64, seed=0):
    """`n` square crops, as many of each picture: uint8 (n, size, size) and the picture's number int64 (n,).

    Position is uniform, the side log-uniform from `size` pixels to the whole picture; half of the crops are
    mirrored, and half have their gray levels changed (gamma) and their range narrowed.  A crop that shows
    nearly nothing is drawn again, up to 8 times.
    """
    rng = np.random.default_rng(seed)
    source = np.resize(np.arange(len(pictures)), n)
    return np.stack([one_crop(pictures[i], size, rng) for i in source]), source


def one_crop(picture, size, rng):
    """One crop of a picture float32 (H, W) in [0, 1]: uint8 (size, size)."""
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
