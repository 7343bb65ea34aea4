"""Where tensors are and in which precision: the device, threads, and whether bfloat16 pays.

No other module decides: a tensor or module made without `device=DEVICE`, or left where it was made, works on
every CPU and fails on every GPU.
"""

import os
from contextlib import contextmanager

import torch

from genmix import StudyError
from genmix.run.gpu_locks import least_used

# One thread a process: the study runs side by side in processes, and one thread gives equal numbers every
# time.
torch.set_num_threads(int(os.environ.get('GENMIX_THREADS', 1)))


def choose_device(name=''):
    """The torch.device called `name` (GENMIX_DEVICE: cpu, cuda, cuda:1); '': a GPU where there is one.

    Of several GPUs a process gets the one that fewest processes of the study have; a process of a shared
    training (LOCAL_RANK) has its own.  Raises StudyError for a device that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        device = torch.device(name or ('cuda' if count else 'cpu'))
    except RuntimeError:
        raise StudyError(f'GENMIX_DEVICE is {name}: choose cpu, cuda, or one GPU such as cuda:1.') from None
    if device.type != 'cuda':
        return device
    if (device.index or 0) >= count:
        raise StudyError(
            f'GENMIX_DEVICE is {name}, and this process sees {count} GPUs: choose another, or cpu.'
        )
    if device.index is not None:
        return device
    rank = os.environ.get('LOCAL_RANK')
    return torch.device('cuda', int(rank) % count if rank else least_used(count))


DEVICE = choose_device(os.environ.get('GENMIX_DEVICE', ''))
if DEVICE.type == 'cuda':
    torch.backends.cudnn.benchmark = True  # shapes are fixed: the fastest algorithm is found once
    if DEVICE.index:
        torch.cuda.set_device(DEVICE)  # for libraries that say "cuda"


def gpu_count():
    """How many GPUs processes of the study may share out: 0 on a CPU, 1 where GENMIX_DEVICE names one."""
    if DEVICE.type != 'cuda':
        return 0
    return 1 if ':' in os.environ.get('GENMIX_DEVICE', '') else torch.cuda.device_count()


def device_name():
    """What the device is called: the model of a GPU, or `cpu`."""
    return torch.cuda.get_device_name(DEVICE) if DEVICE.type == 'cuda' else DEVICE.type


def bf16_units():
    """Names of the units for bfloat16 matrices that this CPU has (torch's query); [] where it is emulated."""
    units = ('avx512_bf16', 'amx_tile')
    return [unit for unit in units if getattr(torch.cpu, f'_is_{unit}_supported', bool)()]


def bf16_pays():
    """Whether bfloat16 has matrix units (CUDA since Ampere; AVX512-BF16 or AMX), or is emulated.

    GENMIX_BF16=0 in the environment says no, so that a machine with units can be measured as one without.
    Raises StudyError for another value.
    """
    asked = os.environ.get('GENMIX_BF16', '')
    if asked not in ('', '0'):
        raise StudyError(f'GENMIX_BF16 is {asked}: set it to 0 for float32 everywhere, or leave it unset.')
    if asked:
        return False
    if DEVICE.type == 'cuda':
        return torch.cuda.is_bf16_supported()
    return DEVICE.type == 'cpu' and bool(bf16_units())


def autocast(enabled=None):
    """Autocast to bfloat16: `enabled`, or where that pays (None)."""
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16_pays() if enabled is None else enabled)


def send(x, device=DEVICE):
    """A CPU tensor on `device`, for work that is to follow: nobody waits until it has arrived.

    A GPU copies beside its work from pinned memory alone; any other copy waits until all work is done.
    """
    return (x.pin_memory() if device.type == 'cuda' else x).to(device, non_blocking=True)


def seed_all(seed):
    """Seed torch's global generator, of initial weights and dropout."""
    torch.manual_seed(seed)


@contextmanager
def random_of(seed):
    """Random numbers of `seed` alone, on CPU and device, which leave no trace in torch's generators."""
    with torch.random.fork_rng([DEVICE] if DEVICE.type == 'cuda' else []):
        torch.manual_seed(seed)
        yield
