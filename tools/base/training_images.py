"""Training images of a variant: crops of photographs, for `mixed` scenes as well, with captions."""

import hashlib
import json
from dataclasses import asdict

import numpy as np

from genmix.generators.pretrained import captions
from genmix.run.files import atomic_write
from genmix.run.log import log
from tools.base import photographs, scenes, sentences

KEYED = ('packages', 'crops', 'scenes', 'captions', 'seed', 'size')


def training_images(variant, settings, folder):
    """Images uint8 (n, H, W), n lists of settings.captions captions, n source names; cached in `folder`."""
    cache, key = folder / f'images_{variant}', key_for(settings, KEYED, variant)
    file = cache / 'captions.json'
    about = json.loads(file.read_text()) if file.exists() else {}
    if about.get('key') != key:
        images, texts, sources = make_images(variant, settings, folder / 'packages')
        with atomic_write(cache / 'images.npy') as part, open(part, 'wb') as out:
            np.save(out, images)
        about = {'key': key, 'captions': texts, 'sources': sources}
        with atomic_write(file) as part:
            part.write_text(json.dumps(about))
        log.info(f'{variant} is trained on {len(images)} images')
    return np.load(cache / 'images.npy'), about['captions'], about['sources']


def make_images(variant, settings, packages):
    """As `training_images`, from the photographs in the folder `packages`."""
    found = photographs.collect(settings.packages, packages)
    rng, side = np.random.default_rng(settings.seed), settings.size.image
    pictures = [picture for _, picture in found]
    images, numbers = photographs.crops(pictures, settings.crops, side, settings.seed)
    subjects = [found[i][0].subject for i in numbers]
    content = [(sentences.of_photograph, s, captions.describe(x)) for s, x in zip(subjects, images)]
    sources = [f'{found[i][0].package}/{found[i][0].file}' for i in numbers]
    if variant == 'mixed':
        drawn = [scenes.draw(rng, side) for _ in range(settings.scenes)]
        images = np.concatenate([images, np.stack([x for x, _ in drawn])])
        content += [(sentences.of_scene, attributes) for _, attributes in drawn]
        sources += ['scene'] * len(drawn)
    texts = [[write(*what, rng) for _ in range(settings.captions)] for write, *what in content]
    return images, texts, sources


def key_for(settings, names, *more):
    """16 hex digits over the settings called `names` and whatever else a phase depends on."""
    about = {k: v for k, v in asdict(settings).items() if k in names}
    return hashlib.sha256(json.dumps([about, *more], sort_keys=True).encode()).hexdigest()[:16]


def content_hash(array):
    """16 hex digits over the values of an array."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
