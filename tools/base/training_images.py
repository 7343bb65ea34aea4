"""Training images with captions: clip art on grounds, crops of photographs, for `mixed` also scenes."""

import hashlib
import json
from dataclasses import asdict

import numpy as np
from joblib import Parallel, delayed

from genmix.generators.pretrained import captions
from genmix.run.files import atomic_write
from genmix.run.log import log
from tools.base import clipart, composites, photographs, scenes, sentences

KEYED = ('packages', 'composites', 'crops', 'scenes', 'captions', 'seed')
CHUNK = 1000  # images made by one unit of work, with a seed of its own


def training_images(variant, settings, folder):
    """Images uint8 (n, H, W), n lists of settings.captions captions, n source names; cached in `folder`."""
    cache, key = folder / f'images_{variant}', key_for(settings, KEYED, settings.size.image, variant)
    file = cache / 'captions.json'
    about = json.loads(file.read_text()) if file.exists() else {}
    if about.get('key') != key:
        images, texts, sources = make_images(variant, settings, folder)
        with atomic_write(cache / 'images.npy') as part, open(part, 'wb') as out:
            np.save(out, images)
        about = {'key': key, 'captions': texts, 'sources': sources}
        with atomic_write(file) as part:
            part.write_text(json.dumps(about))
        log.info(f'{variant} is trained on {len(images)} images')
    return np.load(cache / 'images.npy'), about['captions'], about['sources']


def make_images(variant, settings, folder):
    """As `training_images`: `mixed` has the images of `natural` and then the scenes."""
    if variant == 'mixed':
        pictures = training_images('natural', settings, folder)
        images, texts, sources = draw_all([(scene, settings.scenes, ())], settings)
        return np.concatenate([pictures[0], images]), pictures[1] + texts, pictures[2] + sources
    counts = {crop_of_photograph: settings.crops, composite: settings.composites}
    kinds = [(draw, counts[draw], what) for draw, what in picture_kinds(settings, folder)]
    return draw_all(kinds, settings)


def picture_kinds(settings, folder):
    """How pictures are made, and what from: a list of (draw, what)."""
    photos = photographs.collect(settings.packages, folder / 'packages')
    art = clipart.collect(settings.packages, folder / 'packages')
    chance = composites.chances([picture for picture, _ in art])
    kinds = [(crop_of_photograph, (photos,))]
    return kinds + ([(composite, (art, chance, [pixels for _, pixels in photos]))] if art else [])


def new_images(variant, settings, folder, n=100):
    """Images uint8 (m, H, W) and a caption of each that the base was not trained on: n of each kind.

    They are other crops, compositions and scenes, of the same photographs and clip art.
    """
    kinds = picture_kinds(settings, folder) + ([(scene, ())] if variant == 'mixed' else [])
    numbers = range(10**6, 10**6 + n)  # composites take pictures at random from there on
    rows = [row for kind in kinds for row in chunk(kind[0], numbers, kind[1], [settings.seed + 1], settings)]
    return np.stack([image for image, _, _ in rows]), [texts[0] for _, texts, _ in rows]


def draw_all(kinds, settings):
    """Images, captions and sources of all `kinds`, each (draw, how many, what it draws from)."""
    units = [
        (draw, range(start, min(start + CHUNK, n)), what, [settings.seed, i, start])
        for i, (draw, n, what) in enumerate(kinds)
        for start in range(0, n, CHUNK)
    ]
    parts = Parallel(-1, return_as='generator')(delayed(chunk)(*unit, settings) for unit in units)
    images, texts, sources = zip(*(row for part in parts for row in part))
    return np.stack(images), list(texts), list(sources)


def chunk(draw, numbers, what, seed, settings):
    """A list of (image uint8 (H, W), captions, source) for images number `numbers` of a kind."""
    rng, rows = np.random.default_rng(seed), []
    for i in numbers:
        image, content, source = draw(i, rng, settings.size.image, *what)
        rows.append((image, [content(rng) for _ in range(settings.captions)], source))
    return rows


def crop_of_photograph(i, rng, side, photos):
    """A crop of photograph i (modulo their number); its caption function of rng; its source."""
    photo, pixels = photos[i % len(photos)]
    image = photographs.one_crop(pixels, side, rng)
    measured = captions.describe(image)
    source = f'{photo.package}/{photo.file}'
    return image, lambda rng: sentences.of_photograph(photo.subject, measured, rng), source


def composite(i, rng, side, art, chance, photos):
    """Clip art on a ground, as above: every picture once, then pictures at random."""
    picture, pixels = art[i if i < len(art) else rng.choice(len(art), p=chance)]
    image, words = composites.compose(pixels, picture.nouns, photos, rng, side)
    measured = captions.describe(image)
    return (
        image,
        lambda rng: sentences.of_composite(words, measured, rng),
        f'{clipart.PACKAGE}/{picture.folder}',
    )


def scene(i, rng, side):
    """A procedural scene, as above."""
    image, words = scenes.draw(rng, side)
    return image, lambda rng: sentences.of_scene(words, rng), 'scene'


def key_for(settings, names, *more):
    """16 hex digits over the settings called `names` and whatever else a phase depends on."""
    about = {k: v for k, v in asdict(settings).items() if k in names}
    return hashlib.sha256(json.dumps([about, *more], sort_keys=True).encode()).hexdigest()[:16]


def content_hash(array):
    """16 hex digits over the values of an array."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
