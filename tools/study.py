"""The long run of PROTOCOL.md: a run folder and a committed file for each cohort; makes what is missing.

python -m tools.study --cohorts 24                    measured/study/cohort-100.npz ... cohort-123.npz
python -m tools.study --cohorts 9000-9003             dev cohorts: their files go to runs/
python -m tools.study --cohorts 100-111 --dask tcp://HOST:8786
"""

import signal
import sys

from joblib import cpu_count

from genmix import StudyError
from genmix.appendix import long_run
from genmix.appendix.long_run import PROFILE, Plan, is_confirmatory
from genmix.results.cohorts import without_paths
from genmix.results.compact import Compact
from genmix.results.measured import as_committed, checksums, measured, tuning
from genmix.run.files import file_lock
from genmix.run.log import log
from genmix.run.notebooks import notebooks
from genmix.run.parallel import run_parallel
from genmix.run.profile import parameter_of
from genmix.run.settings import read_settings, split_set
from genmix.run.study import home
from tools import cli
from tools.checksums import note


def plan_for(seeds, profile, extra):
    """The Plan of these cohorts; StudyError for confirmatory ones that the protocol does not allow."""
    if not any(map(is_confirmatory, seeds)):
        return Plan(profile=profile, extra=extra)
    if profile != PROFILE or extra:
        raise StudyError(
            f'Cohorts with seeds from {long_run.FIRST} to {long_run.DEV - 1} are drawn as PROTOCOL.md says, '
            f'with profile {PROFILE} and without SET: choose dev cohorts, COHORTS={long_run.DEV}, for others.'
        )
    if len({is_confirmatory(seed) for seed in seeds}) > 1:
        raise StudyError('Cohorts of the protocol and dev cohorts are two runs: name them in two commands.')
    text = (home() / 'PROTOCOL.md').read_text(encoding='utf-8')
    return long_run.confirmatory_plan(text, tuning())


def is_finished(path, plan, seed):
    """Whether the file of a cohort is there, as it was written; StudyError where it had another plan."""
    if not path.exists():
        return False
    keep_checksum(path)
    asked = asked_of(plan, seed)
    about = Compact.load(path).about
    made = about.get('params', {}).get('set', asked)
    differing = [key for key in sorted({*asked, *made}) if str(made.get(key)) != str(asked.get(key))]
    differing += [key for key, value in plan.about.items() if about.get(key) != value]
    if differing:
        raise StudyError(
            f'{path.name} was made with another {differing[0]}: cohorts that are compared are made alike, so '
            'remove it, or ask for what it was made with.'
        )
    return True


def asked_of(plan, seed):
    """SET of a cohort as params.yaml has it, but for paths of this machine: {key: value}."""
    every = notebooks(home() / 'notebooks', appendices=True)
    return without_paths(read_settings(split_set(plan.asked(seed)), parameter_of(every)))


def keep_checksum(path):
    """Write the checksum of a file of measured/ where it has none yet; StudyError where it has another."""
    folder = measured()
    if not path.is_relative_to(folder):
        return
    name = path.relative_to(folder).as_posix()
    with file_lock(home() / 'runs' / '.checksums.lock'):
        if name not in checksums(folder):
            note(folder, name)
    as_committed(path)


def make_missing(seeds, plan, workers, scheduler, keep):
    """Make the cohorts that have no file yet; returns {seed: what went wrong}."""
    place = {seed: plan.folder(home(), seed) / f'cohort-{seed}.npz' for seed in seeds}
    missing = [seed for seed in seeds if not is_finished(place[seed], plan, seed)]
    log.info(f'{len(seeds) - len(missing)} of {len(seeds)} cohorts are finished, {len(missing)} to make')
    cores, failed = cpu_count(), {}
    workers = 0 if scheduler else max(min(workers or cores, len(missing)), 1)
    own = 1 if scheduler else max(cores // workers, 1)
    units = [(seed, home(), plan, own, keep) for seed in missing]
    for done, (seed, error) in enumerate(
        run_parallel(long_run.finish, units, workers, scheduler, threads=True), 1
    ):
        if error:
            failed[seed] = error
            log.info(f'cohort {seed} is not finished: {error}')
            continue
        keep_checksum(place[seed])
        name, size = place[seed].relative_to(home()), place[seed].stat().st_size / 1000
        log.info(f'cohort {seed} is finished: {name}, {size:.0f} kB ({done} of {len(missing)})')
    return failed


def add_options(parser, about_set):
    """The options that long runs share; what --set is for."""
    parser.add_argument('--profile', default=PROFILE, help='of params/ (default %(default)s)')
    parser.add_argument('--set', default='', help=about_set)
    parser.add_argument('--workers', type=int, default=0, help='cohorts side by side (default: one a core)')
    parser.add_argument('--dask', default='', help='address of a Dask scheduler whose workers make them')
    parser.add_argument('--keep', action='store_true', help='leave images, weights and notebooks in the runs')


def finish_all(seeds, plan, args):
    """Make the cohorts that have no file yet; StudyError, naming the first, where some are not finished."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        failed = make_missing(seeds, plan, args.workers, args.dask, args.keep)
    finally:
        long_run.stop()
    if failed:
        seed, error = next(iter(failed.items()))
        raise StudyError(
            f'{len(failed)} of {len(seeds)} cohorts are not finished; cohort {seed}: '
            f'{error.removeprefix("error: ")}'
        )


@cli.command
def main(argv):
    parser = cli.parser('tools.study', __doc__)
    parser.add_argument('--cohorts', default='24', help='how many, or their seeds (default %(default)s)')
    add_options(parser, 'parameters of dev cohorts that differ')
    args = parser.parse_args(argv)
    seeds = long_run.seeds_of(args.cohorts)
    finish_all(seeds, plan_for(seeds, args.profile, args.set), args)


if __name__ == '__main__':
    sys.exit(main())
