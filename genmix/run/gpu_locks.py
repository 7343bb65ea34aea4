"""Locks of GPUs: files below the temporary folder of this machine, freed when their process ends.

A GPU is known by its entry of CUDA_VISIBLE_DEVICES where that is set, else by its number, so that jobs which
see different GPUs do not wait for each other.
"""

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

_held = {}  # open files by name: of this process, until it ends or lets them go


def lock_file(name):
    """An open file to lock."""
    folder = Path(tempfile.gettempdir()) / f'genmix-gpus-{os.getuid()}'
    folder.mkdir(exist_ok=True)
    return open(folder / f'{name}.lock', 'w')


def gpu_id(index):
    """What GPU number `index` of this process is called on the whole machine."""
    visible = [name.strip() for name in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',')]
    return visible[index] if index < len(visible) and visible[index] else str(index)


def try_lock(name):
    """Lock `name` until this process ends or `unlock`s it; False where another process has it."""
    file = lock_file(name)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _held[name] = file
    return True


def wait_for_lock(name):
    """`try_lock`, but wait for it."""
    _held[name] = file = lock_file(name)
    fcntl.flock(file, fcntl.LOCK_EX)


def unlock(name):
    with suppress(KeyError):
        _held.pop(name).close()


def least_used(count):
    """The number of the GPU, of `count`, that fewest processes have: this one has it from now on, too."""
    if count == 1:
        return 0
    place = 0
    while True:
        for index in range(count):
            if try_lock(f'{gpu_id(index)}-place-{place}'):
                return index
        place += 1
