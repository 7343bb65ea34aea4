"""What the machine offers torch: device, threads, and whether bfloat16 pays."""

import os

import torch

# One thread a process: the study runs side by side in processes, and one thread gives equal numbers every
# time.
torch.set_num_threads(int(os.environ.get('GENMIX_THREADS', 1)))
DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def bf16_pays():
    """Whether bfloat16 has matrix units (CUDA since Ampere; AVX512-BF16 or AMX), or is emulated."""
    if DEVICE.type == 'cuda':
        return torch.cuda.is_bf16_supported()
    return any(getattr(torch.cpu, f'_is_{unit}_supported', bool)() for unit in ('avx512_bf16', 'amx_tile'))


def autocast(enabled=None):
    """Autocast to bfloat16: `enabled`, or where that pays (None)."""
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16_pays() if enabled is None else enabled)


def seed_all(seed):
    """Seed torch's global generator, of initial weights and dropout."""
    torch.manual_seed(seed)
