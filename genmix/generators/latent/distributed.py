"""Several processes that share every batch of one training, through accelerate: one per GPU or CPU core."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.generators import known
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


def launch(name, cohort, out_dir, config):
    """Fit the generator called `name` in `config.processes` processes; it writes to `out_dir` as ever.

    Raises StudyError without accelerate, and with the last line of the error of a process that failed.
    """
    if not find_spec('accelerate'):
        raise StudyError(
            'processes needs the package accelerate: pip install "genmix[hub]", or set processes=1.'
        )
    job = Path(out_dir) / 'job'
    job.mkdir(parents=True, exist_ok=True)
    cohort.save(job)
    (job / 'config.json').write_text(json.dumps({'generator': name, 'config': asdict(config)}))
    count = str(config.processes)
    start = ['torch.distributed.run', '--standalone', '--nproc-per-node', count, '-m', __name__, str(job)]
    cpu = {'ACCELERATE_USE_CPU': 'true'} if DEVICE.type == 'cpu' else {}
    environment = os.environ | cpu | {COUNT: count, 'GENMIX_DEVICE': DEVICE.type}  # each has its own GPU
    done = subprocess.run([sys.executable, '-m', *start], env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        errors = [line for line in lines if line.startswith(('genmix.StudyError', 'error:'))] or lines[-1:]
        raise StudyError(
            f'A training in {count} processes failed ({"".join(errors[:1])}): try it with processes=1.'
        )
    shutil.rmtree(job)


def main(job):
    about = json.loads((Path(job) / 'config.json').read_text())
    generator = known()[about['generator']]
    generator.fit(Cohort.load(job), Path(job).parent, generator.Config(**about['config']))


if __name__ == '__main__':
    main(sys.argv[1])
