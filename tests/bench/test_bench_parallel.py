"""Twelve small trainings on a Dask scheduler with one worker and with two, on loopback."""

import time
from dataclasses import replace

from test_parallel import cluster
from test_trials import REGIME, some

from genmix.classifier.trials import run
from genmix.run.parallel import run_parallel


def test_two_workers_against_one(benchmark, ready, tmp_path):
    regime = replace(REGIME, steps=60, batch_size=64, vgg_width=0.125)
    trials = some('classical', 'mixup', 'genmix-toy', seeds=4, regime=regime)
    units = [(t, ready.run, ready.home) for t in trials]

    def seconds(workers):
        (tmp_path / str(workers)).mkdir()
        with cluster(tmp_path / str(workers), workers=workers) as address:
            list(run_parallel(run, units[: 2 * workers], scheduler=address))  # imports, once per worker
            start = time.perf_counter()
            list(run_parallel(run, units, scheduler=address))
            return time.perf_counter() - start

    one, two = seconds(1), benchmark.pedantic(seconds, (2,), rounds=1)
    benchmark.extra_info['ratio'] = round(one / two, 2)
    print(f'\ntwo workers are {one / two:.2f} times as fast as one')
