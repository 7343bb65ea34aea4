import pytest
import torch
from conftest import ROOT

from tools import gpu_memory

MB = 1024**2  # bytes: what 512 x 512 numbers of float32 take
SIDE = 512


def test_the_peak_is_what_lives_at_once():
    with gpu_memory.Memory() as memory:
        x = torch.randn(SIDE, SIDE)
        y = (x * 2).relu_()
        assert memory.now == memory.peak == 2 * MB
        del x
        assert memory.now == MB
        z = y[:10] + y[10:20]  # few numbers: they have values
        z = y.T.to(torch.bfloat16)
        assert z.shape == (SIDE, SIDE) and memory.peak == 2 * MB
        assert memory.now == 1.5 * MB


def test_a_training_step_by_hand():
    """A linear layer and its input, output, gradients and moments of Adam."""
    with gpu_memory.Memory() as memory:
        layer = torch.nn.Linear(SIDE, SIDE, bias=False)
        optimiser = torch.optim.Adam(layer.parameters(), fused=True)
        x = torch.randn(SIDE, SIDE)
        assert memory.now == 2 * MB
        loss = layer(x).square().mean()
        loss.backward()
        optimiser.step()
        assert memory.now == pytest.approx(5 * MB, abs=16), 'weights, input, gradient, two moments'
        assert memory.peak >= memory.now


def test_autocast_halves_what_is_computed():
    with gpu_memory.Memory() as memory, torch.autocast('cpu', torch.bfloat16):
        x = torch.randn(SIDE, SIDE)
        y = x @ x
        assert y.dtype == torch.bfloat16 and memory.now == 1.5 * MB


def test_a_part_is_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(gpu_memory.device, 'bf16_pays', gpu_memory.device.bf16_pays)
    (tmp_path / 'tiny.yaml').write_text(
        'common: {dataset: phantom}\n01_data: {image_size: 32}\n'
        '03_stylegan: {width: 16, batch_size: 16, max_channels: 64, path_length: 1.0}\n'
    )
    gpu_memory.main(['stylegan', '--params', str(tmp_path / 'tiny.yaml')])
    rows = [line.split(',') for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ['StyleGAN2', 'StyleGAN2 without path length']
    with_penalty, without = (float(row[1]) for row in rows)
    assert with_penalty >= without == pytest.approx(0.02, abs=0.02)
