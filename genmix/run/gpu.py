"""Sharing a GPU: one large job at a time, sampling in parts that fit its memory, errors that name a way out.

On a CPU nothing here does anything but split sampling as it was asked.
"""

import gc
import os
from contextlib import contextmanager

import torch

from genmix import StudyError
from genmix.run.device import DEVICE
from genmix.run.gpu_locks import gpu_id, try_lock, unlock, wait_for_lock
from genmix.run.log import log

_open_jobs = []  # of this process: an inner job has the GPU already


@contextmanager
def gpu_job(what, lower='batch_size', gpus=1):
    """While it is open no other process of the study trains or samples large networks on this GPU.

    what    for the log, where it waits       lower   what the error of a full memory says to lower
    gpus    of this machine, from the first: for a training that several processes share

    At the end memory goes back to the GPU.  Raises StudyError where it does not suffice.
    """
    with gpu_held(what, gpus):
        try:
            yield
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise StudyError(
                f'{what}: the memory of the GPU does not suffice ({error_line(error)}): lower {lower}.'
            ) from error


@contextmanager
def gpu_held(what, gpus=1):
    """The lock of `gpu_job` alone."""
    names = [] if _open_jobs else lock_names(gpus)
    for name in names:
        if not try_lock(name):
            log.info(f'{what}: waits for the GPU, which another job has')
            wait_for_lock(name)
    _open_jobs.append(what)
    if names:
        torch.cuda.reset_peak_memory_stats(DEVICE)
    try:
        yield
    finally:
        _open_jobs.pop()
        if names:
            release_memory()
        for name in names:
            unlock(name)


def lock_names(gpus):
    """What a job locks, in one order for all jobs; nothing on a CPU.

    Nothing either in a process of a shared training (LOCAL_RANK): the one that started it has the locks.
    """
    if DEVICE.type != 'cuda' or 'LOCAL_RANK' in os.environ:
        return []
    return [f'gpu-{gpu_id(index)}' for index in (range(gpus) if gpus > 1 else [DEVICE.index or 0])]


def out_of_memory(error):
    """Whether an error says so: that of torch, or of CUDA and its libraries, by other names."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or 'ALLOC_FAILED' in text or 'out of memory' in text


def error_line(error):
    """The first sentence of an error."""
    return str(error).strip().split('\n')[0].split('. ')[0] or type(error).__name__


def release_memory():
    """What torch keeps of freed memory goes back to the GPU, for other processes."""
    if DEVICE.type == 'cuda':
        gc.collect()
        torch.cuda.empty_cache()


def in_parts(compute, n, size, generator=None):
    """[compute(slice) for consecutive parts of range(n)], `size` long, shorter where memory runs out.

    generator   a torch.Generator that `compute` draws from: a part that is tried again draws the same

    The GPU is held as in `gpu_job`.  Raises StudyError where not even one at a time fits.
    """
    results, start = [], 0
    with gpu_held('sampling'):
        while start < n or not results:
            state = generator.get_state() if generator else None
            try:
                results.append(compute(slice(start, min(start + size, n))))
                start += size
                continue
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                if size == 1:
                    raise StudyError(
                        'The memory of the GPU does not suffice for one image at a time '
                        f'({error_line(error)}): stop what else uses it, or set GENMIX_DEVICE=cpu.'
                    ) from error
            release_memory()  # after the handler, whose traceback holds tensors
            if generator:
                generator.set_state(state)
            size = -(-size // 2)
            log.info(f'the memory of the GPU does not suffice: {size} at a time from here')
    return results


def peak_memory():
    """GB of this GPU that tensors of the open job have taken at most; None on a CPU."""
    return torch.cuda.max_memory_allocated(DEVICE) / 1e9 if DEVICE.type == 'cuda' else None
