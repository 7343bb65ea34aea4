"""The helpers of the benchmarks; the benchmarks themselves are run by `make bench`."""

import os
import time

import measure
import numpy as np
import pandas as pd
import peers
import pytest

from genmix.run import device

SCRIPT = """
import argparse
from accelerate import Accelerator
from tqdm.auto import tqdm

WORDS = ['a photo of a {}', 'a {}']

parser = argparse.ArgumentParser()
parser.add_argument('--steps', type=int)
args, accelerator = parser.parse_args(), Accelerator()
for _ in tqdm(range(3), desc='Files'):
    pass
bar = tqdm(range(args.steps), desc='Steps')
for step in range(args.steps):
    sum(range(3_000_000))
    bar.update(1)
    accelerator.save_state('state')
"""


def test_ways_take_turns_and_the_first_round_does_not_count():
    calls = []
    ways = {name: lambda name=name: calls.append(name) for name in 'ab'}
    found = measure.in_turns(ways, units=4, rounds=2)
    assert calls == list('ababab')
    assert {name: s.shape for name, s in found.items()} == {'a': (2, 2), 'b': (2, 2)}


def test_a_clock_leaves_pauses_out(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, 'process_time', lambda: now[0])
    monkeypatch.setattr(time, 'perf_counter', lambda: 2 * now[0])
    clock = measure.Clock()
    clock.mark()
    now[0] = 1.0
    with clock.paused():
        now[0] = 11.0
    clock.mark()
    now[0] = 14.0
    clock.mark()
    assert clock.seconds().tolist() == [[1.0, 2.0], [3.0, 6.0]]


def test_the_class_says_units_and_what_is_off(monkeypatch):
    monkeypatch.setattr(device, 'bf16_units', lambda: ['avx512_bf16'])
    for name in (*measure.LIMITS, 'GENMIX_BF16'):
        monkeypatch.delenv(name, raising=False)
    assert measure.processor_class() == 'bf16 units'
    with measure.float32():
        assert measure.processor_class() == 'bf16 units, autocast off'
    assert 'GENMIX_BF16' not in os.environ
    monkeypatch.setenv('ONEDNN_MAX_CPU_ISA', 'AVX2')
    monkeypatch.setenv('ATEN_CPU_CAPABILITY', 'avx2')
    monkeypatch.setenv('GENMIX_BF16', '0')
    assert measure.processor_class() == 'bf16 units, autocast off, kernels up to AVX2'
    monkeypatch.setattr(device, 'bf16_units', lambda: [])
    assert measure.processor_class() == 'no bf16 units, kernels up to AVX2'


def test_a_table_has_cpu_beside_wall_and_the_ratio_to_ours(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv('GENMIX_BENCH', str(tmp_path / 'speed.csv'))
    seconds = {'ours': np.array([[1.0, 5], [2, 6], [3, 9]]), 'peer': np.array([[4.0, 4], [6, 6], [5, 5]])}
    measure.report('work', seconds, note='on a test')
    kept = pd.read_csv(tmp_path / 'speed.csv').set_index('way')
    columns = ['n', 'cpu_min', 'cpu_median', 'wall_min', 'wall_median', 'ratio']
    assert kept.loc['ours', columns].tolist() == [3, 1, 2, 5, 6, 1]
    assert kept.loc['peer', columns].tolist() == [3, 4, 5, 4, 5, 2.5]
    said = capsys.readouterr().out
    assert 'work: on a test' in said and measure.processor_class() in said and 'thread' in said


def test_when_a_value_is_reached():
    seconds, values = [10.0, 20.0, 40.0, 60.0], [0.5, 0.3, 0.35, 0.1]
    assert measure.reached(seconds, values, 0.4) == pytest.approx(15.0)
    assert measure.reached(seconds, values, 0.225) == pytest.approx(50.0)
    assert measure.reached(seconds, values, 0.6) == 10.0
    assert np.isnan(measure.reached(seconds, values, 0.05))


def test_a_missing_peer_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv('GENMIX_PEERS', raising=False)
    with pytest.raises(pytest.skip.Exception, match='git clone .*/diffusers FOLDER/diffusers, and set'):
        peers.checkout('diffusers')
    monkeypatch.setenv('GENMIX_PEERS', str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=f'git clone .* {tmp_path}/diffusers.$'):
        peers.checkout('diffusers')
    (tmp_path / 'diffusers').mkdir()
    assert peers.checkout('diffusers') == tmp_path / 'diffusers'


def test_a_script_runs_unchanged_and_its_steps_are_timed(monkeypatch, tmp_path):
    monkeypatch.setenv('GENMIX_PEERS', str(tmp_path))
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    seconds = peers.run_script(script, tmp_path, '--steps', 3)
    assert seconds.shape == (3, 2) and (seconds > 0).all()
    assert (tmp_path / 'state').is_dir()
    assert peers.constant(script, 'WORDS') == ['a photo of a {}', 'a {}']
    script.write_text('raise SystemExit("no such base")')
    with pytest.raises(AssertionError, match='no such base'):
        peers.run_script(script, tmp_path)
