"""Times and memory of the paper profile's networks at their true shapes, on random images and weights.

python -m tools.gpu_measure stylegan      one part: stylegan, dcgan, vgg, tokens or dit; a CSV of one line per
                                          thing measured goes to stdout
"""

import argparse
import sys
import time
import warnings

import numpy as np
import torch

from genmix.data.cohort import Cohort
from genmix.run.device import DEVICE, device_name
from genmix.run.gpu import peak_memory, release_memory
from genmix.run.notebooks import notebooks
from genmix.run.profile import read_profile, resolve

WARM_UP = 8  # steps before the clock runs: cuDNN tries its algorithms


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m tools.gpu_measure', description=__doc__.splitlines()[0])
    parser.add_argument('part', choices=sorted(PARTS))
    parser.add_argument('--params', default='params/paper.yaml', help='profile (default %(default)s)')
    parser.add_argument('--steps', type=int, default=48, help='timed steps (default %(default)s)')
    args = parser.parse_args(argv)
    values = asked_of(args.params)
    print('device,what,images_per_second,ms_per_step,peak_gb,waits_per_step')
    for what, step, images in PARTS[args.part](values):
        print(f'{device_name()},{what},{measured(step, images, args.steps)}', flush=True)


def asked_of(profile):
    """{notebook: {parameter: value}} of the file of a profile; what it leaves out is as notebooks have it."""
    every = notebooks('notebooks', appendices=True)
    asked = resolve(read_profile(profile), {}, every)
    return {nb.name: {k: p.default for k, p in nb.parameters.items()} | asked[nb.name] for nb in every}


def measured(step, images, steps):
    """'images per second,ms per step,peak GB,waits per step' of step(number)."""
    wait = torch.cuda.synchronize if DEVICE.type == 'cuda' else lambda: None
    release_memory()
    if DEVICE.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(DEVICE)
    for number in range(1, WARM_UP + 1):
        step(number)
    wait()
    start = time.time()
    for number in range(WARM_UP + 1, WARM_UP + steps + 1):
        step(number)
    wait()
    seconds = (time.time() - start) / steps
    waits = count_waits(step, WARM_UP + steps + 1)
    return f'{images / seconds:.1f},{1000 * seconds:.1f},{peak_memory() or 0:.1f},{waits}'


def count_waits(step, number):
    """How often the CPU waits for the GPU in one more step, as warnings of CUDA say; 0 on a CPU."""
    if DEVICE.type != 'cuda':
        return 0
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            step(number)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchroniz' in str(warning.message) for warning in caught)


def lesions(side, n=96):
    """Noise in place of lesions: Cohort of n images in three classes."""
    images = np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)
    names = ['cyst', 'hemangioma', 'metastasis']
    return Cohort(images, np.arange(n) % 3, [f'P{i}' for i in range(n)], names, 'noise')


def config_of(owner, values, **changes):
    """A config of `owner` from the parameters of its notebook."""
    own = values[owner.notebook] | changes
    return owner.Config(**{name: own[name] for name in owner.Config.__dataclass_fields__ if name in own})


def stylegan(values):
    """With the path length penalty and without it."""
    from genmix.generators.gan.stylegan2 import StyleGAN
    from genmix.generators.gan.stylegan2_training import StyleGANTraining

    for what, changes in (('StyleGAN2', {}), ('StyleGAN2 without path length', {'path_length': 0.0})):
        config = config_of(StyleGAN, values, **changes)
        run = StyleGANTraining(lesions(values['01_data']['image_size']), config)
        run.control.p = 0.4  # as in the midst of a training
        yield what, run.step, config.batch_size


def dcgan(values):
    from genmix.generators.gan.dcgan import DCGAN, DCGANTraining

    config = config_of(DCGAN, values)
    run = DCGANTraining(lesions(values['01_data']['image_size']), config)
    yield 'DCGAN', run.step, config.batch_size


def vgg(values):
    """The study's training, several steps in one call, beside a plain loop on images that lie on the GPU."""
    from genmix.classifier.config import TrainingConfig
    from genmix.classifier.training import fit_classifier
    from genmix.classifier.vgg import Classifier
    from genmix.mixing.arms import arms_for
    from genmix.mixing.batches import Pool
    from genmix.mixing.config import BatchConfig
    from genmix.mixing.rules import GenMix
    from genmix.run.device import autocast

    own, together = values['08_classification'], 32
    n, side = own['batch_size'], own['input_size']
    cohort, arm = lesions(values['01_data']['image_size']), arms_for(['dcgan'])['genmix-dcgan@1/8']
    rule = GenMix(alpha=own['alpha'], larger=own['larger'], pairing=own['pairing'])
    batches = BatchConfig(mixed_share=own['mixed_share'], pairing=own['pairing'], mixup_off=0.0)
    optimisation = {'batch_size': n, 'lr': 3e-4, 'weight_decay': 0.02, 'augmentation_strength': 1.0}
    config = TrainingConfig(steps=together, input_size=side, **optimisation)
    model = Classifier(3, own['vgg_width'], side)

    def study(number):
        fit_classifier(model, arm, Pool(cohort, cohort), config, number, batches, rule)

    yield f'VGG-16 in the study ({together} steps a call)', study, n * together
    model, loss = model.to(DEVICE).train(), torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.AdamW(model.parameters(), 3e-4, fused=True)
    x = torch.randint(256, (n, 1, side, side), device=DEVICE).float()
    y = torch.full((n, 3), 1 / 3, device=DEVICE)

    def plain(number):
        for _ in range(together):
            optimiser.zero_grad()
            with autocast():
                loss(model(x), y).backward()
            optimiser.step()

    yield f'VGG-16 in a plain loop ({together} steps a call)', plain, n * together


def tokens(values):
    """Textual Inversion on random weights in the shapes of Stable Diffusion 1.5: training, then sampling."""
    from genmix.generators.latent.learned_tokens import with_learned_tokens
    from genmix.generators.latent.token_loss import InversionData
    from genmix.generators.pretrained.networks import sample_images
    from tools.gpu_models import stable_diffusion

    own, pipeline = values['04_textual_inversion'], stable_diffusion()
    pipeline.tokenizer.add_tokens(['<lesion>'])
    if own['checkpointing']:
        pipeline.unet.enable_gradient_checkpointing()
    new = torch.nn.Embedding(1, pipeline.text_encoder.config.hidden_size)
    with with_learned_tokens(pipeline, new):
        data = InversionData(pipeline, lesions(256, 8), ['<lesion>'], ['a picture of a {}'], False)
        rng, n = torch.Generator().manual_seed(0), own['batch_size']
        yield 'Textual Inversion of SD 1.5', lambda number: data.loss(n, rng).backward(), n
    prompts, steps = ['a picture of a photo'] * 8, own['sampling_steps']
    yield 'sampling SD 1.5', lambda number: sample_images(pipeline, prompts, steps, 3.0, 0, 8), 8


def dit(values):
    """Fine-tuning on random weights in the shapes of DiT-XL/2."""
    from genmix.generators.latent.backbones import ClassBase
    from genmix.generators.latent.diffusion import Diffusion
    from genmix.generators.latent.fine_tuning import add_adapters, fine_tuning_loss
    from tools.gpu_models import diffusion_transformer

    cohort, config = lesions(256, 24), config_of(Diffusion, values, scratch=False)
    base = ClassBase(diffusion_transformer(), cohort.class_names)
    denoiser = base.net.denoiser
    if config.lora_rank:
        denoiser = add_adapters(denoiser.requires_grad_(False), config.lora_rank).to(DEVICE)
    if config.checkpointing:
        denoiser.enable_gradient_checkpointing()
    net, rng = base.conditioned(denoiser).train(), torch.Generator().manual_seed(0)
    loss_of = fine_tuning_loss(base, net, cohort, config)
    yield 'DiT-XL/2 with adapters', lambda number: loss_of(rng).backward(), config.batch_size


PARTS = {'stylegan': stylegan, 'dcgan': dcgan, 'vgg': vgg, 'tokens': tokens, 'dit': dit}

if __name__ == '__main__':
    sys.exit(main())
