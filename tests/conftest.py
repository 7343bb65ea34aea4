import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before numpy and torch: the tests run as the notebooks do

import numpy as np
import pytest

from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.run.notebooks import Notebook
from genmix.run.study import Study

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / 'shared' / 'data'  # real images of the developers; tests skip where they are absent


def pytest_collection_modifyitems(items):
    """What takes longest starts first, so that processes side by side end together."""
    slow = {item.path for item in items if item.get_closest_marker('smoke')}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def project(tmp_path):
    """An empty project folder with the profiles, and a Study in it."""
    shutil.copytree(ROOT / 'params', tmp_path / 'params')
    return tmp_path


@pytest.fixture
def study(project):
    return Study('test', project)


def blobs(counts=(20, 10, 15), size=32, per_patient=2, seed=0):
    """A cohort that is easy to tell apart: a disc whose radius and brightness depend on the class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius = (4 + 3 * labels + rng.uniform(-1, 1, len(labels)))[:, None, None]
    level = (60 + 40 * labels + rng.uniform(-10, 10, len(labels)))[:, None, None]
    images = np.where(np.hypot(x, y) < radius, level, 180) + rng.normal(0, 6, (len(labels), size, size))
    patients = [f'P{k}-{i // per_patient}' for k, n in enumerate(counts) for i in range(n)]
    return Cohort(
        images.clip(0, 255).astype(np.uint8),
        labels,
        patients,
        ['small', 'middle', 'large'][: len(counts)],
        'blobs',
    )


@pytest.fixture
def cohort():
    return blobs()


@pytest.fixture(scope='session')
def world():
    """Training, held-out and fresh phantoms, by name."""
    drawn = ('cohort', 35, 0), ('dev', 120, 0), ('dev', 100, 1), ('oracle', 100, 0)
    lesions = [plan.draw(name, (n, n, n), seed=seed) for name, n, seed in drawn]
    return dict(zip(('train', 'heldout', 'more', 'fresh'), lesions))


def make_command(*words):
    """make as a list of words, with the Python of these tests."""
    return [
        'make',
        '--no-print-directory',
        f'PY={sys.executable}',
        'ENV=',
        f'PYTHON={sys.executable}',
        *words,
    ]


def shell_environment(folder):
    """Variables of a shell in which nothing of the study runs, and where the package is that of `folder`."""
    inherited = ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'GENMIX_HEADLESS')
    return {k: v for k, v in os.environ.items() if k not in inherited} | {'PYTHONPATH': str(folder)}


def call(folder, command):
    """Run a command in `folder`; its exit code, stdout and stderr."""
    env = shell_environment(folder)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def make(folder, *words):
    """Run make in `folder`."""
    return call(folder, make_command(*words))


def python_m(folder, *words):
    """Run python -m in `folder`."""
    return call(folder, [sys.executable, '-m', *words])


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A copy of the project as a user would clone it."""
    folder = tmp_path_factory.mktemp('clone') / 'genmix-study'
    folder.mkdir()
    left_out = shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints')
    for name in ('genmix', 'tools', 'notebooks', 'params', 'measured', 'docs', 'examples'):
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    for name in ('Makefile', 'requirements.lock', 'pyproject.toml', 'README.md', 'PROTOCOL.md'):
        shutil.copy(ROOT / name, folder / name)
    return folder


def config_of(owner, notebook='', **changes):
    """A config with the values in the parameters cell of a notebook and `changes`: tests have no defaults.

    owner      a generator, or a config class      notebook   its name, where `owner` names none
    """
    cell = Notebook(ROOT / 'notebooks' / f'{notebook or owner.notebook}.ipynb').parameters
    config = getattr(owner, 'Config', owner)
    values = {f.name: cell[f.name].default for f in fields(config) if f.name in cell}
    return config(**values | changes)


def save_prompt_base(folder):
    """Save a StableDiffusionPipeline of 16 px pictures, of the kind of the shipped base; its path."""
    import torch

    from genmix.generators.pretrained import captions, networks

    torch.manual_seed(0)
    channels = {'latent_channels': 4, 'autoencoder': (8, 8, 8), 'denoiser': (8, 8)}
    size = networks.Size(image=16, text=8, text_layers=1, groups=4, **channels)
    tokenizer = captions.make_tokenizer()
    nets = networks.make_autoencoder(size), networks.make_denoiser(size)
    with torch.no_grad():
        nets[0].decoder.layers[-1].weight *= 30  # as initialised, all its pictures are one gray
    pipeline = networks.make_pipeline(*nets, networks.make_text_encoder(size, tokenizer), tokenizer)
    pipeline.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope='session')
def prompt_base(tmp_path_factory):
    """A saved StableDiffusionPipeline of 16 px pictures."""
    return save_prompt_base(tmp_path_factory.mktemp('hub') / 'prompt_base')


@pytest.fixture(scope='session')
def stable(tmp_path_factory):
    """A saved pipeline of 64 px pictures like Stable Diffusion 1.5: noise predicted, PNDM, 77 tokens."""
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from genmix.generators.pretrained import captions

    torch.manual_seed(0)
    blocks = ('CrossAttnDownBlock2D',) * 3 + ('DownBlock2D',), ('UpBlock2D',) + ('CrossAttnUpBlock2D',) * 3
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        down_block_types=blocks[0],
        up_block_types=blocks[1],
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        down_block_types=('DownEncoderBlock2D',) * 4,
        up_block_types=('UpDecoderBlock2D',) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
    )
    tokenizer = captions.make_tokenizer(77)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    schedule = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule='scaled_linear',
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    folder = tmp_path_factory.mktemp('hub') / 'stable'
    StableDiffusionPipeline(
        vae, text, tokenizer, unet, schedule, None, None, requires_safety_checker=False
    ).save_pretrained(folder)
    return str(folder)


def count_layers(base):
    """How many layers of a saved pipeline's U-Net read the prompt, from its config.json."""
    about = json.loads((Path(base) / 'unet' / 'config.json').read_text())
    down, up, n = about['down_block_types'], about['up_block_types'], about['layers_per_block']
    n = n if isinstance(n, list) else [n] * len(down)
    layers = sum(k for k, block in zip(n, down) if block == 'CrossAttnDownBlock2D')
    layers += sum(k + 1 for k, block in zip(n[::-1], up) if block == 'CrossAttnUpBlock2D')
    return 1 + layers + (about['addition_embed_type'] == 'text')


@pytest.fixture
def ready(study):
    """A run with a cohort, a population, the toy's synthetic set and its GenMix set."""
    from test_arms import configured
    from test_generators import Toy

    from genmix.data import build
    from genmix.generators.synthetic import synthetic_set
    from genmix.mixing.dataset import make_set

    config = config_of(build.CohortConfig, '01_data', image_size=32, train_fraction=1.0)
    build.make_cohort(study, config, lesions=(30, 12, 18), patients=30)
    build.population(study, (10, 10, 10))
    build.calibration(study, 4)
    train = build.part(study)
    toy = synthetic_set(study, Toy, train, 6, Toy.Config())
    make_set(study, train, toy, 40, configured()[1]['genmix'])
    return study
