"""A fine-tuning that several processes share: what they are given, and what each of them runs."""

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from genmix.data.cohort import Cohort
from genmix.generators import known
from genmix.run.processes import run_module


def launch(name, cohort, out_dir, config):
    """Fit the generator called `name` in `config.processes` processes; it writes to `out_dir` as ever.

    Raises StudyError as `processes.run_module`.
    """
    job = Path(out_dir) / 'job'
    job.mkdir(parents=True, exist_ok=True)
    cohort.save(job)
    (job / 'config.json').write_text(json.dumps({'generator': name, 'config': asdict(config)}))
    run_module(__name__, [str(job)], config.processes)
    shutil.rmtree(job)


def main(job):
    about = json.loads((Path(job) / 'config.json').read_text())
    generator = known()[about['generator']]
    generator.fit(Cohort.load(job), Path(job).parent, generator.Config(**about['config']))


if __name__ == '__main__':
    main(sys.argv[1])
