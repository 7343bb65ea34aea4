"""Sharing a GPU: one large job at a time, sampling in parts that fit its memory, errors that name a way out.

On a CPU nothing here does anything but split sampling as it was asked.
"""

import gc
from contextlib import contextmanager

import torch

from genmix import StudyError
from genmix.run.device import DEVICE
from genmix.run.gpu_locks import gpu_id, try_lock, unlock, wait_for_lock
from genmix.run.log import log

OutOfMemory = torch.cuda.OutOfMemoryError
_holders = []  # what this process holds its GPU for: inner calls find it held


@contextmanager
def gpu_job(what, lower='batch_size', gpus=1):
    """While it is open no other process of the study trains or samples large networks on this GPU.

    what    for the log, where it waits       lower   what the error of a full memory says to lower
    gpus    of this machine, from the first: for a training that several processes share

    Its memory goes back to the GPU at the end.  Raises StudyError where that memory does not suffice.
    """
    names = gpu_names(gpus) if not _holders else []
    for name in names:
        if not try_lock(name):
            log.info(f'{what}: waits for the GPU, which another job has')
            wait_for_lock(name)
    _holders.append(what)
    try:
        yield
    except OutOfMemory as error:
        raise StudyError(memory_message(what, lower)) from error
    finally:
        _holders.pop()
        if names:
            release_memory()
        for name in names:
            unlock(name)


def gpu_names(gpus):
    """Names of the locks that a job takes, none on a CPU, in one order for all jobs."""
    if DEVICE.type != 'cuda':
        return []
    indices = range(gpus) if gpus > 1 else [DEVICE.index]
    return [f'gpu-{gpu_id(index)}' for index in indices]


def memory_message(what, lower):
    return (
        f'{what}: the memory of the GPU does not suffice: lower {lower}, or choose another device with '
        'GENMIX_DEVICE.'
    )


def release_memory():
    """What torch keeps of freed memory goes back to the GPU, for other processes."""
    if DEVICE.type == 'cuda':
        gc.collect()
        torch.cuda.empty_cache()


def in_parts(compute, n, size, generator=None):
    """[compute(slice) for consecutive parts of range(n)], `size` long, shorter where memory runs out.

    generator   a torch.Generator that `compute` draws from: a part that is tried again draws the same
    """
    results, start = [], 0
    while start < n:
        state = generator.get_state() if generator else None
        try:
            results.append(compute(slice(start, min(start + size, n))))
        except OutOfMemory:
            if size == 1:
                raise
            size = -(-size // 2)
        else:
            start += size
            continue
        release_memory()  # outside of the handler, whose traceback holds tensors
        if generator:
            generator.set_state(state)
        log.info(f'the memory of the GPU does not suffice: {size} at a time from here')
    return results


def peak_memory():
    """GB of the GPU that tensors of this process took at most so far; None on a CPU."""
    return torch.cuda.max_memory_allocated(DEVICE) / 1e9 if DEVICE.type == 'cuda' else None
