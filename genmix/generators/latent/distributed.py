"""Several processes that share every batch of one training, through accelerate: one on each GPU, or on cores of a CPU."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from genmix import StudyError
from genmix.data.cohort import Cohort


def is_worker():
    """True in a process that was started to share a training."""
    return 'GENMIX_PEERS' in os.environ


def accelerator():
    """This process's accelerate.Accelerator, None where it trains alone."""
    if not is_worker():
        return None
    from accelerate import Accelerator

    return Accelerator()


def launch(processes, cohort, out_dir, params):
    """Run Diffusion.fit(cohort, out_dir, **params) in so many processes; returns out_dir.  StudyError with the last line that a failed one said."""
    if not find_spec('accelerate'):
        raise StudyError(
            'processes needs the package accelerate: pip install "genmix[hub]", or set processes=1.'
        )
    job = Path(out_dir) / 'job'
    job.mkdir(parents=True, exist_ok=True)
    cohort.save(job)
    (job / 'params.json').write_text(json.dumps(params))
    import torch

    cpu = {} if torch.cuda.is_available() else {'ACCELERATE_USE_CPU': 'true'}
    command = [
        sys.executable,
        '-m',
        'torch.distributed.run',
        '--standalone',
        f'--nproc-per-node={processes}',
        '-m',
        'genmix.generators.latent.distributed',
        str(job),
    ]
    done = subprocess.run(
        command, env=os.environ | cpu | {'GENMIX_PEERS': str(processes)}, capture_output=True, text=True
    )
    if done.returncode:
        said = [
            line for line in done.stderr.splitlines() if line.startswith(('genmix.StudyError', 'error:'))
        ] or done.stderr.strip().splitlines()[-1:]
        raise StudyError(
            f'A training in {processes} processes failed ({"".join(said[:1])}): try it with processes=1.'
        )
    shutil.rmtree(job)
    return out_dir


def main(job):
    from genmix.generators import known

    Diffusion = known()['diffusion']
    Diffusion.fit(Cohort.load(job), Path(job).parent, **json.loads((Path(job) / 'params.json').read_text()))


if __name__ == '__main__':
    main(sys.argv[1])
