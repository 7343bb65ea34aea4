"""What trains and samples, on the device of other_device.py; `python device_cases.py` prints what failed.

A process of its own: torch knows one such device, and the rest of the tests must not see it.
"""

import json
import os
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

import numpy as np
import torch

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


@case
def mixing_is_refused():
    """The fault of the notebook on Textual Inversion: a weight on the CPU, an index on the GPU."""
    table, index = torch.nn.Embedding(1, 4), torch.zeros(3, dtype=torch.long, device=DEVICE)
    for wrong in (
        lambda: table(index),
        lambda: table.weight[index],
        lambda: torch.ones(3, device=DEVICE) + torch.ones(3),
        lambda: torch.randn(3, device=DEVICE, generator=torch.Generator()),
        lambda: torch.ones(3, device=DEVICE).numpy(),
    ):
        try:
            wrong()
        except (RuntimeError, TypeError):
            continue
        raise AssertionError('two devices were mixed')
    kept = torch.arange(3.0, device=DEVICE)[torch.tensor([2, 0])] * torch.tensor(2.0)
    assert kept.device == DEVICE and kept.cpu().tolist() == [4, 0]


@case
def waiting_is_noticed():
    x = torch.ones(3, device=DEVICE)
    for waits, do in (
        (1, lambda: x.sum().item()),
        (1, lambda: x.cpu()),
        (1, lambda: torch.ones(3).to(DEVICE)),
        (0, lambda: torch.ones(3).to(DEVICE, non_blocking=True)),
        (1, lambda: x[x > 0]),
        (0, lambda: x[torch.arange(2, device=DEVICE)] + x.to(torch.bfloat16)[:2]),
    ):
        other_device.waits.clear()
        do()
        assert len(other_device.waits) == waits, other_device.waits


@cache
def small_base():
    """A folder, there until the process ends, with a saved pipeline of 16 px pictures: its name is a base."""
    from conftest import save_prompt_base

    folder = tempfile.TemporaryDirectory()
    save_prompt_base(folder.name)
    return folder


def gan(generator, **changes):
    from conftest import blobs, config_of

    small = {'batch_size': 16, 'width': 8, 'z_dim': 8, 'steps': 2} | changes
    with tempfile.TemporaryDirectory() as folder:
        model = generator.fit(blobs(), folder, config_of(generator, **small))
        assert next(model.generator.parameters()).device == DEVICE
        first = model.sample(1, 5, seed=0)
        assert np.array_equal(first, generator.load(folder).sample(1, 5, seed=0))
        generator.fit(
            blobs(), folder, config_of(generator, **small | {'steps': small['steps'] + 2})
        )  # goes on
    return model


@case
def dcgan():
    from genmix.generators.gan import dcgan

    gan(dcgan.DCGAN)


@case
def stylegan():
    from genmix.generators.gan import stylegan2, stylegan2_training

    stylegan2_training.R1_EVERY = stylegan2_training.PATH_EVERY = 2
    small = {'max_channels': 16, 'w_dim': 8, 'path_length': 1.0}
    for how in ('ada', 'diffaugment', 'none'):
        model = gan(stylegan2.StyleGAN, augmentation=how, ada_images=20, steps=4, **small)
    w = model.generator.mapping(torch.randn(2, 8).to(DEVICE), torch.arange(2, device=DEVICE))
    assert model.synthesise(w).shape == (2, 32, 32)


def latent(generator, **changes):
    from conftest import blobs, config_of

    small = {'batch_size': 4, 'sampling_steps': 2, 'snapshot_samples': 2, 'snapshots': 3, 'steps': 2}
    small['base'] = small_base().name
    with tempfile.TemporaryDirectory() as folder:
        model = generator.fit(blobs((4, 4, 4)), Path(folder), config_of(generator, **small | changes))
        assert np.array_equal(model.sample(1, 2, seed=0), generator.load(folder).sample(1, 2, seed=0))
        longer = config_of(generator, **small | changes | {'steps': 4})
        generator.fit(blobs((4, 4, 4)), Path(folder), longer)  # goes on
        assert len((Path(folder) / 'train_log.csv').read_text().splitlines()) == 3
    return model


@case
def textual_inversion():
    from genmix.generators.latent import textual_inversion

    textual_inversion.NPS_SAMPLES = 2
    for per_layer in (False, True):
        changes = {'num_vectors': 2, 'per_layer': per_layer}
        model = latent(textual_inversion.TextualInversion, **changes)
        assert model.sample(0, 2, seed=0, strength=0.5).shape == (2, 32, 32)
        assert model.vectors.shape[:2] == (3, 2 * len(model.names) // 3)


@case
def tests_of_a_base():
    from conftest import blobs

    from genmix.appendix import ceiling
    from genmix.generators.pretrained import networks, prompt_tests

    pipeline, lesions = networks.load_pipeline(small_base().name), blobs((4, 4, 4), size=16)
    assert len(prompt_tests.shape_shares(pipeline, n=2, steps=2)) == 2
    found = prompt_tests.caption_losses(pipeline, lesions.images, ['a'] * 12, 1)
    assert found['own'] == found['shuffled'] > 0, 'equal captions'
    with tempfile.TemporaryDirectory() as folder:
        ceiling.write_ceiling(pipeline, lesions, Path(folder), steps=2)


@case
def words_of_a_notebook():
    """Tokens that a notebook makes without a device."""
    from conftest import blobs

    from genmix.generators.latent.frozen_pipeline import open_pipeline
    from genmix.generators.latent.learned_tokens import nearest_words, with_learned_tokens
    from genmix.generators.latent.token_loss import InversionData

    frozen = open_pipeline(small_base().name, None)
    frozen.tokenizer.add_tokens(['<lesion>'])
    new = torch.nn.Embedding(1, frozen.text_encoder.config.hidden_size)
    with with_learned_tokens(frozen, new):
        data = InversionData(frozen, blobs((1,)), ['<lesion>'], ['a picture of a {}'], d4_augmentation=False)
        data.loss(4, torch.Generator().manual_seed(0)).backward()
    assert new.weight.grad.device == DEVICE
    assert len(nearest_words(new.weight.detach().cpu(), frozen)) == 1


@case
def diffusion():
    from genmix.generators.latent.diffusion import Diffusion

    for changes in ({'guidance': 2.0, 'min_snr': 5.0}, {'lora_rank': 2, 'checkpointing': True}):
        latent(Diffusion, scratch=False, **changes)


@case
def classifier():
    from conftest import blobs
    from test_arms import configured

    from genmix.classifier.config import TrainingConfig
    from genmix.classifier.training import fit_classifier, predict
    from genmix.classifier.vgg import Classifier
    from genmix.mixing.arms import arms_for
    from genmix.mixing.batches import Pool

    config = TrainingConfig(
        steps=2, batch_size=16, lr=2e-3, weight_decay=0.02, input_size=32, augmentation_strength=1.0
    )
    batches, known = configured()
    for arm in ('none', 'mixup', 'genmix-toy@1/8'):
        arm = arms_for(['toy'])[arm]
        pool = Pool(blobs(), blobs(seed=1))
        rule = known[arm.rule] if arm.rule else None
        model = Classifier(3, 0.0625, 32)
        losses = fit_classifier(model, arm, pool, config, 0, batches, rule)
        assert np.isfinite(losses).all() and next(model.parameters()).device == DEVICE
    assert predict(model, blobs().images, 32).shape == (45, 3)
    assert predict(model, blobs().images, 32, of='features').shape == (45, 256)


@case
def steps_of_the_classifier_wait_for_nothing():
    from conftest import blobs
    from test_arms import configured

    from genmix.classifier.config import TrainingConfig
    from genmix.classifier.training import fit_classifier
    from genmix.classifier.vgg import Classifier
    from genmix.mixing.arms import arms_for
    from genmix.mixing.batches import Pool

    batches, known = configured()
    arm, found = arms_for(['toy'])['genmix-toy@1/8'], []
    for steps in (2, 5):
        config = TrainingConfig(
            steps=steps, batch_size=16, lr=2e-3, weight_decay=0.02, input_size=32, augmentation_strength=1.0
        )
        other_device.waits.clear()
        fit_classifier(
            Classifier(3, 0.0625, 32), arm, Pool(blobs(), blobs(seed=1)), config, 0, batches, known[arm.rule]
        )
        found.append([*other_device.waits])
    assert found[0] == found[1], found


@case
def reference_classifier():
    from conftest import blobs

    from genmix.audit.judge import train_reference

    assert train_reference(blobs(), 2).label(blobs().images).shape == (45,)


@case
def features():
    from conftest import blobs

    from genmix.audit.features import load_features

    assert load_features()(blobs((3, 3)).images).shape == (6, 1280)


@case
def features_of_inception():
    from conftest import blobs
    from torchvision.models import Inception_V3_Weights, inception_v3

    from genmix.audit.features import load_features

    random = inception_v3(weights=None, init_weights=False).state_dict()
    Inception_V3_Weights.get_state_dict = lambda self, **how: random
    assert load_features('inception')(blobs((1, 1)).images).shape == (2, 2048)


@case
def copies_and_blends():
    from conftest import blobs

    from genmix.audit.blends import Blends
    from genmix.audit.registration import Registration, placed

    lesions, images = blobs((8, 8)).images, blobs((3, 3), seed=1).images
    match = Registration(lesions).match(images)
    assert placed(lesions[match.index], match.pose).shape == images.shape
    assert len(Registration(lesions).match(lesions, own=True).index) == 16
    assert Blends(lesions).match(images).first.shape == (6, 2)


def main(names):
    failed = {}
    with OtherDevice():
        for name in names or CASES:
            try:
                CASES[name]()
                failed[name] = ''
            except Exception:
                failed[name] = traceback.format_exc()
    print(json.dumps(failed))


if __name__ == '__main__':
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here.parents[1]), str(here.parent), str(here), str(here.parent / 'mixing')]
    import other_device
    from other_device import OtherDevice, register

    DEVICE = register()
    os.environ['GENMIX_DEVICE'] = str(DEVICE)
    main(sys.argv[1:])
