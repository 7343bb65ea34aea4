"""Run one notebook headlessly, by papermill.

The executed notebook appears in runs/<run>/notebooks/ only when every cell succeeded; a failed one is saved
as NAME.failed.ipynb.
"""

import json
import logging
import os
import sys
import time
from itertools import islice

from genmix import StudyError
from genmix.run.files import PROVENANCE, atomic_write, damages, file_lock, remembered_checksums, to_disk
from genmix.run.kernels import kernel_manager, sweep
from genmix.run.log import MARK, log
from genmix.run.notebooks import NAMES, notebooks


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


def execute(notebook, params, study):
    """Execute one notebook into the run; StudyError with one sentence when a cell fails.

    A notebook that raises NotEnough ends there: it counts as done, and the study goes on without its stages.
    Another process that executes it in this run is waited for; everything is cached then.
    """
    done = study.path('notebooks', f'{notebook.name}.ipynb')

    def waiting(process):
        log.info(f'{notebook.name} waits: process {process} executes it in runs/{study.run}')

    with file_lock(done.with_name(f'.{notebook.name}.lock'), waiting):
        try:
            _execute(notebook, params, study, done)
        finally:
            sweep()


def _execute(notebook, params, study, done):
    os.environ['PAPERMILL_WARN_DEPRECATED'] = '0'
    # jsonschema would build a grammar of IRIs, in a second of each start: no schema of notebooks has an IRI
    sys.modules.setdefault('rfc3987_syntax', None)
    from papermill.exceptions import PapermillExecutionError

    part, start = done.with_name(f'.{notebook.name}.part.ipynb'), time.time()
    failed, errors = (done.with_name(f'{notebook.name}.{kind}') for kind in ('failed.ipynb', 'kernel.log'))
    log.info(f'{notebook.name} starts')
    part.unlink(missing_ok=True)
    try:
        with open(errors, 'wb') as file:
            _papermill(notebook, part, {**params, 'run': study.run}, study, file)
    except PapermillExecutionError as error:
        if error.ename == 'NotEnough':
            _keep(part, done, errors)
            write_stubs(notebook, study, error.evalue)
            log.info(f'{notebook.name} ends early: {error.evalue}')
            return
        os.replace(part, failed)
        what = f'{error.ename}: {error.evalue}'.splitlines()[0]
        where = f'(open {failed.relative_to(study.home)})'
        raise StudyError(f'{notebook.name}, cell {error.exec_count}: {what}  {where}') from None
    except Exception as error:  # a kernel that died, a full disk: papermill has many names for these
        if part.exists():
            os.replace(part, failed)
        what = str(error).splitlines()[0] if str(error) else ''
        look = [f for f in (errors, failed) if f.exists() and f.stat().st_size]
        where = f'(open {" and ".join(str(f.relative_to(study.home)) for f in look)})' if look else ''
        raise StudyError(f'{notebook.name}: {type(error).__name__}: {what}  {where}') from None
    _keep(part, done, errors)
    failed.unlink(missing_ok=True)
    study.note_time(f'notebook {notebook.name}', time.time() - start)
    log.info(f'{notebook.name} done in {time.time() - start:.0f} s')


def _keep(part, done, errors):
    """Give an executed notebook its name; what its kernel said on the way out is of no interest then."""
    to_disk(part)
    os.replace(part, done)
    errors.unlink(missing_ok=True)


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
        kernel_manager_class=kernel_manager(errors, notebook.name),
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


def forget_damaged(study):
    """Where results of the run are damaged or gone, say so, and forget that their notebook was executed:

    make executes it again then, and it makes only these again.  Files that were written since the last call
    are read: 0.1 to 0.4 s per 100 MB.
    """
    with remembered_checksums(study.folder / '.checksums.json'):
        _forget_damaged(study)


def _forget_damaged(study):
    for page in (study.folder / 'notebooks').glob(NAMES):
        if not page.name.endswith('.failed.ipynb') and not is_page(page):
            log.info(f'runs/{study.run}/notebooks/{page.name} is damaged: it is executed again')
            page.unlink()
    for about in sorted(study.folder.rglob(PROVENANCE)):
        stage = about.parent.relative_to(study.folder).as_posix()
        if '/.' in f'/{stage}':
            continue
        known = study.provenance(stage)
        whole = 'key' in known or 'skipped' in known
        found = damages(about.parent, known.get('files', {})) if whole else [PROVENANCE]
        for name in found if known.get('removed') else islice(found, 1):
            damage = os.path.normpath(f'{stage}/{name}')
            notebook = known.get('notebook', '') or maker_of(stage, study)
            again = f'{notebook} makes it again' if notebook else 'the notebook that made it makes it again'
            log.info(f'runs/{study.run}/{damage} is gone or not as it was written: {again}')
            if known.get('removed'):
                (study.folder / damage).unlink(missing_ok=True)
            (study.folder / 'notebooks' / f'{notebook}.ipynb').unlink(missing_ok=True)


def maker_of(stage, study):
    """Name of the notebook that says that it makes a stage, or what the stage is part of; '' for none."""
    every = notebooks(study.home / 'notebooks', appendices=True)
    names = [nb.name for nb in every for made in nb.makes if f'{stage}/'.startswith(f'{made}/')]
    return names[0] if names else ''


def is_page(path):
    """Whether a file holds a whole notebook."""
    try:
        return 'cells' in json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, TypeError):
        return False
