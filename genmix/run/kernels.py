"""Kernels of the runner: of this very Python, with sockets of their own, that leave nothing behind."""

import os
import shutil
import tempfile
from pathlib import Path

from genmix.run.files import process_exists

KERNEL = {
    'GENMIX_HEADLESS': '1',
    'PYDEVD_DISABLE_FILE_VALIDATION': '1',
    'PYTHONUTF8': '1',  # files and lines are UTF-8 whatever the locale
    'MATPLOTLIBRC': os.devnull,  # margins of pictures in a notebook: matplotlib's own, not the user's
    # of libraries about each other, and of joblib about an empty temporary folder that it removes itself
    'PYTHONWARNINGS': 'ignore::FutureWarning,ignore::DeprecationWarning,ignore:resource_tracker:UserWarning',
}
POOLS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


def kernel_environment():
    """Environment of a kernel: headless, one thread per process unless GENMIX_THREADS says otherwise."""
    threads = dict.fromkeys(POOLS, os.environ.get('GENMIX_THREADS', '1'))
    return threads | os.environ | KERNEL


def sweep():
    """Remove the folders genmix-<PID>-... of kernels of this process, and of processes that are gone."""
    for left in Path(tempfile.gettempdir()).glob('genmix-*-*'):
        process = left.name.split('-')[1]
        if process == str(os.getpid()) or (process.isdecimal() and not process_exists(int(process))):
            shutil.rmtree(left, ignore_errors=True)


def kernel_manager(errors, notebook=''):
    """Kernels whose sockets have a folder of their own: none races for a port (papermill#511).

    What the kernel process itself writes to stderr goes to the open file `errors`: errors of cells come as
    messages; the rest is how it was shut down (now and then "Task was destroyed but it is pending!"), or
    the last words of one that crashed.  The kernel is this Python, whatever a kernelspec of the user names.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    # a socket path holds about 100 characters
    short = os.name == 'posix' and len(tempfile.gettempdir()) < 60

    class Manager(AsyncKernelManager):
        def __init__(self, **kwargs):
            self.folder = tempfile.mkdtemp(prefix=f'genmix-{os.getpid()}-')
            own = {'connection_file': os.path.join(self.folder, 'kernel.json')}
            if short:  # without `ip` all kernels would try kernel-ipc-1, -2, ... in the working directory
                own |= {'transport': 'ipc', 'ip': os.path.join(self.folder, 'kernel')}
            super().__init__(**own | kwargs)

        @property
        def kernel_spec(self):
            return KernelSpec(**get_kernel_dict())

        async def _async_launch_kernel(self, kernel_cmd, **kw):
            named = {'GENMIX_NOTEBOOK': notebook}
            kw |= {'stderr': errors, 'env': kw.get('env', {}) | kernel_environment() | named}
            await super()._async_launch_kernel(kernel_cmd, **kw)

        def cleanup_ipc_files(self):
            super().cleanup_ipc_files()
            shutil.rmtree(self.folder, ignore_errors=True)

    return Manager
