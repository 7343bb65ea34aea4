import ast
import json
import os
import subprocess
import sys
from functools import cache

import pytest
import torch
from conftest import ROOT
from device_cases import CASES
from torch.utils import backend_registration

from genmix import StudyError
from genmix.run import device


@cache
def on_another_device(names):
    """{case: traceback, '' where it ran} of device_cases.py."""
    script = ROOT / 'tests' / 'run' / 'device_cases.py'
    environment = os.environ | {'GENMIX_HEADLESS': '1', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, script, *names], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(
    not hasattr(backend_registration, '_setup_privateuseone_for_python_backend'),
    reason='this torch cannot take a device made in Python',
)
@pytest.mark.parametrize('name', CASES)
def test_nothing_mixes_devices(name):
    """In two processes, one after the other: a device of this kind cannot be left again."""
    half = len(CASES) // 2
    names = tuple(CASES)
    assert on_another_device(names[:half] if name in names[:half] else names[half:])[name] == ''


def test_what_is_sent_to_a_gpu_is_pinned_and_nobody_waits():
    calls = []

    class Sent:
        def pin_memory(self):
            calls.append('pinned')
            return self

        def to(self, where, non_blocking):
            calls.append((str(where), non_blocking))

    device.send(Sent(), torch.device('cuda:1')), device.send(Sent(), torch.device('cpu'))
    assert calls == ['pinned', ('cuda:1', True), ('cpu', True)]
    x = torch.ones(2)
    assert device.send(x, torch.device('cpu')) is x


FACTORIES = ('zeros', 'ones', 'empty', 'full', 'eye', 'arange', 'linspace', 'tensor')
FACTORIES += ('rand', 'randn', 'randint', 'randperm')
ON_THE_CPU = {  # on purpose: file, what makes the tensor
    ('layer_tokens.py', 'torch.tensor(ids)'),  # follows the ids that it is added to
    ('textual_inversion.py', 'torch.tensor(own)'),  # rows of a table on the CPU
    ('prompt_tests.py', 'torch.zeros(2, n)'),  # sums of losses that were read
}


def made_without_a_device(file):
    """Expressions of a module that make a tensor and do not say where.

    Parameters and buffers go with their network; what a generator of the CPU draws is the same on every
    device; what is made and moved in one expression is moved.
    """
    tree = ast.parse(file.read_text(encoding='utf-8'))
    calls, told = [node for node in ast.walk(tree) if isinstance(node, ast.Call)], set()
    for call in calls:
        if ast.unparse(call.func) in ('nn.Parameter', 'self.register_buffer', 'send'):
            told |= {id(inner) for inner in ast.walk(call)}
        if isinstance(call.func, ast.Attribute) and call.func.attr == 'to':
            told.add(id(call.func.value))
    for call in calls:
        makes = ast.unparse(call.func) in [f'torch.{name}' for name in FACTORIES]
        if makes and id(call) not in told and not {k.arg for k in call.keywords} & {'device', 'generator'}:
            yield ast.unparse(call)


def test_no_tensor_is_made_without_saying_where(tmp_path):
    files = sorted((ROOT / 'genmix').rglob('*.py'))
    assert {(file.name, made) for file in files for made in made_without_a_device(file)} == ON_THE_CPU
    wrong = tmp_path / 'wrong.py'
    wrong.write_text('x = torch.zeros(3)\ny = torch.ones(2, device=D)\nz = torch.eye(2).to(D)')
    assert list(made_without_a_device(wrong)) == ['torch.zeros(3)']


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
