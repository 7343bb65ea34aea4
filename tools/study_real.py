"""Cohorts of real images: a large set is divided, and each part run like a cohort; makes what is missing.

python -m tools.study_real --name pneumoniamnist --set "dataset=medmnist medmnist_flag=pneumoniamnist ..."

Files go to measured/real/<name>/: set.json, and cohort-100.npz and so on.
"""

import json
import sys
from dataclasses import replace

from genmix import StudyError
from genmix.appendix import long_run, real_cohorts
from genmix.appendix.long_run import FIRST, PROFILE, Plan
from genmix.data.division import Division
from genmix.results.measured import tuning
from genmix.results.real_sets import chosen_strength, rule_in_words
from genmix.run.files import atomic_write
from genmix.run.log import log
from genmix.run.names import check_name
from genmix.run.study import home
from tools import cli
from tools.study import add_options, finish_all, keep_checksum


def base_plan(profile):
    """The Plan of the protocol, as far as its tuned settings are filled in; else what the profile has."""
    if profile == PROFILE:
        try:
            return long_run.confirmatory_plan((home() / 'PROTOCOL.md').read_text(encoding='utf-8'), tuning())
        except StudyError as error:
            log.info(f'Without tuned arms, at the steps of the profile: {error}')
    return Plan(profile=profile)


def seeds_for(only, cohorts):
    """Seeds of the cohorts to make: all of a set, or those that `only` names; StudyError for others."""
    every = range(FIRST, FIRST + cohorts)
    seeds = long_run.seeds_of(only, 'ONLY') if only else [*every]
    if other := [seed for seed in seeds if seed not in every]:
        raise StudyError(
            f'ONLY names cohort {other[0]}, but there are {cohorts} of this set, {every[0]} to {every[-1]}: '
            'name some of these, or divide it into more (COHORTS=...).'
        )
    return seeds


def strength_of(plan, values, workers, scheduler):
    """The strength of the augmentation by the rule; set.json is written where it is missing.

    StudyError for a set that is out, and where set.json is of a set that was asked for otherwise.
    """
    path = plan.folder(home()) / 'set.json'
    if not path.exists():
        about = real_cohorts.measure(plan, values, workers, scheduler)
        with atomic_write(path) as part:
            part.write_text(json.dumps(about, indent=1), encoding='utf-8')
    keep_checksum(path)
    about = json.loads(path.read_text(encoding='utf-8'))
    asked = plan.about['set']
    if wrong := [key for key in ('asked', 'division') if about[key] != asked[key]]:
        raise StudyError(
            f'{path.parent.name}/set.json was made with another {wrong[0]} ({about[wrong[0]]}): ask for '
            'that, or choose another RUN=name.'
        )
    log.info(rule_in_words(about))
    if not (strength := chosen_strength(about['tried'])):
        raise StudyError(
            f'{plan.name} is out: on its dev cohorts classical augmentation loses to none at every strength, '
            'and all arms but one have it.'
        )
    return strength


@cli.command
def main(argv):
    parser = cli.parser('tools.study_real', __doc__)
    number = {'type': int, 'default': real_cohorts.COHORTS}
    parser.add_argument('--name', required=True, help='of the set, for its runs and its files')
    parser.add_argument('--cohorts', **number, help='that it is divided into (default %(default)s)')
    parser.add_argument('--images', type=int, default=250, help='of a cohort, about (default %(default)s)')
    parser.add_argument('--only', default='', help='seeds of those to make now (default: all)')
    add_options(parser, 'the set and where it is, and parameters that differ')
    args = parser.parse_args(argv)
    if check_name(args.name, 'RUN') == args.profile:
        raise StudyError('Cohorts of real images need a name for their set: give RUN=name.')
    parts = Division(cohorts=args.cohorts, images=args.images, dev=real_cohorts.DEV_COHORTS)
    seeds = seeds_for(args.only, args.cohorts)
    plan, values = real_cohorts.real_plan(args.name, args.set, parts, base_plan(args.profile))
    plan = replace(plan, strength=strength_of(plan, values, args.workers, args.dask))
    if not all((plan.folder(home()) / f'cohort-{seed}.npz').exists() for seed in seeds):
        real_cohorts.divide(plan, values)
    finish_all(seeds, plan, args)


if __name__ == '__main__':
    sys.exit(main())
