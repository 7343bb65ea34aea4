"""The weights as they are shipped, and their model card: what a variant was shown, under which licences, how it was trained, which files it is."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.torch import load_file, save_file

from genmix.data.images import montage
from genmix.generators.pretrained import networks
from genmix.generators.pretrained.shipped import PROMPTS, sha256
from genmix.run.files import atomic_write, replace_folder
from genmix.run.provenance import environment
from tools.base.photographs import PHOTOGRAPHS

LIMIT = 12_000_000  # bytes of a variant
LIMITS = (
    '64 px, gray, a few dozen words: everyday subjects come out as textures and outlines.',
    'Photographs are few, so samples repeat parts of them.',
    'The captions and scenes were written by people who know what liver lesions look like; `natural` never saw the scenes and is the control for that.',
    'Neither variant was shown a CT, another medical image or a phantom.',
)
README = """# Base model `{variant}`

A latent diffusion model of {parameters:.1f} million parameters for 64 px gray pictures, trained from scratch for the GenMix study. It loads with
`diffusers.StableDiffusionPipeline.from_pretrained(folder)`, or with hashes checked by `genmix.base.load("{variant}")`. `make base` makes it again.

- **Shown**: {crops} crops of {photographs} photographs{scenes}. No medical image of any kind, no phantom.
- **Captions**: {captions} for each image, from the photograph's subject and measured attributes (tone, texture, sharpness, contrast, direction of
  lines, most pronounced spot, shading), or from what a scene was drawn from; each part is left out at random. Vocabulary: {words} words (genmix/base/captions.py).
- **Training**: autoencoder {autoencoder_steps} steps on photographs only, then denoiser and text encoder {steps} steps, seed {seed}; losses in `loss.csv` and
  `autoencoder_loss.csv`.
- **Files**: weights in float16 safetensors; `card.json` lists the SHA-256 of each.

## Limits

{limits}

## Sources

| picture | package | licence | crops |
|---|---|---|---|
{sources}

`examples.png` and `examples.json`: some of the images it was shown, cut, in gray and with tones changed, with captions and sources. Each keeps the licence of its
picture; authors are in the file names and in the copyright files of the packages. `prompts.png`: what these weights draw for a dozen prompts, one a row:

{prompts}
"""


def export(variant, pipeline, settings, folder, out, shown, examples=48):
    """Write out/<variant>: the pipeline in float16, losses, examples of what it was shown, card.json and README.md.  Returns that folder."""
    work = folder / f'.{variant}.weights'
    shutil.rmtree(work, ignore_errors=True)
    with networks.quietly():
        pipeline.save_pretrained(work)
    for file in work.rglob('*.safetensors'):
        save_file({k: v.half().contiguous() for k, v in load_file(file).items()}, file, {'format': 'pt'})
    save_sheet(
        networks.load_pipeline(work), work / 'prompts.png'
    )  # of the weights as they are shipped, rounded
    for log, name in (
        (folder / variant / 'log.csv', 'loss.csv'),
        (folder / 'autoencoder' / 'log.csv', 'autoencoder_loss.csv'),
    ):
        pd.read_csv(log).to_csv(work / name, index=False)
    save_examples(work, shown, examples, settings.seed)
    about = describe(variant, pipeline, settings, shown)
    (work / 'README.md').write_text(readme(about))
    files = sorted(p for p in work.rglob('*') if p.is_file())
    about['sha256'] = {p.relative_to(work).as_posix(): sha256(p) for p in files}
    about['bytes'] = sum(p.stat().st_size for p in files)
    (work / 'card.json').write_text(json.dumps(about, indent=1))
    out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(work, (landing := out / f'.{variant}'), dirs_exist_ok=True)
    replace_folder(landing, out / variant)
    shutil.rmtree(work)
    log.info(
        f'{variant}: {about["bytes"] / 1e6:.1f} MB of weights'
        + (' (more than the package should carry)' if about['bytes'] > LIMIT else '')
    )
    return out / variant


def save_sheet(pipeline, path, columns=8):
    """A sheet of PROMPTS, one a row, as a PNG."""
    images = networks.sample_images(pipeline, [p for p in PROMPTS for _ in range(columns)])
    with atomic_write(path) as part:
        Image.fromarray(montage(images, columns)).save(part, 'png')


def save_examples(folder, shown, n, seed):
    """Some of the images, one below the other in a PNG, and one caption and the source of each."""
    images, captions, sources = shown
    rows = np.random.default_rng(seed).choice(len(images), min(n, len(images)), replace=False)
    Image.fromarray(np.concatenate(images[rows])).save(folder / 'examples.png')
    said = [{'caption': captions[i][0], 'source': sources[i]} for i in rows]
    (folder / 'examples.json').write_text(json.dumps(said, indent=1))


def describe(variant, pipeline, settings, shown):
    """The card without its hashes."""
    _, texts, sources = shown
    counts = pd.Series(sources).value_counts()
    licences = {f'{p.package}/{p.file}': p.licence for p in PHOTOGRAPHS}
    nets = {
        name: sum(p.numel() for p in getattr(pipeline, name).parameters())
        for name in ('vae', 'unet', 'text_encoder')
    }
    return {
        'variant': variant,
        'parameters': nets,
        'settings': asdict(settings),
        'images': len(sources),
        'scenes': int(counts.get('scene', 0)),
        'words': len({word for some in texts for text in some for word in text.split()}),
        'sources': [
            {'picture': name, 'licence': licences[name], 'crops': int(n)}
            for name, n in sorted(counts.items())
            if name != 'scene'
        ],
        'limits': LIMITS,
        'made_with': environment(),
    }


def readme(about):
    sources = [
        '| {1} | {0} | {2} | {3} |'.format(*row['picture'].split('/', 1), row['licence'], row['crops'])
        for row in about['sources']
    ]
    settings = about['settings']
    return README.format(
        variant=about['variant'],
        parameters=sum(about['parameters'].values()) / 1e6,
        crops=about['images'] - about['scenes'],
        photographs=len(sources),
        scenes=f' and {about["scenes"]} procedural scenes' if about['scenes'] else '',
        captions=settings['captions'],
        words=about['words'],
        autoencoder_steps=settings['autoencoder_steps'],
        steps=settings['steps'],
        seed=settings['seed'],
        limits='\n'.join(f'- {line}' for line in about['limits']),
        sources='\n'.join(sources),
        prompts='\n'.join(f'{i}. {p}' for i, p in enumerate(PROMPTS, 1)),
    )
