"""Eight small trainings on a Dask scheduler with one worker and with two, on loopback; wall time counts."""

import time
from dataclasses import replace

import numpy as np
from measure import report
from test_parallel import cluster
from test_trials import REGIME, some

from genmix.classifier.trials import run
from genmix.run.parallel import run_parallel


def timed(*unit):
    """CPU seconds of one training in its worker."""
    before = time.process_time()
    run(*unit)
    return time.process_time() - before


def test_two_workers_against_one(ready, tmp_path):
    regime = replace(REGIME, steps=60, batch_size=64, vgg_width=0.125)
    trials = some('classical', 'mixup', seeds=4, regime=regime)
    units, found = [(t, ready.run, ready.home) for t in trials], {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        with cluster(folder, workers=workers) as address:
            list(run_parallel(timed, units[: 2 * workers], scheduler=address))  # imports, once per worker
            start = time.perf_counter()
            cpu = sum(run_parallel(timed, units, scheduler=address))
            wall = time.perf_counter() - start
        found[f'ours, {workers} worker(s)'] = np.array([[cpu, wall]]) / len(units)
    report('trainings on a cluster', found, 'training')
