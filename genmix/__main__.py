"""Run notebooks headlessly and strictly:  python -m genmix 02_dcgan --params params/cpu.yaml

papermill only warns of a parameter that no notebook knows; here it is an error before a kernel starts, as
is a wrong type or a value out of its bounds.  `make` decides what is to be run; where make is missing, name
the notebooks in their order.
"""

import argparse
import sys
from pathlib import Path

from genmix import StudyError
from genmix.run.limits import check_value
from genmix.run.log import log
from genmix.run.notebooks import NotebookError, notebooks
from genmix.run.profile import claim, read_profile, read_settings
from genmix.run.runner import execute, left_out, missing_predictions, skip
from genmix.run.study import Study, home


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m genmix', description=__doc__.splitlines()[0])
    parser.add_argument('notebooks', nargs='*', help='names such as 02_dcgan')
    parser.add_argument(
        '--check', action='store_true', help='only check the parameters and claim the run folder'
    )
    parser.add_argument('--params', default='params/cpu.yaml', help='profile (default %(default)s)')
    parser.add_argument('--run', help='name of the run folder below runs/ (default: name of the profile)')
    parser.add_argument('--set', nargs='*', default=[], metavar='KEY=VALUE', help='parameters that differ')
    args = parser.parse_args(argv)
    try:
        run(args)
    except (StudyError, NotebookError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def run(args):
    every = notebooks(home() / 'notebooks', appendices=True)
    names = {nb.name: nb for nb in every}
    if unknown := sorted(set(args.notebooks) - set(names)):
        raise StudyError(f'There is no notebook {", ".join(unknown)}: choose among {", ".join(names)}.')
    study, profile = Study(args.run or Path(args.params).stem), read_profile(home() / args.params)
    settings = read_settings(args.set)
    params = claim(study, args.params, profile, settings, every, lambda p: check_owners(p, every, study))
    if args.check:
        return forget_if_missing(study)
    for name in args.notebooks:
        if generator := left_out(names[name], params):
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
        if wanted != ['all'] or arms != ['all']:  # only then: knowing all generators imports them all
            from genmix import generators
            from genmix.mixing.arms import arms_for, choose
            from genmix.mixing.rules import known

            plugins = [study.outside(p) for p in own.get('plugins', [])]
            generators.choose(wanted, 'phantom', plugins)
            choose(
                arms, arms_for(generators.known(plugins), rules=known(plugins).keys() - {'mixup', 'genmix'})
            )


def forget_if_missing(study):
    """Where predictions are gone, forget that 08 was executed, so that make executes it again."""
    if gone := missing_predictions(study):
        more = f' and {len(gone) - 1} more' if len(gone) > 1 else ''
        log.info(f'{gone[0]}{more} is gone: 08_classification makes it again')
        (study.folder / 'notebooks' / '08_classification.ipynb').unlink(missing_ok=True)


if __name__ == '__main__':
    sys.exit(main())
