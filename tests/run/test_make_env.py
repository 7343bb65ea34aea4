"""`make env`: what installs what, from where.  A script that notes its words stands in for Python and uv."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, shell_environment

# `-m venv` copies it to .venv/bin/python; $NOT_REACHED is in the words of what fails
STUB = """#!/bin/sh
case "$*" in *--clear*) rm -rf .venv;; esac
case "$*" in *'-m venv'*) mkdir -p .venv/bin; cp "$0" .venv/bin/python;; esac
echo "$(basename "$0") $*" >> said
case "$*" in *'-r /dev/stdin'*) cat > piped;; esac
case "$*" in *"${NOT_REACHED:-nothing}"*) echo 'a long story' >&2; exit 1;; esac
"""
INDEX = 'https://download.pytorch.org/whl/cpu'
LOCK = (ROOT / 'requirements.lock').read_text().splitlines()
TORCH = [line for line in LOCK if re.match('torch(vision)?==', line)]
CUDA = [line for line in LOCK if re.match('nvidia|cuda|triton', line)]
linux = pytest.mark.skipif(sys.platform != 'linux', reason='only there PyPI has PyTorch with CUDA')


@pytest.fixture
def folder(tmp_path):
    for name in ('Makefile', 'requirements.lock', 'pyproject.toml'):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / 'python').write_text(STUB)
    (tmp_path / 'python').chmod(0o755)
    (tmp_path / 'tools-on-path').mkdir()
    return tmp_path


def make_env(folder, *words, **variables):
    """The lines that `make env` prints, and the words that Python and uv were called with."""
    (folder / 'said').write_text('')
    env = shell_environment(folder) | {'CONDA_DEFAULT_ENV': '', 'TORCH': ''} | variables
    env['PATH'] = f'{folder}/tools-on-path:{env["PATH"]}'
    command = ['make', '--no-print-directory', 'PYTHON=./python', 'env', *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    said = (folder / 'said').read_text().splitlines()
    return done.stdout.splitlines(), [line for line in said if 'install' in line or 'venv' in line]


def pins(folder):
    return (folder / '.venv' / 'pins.txt').read_text().splitlines()


@linux
def test_pip_installs_the_lock_in_parts_each_with_a_line(folder):
    shown, said = make_env(folder, 'UV=')
    assert len(shown) == 6 and all(line.startswith('▸ ') for line in shown)
    assert 'GB' in shown[0] and 'minutes' in shown[0] and 'with pip' in shown[0]
    assert said[0] == 'python -m venv .venv' and all('python -m pip install' in line for line in said[1:])
    assert said[1].endswith(f'--no-deps {" ".join(TORCH)}') and len(TORCH) == 2
    assert [line.split(' -')[-1] for line in said[2:]] == ['r /dev/stdin', 'r .venv/pins.txt', 'e .']
    assert (folder / 'piped').read_text().splitlines() == CUDA and pins(folder) == LOCK
    assert make_env(folder, 'UV=') == (["make: Nothing to be done for 'env'."], [])


def test_uv_is_taken_where_there_is_one(folder):
    shutil.copy(folder / 'python', folder / 'tools-on-path' / 'uv')
    shown, said = make_env(folder)
    assert 'with uv' in shown[0]
    assert len(said) > 3 and all(line.startswith('uv pip install') for line in said[1:])
    assert all('--python .venv/bin/python' in line for line in said[1:])
    (folder / '.venv' / '.complete').unlink()
    assert 'with pip' in make_env(folder, 'UV=')[0][0]


@linux
def test_torch_for_cpus_leaves_out_cuda_and_stays_the_kind_of_this_venv(folder):
    shown, said = make_env(folder, 'TORCH=cpu', 'UV=')
    pinned = ' '.join(f'{line}+cpu' for line in TORCH)
    assert said[1].endswith(f'--no-deps --index-url {INDEX} {pinned}') and len(shown) == 5
    assert CUDA and pins(folder) == [line for line in LOCK if line not in CUDA]
    assert make_env(folder, 'UV=')[1] == make_env(folder, 'UV=', TORCH='cpu')[1] == []
    (folder / '.venv' / '.complete').unlink()
    _, again = make_env(folder, 'UV=')
    assert again[0] == 'python -m venv .venv' and INDEX in again[1]
    _, other = make_env(folder, 'TORCH=default', 'UV=')
    assert other[0] == 'python -m venv --clear .venv' and INDEX not in ' '.join(other)
    assert pins(folder) == LOCK


@linux
def test_an_index_that_is_not_reached_is_one_line_and_the_default_wheels(folder):
    shown, said = make_env(folder, 'TORCH=cpu', 'UV=', NOT_REACHED='--index-url')
    assert [line for line in shown if INDEX in line] == [shown[2]] and 'PyPI' in shown[2] and len(shown) == 6
    assert pins(folder) == LOCK and (folder / '.venv' / '.complete').exists()
    assert make_env(folder, 'TORCH=cpu', 'UV=')[1] == [], 'asked for once: not tried at every call'


def test_what_fails_leaves_no_finished_environment(folder):
    with pytest.raises(AssertionError, match='a long story'):
        make_env(folder, 'UV=', NOT_REACHED='pins.txt')
    assert not (folder / '.venv' / '.complete').exists()


def test_a_kind_that_does_not_exist_is_one_sentence(folder):
    command = ['make', '-n', 'PYTHON=./python', 'env', 'TORCH=gpu']
    env = shell_environment(folder) | {'CONDA_DEFAULT_ENV': ''}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and 'TORCH is "gpu": choose cpu, or default' in done.stderr
