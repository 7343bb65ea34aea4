"""How the base is made, from photographs to weights:  python -m genmix.base.pretrain  (or `make base`).

1. Crops of photographs with captions; for `mixed`, scenes as well.  2. One autoencoder, from the photographs alone.  3. For each variant the
denoiser and the text encoder together, on cached latents.  4. Export in half precision with a model card.

Both variants share the autoencoder: it says how an image is written down, not what images there are, and trained on photographs only it
gives the scenes no way into `natural`.  Nothing of genmix.data is imported: the base never sees CT or phantoms (tests/test_base.py).
"""

import argparse
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from genmix import StudyError
from genmix.generators.latent.loss import denoising_loss
from genmix.generators.latent.training_loop import TrainingLoop
from genmix.generators.pretrained import captions as captions_module
from genmix.generators.pretrained import networks
from genmix.generators.pretrained.networks import Size
from genmix.generators.pretrained.shipped import WEIGHTS
from genmix.run.device import DEVICE, autocast, seed_all
from genmix.run.files import atomic_write
from genmix.run.log import log
from genmix.run.study import home
from tools.base import photographs
from tools.base import scenes as scenes_module
from tools.base.model_card import export, save_sheet


@dataclass(frozen=True)
class Settings:
    """What recipe.yaml says; steps are optimiser steps."""

    packages: tuple = (
        'scikit-learn',
        'scikit-image',
        'mate-backgrounds',
        'gnome-backgrounds',
        'ukui-wallpapers',
        'lomiri-wallpapers-16.04',
        'lomiri-wallpapers-20.04',
    )
    crops: int = 12000
    scenes: int = 12000
    captions: int = 6  # different captions of an image
    autoencoder_steps: int = 8000
    autoencoder_batch: int = 16
    autoencoder_lr: float = 4e-3
    kl: float = 1e-7  # weight of the autoencoder's KL term
    grain: float = (
        0.2  # noise added to half of the autoencoder's photographs, in units of half the gray range, at most
    )
    energy: float = 0.3  # weight of local contrast in the autoencoder's loss
    steps: int = 6000
    batch_size: int = 32
    lr: float = 1e-3
    dropped: float = 0.1  # share of captions that training leaves empty, for classifier-free guidance
    min_snr: float = 0.0  # gamma of min-SNR weighting, 0: off
    ema: float = 0.999
    every: int = 500  # steps between checkpoints
    seed: int = 0
    size: Size = Size()

    @classmethod
    def read(cls, path, **changes):
        """From a YAML file.  StudyError for a key that is no setting."""
        found = yaml.safe_load(Path(path).read_text()) | changes
        unknown = set(found) - set(cls.__dataclass_fields__)
        if unknown:
            raise StudyError(
                f'{path} has no setting called {", ".join(sorted(unknown))}: choose among {", ".join(cls.__dataclass_fields__)}.'
            )
        size = {k: tuple(v) if isinstance(v, list) else v for k, v in found.pop('size', {}).items()}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}, size=Size(**size))


def shown(variant, settings, folder):
    """What a variant is shown, kept in `folder`: images uint8 (n, H, W), captions (n lists of settings.captions), sources (n names)."""
    kept, key = folder / f'shown_{variant}', key_for(settings, SHOWN, variant)
    about = json.loads((kept / 'captions.json').read_text()) if (kept / 'captions.json').exists() else {}
    if about.get('key') != key:
        found = photographs.collect(settings.packages, folder / 'packages')
        rng = np.random.default_rng(settings.seed)
        images, numbers = photographs.crops(
            [picture for _, picture in found], settings.crops, settings.size.image, settings.seed
        )
        said = [
            (captions_module.of_photograph, found[i][0].subject, captions_module.describe(x))
            for i, x in zip(numbers, images)
        ]
        sources = [f'{found[i][0].package}/{found[i][0].file}' for i in numbers]
        if variant == 'mixed':
            drawn = [scenes_module.draw(rng, settings.size.image) for _ in range(settings.scenes)]
            images = np.concatenate([images, np.stack([x for x, _ in drawn])])
            said += [(captions_module.of_scene, words) for _, words in drawn]
            sources += ['scene'] * len(drawn)
        texts = [[write(*what, rng) for _ in range(settings.captions)] for write, *what in said]
        kept.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept / 'images.npy') as part, open(part, 'wb') as out:
            np.save(out, images)
        about = {'key': key, 'captions': texts, 'sources': sources}
        with atomic_write(kept / 'captions.json') as part:
            part.write_text(json.dumps(about))
        log.info(f'{variant} is shown {len(images)} images')
    return np.load(kept / 'images.npy'), about['captions'], about['sources']


SHOWN = ('packages', 'crops', 'scenes', 'captions', 'seed', 'size')
AUTOENCODER = (
    'autoencoder_steps',
    'autoencoder_batch',
    'autoencoder_lr',
    'kl',
    'grain',
    'energy',
    'ema',
    'seed',
    'size',
)
DENOISER = ('steps', 'batch_size', 'lr', 'dropped', 'min_snr', 'ema', 'seed', 'size')


def key_for(settings, names, *more):
    """16 hex digits over some of the settings and whatever else a phase depends on; the other settings may change without starting it anew."""
    about = {k: v for k, v in asdict(settings).items() if k in names}
    return hashlib.sha256(json.dumps([about, *more], sort_keys=True).encode()).hexdigest()[:16]


def content_hash(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def reconstruction_loss(y, x, energy):
    """How unlike two images (n, C, H, W) in [-1, 1] are: L1 of pixels, of their differences, of images 2 and 4 times coarser, and of local contrast.

    The last lets fine grain come back as grain of the right strength where its exact pixels are lost; L1 alone answers with a smooth surface.
    """
    loss = (
        (y - x).abs().mean()
        + 0.5 * (y.diff(dim=-1) - x.diff(dim=-1)).abs().mean()
        + 0.5 * (y.diff(dim=-2) - x.diff(dim=-2)).abs().mean()
    )
    loss = loss + 0.25 * sum((F.avg_pool2d(y, k) - F.avg_pool2d(x, k)).abs().mean() for k in (2, 4))
    return (
        loss + energy * sum((local_contrast(y, k) - local_contrast(x, k)).abs().mean() for k in (3, 5))
        if energy
        else loss
    )


def local_contrast(x, k):
    """Root mean square, over windows of 8 pixels, of what a mean over k x k pixels takes away."""
    fine = x - F.avg_pool2d(x, k, 1, k // 2, count_include_pad=False)
    return (F.avg_pool2d(fine.square(), 8, 4) + 1e-5).sqrt()


def batch_for_autoencoder(images, settings, generator):
    """Photographs (n, H, W) in [-1, 1], turned at random, half of them under noise of some strength and grain size."""

    def draw(*shape):
        return torch.rand(shape, generator=generator)

    rows = torch.randint(len(images), (settings.autoencoder_batch,), generator=generator)
    x = networks.to_rgb_input(images[rows], 1)[:, 0]
    x = torch.rot90(x, int(4 * draw(1)), (1, 2))
    noise = torch.randn(x.shape, generator=generator)
    noise = torch.where(draw(len(x), 1, 1) < 0.5, noise, 3 * F.avg_pool2d(noise, 3, 1, 1))
    strength = settings.grain * draw(len(x), 1, 1) * (draw(len(x), 1, 1) < 0.5)
    return (x + strength * noise).clamp(-1, 1).to(DEVICE)


def train_autoencoder(images, settings, folder):
    """The autoencoder, on photographs only, with standardised latents; checkpoints in folder/autoencoder."""
    seed_all(settings.seed)
    photos = torch.as_tensor(images)
    loop = TrainingLoop(
        folder / 'autoencoder',
        {'autoencoder': networks.make_autoencoder(settings.size)},
        settings.autoencoder_steps,
        settings.autoencoder_lr,
        settings.seed,
        key_for(settings, AUTOENCODER, content_hash(images)),
        settings.ema,
        settings.every,
    )
    net = loop.networks['autoencoder']

    def loss_of(generator):
        x = batch_for_autoencoder(photos, settings, generator)[:, None].expand(-1, 3, -1, -1)
        with autocast():
            posterior = net.encode(x).latent_dist
            y = net.decode(posterior.sample(generator if DEVICE.type == 'cpu' else None)).sample
        return (
            reconstruction_loss(y.float(), x, settings.energy) + settings.kl * posterior.kl().float().mean()
        )

    net = loop.run(loss_of, 'autoencoder')['autoencoder']
    networks.standardise(net, images[:4000])
    return net


def train_denoiser(variant, autoencoder, images, texts, settings, folder):
    """Denoiser and text encoder together, on cached latents; returns the pipeline with averaged weights."""
    seed_all(settings.seed)
    tokenizer = captions_module.make_tokenizer()
    ids = torch.stack([tokens(tokenizer, some) for some in texts])  # (n, captions, LENGTH)
    latents, mark = cached_latents(autoencoder, images, folder / variant)
    loop = TrainingLoop(
        folder / variant,
        {
            'unet': networks.make_denoiser(settings.size),
            'text_encoder': networks.make_text_encoder(settings.size, tokenizer),
        },
        settings.steps,
        settings.lr,
        settings.seed,
        key_for(settings, DENOISER, variant, mark),
        settings.ema,
        settings.every,
    )
    unet, text_encoder = networks.plain_attention(loop.networks['unet']), loop.networks['text_encoder']
    empty, noise = tokens(tokenizer, [''])[0], networks.make_noise()

    def loss_of(generator):
        rows = torch.randint(len(latents), (settings.batch_size,), generator=generator)
        words = ids[rows, torch.randint(ids.shape[1], (len(rows),), generator=generator)]
        words[torch.rand(len(rows), generator=generator) < settings.dropped] = empty

        def predict(x, t):
            return unet(x, t, text_encoder(words.to(DEVICE))[0]).sample

        return denoising_loss(predict, noise, latents[rows].float(), generator, settings.min_snr)

    def made(nets):
        return networks.make_pipeline(autoencoder, nets['unet'], nets['text_encoder'], tokenizer)

    return made(
        loop.run(
            loss_of,
            variant,
            lambda nets, step: save_sheet(made(nets), folder / variant / 'sheets' / f'{step:06}.png'),
        )
    )


def tokens(tokenizer, texts):
    """Texts as token numbers (n, LENGTH), padded."""
    return tokenizer(list(texts), padding='max_length', truncation=True, return_tensors='pt').input_ids


def cached_latents(autoencoder, images, folder):
    """Latents of all images, float16, kept with a mark that says of which images and which autoencoder."""
    weights = torch.cat([p.detach().flatten() for p in autoencoder.parameters()]).cpu().numpy()
    mark, file = content_hash(images) + content_hash(weights), folder / 'latents.safetensors'
    if file.exists():
        with safe_open(file, 'pt') as saved:
            if saved.metadata()['mark'] == mark:
                return saved.get_tensor('latents'), mark
    latents = networks.encode(autoencoder, images).half()
    with atomic_write(file) as part:
        save_file({'latents': latents}, part, {'mark': mark})
    return latents, mark


def make(variant, settings, folder, out):
    """Everything for one variant: data, the shared autoencoder, the denoiser, weights in out/<variant>."""
    photos, _, _ = shown('natural', settings, folder)
    autoencoder = train_autoencoder(photos, settings, folder)
    images, texts, sources = shown(variant, settings, folder)
    pipeline = train_denoiser(variant, autoencoder, images, texts, settings, folder)
    return export(variant, pipeline, settings, folder, out, (images, texts, sources))


def main(words=None):
    parser = argparse.ArgumentParser(
        description='Make the small base model again; a killed run goes on where it was.'
    )
    parser.add_argument('--params', default=Path(__file__).with_name('recipe.yaml'), type=Path)
    parser.add_argument(
        '--folder', default=home() / 'runs' / 'base', type=Path, help='checkpoints and downloaded photographs'
    )
    parser.add_argument('--out', default=WEIGHTS, type=Path, help='where the weights go')
    parser.add_argument('--only', choices=('natural', 'mixed'), help='one variant instead of both')
    asked = parser.parse_args(words)
    settings = Settings.read(asked.params)
    for variant in [asked.only] if asked.only else ('natural', 'mixed'):
        make(variant, settings, asked.folder, asked.out)


if __name__ == '__main__':
    try:
        main()
    except StudyError as error:
        raise SystemExit(f'error: {error}')
