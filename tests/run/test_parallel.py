import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from test_trials import some, stamps

from genmix import StudyError
from genmix.classifier.trials import run_all
from genmix.run.parallel import dask_client, run_parallel


def square(i):
    return i * i, os.getpid()


def die_once(i, mark):
    """Kills the process it runs in, the first time it is asked for unit 2."""
    if i == 2 and not os.path.exists(mark):
        open(mark, 'w').close()
        os.kill(os.getpid(), signal.SIGKILL)
    return i


@contextmanager
def cluster(folder, workers=2, threads=1):
    """A Dask scheduler and workers on loopback, in processes of their own; yields the address."""
    about = folder / 'scheduler.json'
    env = os.environ | {
        'PYTHONPATH': os.pathsep.join(sys.path),  # workers import the units of these tests
        'DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES': '3',
    }

    def start(*words):
        return subprocess.Popen(
            [sys.executable, '-m', *words],
            env=env,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    processes = [
        start(
            'distributed.cli.dask_scheduler',
            '--host',
            '127.0.0.1',
            '--port',
            '0',
            '--no-dashboard',
            '--scheduler-file',
            str(about),
        )
    ]
    try:
        for _ in range(300):
            if about.exists() and about.read_text():
                break
            time.sleep(0.1)
        address = json.loads(about.read_text())['address']
        processes.append(
            start(
                'distributed.cli.dask_worker',
                address,
                '--nworkers',
                str(workers),
                '--nthreads',
                str(threads),
                '--no-dashboard',
                '--local-directory',
                str(folder),
            )
        )
        yield address
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope='module')
def address(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp('dask')) as at:
        yield at


def test_units_come_back_whatever_their_order():
    assert sorted(v for v, _ in run_parallel(square, [(i,) for i in range(5)], workers=1)) == [0, 1, 4, 9, 16]
    assert list(run_parallel(square, [])) == []


def test_a_scheduler_gives_what_loky_gives_on_several_workers(address, ready):
    wanted = some('classical', 'mixup-toy@1/8', 'genmix-toy@1/8', seeds=2)
    run_all(ready, wanted, workers=2)

    def read():
        return {p.name: p.read_bytes() for p in (ready.folder / 'predictions').glob('*.csv.gz')}

    first = read()
    for p in (ready.folder / 'predictions').iterdir():
        p.unlink()
    run_all(ready, wanted, scheduler=address)
    assert read() == first and len(first) == 6
    before = stamps(ready)
    run_all(ready, wanted, scheduler=address)
    assert stamps(ready) == before
    pids = {pid for _, pid in run_parallel(square, [(i,) for i in range(40)], scheduler=address)}
    assert len(pids) == 2 and os.getpid() not in pids


def test_a_unit_whose_worker_is_killed_goes_to_another(address, tmp_path):
    assert sorted(
        run_parallel(die_once, [(i, str(tmp_path / 'died')) for i in range(6)], scheduler=address)
    ) == list(range(6))
    assert (tmp_path / 'died').exists()


def test_workers_with_several_threads_are_refused(tmp_path):
    with cluster(tmp_path, workers=1, threads=2) as wide, pytest.raises(StudyError, match='--nthreads 1'):
        dask_client(wide)


def test_nobody_at_the_address():
    with pytest.raises(StudyError, match='No Dask scheduler with a worker answers at tcp://127.0.0.1:9'):
        dask_client('tcp://127.0.0.1:9', timeout=1)
