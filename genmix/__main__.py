"""Run notebooks headlessly and strictly:  python -m genmix 02_dcgan --params params/cpu.yaml

papermill only warns of a parameter that no notebook knows; here it is an error before a kernel starts, as
is a wrong type or a value out of its bounds.  `make` decides what is to be run; where make is missing, name
the notebooks in their order.
"""

import argparse
import errno
import signal
import sys
from pathlib import Path

from genmix import StudyError
from genmix.run.limits import check_value
from genmix.run.notebooks import NotebookError, notebooks
from genmix.run.profile import claim, parameter_of, read_profile
from genmix.run.runner import execute, forget_damaged, left_out, skip
from genmix.run.settings import asked, read_settings
from genmix.run.study import Study, home

NO_PLACE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m genmix', description=__doc__.splitlines()[0])
    parser.add_argument('notebooks', nargs='*', help='names such as 02_dcgan')
    parser.add_argument(
        '--check', action='store_true', help='only check the parameters and claim the run folder'
    )
    parser.add_argument('--params', default='params/cpu.yaml', help='profile (default %(default)s)')
    parser.add_argument('--run', help='name of the run folder below runs/ (default: name of the profile)')
    parser.add_argument(
        '--set',
        nargs='*',
        default=[],
        metavar='KEY=VALUE',
        help='parameters that differ (default: those in the environment variable GENMIX_SET)',
    )
    args = parser.parse_args(argv)
    try:
        run(args)
        return 0
    except (StudyError, NotebookError) as error:
        what = str(error)
    except ModuleNotFoundError as error:
        what = f'{error}: call .venv/bin/python, which make env builds'
    except OSError as error:
        what = f'{error.filename or "a file"}: {error.strerror}'
        if error.errno in NO_PLACE:
            what += ': give the study a folder that it may write to, with space left'
    except KeyboardInterrupt:
        print('error: interrupted; the same command goes on where it stopped', file=sys.stderr)
        return 130
    print(f'error: {what}', file=sys.stderr)
    return 1


def run(args):
    place = home()
    every = notebooks(place / 'notebooks', appendices=True)
    names = {nb.name: nb for nb in every}
    if unknown := sorted(set(args.notebooks) - set(names)):
        raise StudyError(f'There is no notebook {", ".join(unknown)}: choose among {", ".join(names)}.')
    run_name = Path(args.params).stem if args.run is None else args.run
    study, profile = Study(run_name, place), read_profile(place / args.params)
    settings = read_settings(asked(args.set), parameter_of(every))
    params = claim(study, args.params, profile, settings, every, lambda p: check_owners(p, every, study))
    if args.check:
        return forget_damaged(study)
    of_study = {name: own for name, own in params.items() if not names[name].optional}
    for name in args.notebooks:
        if generator := left_out(names[name], of_study):
            skip(names[name], generator, study)
        else:
            execute(names[name], params[name], study)


def check_owners(params, every, study):
    """StudyError for a value outside the bounds of its config, and for an unknown arm or generator."""
    for nb in every:
        for name, bounds in nb.bounds.items():
            if name in params[nb.name]:
                check_value(name, params[nb.name][name], **bounds)
    for own in params.values():
        wanted, arms = own.get('generators', ['all']), own.get('arms', ['all'])
        named = {*wanted, *arms} - {'all', 'quick'}  # only then: knowing all generators imports them all
        if named:
            from genmix import generators
            from genmix.mixing.arms import arms_for, choose
            from genmix.mixing.rules import known

            plugins = [study.outside(p) for p in own.get('plugins', [])]
            generators.choose(wanted, 'phantom', plugins)
            rules = known(plugins).keys() - {'mixup', 'genmix'}
            choose(arms, arms_for(generators.known(plugins), sorted(rules), own.get('lengths', ())))


def interrupt(*_):
    raise KeyboardInterrupt


if __name__ == '__main__':
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: kernels are ended, and their sockets go
        signal.signal(number, interrupt)
    sys.exit(main())
