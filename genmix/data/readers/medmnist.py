"""MedMNIST: any of its 2D sets, at any of its sizes, with the official splits.

Yang et al., Scientific Data 2023;10:41, doi 10.1038/s41597-022-01721-8.
"""

import hashlib
import math
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from genmix import StudyError
from genmix.data import duplicates
from genmix.data.cohort import Cohort
from genmix.data.readers.pictures import CHANNELS, COLOUR_LOST, GRAY
from genmix.run.limits import check

PARTS = ('train', 'val', 'test')
SIZES = (28, 64, 128, 224)
PADDED = 32  # 28 pixels are bordered to this, not stretched: 64 and 128 are then whole multiples
CHUNK = 2**24  # bytes of images in memory at their own size


def load(data_dir='', image_size=64, flag='', size=28, download=False, channel='gray'):
    """Read a 2D MedMNIST set: (Cohort of uint8 (n, image_size, image_size), notes for the checks).

    data_dir  the npz itself, or the folder that holds <flag>.npz or <flag>_<size>.npz; empty: the package's
              own ~/.medmnist
    flag      name of the set, such as breastmnist; may be empty where data_dir is the npz
    size      28, 64, 128 or 224: which of the published sizes
    download  True lets the package fetch what is missing, and verifies it; False never uses the network
    channel   of sets in colour: gray, red, green or blue

    Extra column `official`: train, val or test.  Patients are unknown: each cluster of near-duplicates counts
    as one.

    Raises StudyError for a set with several labels per image, a missing or damaged file, labels that do not
    fit.
    """
    path, flag, size, about = find(data_dir, flag, size, download)
    check(channel=channel)
    images, labels, official = _read(path, about, size, image_size, channel)
    patients, clusters = duplicates.as_patients(images)
    ids = [f'{part}-{i:06d}' for part in PARTS for i in range((official == part).sum())]
    known = f'patients unknown: {clusters} near-duplicate clusters kept together'
    source = f'{flag} {size} px, {len(images)} images ({known})'
    names = [about['label'][str(k)] for k in range(len(about['label']))]
    cohort = Cohort(images, labels, patients, names, source, ids, pd.DataFrame({'official': official}))
    colour = len(images) if about['n_channels'] == 3 else 0
    lost = 'colour images turned to gray', colour, len(images), 'look' if colour else 'ok', COLOUR_LOST
    return cohort, [_checksum(path, about, size), _counts(official, about), lost, _across(patients, official)]


def find(data_dir='', flag='', size=28, download=False):
    """(path of the existing npz, flag, size, the package's description); arguments and errors of `load`."""
    path = _place(data_dir, flag, size)
    stem, size = path.stem.partition('_')[0], _size(path, size)
    about = _about(flag or stem, size)
    from medmnist.info import INFO

    if flag and stem != flag and stem in INFO:
        raise StudyError(
            f'"{path.name}" is {stem} by its name, but medmnist_flag is {flag}: '
            'correct one of them, or the classes get wrong names.'
        )
    if not path.exists():
        _fetch(path, flag or stem, size, download)
    return path, flag or stem, size, about


def _place(data_dir, flag, size):
    """Where the npz is, or would be."""
    name = f'{flag}.npz' if size == 28 else f'{flag}_{size}.npz'
    place = Path(data_dir).expanduser() if str(data_dir) else Path.home() / '.medmnist'
    if place.suffix.lower() == '.npz':
        return place
    if not flag:
        raise StudyError(
            'dataset=medmnist needs medmnist_flag (such as breastmnist), or data_dir naming an npz file.'
        )
    return place / name


def _size(path, size):
    """Pixels a side: a number in the name of the npz comes first."""
    tail = path.stem.partition('_')[2]
    return int(tail) if tail.isdecimal() else 28 if not tail else size


def _about(flag, size):
    """The package's description of a set; StudyError for one that does not fit the study."""
    try:
        from medmnist.info import INFO
    except ImportError:
        raise StudyError(
            'dataset=medmnist needs the package medmnist: install the extra with `pip install genmix[ct]`.'
        ) from None
    if flag not in INFO or flag.endswith('3d'):
        flat = ', '.join(name for name in INFO if not name.endswith('3d'))
        raise StudyError(f'medmnist_flag "{flag}" is no 2D set of MedMNIST: choose one of {flat}.')
    if 'multi-label' in INFO[flag]['task']:
        raise StudyError(
            f'{flag} has several labels per image, and this study takes one: '
            'choose another set, such as pneumoniamnist.'
        )
    if size not in SIZES:
        raise StudyError(f'medmnist_size is {size}: choose one of {", ".join(map(str, SIZES))}.')
    return INFO[flag]


def _fetch(path, flag, size, download):
    if not download:
        raise StudyError(
            f'"{path.name}" is not in "{path.parent}": '
            'put it there, correct data_dir, or ask for it with download=True.'
        )
    import medmnist
    from medmnist.info import INFO

    path.parent.mkdir(parents=True, exist_ok=True)
    one = getattr(medmnist, INFO[flag]['python_class'])
    try:
        one(split='train', download=True, size=size, root=str(path.parent))
    except Exception:  # the package raises errors of several types for a closed network and a broken file
        raise StudyError(
            f'{path.name} could not be downloaded: '
            f'check the network, or put the file from medmnist.com into "{path.parent}".'
        ) from None


def _read(path, about, size, image_size, channel):
    """(images uint8 (n, image_size, image_size), labels int (n,), part of each), checked as they are read."""
    images, labels, parts = [], [], []
    try:
        with zipfile.ZipFile(path) as file:
            for name in (f'{part}_{what}' for part in PARTS for what in ('images', 'labels')):
                if f'{name}.npy' not in file.namelist():
                    raise StudyError(f'"{path.name}" has no {name}: it is no MedMNIST file; copy it again.')
            for part in PARTS:
                images.append(_images(file, f'{part}_images', path.name, size, image_size, channel))
                labels.append(_labels(file, part, path.name, len(images[-1]), about))
                parts += [part] * len(images[-1])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise StudyError(
            f'"{path.name}" cannot be read as npz (damaged or cut short): copy it again.'
        ) from None
    return np.concatenate(images), np.concatenate(labels).astype(int), np.array(parts)


def _images(file, name, where, size, image_size, channel):
    """One array of the open npz as uint8 (n, image_size, image_size), in chunks: some sets have 13 GB."""
    with file.open(f'{name}.npy') as member:
        old = np.lib.format.read_magic(member) == (1, 0)
        header = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(member)
        kind = dtype == np.uint8 and not fortran and len(shape) in (3, 4)
        if not kind or shape[1:3] != (size, size) or shape[3:] not in ((), (3,)):
            raise StudyError(
                f'"{where}" holds {dtype} images of {" x ".join(map(str, shape[1:]))} in {name}, '
                f'not uint8 of {size} x {size}: correct medmnist_size.'
            )
        one = math.prod(shape[1:])
        if (
            file.getinfo(f'{name}.npy').file_size < shape[0] * one
        ):  # before memory is used: headers may be wrong
            raise StudyError(f'"{where}" cannot be read as npz ({name} is cut short): copy it again.')
        images, some = np.empty((shape[0], image_size, image_size), np.uint8), max(1, CHUNK // one)
        for start in range(0, shape[0], some):
            stop = min(start + some, shape[0])
            pixels = np.frombuffer(member.read((stop - start) * one), np.uint8)
            images[start:stop] = _gray(pixels.reshape(stop - start, *shape[1:]), image_size, channel)
    return images


def _labels(file, part, where, n, about):
    """The labels (n,) of one part of the open npz."""
    with file.open(f'{part}_labels.npy') as member:
        labels = np.lib.format.read_array(member, allow_pickle=False).reshape(-1)
    if len(labels) != n or not np.isin(labels, [int(k) for k in about['label']]).all():
        raise StudyError(
            f'"{where}" has labels that do not fit the set ({n} images of {len(about["label"])} classes '
            f'in {part}): copy it again.'
        )
    return labels


def _gray(images, image_size, channel):
    """uint8 (n, s, s) or (n, s, s, 3) -> uint8 (n, image_size, image_size)."""
    if images.ndim == 4 and channel != 'gray':
        images = images[..., CHANNELS.index(channel)]
    elif images.ndim == 4:
        images = np.rint(images @ GRAY).astype(np.uint8)
    if images.shape[1] < PADDED:
        border = (PADDED - images.shape[1]) // 2
        images = np.pad(images, ((0, 0), (border, border), (border, border)), 'edge')
    if images.shape[1] == image_size:
        return images
    square = image_size, image_size
    return np.stack([np.asarray(Image.fromarray(image).resize(square, Image.BILINEAR)) for image in images])


# ---- rows (check, count, of, verdict, note)


def _checksum(path, about, size):
    """Whether the file is the published one."""
    with open(path, 'rb') as file:
        md5 = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    if md5 == about['MD5' if size == 28 else f'MD5_{size}']:
        return 'checksum', '', '', 'ok', 'the MD5 of the published file'
    note = 'the file differs from the published one (MD5): order or content may too'
    return 'checksum', '', '', 'not verified', note


def _counts(official, about):
    """Images of each part beside the published numbers."""
    counts, published = (
        [(official == part).sum() for part in PARTS],
        [about['n_samples'][part] for part in PARTS],
    )
    note = f'train, val, test: {", ".join(map(str, counts))}'
    same = counts == published
    note += '' if same else f', published {", ".join(map(str, published))}'
    return 'official counts', int(sum(counts)), sum(published), 'ok' if same else 'look', note


def _across(patients, official):
    """Images that the official split separates from a near-duplicate in the test part."""
    leaked = np.isin(patients, patients[official == 'test']) & (official != 'test')
    check = 'images outside the official test part that nearly copy a test image'
    counts, note = (int(leaked.sum()), int((official != 'test').sum())), 'not used for training'
    if len(patients) > duplicates.MANY:
        note += f'; above {duplicates.MANY} images only exact copies are looked for'
        return check, *counts, 'not verified', note
    return check, *counts, 'fixed' if leaked.any() else 'ok', note
