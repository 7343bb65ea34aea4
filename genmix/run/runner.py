"""Run notebooks headlessly and strictly:  python -m genmix.runner 02_dcgan --params params/cpu.yaml

papermill only warns of a parameter that no notebook knows; here it is an error before a kernel starts, as is a wrong type.
The executed notebook appears in runs/<run>/notebooks/ only when every cell succeeded; a failed one is kept as NAME.failed.ipynb.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import yaml

from genmix import StudyError, generators
from genmix.mixing import arms
from genmix.run.files import atomic_write, file_lock, files_hash
from genmix.run.limits import check
from genmix.run.log import MARK
from genmix.run.notebooks import PlanError, inputs_of, notebooks
from genmix.run.study import Study, home

RESERVED = {'run'}  # the runner itself fills these parameters
WHERE = {'workers', 'scheduler'}  # where the work is done: a run may go on elsewhere


def read_profile(path):
    """{section: {key: value}} of a profile; StudyError when it is missing or not two levels of plain YAML."""
    try:
        profile = yaml.safe_load(Path(path).read_text(encoding='utf-8')) or {}
    except FileNotFoundError:
        raise StudyError(f'There is no profile {path}: choose one of those in params/.') from None
    except yaml.YAMLError as error:
        raise StudyError(
            f'{path} is not plain YAML ({str(error).splitlines()[0]}): mend that line.'
        ) from None
    if not isinstance(profile, dict) or not all(isinstance(section, dict) for section in profile.values()):
        raise StudyError(f'{path} must hold sections (common: and one a notebook) of "key: value" lines.')
    return profile


def read_settings(pairs):
    """{key: value} from words such as alpha=0.2 or 02_dcgan.steps=100; values are YAML."""
    settings = {}
    for pair in pairs:
        key, equal, value = pair.partition('=')
        if not equal:
            raise StudyError(
                f'SET takes key=value, and "{pair}" has no "=": a value with spaces needs quotes, as in SET="data_dir=\'/a b\'".'
            )
        try:
            settings[key] = yaml.safe_load(value) if value else ''
        except yaml.YAMLError:
            raise StudyError(
                f'The value of {key} in SET does not read as YAML: put quotes around it.'
            ) from None
    return settings


def notebooks_with(key, every):
    """Notebooks that declare `key` (plain, or NOTEBOOK.key)."""
    name, dot, plain = key.rpartition('.')
    return [
        nb
        for nb in every
        if plain in nb.parameters and plain not in RESERVED and (not dot or nb.name == name)
    ]


def resolve(profile, settings, every):
    """{notebook: {key: value}}: common keys where declared, then the notebook's own section, then SET.

    Raises StudyError for a section or key that no notebook knows, a value of the wrong type, and a SET key that several
    sections fill differently.
    """
    names = {nb.name for nb in every}
    for section in profile.keys() - names - {'common'}:
        raise StudyError(
            f'The profile has a section "{section}" but no notebook has that name: rename or remove it.'
        )
    for key in profile.get('common', {}):
        if not notebooks_with(key, every):
            raise StudyError(unknown(key, every))
    params = {
        nb.name: {k: v for k, v in profile.get('common', {}).items() if k in nb.parameters} for nb in every
    }
    for nb in every:
        for key in profile.get(nb.name, {}):
            if not notebooks_with(f'{nb.name}.{key}', every):
                raise StudyError(unknown(f'{nb.name}.{key}', every))
        params[nb.name] |= profile.get(nb.name, {})
    for key, value in settings.items():
        known, plain = notebooks_with(key, every), key.rpartition('.')[2]
        if not known:
            raise StudyError(unknown(key, every))
        own = {nb.name: profile[nb.name][plain] for nb in known if plain in profile.get(nb.name, {})}
        if '.' not in key and any(v != next(iter(own.values())) for v in own.values()):
            raise StudyError(
                f'"{key}" is a parameter of {", ".join(own)}, which have different values: say which, as in {next(iter(own))}.{key}={value}.'
            )
        for nb in known:
            params[nb.name][plain] = value
    for nb in every:
        for key, value in params[nb.name].items():
            value = params[nb.name][key] = nb.parameters[key].read(value)
            if not nb.parameters[key].accepts(value):
                raise StudyError(
                    f'{nb.name}: {key} takes {nb.parameters[key].kind} (default {nb.parameters[key].default!r}), '
                    f'not {value!r}: mend the profile or SET.'
                )
            check(**{key: value})
    return params


def unknown(key, every):
    from difflib import get_close_matches

    names = {p for nb in every for p in nb.parameters} - RESERVED
    near = get_close_matches(key.rpartition('.')[2], names, 1)
    return f'No notebook knows the parameter "{key}"' + (
        f': did you mean "{near[0]}"?' if near else '; see the cells tagged "parameters".'
    )


def claim(study, profile_path, profile, settings, every):
    """Parameters of this run, written to params.yaml at its first call.

    A run keeps the profile name and SET it was first asked with: others are refused.  No SET means the run's own.  An edited
    profile file is taken over and said.
    """
    path = study.path('params.yaml')
    with file_lock(study.path('.params.lock')):
        before = yaml.safe_load(path.read_text()) if path.exists() else None
        name = Path(profile_path).stem
        if before:
            settings = settings or before['set']

            def asked_for(words):
                return {k: v for k, v in words.items() if k.rpartition('.')[2] not in WHERE}

            if (before['profile'], asked_for(before['set'])) != (name, asked_for(settings)):
                asked = ' '.join(f'{k}={v}' for k, v in before['set'].items()) or 'nothing'
                raise StudyError(
                    f'runs/{study.run} was made with profile {before["profile"]} and SET of {asked}: choose another '
                    f'RUN=name for the new settings, or remove runs/{study.run} to start it again.'
                )
        params = resolve(profile, settings, every)
        now = {'profile': name, 'set': settings, 'notebooks': params, 'files': files_outside(params, study)}
        if before and before != now:
            print(
                f'{MARK} the profile or the files it names have changed since runs/{study.run} was made: what depends on them runs again',
                flush=True,
            )
        if before != now:
            check_names(now['notebooks'], study)
            with atomic_write(path) as part:
                part.write_text(yaml.safe_dump(now, sort_keys=False, allow_unicode=True))
    return now['notebooks']


def files_outside(params, study):
    """{path: hash} of the files and folders that parameters name, so that a change in them is seen as a change of the run."""
    named = {
        str(v)
        for own in params.values()
        for k in ('data_dir', 'labels_csv', 'plugins')
        if own.get(k)
        for v in ([own[k]] if isinstance(own[k], str) else own[k])
    }
    return {path: files_hash(study.outside(path)) for path in sorted(named) if study.outside(path).exists()}


def check_names(params, study):
    """StudyError for an arm or generator that does not exist.  Only when some are named: knowing them all imports them all."""
    for own in params.values():
        named = own.get('generators', ['all']), own.get('arms', ['all'])
        if named != (['all'], ['all']):
            plugins = [study.outside(p) for p in own.get('plugins', [])]
            generators.choose(named[0], 'phantom', plugins)
            arms.choose(named[1], list(generators.known(plugins)))


class QuietLog:
    """Passes on only the lines that a notebook marks as log: `▸ 02_dcgan: 100 of 900`."""

    def __init__(self, name):
        self.name = name

    def write(self, text):
        for line in text.splitlines():
            if line.startswith(MARK):
                print(f'{MARK} {self.name} | {line[len(MARK) :].strip()}', flush=True)

    def flush(self):
        pass


def kernel_manager(log):
    """Kernels that talk over sockets in a folder of their own: parallel ones cannot race for a port, nor for a name (papermill#511).

    What the kernel process itself says on stderr goes to the open file `log`: errors of cells come as messages, and the rest is
    how it was shut down (now and then "Task was destroyed but it is pending!"), or the last words of one that crashed.
    """
    from jupyter_client.manager import AsyncKernelManager

    short = os.name == 'posix' and len(tempfile.gettempdir()) < 60  # a socket path holds about 100 characters

    class Manager(AsyncKernelManager):
        def __init__(self, **kwargs):
            # without `ip` all kernels would try kernel-ipc-1, -2, ... in the working directory
            sockets = (
                {'transport': 'ipc', 'ip': os.path.join(tempfile.mkdtemp(prefix='genmix-'), 'kernel')}
                if short
                else {}
            )
            super().__init__(**sockets | kwargs)

        async def _async_launch_kernel(self, kernel_cmd, **kw):
            await super()._async_launch_kernel(kernel_cmd, **kw | {'stderr': log})

        def cleanup_ipc_files(self):
            super().cleanup_ipc_files()
            if short:
                shutil.rmtree(os.path.dirname(self.ip), ignore_errors=True)

    return Manager


def execute(notebook, params, study):
    """Execute one notebook into the run; StudyError with one sentence when a cell fails."""
    os.environ |= {
        'GENMIX_HEADLESS': '1',
        'PAPERMILL_WARN_DEPRECATED': '0',
        'PYDEVD_DISABLE_FILE_VALIDATION': '1',
        # of libraries about each other, and of joblib about an empty temporary folder that it removes itself
        'PYTHONWARNINGS': 'ignore::FutureWarning,ignore::DeprecationWarning,ignore:resource_tracker:UserWarning',
    }
    for pool in (
        'OMP_NUM_THREADS',
        'MKL_NUM_THREADS',
        'OPENBLAS_NUM_THREADS',
    ):  # before any library is loaded
        os.environ.setdefault(pool, os.environ.get('GENMIX_THREADS', '1'))
    import logging

    import papermill

    logging.getLogger('papermill').setLevel(
        logging.ERROR
    )  # its own reading of the parameters cell is looser than genmix.plan's
    from papermill.exceptions import PapermillExecutionError

    done = study.path('notebooks', f'{notebook.name}.ipynb')
    part, failed, log = (
        done.with_name(name.format(notebook.name))
        for name in ('.{}.part.ipynb', '{}.failed.ipynb', '{}.kernel.log')
    )
    start = time.time()
    print(f'{MARK} {notebook.name} starts', flush=True)
    try:
        with open(log, 'wb') as said:
            papermill.execute_notebook(
                notebook.path,
                part,
                {**params, 'run': study.run},
                cwd=str(study.home),
                progress_bar=False,
                stdout_file=QuietLog(notebook.name),
                kernel_manager_class=kernel_manager(said),
                extra_arguments=['--IPKernelApp.log_level=50'],
            )  # of its log only what is critical
    except PapermillExecutionError as error:
        if error.ename == 'NotEnough':
            os.replace(part, done)
            log.unlink()
            leave_out(notebook, study, error.evalue)
            print(f'{MARK} {notebook.name} ends early: {error.evalue}', flush=True)
            return
        os.replace(part, failed)
        what = f'{error.ename}: {error.evalue}'.splitlines()[0]
        raise StudyError(
            f'{notebook.name}, cell {error.exec_count}: {what}  (open {shown(failed, study)})'
        ) from None
    except Exception as error:  # a kernel that died, a full disk: papermill has many names for these
        if part.exists():
            os.replace(part, failed)
        what = str(error).splitlines()[0] if str(error) else ''
        raise StudyError(
            f'{notebook.name}: {type(error).__name__}: {what}  (open {shown(failed, study)})'
        ) from None
    os.replace(part, done)
    failed.unlink(missing_ok=True)
    log.unlink()
    study.note_time(f'notebook {notebook.name}', time.time() - start)
    print(f'{MARK} {notebook.name} done in {time.time() - start:.0f} s', flush=True)


def left_out(notebook, params):
    """Name of the generator that `notebook` trains, when this run's parameter `generators` leaves it out; else ''."""
    chosen = {name for own in params.values() for name in own.get('generators', ())}
    made = [stage.split('/')[1] for stage in notebook.makes if stage.startswith('generators/')]
    return '' if not chosen or 'all' in chosen or chosen & set(made) else ''.join(made[:1])


def skip(notebook, generator, study):
    """Leave the notebook unexecuted, with a line on top that says why, and stubs of its stages, so that make finds nothing to do."""
    why = f'{notebook.name} is skipped: {generator} is not among the generators of this run'
    content = json.loads(json.dumps(notebook.content))
    for cell in content['cells']:
        if cell['cell_type'] == 'code':  # published outputs are another run's
            cell['outputs'], cell['execution_count'] = [], None
    content['cells'].insert(
        0, {'cell_type': 'markdown', 'id': 'skipped', 'metadata': {}, 'source': f'*{why}.*'}
    )
    leave_out(notebook, study, why)
    with atomic_write(study.path('notebooks', f'{notebook.name}.ipynb')) as part:
        part.write_text(json.dumps(content, indent=1))
    print(f'{MARK} {why}', flush=True)


def leave_out(notebook, study, why):
    """Stubs of the stages that `notebook` did not make, so that make finds nothing to do."""
    for stage in notebook.makes:
        if not study.key(stage):
            with atomic_write(study.path(stage, 'provenance.json')) as part:
                part.write_text(json.dumps({'stage': stage, 'skipped': why}))


def missing_predictions(study):
    """Prediction files that this run had and that are gone: names such as dcgan-s1-f0.csv.gz."""
    made = study.provenance('predictions').get('params', {})
    return sorted(
        f'{name}.csv.gz'
        for name in made
        if name != 'mixture' and not (study.folder / 'predictions' / f'{name}.csv.gz').exists()
    )


def shown(path, study):
    return path.relative_to(study.home)


def is_stale(notebook, every, study):
    """True when the executed notebook is missing or older than something it stands on (the rule that make applies)."""
    done = study.folder / 'notebooks' / f'{notebook.name}.ipynb'
    stages = [study.folder / stage / 'provenance.json' for stage in inputs_of(notebook, every)]
    on = [notebook.path, *notebook.modules, *notebook.committed, study.folder / 'params.yaml', *stages]
    return not done.exists() or any(p.exists() and p.stat().st_mtime > done.stat().st_mtime for p in on)


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m genmix.runner', description=__doc__.splitlines()[0])
    parser.add_argument('notebooks', nargs='*', help='names such as 02_dcgan')
    parser.add_argument(
        '--all', action='store_true', help='the whole study, in order; what is up to date is skipped'
    )
    parser.add_argument(
        '--check', action='store_true', help='only check the parameters and claim the run folder'
    )
    parser.add_argument('--params', default='params/cpu.yaml', help='profile (default %(default)s)')
    parser.add_argument('--run', help='name of the run folder below runs/ (default: name of the profile)')
    parser.add_argument(
        '--set', nargs='*', default=[], metavar='KEY=VALUE', help='parameters that differ from the profile'
    )
    args = parser.parse_args(argv)
    try:
        every = notebooks(home() / 'notebooks', appendices=True)
        if unknown_names := set(args.notebooks) - {nb.name for nb in every}:
            raise StudyError(
                f'There is no notebook {", ".join(sorted(unknown_names))}: choose among {", ".join(nb.name for nb in every)}.'
            )
        study, settings = Study(args.run or Path(args.params).stem), read_settings(args.set)
        profile = read_profile(home() / args.params)
        params = claim(study, args.params, profile, settings, every)
        if args.check and (gone := missing_predictions(study)):
            print(
                f'{MARK} {gone[0]}'
                + (f' and {len(gone) - 1} more' if len(gone) > 1 else '')
                + ' is gone: 08_classification makes it again',
                flush=True,
            )
            study.path('notebooks', '08_classification.ipynb').unlink(missing_ok=True)
        for nb in every if not args.check else []:
            if nb.name in args.notebooks or (args.all and not nb.optional and is_stale(nb, every, study)):
                if generator := left_out(nb, params):
                    skip(nb, generator, study)
                else:
                    execute(nb, params[nb.name], study)
    except (StudyError, PlanError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
