"""The shipped weights of a variant and their model card: sources, licences, settings, hashes of files."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.torch import load_file, save_file

from genmix.data.images import montage
from genmix.generators.pretrained import networks, prompt_tests
from genmix.generators.pretrained.shipped import PROMPTS, VARIANTS, WEIGHTS, sha256
from genmix.run.files import atomic_write, replace_folder
from genmix.run.log import log
from genmix.run.provenance import environment
from tools.base import clipart
from tools.base.photographs import PHOTOGRAPHS, author

LIMIT = 12_000_000  # bytes of a variant
# Files of losses, and the folder below that of the training whose log they are.
LOSSES = {'autoencoder_loss.csv': 'autoencoder', 'loss.csv': '{}'}
EXAMPLES = 48  # training images shown beside the weights
LIMITS = (
    '64 px, gray, few samples: discs, rings and textures (coins, bricks, stones) can be recognised, most '
    'other things are outlines.',
    'Most pictures are clip art on grounds; photographs are few, and samples repeat parts of them.',
    'The captions and scenes were written by people who know what liver lesions look like; `natural` was '
    'trained without the scenes and is the control for that.',
    'Neither variant was trained on a CT, another medical or anatomical image, or a phantom.',
)
README = """---
license: mit
library_name: diffusers
pipeline_tag: text-to-image
language: en
tags:
- text-to-image
- latent-diffusion
- grayscale
- trained-from-scratch
- no-medical-images
---

# Base model `{variant}`

A latent diffusion model of {parameters:.1f} million parameters for 64 px gray pictures, trained from
scratch for the GenMix study. It loads with `diffusers.StableDiffusionPipeline.from_pretrained(folder)`, or,
hashes checked, with `genmix.generators.pretrained.shipped.load("{variant}")`. `make base` makes it again.

- **Trained on**: {composites} composites of clip art on plain, shaded and photographic grounds, at random
  sizes, places, rotations and tones, some softened or with grain; {crops} crops of {photographs}
  photographs{scenes}. Everything is in the public domain, under CC0 or under CC-BY. No medical image of any
  kind, no phantom.
- **Captions**: {captions} for each image: what it shows (from the names of files and folders), what it was
  composed or drawn from (size, tone, place, edge, ground, grain), and measured attributes (texture,
  sharpness, contrast, direction of lines, most pronounced spot, shading); each part is left out at random.
  Vocabulary: {words} words, `captions.py` beside this folder.
- **Training**: autoencoder {autoencoder_steps} steps on pictures only; its latents are the lowest
  frequencies of blocks of pixels (DCT-II). Then denoiser and text encoder: {steps} steps of {batch_size}
  pictures{began}, {samples:,} samples in all, seed {seed}. Losses in `autoencoder_loss.csv` and `loss.csv`.
- **Files**: weights in float16 safetensors; `card.json` lists the SHA-256 of each.

## Limits

{limits}

## Sources

| picture or folder of pictures | package | author | licence | images |
|---|---|---|---|---|
{sources}

`examples.png` and `examples.json`: some of the training images, in gray and with tones changed, with captions
and sources. Each keeps the licence of its picture; the texts are in `LICENSES/` of the study, and in the
metadata of its package. The weights and all else are under the MIT licence. Medical and anatomical clip art
is left out (`tools/base/clipart.py`). `prompts.png`: samples of these weights for a dozen prompts, one per
row:

{prompts}
"""


def export(variant, pipeline, settings, folder, out, training, found):
    """Write out/<variant>: the pipeline in float16, losses, examples, card.json, README.md; returns it.

    training   (images, captions, sources) as training_images.training_images gives them
    found      for the card: `began_with`, `samples` and what `prompt_scores` found
    """
    work = folder / f'.{variant}.weights'
    shutil.rmtree(work, ignore_errors=True)
    with networks.quietly():
        pipeline.save_pretrained(work)
    forget_places(work)
    for file in work.rglob('*.safetensors'):
        save_file({k: v.half().contiguous() for k, v in load_file(file).items()}, file, {'format': 'pt'})
    save_sheet(networks.load_pipeline(work), work / 'prompts.png')  # of the weights as shipped, rounded
    for name, phase in LOSSES.items():
        pd.read_csv(folder / phase.format(variant) / 'log.csv').to_csv(work / name, index=False)
    save_examples(work, training, settings.seed)
    about = describe(variant, pipeline, settings, training) | found
    (work / 'README.md').write_text(readme(about))
    add_hashes(about, work)
    (work / 'card.json').write_text(json.dumps(about, indent=1))
    out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(work, (landing := out / f'.{variant}'), dirs_exist_ok=True)
    replace_folder(landing, out / variant)
    shutil.rmtree(work)
    too_large = ' (more than the package should carry)' if about['bytes'] > LIMIT else ''
    log.info(f'{variant}: {about["bytes"] / 1e6:.1f} MB of weights{too_large}')
    return out / variant


def forget_places(folder):
    """Leave out of a saved pipeline where its parts were loaded from: a path of this machine."""
    for file in folder.rglob('*.json'):
        about = json.loads(file.read_text())
        if about.pop('_name_or_path', ''):
            file.write_text(json.dumps(about, indent=2, sort_keys=True) + '\n')


def add_hashes(about, folder):
    """Add `sha256` of each file but the card, and `bytes` of them all, to the dict of a card."""
    files = sorted(p for p in folder.rglob('*') if p.is_file() and p.name != 'card.json')
    about['sha256'] = {p.relative_to(folder).as_posix(): sha256(p) for p in files}
    about['bytes'] = sum(p.stat().st_size for p in files)


def renew_readme(folder):
    """Write README.md of shipped weights anew from their card.json, and the hashes that follow."""
    about = json.loads((folder / 'card.json').read_text())
    (folder / 'README.md').write_text(readme(about))
    add_hashes(about, folder)
    with atomic_write(folder / 'card.json') as part:
        part.write_text(json.dumps(about, indent=1))


def save_sheet(pipeline, path, columns=8):
    """Samples for PROMPTS, one prompt per row, as a PNG."""
    images = networks.sample_images(pipeline, [p for p in PROMPTS for _ in range(columns)])
    with atomic_write(path) as part:
        Image.fromarray(montage(images, columns)).save(part, 'png')


def save_examples(folder, training, seed):
    """Some of the training images, one below the other in a PNG, and one caption and the source of each."""
    images, captions, sources = training
    n = min(EXAMPLES, len(images))
    rows = np.random.default_rng(seed).choice(len(images), n, replace=False)
    Image.fromarray(np.concatenate(images[rows])).save(folder / 'examples.png')
    examples = [{'caption': captions[i][0], 'source': sources[i]} for i in rows]
    (folder / 'examples.json').write_text(json.dumps(examples, indent=1))


def prompt_scores(pipeline, training, new, most=1000):
    """Entries of a card: does the base heed its prompts, and how many training scenes would pass as well?

    training   as in `export`      new   (images, captions) that the base was not trained on
    most       scenes per prompt
    """
    images, texts, sources = training
    scenes = {}
    for prompt, shows in prompt_tests.SHAPES.items():
        *words, noun = prompt.split()[1:]
        found = [
            i
            for i, some in enumerate(texts)
            if sources[i] == 'scene' and any(names(text, noun, words) for text in some)
        ]
        scenes[prompt] = float(np.mean([shows(images[i]) for i in found[:most]])) if found else None
    return {'caption_test': prompt_tests.caption_losses(pipeline, *new), 'scenes_that_show': scenes}


def names(caption, noun, words):
    """Whether a caption names one such thing: all words before the noun, which stands in the singular."""
    before, found, _ = f'{caption} '.partition(f' {noun} ')
    return bool(found) and set(words) <= set(before.split())


def describe(variant, pipeline, settings, training):
    """What the card says of networks and training images: a dict."""
    _, texts, sources = training
    counts = pd.Series(sources).value_counts()
    licences = {f'{p.package}/{p.file}': p.licence for p in PHOTOGRAPHS}
    parts = {name: getattr(pipeline, name) for name in ('vae', 'unet', 'text_encoder')}
    return {
        'variant': variant,
        'parameters': {name: sum(p.numel() for p in net.parameters()) for name, net in parts.items()},
        'settings': asdict(settings),
        'images': len(sources),
        'scenes': int(counts.get('scene', 0)),
        'words': len({word for some in texts for text in some for word in text.split()}),
        'sources': [
            {'picture': name, 'licence': licences.get(name, clipart.LICENCE), 'images': int(n)}
            for name, n in sorted(counts.items())
            if name != 'scene'
        ],
        'limits': LIMITS,
        'made_with': environment(),
    }


def readme(about):
    """README.md of a variant, from the dict of its card."""
    settings = about['settings']
    rows = [row['picture'].split('/', 1) + [row['licence'], row['images']] for row in about['sources']]
    art = sum(n for package, *_, n in rows if package == clipart.PACKAGE)
    return README.format(
        variant=about['variant'],
        parameters=sum(about['parameters'].values()) / 1e6,
        composites=art,
        crops=about['images'] - about['scenes'] - art,
        photographs=sum(package != clipart.PACKAGE for package, *_ in rows),
        scenes=f', and {about["scenes"]} procedural scenes' if about['scenes'] else '',
        captions=settings['captions'],
        words=about['words'],
        autoencoder_steps=settings['autoencoder_steps'],
        **{name: settings[name] for name in ('steps', 'batch_size')},
        began=f', going on from other weights ({about["began_with"][:12]})' if about['began_with'] else '',
        samples=about['samples'],
        seed=settings['seed'],
        limits='\n'.join(f'- {line}' for line in about['limits']),
        sources='\n'.join(
            f'| {name} | {package} | {author(name)} | {licence} | {n} |' for package, name, licence, n in rows
        ),
        prompts='\n'.join(f'{i}. {p}' for i, p in enumerate(PROMPTS, 1)),
    )


if __name__ == '__main__':  # after a change of README above: the words of the shipped cards follow
    for name in VARIANTS:
        renew_readme(WEIGHTS / name)
