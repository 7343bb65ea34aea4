import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from device_cases import CASES
from torch.utils import backend_registration

from genmix import StudyError
from genmix.run import device


@pytest.fixture(scope='module')
def on_another_device():
    """{case: traceback, '' where it ran} of device_cases.py."""
    if not hasattr(backend_registration, '_setup_privateuseone_for_python_backend'):
        pytest.skip('this torch cannot take a device made in Python')
    script = ROOT / 'tests' / 'run' / 'device_cases.py'
    environment = os.environ | {'GENMIX_HEADLESS': '1', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize('name', CASES)
def test_nothing_mixes_devices(on_another_device, name):
    assert on_another_device[name] == ''


def seen(monkeypatch, gpus):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)


def test_the_device_is_what_was_asked_for(monkeypatch):
    seen(monkeypatch, 2)
    monkeypatch.setattr(device, 'least_used', lambda count: count - 1)
    named = {name: str(device.choose_device(name)) for name in ('', 'cpu', 'cuda', 'cuda:0')}
    assert named == {'': 'cuda:1', 'cpu': 'cpu', 'cuda': 'cuda:1', 'cuda:0': 'cuda:0'}
    monkeypatch.setenv('LOCAL_RANK', '0')  # of a training that several processes share
    assert str(device.choose_device()) == 'cuda:0'
    seen(monkeypatch, 0)
    assert str(device.choose_device()) == 'cpu'


@pytest.mark.parametrize('name, words', [('gpu', 'choose cpu, cuda'), ('cuda:2', 'sees 2 GPUs')])
def test_a_device_that_is_not_there_is_one_sentence(monkeypatch, name, words):
    seen(monkeypatch, 2)
    with pytest.raises(StudyError, match=words):
        device.choose_device(name)


def test_a_processor_with_units_can_be_measured_as_one_without(monkeypatch):
    monkeypatch.setattr(device, 'DEVICE', torch.device('cpu'))
    monkeypatch.setattr(torch.cpu, '_is_avx512_bf16_supported', lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, '_is_amx_tile_supported', lambda: False, raising=False)
    monkeypatch.delenv('GENMIX_BF16', raising=False)
    with device.autocast():
        assert (torch.eye(2) @ torch.eye(2)).dtype == torch.bfloat16
    monkeypatch.setenv('GENMIX_BF16', '0')
    assert device.bf16_units() == ['avx512_bf16']  # what the processor has stays what it is
    with device.autocast():
        assert (torch.eye(2) @ torch.eye(2)).dtype == torch.float32
    with device.autocast(True):  # what a network asks for by name is not the environment's to refuse
        assert (torch.eye(2) @ torch.eye(2)).dtype == torch.bfloat16


def test_no_units_is_float32(monkeypatch):
    monkeypatch.setattr(device, 'DEVICE', torch.device('cpu'))
    monkeypatch.delenv('GENMIX_BF16', raising=False)
    for unit in ('avx512_bf16', 'amx_tile'):
        monkeypatch.setattr(torch.cpu, f'_is_{unit}_supported', lambda: False, raising=False)
    assert device.bf16_units() == [] and not device.bf16_pays()


def test_another_value_is_one_sentence(monkeypatch):
    monkeypatch.setenv('GENMIX_BF16', 'off')
    with pytest.raises(StudyError, match='GENMIX_BF16 is off: set it to 0'):
        device.bf16_pays()
