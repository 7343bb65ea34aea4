"""Equal tuning: each method has the same number of settings, tried on the same dev cohorts.

A method is GenMix, a generator alone, or no generator (`mixing.arms.settings`).  A setting that has a
generator is tried with each of them, and they share the sets of a dev cohort between all settings.
"""

from dataclasses import asdict

import pandas as pd

from genmix.appendix import dev_sets
from genmix.appendix.defaults import classification, values_of
from genmix.appendix.regime import score_arm
from genmix.mixing.arms import settings
from genmix.results.metrics import PRIMARY
from genmix.run.study import Study

COLUMNS = ['method', 'generator', 'dose', 'balance', 'steps', 'cohort', PRIMARY, 'argmax', 'macro_auc']


def run(study, cohorts, generators, lengths, profile='cpu', workers=0, scheduler=''):
    """measured/tuning.csv: COLUMNS, one row for each classifier, settings in the order of `settings`.

    cohorts      how many dev cohorts        generators   names of those whose settings are tried
    lengths      steps of training           profile      of params/, for all that is not tuned
    """
    arms, place = settings(generators, lengths), (workers, scheduler)
    fraction = values_of('01_data', profile)['train_fraction']
    seeds = dev_sets.make_sets(study, cohorts, generators, [fraction], profile, *place)
    units = [(seed, arm, fraction, profile) for seed in seeds for arm in arms]
    rows = dev_sets.call_all(study, tried, units, 'classifiers', *place)
    return table_of(rows, arms, ['arm', 'cohort'])[COLUMNS]


def table_of(rows, arms, by):
    """The dicts of `tried` as a table, sorted by columns, arms in their order."""
    order = {arm.name: i for i, arm in enumerate(arms)}
    table = pd.DataFrame(rows).sort_values(by, key=lambda c: c.map(order) if c.name == 'arm' else c)
    return table.round(5).reset_index(drop=True)


def tried(run, home, seed, arm, fraction, profile, noise=1.0):
    """Scores of one arm on the test lesions of a dev cohort: a dict of COLUMNS, the arm's name and the noise.

    An arm without steps of its own has those of the profile.
    """
    own = {'steps': arm.steps} if arm.steps else {}
    study, (regime, batches, rules) = Study(run, home), classification(profile, **own)
    train = dev_sets.training_split(study, seed, fraction, profile, noise)
    test = dev_sets.test_lesions(study, seed, noise)
    made = dev_sets.synthetic(study, arm.generator, seed, fraction, noise) if arm.generator else None
    rule = rules.get(arm.rule)

    def compute():
        return score_arm(arm, train, made, test, regime, seed, batches, rule)

    about = {'method': arm.kind, 'generator': arm.generator, 'dose': arm.dose, 'balance': arm.balance}
    about |= {'steps': regime.steps, 'cohort': seed, 'arm': arm.name, 'noise': noise}
    params = {'arm': asdict(arm), 'regime': asdict(regime), 'batches': asdict(batches), 'seed': seed}
    params |= {'rule': asdict(rule) if rule else {}}
    inputs = [c.content_hash for c in (train, test, made) if c is not None]
    name = f'settings/{arm.slug}-{dev_sets.cohort_name(seed, noise)}'
    return about | dev_sets.kept_result(study, name, compute, params, inputs, tried)
