import re
import subprocess
import warnings

import numpy as np
import pytest
import torch
from conftest import ROOT
from test_diffusion import class_base as class_base

from genmix.__main__ import parameter_of
from genmix.generators.latent.backbones import from_hub
from genmix.generators.latent.frozen_pipeline import open_pipeline
from genmix.run.notebooks import notebooks
from genmix.run.profile import read_profile, resolve
from genmix.run.settings import read_settings
from tools import gpu_measure, gpu_models

TINY = """
common: {dataset: phantom}
01_data: {image_size: 32}
02_dcgan: {width: 4, batch_size: 8}
03_stylegan: {width: 4, batch_size: 8, max_channels: 8, path_length: 1.0}
05_diffusion: {lora_rank: 2, checkpointing: true, batch_size: 4}
08_classification: {vgg_width: 0.0625, input_size: 32, batch_size: 8}
"""


@pytest.fixture
def tiny_models(monkeypatch, prompt_base, class_base):  # noqa: F811
    """Pipelines of a few thousand weights in place of those of the true shapes."""
    monkeypatch.setattr(gpu_models, 'stable_diffusion', lambda: open_pipeline(prompt_base, None))
    monkeypatch.setattr(gpu_models, 'diffusion_transformer', lambda: from_hub(class_base))


@pytest.mark.parametrize(
    'part, lines', [('stylegan', 2), ('dcgan', 1), ('vgg', 2), ('tokens', 2), ('dit', 1)]
)
def test_a_part_is_measured(tmp_path, monkeypatch, capsys, tiny_models, part, lines):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(gpu_measure, 'WARM_UP', 1)
    (tmp_path / 'tiny.yaml').write_text(TINY)
    gpu_measure.main([part, '--params', str(tmp_path / 'tiny.yaml'), '--steps', '1'])
    rows = [line.split(',') for line in capsys.readouterr().out.splitlines() if line.startswith('cpu,')]
    assert len(rows) == lines and all(float(row[2]) > 0 for row in rows)


def test_measured_times_what_it_says():
    calls = []
    text = gpu_measure.measured(calls.append, 10, 4)
    assert calls == list(range(1, gpu_measure.WARM_UP + 5)) and len(text.split(',')) == 4


def test_waits_are_those_that_cuda_warns_of(monkeypatch):
    modes = []
    monkeypatch.setattr(gpu_measure, 'DEVICE', torch.device('cuda'))
    monkeypatch.setattr(torch.cuda, 'set_sync_debug_mode', modes.append)

    def step(number):
        for text in ('called a synchronizing CUDA operation',) * 3 + ('something else',):
            warnings.warn(text, stacklevel=1)

    assert gpu_measure.count_waits(step, 1) == 3 and modes == ['warn', 'default']


def test_the_models_have_the_true_shapes(monkeypatch):
    monkeypatch.setattr(gpu_models, 'DEVICE', torch.device('meta'))
    monkeypatch.setattr(gpu_models.networks, 'to_device', lambda pipeline: pipeline)
    sd = gpu_models.stable_diffusion()
    millions = [sum(p.numel() for p in net.parameters()) / 1e6 for net in (sd.unet, sd.vae)]
    assert np.allclose(millions, [859.5, 83.7], atol=0.1)
    dit = gpu_models.diffusion_transformer()
    embeddings = 27 * (1001 * 1152 + 257 * 1152 + 1153 * 1152) / 1e6  # diffusers has them in every block
    millions = sum(p.numel() for p in dit.transformer.parameters()) / 1e6 - embeddings
    assert millions == pytest.approx(675, abs=1)


def test_the_script_asks_for_what_notebooks_know():
    script, every = (ROOT / 'tools' / 'gpu_check.sh').read_text(), notebooks(ROOT / 'notebooks')
    few = re.search(r'FEW="(.*?)"', script, re.DOTALL).group(1).replace('$MODELS', '/tmp')
    pairs = [word.split('=', 1) for word in few.split()]
    settings = read_settings(pairs, parameter_of(every))
    resolve(read_profile(ROOT / 'params' / 'paper.yaml'), settings, every)
    asked = set(re.findall(r'\b\d\d_\w+', re.sub(r'FEW=".*?"', '', script, flags=re.DOTALL)))
    assert asked <= {nb.name for nb in every}
    names = set(re.findall(r"'(\w+)'", (ROOT / 'tools' / 'gpu_measure.py').read_text()))
    assert set(gpu_measure.PARTS) <= names
    wrong = subprocess.run(
        ['bash', ROOT / 'tools' / 'gpu_check.sh', 'nothing'], capture_output=True, text=True
    )
    assert wrong.returncode == 2 and 'There is no part nothing' in wrong.stderr
