"""Textual Inversion and fine-tuning, ours and by the example scripts of diffusers, at equal mathematics.

The same base, lesions in all eight symmetries, prompts, initial word, batch, steps, learning rate, schedule,
AdamW and EMA; no learned conditions, no condition dropout.  What still differs: ours clips
the gradient of the tokens, averages them (EMA) and adds noise to their initial vectors; the script of
Textual Inversion flips images once more; the scripts draw latents from the encoder and ours take its mean;
the last learning rate is .02 of the first instead of 0; and random numbers.

Every way returns (seconds (steps, 2), CPU and wall, of each step; {step: weights kept there}).  The first
step of ours holds the encoding of all latents.
"""

import csv
from dataclasses import replace

import torch
from conftest import config_of
from measure import Clock
from peers import checkout, constant, run_script
from PIL import Image
from safetensors.torch import load_file

from genmix.data.cohort import Cohort
from genmix.data.images import symmetries
from genmix.data.phantom import plan
from genmix.generators.latent import learned_tokens, training_loop
from genmix.generators.latent.backbones import PROMPT
from genmix.generators.latent.diffusion import Diffusion
from genmix.generators.latent.fine_tuning import fine_tuning_loss, open_for_training
from genmix.generators.latent.frozen_pipeline import side_of
from genmix.generators.latent.textual_inversion import TextualInversion, prepare
from genmix.generators.latent.token_loss import InversionData
from genmix.generators.latent.training_loop import TrainingLoop
from genmix.generators.pretrained import shipped
from genmix.run.device import seed_all

KEPT_OFF = 10**6  # steps between checkpoints: none
SCRIPTS = {
    'inversion': 'examples/textual_inversion/textual_inversion.py',
    'fine_tuning': 'examples/text_to_image/train_text_to_image.py',
}


def script(name):
    """The path of an example script; the benchmark is skipped where it is not there."""
    return checkout('diffusers') / SCRIPTS[name]


def lesions(per_class, seed, label=None):
    """Dev phantoms: as many of each class, or of one class alone as a cohort of one class named lesion."""
    if label is None:
        return plan.draw('dev', (per_class,) * 3, seed=seed)
    own = plan.draw('dev', [per_class * (k == label) for k in range(3)], seed=seed)
    return Cohort(own.images, 0 * own.labels, own.patients, ['lesion'], own.source)


def config_for(owner, steps, **changes):
    """The config of the study, of `steps` steps, without what the scripts do not have."""
    plain = {'steps': steps, 'min_snr': 0.0, 'd4_augmentation': True, 'nps_correction': False} | changes
    return config_of(owner, **plain)


def inversion_config(steps):
    """Of Textual Inversion as published: every vector begins at one word, and prompts are the script's."""
    templates = constant(script('inversion'), 'imagenet_templates_small')
    config = config_for(TextualInversion, steps, templates=templates)
    known = shipped.load(config.base).tokenizer
    words = ('picture', 'photo', 'image')
    word = next(w for w in words if learned_tokens.word_id(w, known) is not None)
    return replace(config, initialiser=word)


def fine_tuning_config(steps):
    return config_for(Diffusion, steps, condition_dropout=0.0, lora_rank=0, scratch=False, guidance=1.0)


def timed_training(clock, loop, loss_of, keep, of):
    """Run a TrainingLoop whose clock has begun; of(networks) is kept after the steps `keep`."""
    kept, begun = {}, []

    def counted(generator):
        if begun:
            clock.mark()
        begun.append(True)
        return loss_of(generator)

    def snapshot(networks, step):
        with clock.paused():
            kept[step] = of(networks)

    loop.run(counted, 'benchmark', snapshot, keep)
    clock.mark()
    return clock.seconds(), kept


def our_inversion(cohort, config, folder, keep=()):
    """Weights: EMA vectors float32 (num_vectors, d)."""
    seed_all(config.seed)
    pipeline, tokens, _, vectors = prepare(config, cohort)
    clock = Clock()
    clock.mark()
    data = InversionData(pipeline, cohort, tokens, config.templates, config.d4_augmentation)
    new = torch.nn.Embedding.from_pretrained(vectors, freeze=False)
    loop = TrainingLoop(folder, {'words': new}, config, KEPT_OFF)
    with learned_tokens.with_learned_tokens(pipeline, loop.networks['words']):
        return timed_training(
            clock,
            loop,
            lambda generator: data.loss(config.batch_size, generator),
            keep,
            lambda networks: networks['words'].weight.detach().clone(),
        )


def our_fine_tuning(cohort, config, folder, keep=(), learned_conditions=False):
    """Weights: EMA state of the denoiser with its conditions."""
    seed_all(config.seed)
    about = config.base, config.revision, config.prompts, cohort.class_names, False, config.lora_rank
    base, net = open_for_training(*about)
    if not learned_conditions:
        net.added.requires_grad_(False)
    clock = Clock()
    clock.mark()
    loss_of = fine_tuning_loss(base, net, cohort, config)
    loop = TrainingLoop(folder, {'denoiser': net}, config, KEPT_OFF)

    def weights(networks):
        return {name: w.clone() for name, w in networks['denoiser'].state_dict().items()}

    return timed_training(clock, loop, loss_of, keep, weights)


def arguments(config, folder, every, precision):
    """What both scripts are asked: settings of a TrainingLoop, in their words."""
    warm_up = min(training_loop.WARMUP, max(1, config.steps // 10))
    asked = {
        'pretrained_model_name_or_path': shipped.check(config.base),
        'train_data_dir': folder / 'images',
        'output_dir': folder / 'out',
        'resolution': side_of(shipped.load(config.base)),
        'train_batch_size': config.batch_size,
        'max_train_steps': config.steps,
        'learning_rate': config.lr,
        'lr_scheduler': 'cosine',
        'lr_warmup_steps': warm_up,
        'adam_beta2': 0.99,
        'adam_weight_decay': 1e-4,
        'seed': config.seed,
        'mixed_precision': precision,
        'report_to': 'all',  # trackers that are installed: none
        'checkpointing_steps': every or KEPT_OFF,
    }
    return [word for name, value in asked.items() for word in (f'--{name}', value)]


def write_images(cohort, folder):
    """The lesions in all symmetries as PNG files of `folder`/images; returns [(file name, label)]."""
    (folder / 'images').mkdir(parents=True)
    rows = []
    for view, images in enumerate(symmetries(cohort.images)):
        for i, (image, label) in enumerate(zip(images, cohort.labels)):
            rows.append((f'{view}-{i}.png', label))
            Image.fromarray(image).save(folder / 'images' / rows[-1][0])
    return rows


def script_inversion(cohort, config, folder, every=0, precision='no'):
    """Weights: the vectors that the script saves every so many steps."""
    write_images(cohort, folder)
    own = ['--placeholder_token', '<lesion>', '--initializer_token', config.initialiser]
    own += ['--num_vectors', config.num_vectors, '--save_steps', every or KEPT_OFF]
    asked = arguments(config, folder, 0, precision) + own
    seconds = run_script(script('inversion'), folder, *asked)
    prefix = 'learned_embeds-steps-'
    files = {int(p.stem.removeprefix(prefix)): p for p in (folder / 'out').glob(f'{prefix}*.safetensors')}
    return seconds, {step: load_file(files[step])['<lesion>'] for step in sorted(files)}


def script_fine_tuning(cohort, config, folder, every=0, precision='no'):
    """Weights: the EMA state of the denoiser in each checkpoint."""
    rows = write_images(cohort, folder)
    with open(folder / 'images' / 'metadata.csv', 'w', newline='') as file:
        captions = [(name, PROMPT.format(cohort.class_names[label])) for name, label in rows]
        csv.writer(file).writerows([('file_name', 'text'), *captions])
    own = ['--use_ema', '--foreach_ema', '--caption_column', 'text', '--image_column', 'image']
    asked = arguments(config, folder, every, precision) + own
    seconds = run_script(script('fine_tuning'), folder, *asked)
    places = {int(p.name.split('-')[1]): p for p in (folder / 'out').glob('checkpoint-*')}
    name = 'unet_ema/diffusion_pytorch_model.safetensors'
    weights = {step: load_file(places[step] / name) for step in sorted(places)}
    return seconds, {step: {f'denoiser.{key}': w for key, w in own.items()} for step, own in weights.items()}
