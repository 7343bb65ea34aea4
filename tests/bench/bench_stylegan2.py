"""A training step of StyleGAN2: ours beside the official implementation, 16 images of 64 px, equal widths."""

from dataclasses import replace

import pytest
from conftest import config_of
from measure import in_float32, in_turns, report
from official_stylegan2 import OfficialTraining

from genmix.data.phantom import plan
from genmix.generators.gan.config import StyleGANConfig
from genmix.generators.gan.stylegan2_training import StyleGANTraining
from genmix.generators.gan.training import R1_EVERY
from genmix.run.device import bf16_pays

CONFIG = config_of(StyleGANConfig, '03_stylegan', path_length=0.0)
PUBLISHED = {'pack': 1, 'space_to_depth': False, 'd4_augmentation': False, 'beta1': 0.0}
P = 0.3  # of the augmentation, held
NOTE = f'batch {CONFIG.batch_size}, R1 every {R1_EVERY} steps'


def steps_of(training):
    """As many steps as there are from one R1 penalty to the next."""

    def run():
        if hasattr(training, 'control'):
            training.control.p = P
        for number in range(R1_EVERY):
            training.step(number)

    return run


@pytest.fixture(scope='module')
def cohort():
    return plan.draw('dev', (60, 60, 60), seed=7)


def ours(cohort, **changes):
    return steps_of(StyleGANTraining(cohort, replace(CONFIG, **changes)))


def test_without_augmentation(cohort):
    plain = PUBLISHED | {'augmentation': 'none'}
    ways = {
        'ours, as published': ours(cohort, **plain),
        'NVlabs (float32)': steps_of(OfficialTraining(cohort, CONFIG)),
    }
    if bf16_pays():
        ways['ours in float32, as published'] = in_float32(ours(cohort, **plain))
    report('a step of StyleGAN2', in_turns(ways, R1_EVERY), note=NOTE)


def test_with_augmentation(cohort):
    ways = {
        'ours, as published': ours(cohort, **PUBLISHED),
        'NVlabs (float32)': steps_of(OfficialTraining(cohort, CONFIG, P)),
        'ours, as trained: pack 2, space to depth': ours(cohort),
    }
    report('a step of StyleGAN2 with ADA', in_turns(ways, R1_EVERY), note=f'{NOTE}, p = {P}')
