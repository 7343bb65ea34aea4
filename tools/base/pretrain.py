"""How the base is made, from pictures to weights:  python -m tools.base.pretrain  (or `make base`).

1. Clip art on grounds and crops of photographs, with captions; for `mixed`, scenes as well.  2. One
autoencoder, from the pictures alone.  3. For each variant the denoiser and the text encoder together, on
cached latents; `mixed` begins with the weights of `natural`.  4. Export in half precision with a model card.

Both variants share the autoencoder: it says how an image is encoded, not what images there are, and trained
on pictures only it shows `natural` nothing of the scenes.  The base never sees CT or phantoms: a test reads
what these modules import.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from genmix import StudyError
from genmix.generators.latent.loss import denoising_loss
from genmix.generators.latent.training_loop import CHECKPOINT, TrainingLoop
from genmix.generators.pretrained import captions, networks
from genmix.generators.pretrained.shipped import VARIANTS, WEIGHTS, sha256
from genmix.run import processes
from genmix.run.device import DEVICE, seed_all
from genmix.run.files import atomic_write
from genmix.run.study import home
from tools.base.autoencoder import train_autoencoder
from tools.base.model_card import LOSSES, export, prompt_scores, save_sheet
from tools.base.settings import RECIPE, Settings
from tools.base.training_images import content_hash, key_for, new_images, training_images

KEYED = ('steps', 'batch_size', 'lr', 'muon_lr', 'condition_dropout', 'min_snr', 'ema', 'seed', 'size')


def train_denoiser(variant, autoencoder, training, settings, folder, begin=None, accelerator=None):
    """Train denoiser and text encoder together on cached latents; returns a pipeline of their EMA weights.

    training   (images uint8 (n, H, W), n lists of captions, sources)
    begin      folder of a pipeline of the same networks whose weights the training begins with
    """
    seed_all(settings.seed)
    images, texts, _ = training
    tokenizer, size = captions.make_tokenizer(), settings.size
    nets = {
        'unet': networks.plain_attention(networks.make_denoiser(size)),
        'text_encoder': networks.make_text_encoder(size, tokenizer),
    }
    for name, net in nets.items() if begin else ():
        net.load_state_dict(load_weights(begin / name))
    latents, mark = cached_latents(autoencoder, images, folder / variant)
    key = key_for(settings, KEYED, variant, mark, marks_of(begin) if begin else [])
    loop = TrainingLoop(folder / variant, nets, settings, settings.checkpoint_every, key, accelerator)
    loss_of = caption_loss(*loop.networks.values(), tokenizer, latents, texts, settings, accelerator)

    def pipeline_of(nets):
        return networks.make_pipeline(autoencoder, nets['unet'], nets['text_encoder'], tokenizer)

    def save_samples(nets, step):
        save_sheet(pipeline_of(nets), folder / variant / 'samples' / f'{step:06}.png')

    return pipeline_of(loop.run(loss_of, variant, save_samples))


def load_weights(folder):
    """All weights of the safetensors files in a folder, float32."""
    return {k: v.float() for file in sorted(folder.glob('*.safetensors')) for k, v in load_file(file).items()}


def marks_of(folder):
    """The hashes of the weights of a pipeline, which say what a training began with."""
    return [sha256(folder / name / networks.WEIGHTS[name]) for name in ('unet', 'text_encoder')]


def history(begin, settings):
    """Entries of a card: hash of the denoiser in `begin` ('' for None), and samples of both trainings."""
    own = settings.steps * settings.batch_size
    if begin is None:
        return {'began_with': '', 'samples': own}
    before = json.loads((begin / 'card.json').read_text())['samples']
    return {'began_with': marks_of(begin)[0], 'samples': before + own}


def caption_loss(unet, text_encoder, tokenizer, latents, texts, settings, accelerator=None):
    """loss_of(generator): the denoising loss of a fresh batch of latents under random captions of theirs.

    With an accelerator that of this process's part of the batch.
    """
    ids = token_ids(tokenizer, [text for some in texts for text in some])
    ids = ids.unflatten(0, (len(texts), -1))  # (n, captions, LENGTH)
    empty, schedule = token_ids(tokenizer, [''])[0], networks.make_noise_schedule()
    part = slice(accelerator.process_index, None, accelerator.num_processes) if accelerator else slice(None)

    def loss_of(generator):
        rows = torch.randint(len(latents), (settings.batch_size,), generator=generator)
        words = ids[rows, torch.randint(ids.shape[1], (len(rows),), generator=generator)]
        words[torch.rand(len(rows), generator=generator) < settings.condition_dropout] = empty

        def predict(x, t):
            return unet(x, t, text_encoder(words[part].to(DEVICE))[0]).sample

        x = latents[rows].float()
        return denoising_loss(predict, schedule, x, generator, settings.min_snr, part)

    return loss_of


def token_ids(tokenizer, texts):
    """Texts as token ids int (n, LENGTH), padded."""
    return tokenizer(list(texts), padding='max_length', truncation=True, return_tensors='pt').input_ids


def cached_latents(autoencoder, images, folder):
    """Latents of all images, float16, cached with a hash of images and autoencoder; returns both."""
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


def make(variant, settings, folder, out, begin=None):
    """Everything for one variant: images, the shared autoencoder, the denoiser, weights in out/<variant>.

    begin   as in `train_denoiser`
    """
    settings = settings.of(variant)
    found = history(begin, settings)  # before hours of training: it may fail
    accelerator = processes.make_accelerator()
    autoencoder, training = prepare(variant, settings, folder, begin)
    pipeline = train_denoiser(variant, autoencoder, training, settings, folder, begin, accelerator)
    if accelerator is None or accelerator.is_main_process:
        found |= prompt_scores(pipeline, training, new_images(variant, settings, folder))
        export(variant, pipeline, settings, folder, out, training, found)


def prepare(variant, settings, folder, begin=None):
    """(autoencoder, training images) of a variant; both are kept in `folder`.

    The autoencoder is that of the pipeline in `begin`, with the log of its training, where `folder` has none
    and that one has.
    """
    pictures, _, _ = training_images('natural', settings, folder)
    trained = folder / LOSSES['autoencoder_loss.csv']
    if begin and (begin / 'vae').exists() and not (trained / CHECKPOINT).exists():
        autoencoder = networks.make_autoencoder(settings.size).to(DEVICE).eval()
        autoencoder.load_state_dict(load_weights(begin / 'vae'))
        with atomic_write(trained / 'log.csv') as part:
            shutil.copy(begin / 'autoencoder_loss.csv', part)
    else:
        autoencoder = train_autoencoder(pictures, settings, folder)
    return autoencoder, training_images(variant, settings, folder)


def main(words=None):
    parser = argparse.ArgumentParser(
        description='Make the small base model again; a killed run resumes from its last checkpoint.'
    )
    parser.add_argument('--params', default=RECIPE, type=Path)
    parser.add_argument(
        '--folder', default=home() / 'runs' / 'base', type=Path, help='checkpoints and downloaded photographs'
    )
    parser.add_argument('--out', default=WEIGHTS, type=Path, help='where the weights go')
    parser.add_argument('--only', choices=VARIANTS, help='one variant instead of both')
    parser.add_argument(
        '--begin', type=Path, help='weights that the variant of --only goes on from; mixed: natural'
    )
    parser.add_argument('--processes', default=1, type=int, help='that share each batch, one per core or GPU')
    words = sys.argv[1:] if words is None else words
    asked = parser.parse_args(words)
    settings = Settings.read(asked.params)
    for variant in [asked.only] if asked.only else VARIANTS:
        begin = asked.begin or (asked.out / 'natural' if variant == 'mixed' else None)
        if asked.processes > 1 and not processes.is_worker():
            autoencoder, (images, _, _) = prepare(variant, settings, asked.folder, begin)
            cached_latents(autoencoder, images, asked.folder / variant)  # the processes find all of it
            processes.run_module(__spec__.name, [*words, '--only', variant], asked.processes)
        else:
            make(variant, settings, asked.folder, asked.out, begin)


if __name__ == '__main__':
    try:
        main()
    except StudyError as error:
        raise SystemExit(f'error: {error}') from None
