"""Independent units of work side by side: in processes here, or on workers of a Dask scheduler.

joblib does the work in either case; a unit is a function of the package and plain arguments, and saves its
own result in the run folder.
"""

from joblib import Parallel, cpu_count, delayed, parallel_config

from genmix import StudyError
from genmix.run.device import DEVICE, gpu_count


def run_parallel(function, units, workers=0, scheduler='', threads=False):
    """Results of function(*unit) in the order in which they are done: a generator.

    workers     processes at a time; 0: as many as this process may use cores, one per GPU
    scheduler   address of a Dask scheduler such as tcp://node1:8786, all of whose workers are used; ''
                stays on this machine, in joblib's loky processes
    threads     there in threads: for units that only wait for programs of their own

    A unit whose Dask worker dies goes to another one.  Raises StudyError as `dask_client` does, and what a
    unit raises.
    """
    calls = [delayed(function)(*unit) for unit in units]
    settings = {'return_as': 'generator_unordered', 'batch_size': 1}
    if not scheduler:
        workers = workers or gpu_count() or cpu_count()  # cores of this process, in a container too
        settings['prefer'] = 'threads' if threads else 'processes'
        yield from Parallel(n_jobs=min(workers, max(len(calls), 1)), **settings)(calls)
        return
    with dask_client(scheduler) as client:
        with parallel_config('dask', client=client):
            pool = Parallel(n_jobs=-1, pre_dispatch='all', **settings)
        yield from pool(calls)


def run_in_order(function, units, workers):
    """Results of function(*unit) in the order of `units`, in so many processes of this machine:

    a generator.
    """
    calls = (delayed(function)(*unit) for unit in units)
    yield from Parallel(workers, return_as='generator')(calls)


def processes_for(images):
    """Processes that a look at so many images is worth: 1 below 1,000 and on a GPU, else one per core."""
    return 1 if images < 1000 or DEVICE.type == 'cuda' else cpu_count()


def dask_client(scheduler, timeout=15):
    """A client of the Dask scheduler at that address.

    Raises StudyError when Dask is not installed, when no scheduler with a worker answers, or when a worker
    has several threads: units seed torch's global generator, and two in one process would disturb each
    other's numbers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise StudyError(
            'scheduler needs Dask: pip install "genmix[cluster]", or leave scheduler empty.'
        ) from None
    try:
        client = Client(scheduler, timeout=timeout, set_as_default=False)
        client.wait_for_workers(1, timeout=timeout)
    except (OSError, ValueError, TimeoutError) as error:
        raise StudyError(
            f'No Dask scheduler with a worker answers at {scheduler} ({type(error).__name__}): start both, '
            'or leave '
            'scheduler empty.'
        ) from None
    if wide := [name for name, n in client.nthreads().items() if n > 1]:
        raise StudyError(
            f'The Dask worker {wide[0]} has several threads: start workers with --nthreads 1 (and '
            '--nworkers for more '
            'of them).'
        )
    return client
