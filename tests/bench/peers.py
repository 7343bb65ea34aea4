"""Peers whose code is read from checkouts in the folder that GENMIX_PEERS names, and is not part of ours."""

import ast
import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
CLONES = {
    'diffusers': 'https://github.com/huggingface/diffusers',
    'stylegan2-ada-pytorch': 'https://github.com/NVlabs/stylegan2-ada-pytorch',
}
PACKAGES = 'packages'  # a folder of GENMIX_PEERS for what a script imports and the study does not
DATASETS = 'datasets pyarrow dill multiprocess xxhash'  # of train_text_to_image.py


def checkout(name):
    """The folder of a peer; where it is not there, the benchmark is skipped in one sentence."""
    root = os.environ.get('GENMIX_PEERS', '')
    if root and (Path(root) / name).is_dir():
        return Path(root).resolve() / name
    place = Path(root or 'FOLDER') / name
    asked = '' if root else ', and set GENMIX_PEERS=FOLDER'
    pytest.skip(f'{name} is not there: git clone --depth 1 {CLONES[name]} {place}{asked}.')


def need_datasets():
    """Skip where `datasets`, which train_text_to_image.py imports, is not there."""
    own = Path(os.environ['GENMIX_PEERS']) / PACKAGES
    if not (own / 'datasets').is_dir() and not importlib.util.find_spec('datasets'):
        pytest.skip(f'train_text_to_image.py needs datasets: pip install --no-deps -t {own} {DATASETS}.')


def run_script(script, folder, *arguments):
    """Run an example script unchanged in a process of its own; CPU and wall seconds (steps, 2) of each step.

    Hub and trackers are out of reach.  Raises AssertionError with the last lines of a script that fails.
    """
    times, python_path = folder / 'times.csv', [str(HERE), str(HERE.parents[1])]
    python_path.append(str(Path(os.environ['GENMIX_PEERS']).resolve() / PACKAGES))
    offline = {'HF_HUB_OFFLINE': '1', 'HF_HOME': str(folder / 'hf'), 'HF_DATASETS_CACHE': str(folder / 'hf')}
    environment = os.environ | offline | {'PYTHONPATH': os.pathsep.join(python_path)}
    command = [sys.executable, str(HERE / 'run_script.py'), str(script), str(times), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f'{script.name}: {done.stderr[-3000:]}'
    with open(times) as file:
        return np.array(list(csv.reader(file)), float)


def constant(script, name):
    """The value of a name that a script assigns a literal to."""
    for node in ast.parse(script.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == name:
            return ast.literal_eval(node.value)
    raise KeyError(name)
