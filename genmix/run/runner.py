"""Run one notebook headlessly, by papermill.

The executed notebook appears in runs/<run>/notebooks/ only when every cell succeeded; a failed one is saved
as NAME.failed.ipynb.
"""

import json
import logging
import os
import shutil
import tempfile
import time

from genmix import StudyError
from genmix.run.files import atomic_write
from genmix.run.log import MARK, log

KERNEL = {
    'GENMIX_HEADLESS': '1',
    'PYDEVD_DISABLE_FILE_VALIDATION': '1',
    # of libraries about each other, and of joblib about an empty temporary folder that it removes itself
    'PYTHONWARNINGS': 'ignore::FutureWarning,ignore::DeprecationWarning,ignore:resource_tracker:UserWarning',
}
POOLS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


class NotebookLog:
    """Passes on only the log lines of a notebook: `▸ 02_dcgan | dcgan: 100 of 900`."""

    def __init__(self, name):
        self.name = name

    def write(self, text):
        for line in text.splitlines():
            if line.startswith(MARK):
                log.info(f'{self.name} | {line[len(MARK) :].strip()}')

    def flush(self):
        pass


def kernel_environment():
    """Environment of a kernel: headless, one thread per process unless GENMIX_THREADS says otherwise."""
    threads = dict.fromkeys(POOLS, os.environ.get('GENMIX_THREADS', '1'))
    return threads | os.environ | KERNEL


def kernel_manager(errors):
    """Kernels whose sockets have a folder of their own: none races for a port (papermill#511).

    What the kernel process itself writes to stderr goes to the open file `errors`: errors of cells come as
    messages; the rest is how it was shut down (now and then "Task was destroyed but it is pending!"), or
    the last words of one that crashed.
    """
    from jupyter_client.manager import AsyncKernelManager

    short = os.name == 'posix' and len(tempfile.gettempdir()) < 60  # a socket path holds about 100 characters

    class Manager(AsyncKernelManager):
        def __init__(self, **kwargs):
            sockets = {}
            if short:  # without `ip` all kernels would try kernel-ipc-1, -2, ... in the working directory
                folder = tempfile.mkdtemp(prefix='genmix-')
                sockets = {'transport': 'ipc', 'ip': os.path.join(folder, 'kernel')}
            super().__init__(**sockets | kwargs)

        async def _async_launch_kernel(self, kernel_cmd, **kw):
            kw |= {'stderr': errors, 'env': kw.get('env', {}) | kernel_environment()}
            await super()._async_launch_kernel(kernel_cmd, **kw)

        def cleanup_ipc_files(self):
            super().cleanup_ipc_files()
            if short:
                shutil.rmtree(os.path.dirname(self.ip), ignore_errors=True)

    return Manager


def execute(notebook, params, study):
    """Execute one notebook into the run; StudyError with one sentence when a cell fails.

    A notebook that raises NotEnough ends there: it counts as done, and the study goes on without its stages.
    """
    os.environ['PAPERMILL_WARN_DEPRECATED'] = '0'
    from papermill.exceptions import PapermillExecutionError

    done = study.path('notebooks', f'{notebook.name}.ipynb')
    part, failed = (
        done.with_name(f'.{notebook.name}.part.ipynb'),
        done.with_name(f'{notebook.name}.failed.ipynb'),
    )
    errors, start = done.with_name(f'{notebook.name}.kernel.log'), time.time()
    where = f'(open {failed.relative_to(study.home)})'
    log.info(f'{notebook.name} starts')
    try:
        with open(errors, 'wb') as file:
            _papermill(notebook, part, {**params, 'run': study.run}, study, file)
    except PapermillExecutionError as error:
        if error.ename == 'NotEnough':
            os.replace(part, done)
            errors.unlink()
            write_stubs(notebook, study, error.evalue)
            log.info(f'{notebook.name} ends early: {error.evalue}')
            return
        os.replace(part, failed)
        what = f'{error.ename}: {error.evalue}'.splitlines()[0]
        raise StudyError(f'{notebook.name}, cell {error.exec_count}: {what}  {where}') from None
    except Exception as error:  # a kernel that died, a full disk: papermill has many names for these
        if part.exists():
            os.replace(part, failed)
        what = str(error).splitlines()[0] if str(error) else ''
        raise StudyError(f'{notebook.name}: {type(error).__name__}: {what}  {where}') from None
    os.replace(part, done)
    failed.unlink(missing_ok=True)
    errors.unlink()
    study.note_time(f'notebook {notebook.name}', time.time() - start)
    log.info(f'{notebook.name} done in {time.time() - start:.0f} s')


def _papermill(notebook, part, params, study, errors):
    import papermill

    # its own reading of the parameters cell is looser than that of run.notebooks
    logging.getLogger('papermill').setLevel(logging.ERROR)
    papermill.execute_notebook(
        notebook.path,
        part,
        params,
        cwd=str(study.home),
        progress_bar=False,
        stderr_file=NotebookLog(notebook.name),
        kernel_manager_class=kernel_manager(errors),
        extra_arguments=['--IPKernelApp.log_level=50'],  # only what is critical
    )


def left_out(notebook, params):
    """The generator that `notebook` trains, when the parameter `generators` leaves it out; else ''."""
    chosen = {name for own in params.values() for name in own.get('generators', ())}
    made = [stage.split('/')[1] for stage in notebook.makes if stage.startswith('generators/')]
    return '' if not chosen or 'all' in chosen or chosen & set(made) else ''.join(made[:1])


def skip(notebook, generator, study):
    """Leave the notebook unexecuted, with a line on top that says why, and write stubs of its stages."""
    why = f'{notebook.name} is skipped: {generator} is not among the generators of this run'
    content = json.loads(json.dumps(notebook.content))
    for cell in content['cells']:
        if cell['cell_type'] == 'code':  # published outputs are another run's
            cell['outputs'], cell['execution_count'] = [], None
    note = {'cell_type': 'markdown', 'id': 'skipped', 'metadata': {}, 'source': f'*{why}.*'}
    content['cells'].insert(0, note)
    write_stubs(notebook, study, why)
    with atomic_write(study.path('notebooks', f'{notebook.name}.ipynb')) as part:
        part.write_text(json.dumps(content, indent=1))
    log.info(why)


def write_stubs(notebook, study, why):
    """Stubs of the stages that `notebook` did not make, so that make finds nothing to do."""
    for stage in notebook.makes:
        if not study.key(stage):
            with atomic_write(study.path(stage, 'provenance.json')) as part:
                part.write_text(json.dumps({'stage': stage, 'skipped': why}))


def missing_predictions(study):
    """Prediction files that this run had and that are gone: names such as dcgan-s1-f0.csv.gz."""
    made = study.provenance('predictions').get('params', {}).get('trials', {})
    files = {name: study.folder / 'predictions' / f'{name}.csv.gz' for name in made}
    return sorted(file.name for file in files.values() if not file.exists())
