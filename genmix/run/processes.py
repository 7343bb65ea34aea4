"""Several processes that share every batch of one training, through accelerate: one per GPU or CPU core."""

import os
import subprocess
import sys
from importlib.util import find_spec

from genmix import StudyError
from genmix.run.device import DEVICE

COUNT = 'GENMIX_PROCESSES'  # environment variable that marks the processes of a shared training


def is_worker():
    """Whether this process was started to share a training."""
    return COUNT in os.environ


def make_accelerator():
    """This process's accelerate.Accelerator; None where it trains alone."""
    if not is_worker():
        return None
    from accelerate import Accelerator

    return Accelerator()


def run_module(module, words, processes):
    """Run `python -m module words` in so many processes, which find each other through accelerate.

    Raises StudyError without accelerate, and with the last line of the error of a process that failed.
    """
    if not find_spec('accelerate'):
        raise StudyError(
            'processes needs the package accelerate: pip install "genmix[hub]", or set processes=1.'
        )
    start = ['torch.distributed.run', '--standalone', '--nproc-per-node', str(processes), '-m', module]
    cpu = {'ACCELERATE_USE_CPU': 'true'} if DEVICE.type == 'cpu' else {}
    environment = os.environ | cpu | {COUNT: str(processes), 'GENMIX_DEVICE': DEVICE.type}
    command = [sys.executable, '-m', *start, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        errors = [line for line in lines if line.startswith(('genmix.StudyError', 'error:'))] or lines[-1:]
        raise StudyError(
            f'A training in {processes} processes failed ({"".join(errors[:1])}): try it with processes=1.'
        )
