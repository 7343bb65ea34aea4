"""Ways to do one thing, timed in turns within one run: CPU beside wall seconds, and ratios.

Nothing here asserts a speed: a ratio is printed, and kept in the CSV that GENMIX_BENCH names.
"""

import os
import platform
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from genmix.run import device
from tools import speed

ROUNDS = int(os.environ.get('GENMIX_BENCH_ROUNDS', 3))
# Environment variables that keep kernels from newer instructions, and what they say.
LIMITS = ('ONEDNN_MAX_CPU_ISA', 'ATEN_CPU_CAPABILITY', 'MKL_ENABLE_INSTRUCTIONS')


class Clock:
    """CPU and wall seconds at each `mark`, without what happens under `paused`."""

    def __init__(self):
        self.marks, self._away = [], np.zeros(2)

    def now(self):
        return np.array([time.process_time(), time.perf_counter()]) - self._away

    def mark(self):
        self.marks.append(self.now())

    @contextmanager
    def paused(self):
        before = self.now()
        yield
        self._away = self._away + self.now() - before

    def seconds(self):
        """Between one mark and the next: float (marks - 1, 2)."""
        return np.diff(self.marks, axis=0)


@contextmanager
def float32():
    """Everything in float32, also where bfloat16 pays."""
    before = os.environ.get('GENMIX_BF16')
    os.environ['GENMIX_BF16'] = '0'
    try:
        yield
    finally:
        os.environ.pop('GENMIX_BF16') if before is None else os.environ.update(GENMIX_BF16=before)


def in_float32(function):
    """`function`, called under `float32`."""

    def called(*args):
        with float32():
            return function(*args)

    return called


def in_turns(ways, units=1, rounds=None):
    """{way: seconds (rounds, 2), CPU and wall, of one of `units`} of {way: function()}.

    The first round warms up and does not count; within a round every way has its turn, so that what else the
    machine does meets all alike.
    """
    found = {name: [] for name in ways}
    for _ in range(1 + (ROUNDS if rounds is None else rounds)):
        for name, function in ways.items():
            clock = Clock()
            clock.mark()
            function()
            clock.mark()
            found[name].append(clock.seconds()[0] / units)
    return {name: np.array(seconds[1:]) for name, seconds in found.items()}


def processor():
    """What the processor is called."""
    if Path('/proc/cpuinfo').exists():
        lines = [x for x in Path('/proc/cpuinfo').read_text().splitlines() if x.startswith('model name')]
        return lines[0].split(':')[1].strip() if lines else platform.machine()
    asked = ['sysctl', '-n', 'machdep.cpu.brand_string']  # macOS
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or platform.machine()


def processor_class():
    """Whether there are bf16 units, whether they are used, and what else was limited."""
    if device.DEVICE.type != 'cpu':
        return device.device_name()
    limited = sorted({os.environ[name].upper() for name in LIMITS if os.environ.get(name)})
    said = ['bf16 units' if device.bf16_units() else 'no bf16 units']
    said += ['autocast off'] if device.bf16_units() and not device.bf16_pays() else []
    return ', '.join(said + [f'kernels up to {name}' for name in limited])


def reached(seconds, values, goal):
    """When `values`, measured at `seconds`, first come down to `goal`, by interpolation; nan if never.

    What is there at the first measurement counts as reached then.
    """
    seconds, values = np.asarray(seconds), np.asarray(values)
    if not (values <= goal).any():
        return float('nan')
    k = int((values <= goal).argmax())
    if k == 0:
        return float(seconds[0])
    share = (values[k - 1] - goal) / (values[k - 1] - values[k])
    return float(seconds[k - 1] + share * (seconds[k] - seconds[k - 1]))


def table_of(title, seconds, unit):
    """Rows of `tools.speed.COLUMNS`; the first way is what the others are compared with."""
    first = np.median(next(iter(seconds.values()))[:, 0])
    about = {'class': processor_class(), 'table': title, 'processor': processor()}
    rows = []
    for way, (cpu, wall) in ((way, np.transpose(s)) for way, s in seconds.items()):
        row = {'cpu_min': cpu.min(), 'cpu_median': np.median(cpu), 'wall_min': wall.min()}
        row |= {'wall_median': np.median(wall), 'ratio': np.median(cpu) / first}
        rows.append(
            about | {'threads': torch.get_num_threads(), 'way': way, 'unit': unit, 'n': len(cpu)} | row
        )
    return pd.DataFrame(rows)


def report(title, seconds, unit='step', note=''):
    """Print the table of {way: seconds (n, 2)} and the class of the processor; GENMIX_BENCH keeps it."""
    rows = table_of(title, seconds, unit)
    units = ', '.join(device.bf16_units()) or 'none'
    load = f'load {os.getloadavg()[0]:.1f}' if hasattr(os, 'getloadavg') else ''
    print(f'\n\n{title}{": " if note else ""}{note}')
    print(
        f'{rows["class"][0]} ({rows.processor[0]}; bf16 units: {units}), {rows.threads[0]} thread(s), {load}'
    )
    shown = rows[['way', 'n', 'cpu_min', 'cpu_median', 'wall_min', 'wall_median', 'ratio']].copy()
    times = ['cpu_min', 'cpu_median', 'wall_min', 'wall_median']
    shown[times] = shown[times].map('{:.3g}'.format)
    shown['ratio'] = shown.ratio.map('{:.2f}'.format)
    names = {'cpu_min': f'CPU s a {unit}, min', 'cpu_median': 'median', 'wall_min': 'wall s, min'}
    names |= {'wall_median': 'median ', 'ratio': 'CPU of the first'}
    print(shown.rename(columns=names).to_markdown(index=False, disable_numparse=True))
    if path := os.environ.get('GENMIX_BENCH'):
        speed.keep(rows, path)
