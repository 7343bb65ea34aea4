"""How much depends on the noise of the phantom's scanner: the same lesions, scanned with more of it.

The lesions, their patients and the split of a dev cohort are the same at each noise; what is trained on them
is trained anew, generators included.  On dev cohorts, whose sets the tuning shares (`appendix.dev_sets`).
"""

from genmix.appendix import dev_sets
from genmix.appendix.defaults import values_of
from genmix.appendix.tuning import table_of, tried
from genmix.mixing.arms import DOSES, with_generator, without_generator
from genmix.results.metrics import PRIMARY

COLUMNS = ['noise', 'arm', 'method', 'generator', 'cohort', PRIMARY, 'argmax', 'macro_auc']


def run(study, cohorts, generators, noises, profile='cpu', workers=0, scheduler=''):
    """measured/noise.csv: COLUMNS, one row for each noise, arm and dev cohort, one classifier each.

    cohorts   how many dev cohorts        generators   names; the oracle costs no training
    noises    of the scanner, as of `plan.draw`; 1 is that of the study
    """
    arms, place = compared(generators), (workers, scheduler)
    fraction = values_of('01_data', profile)['train_fraction']
    units = []
    for noise in noises:
        seeds = dev_sets.make_sets(study, cohorts, generators, [fraction], profile, *place, noise)
        units += [(seed, arm, fraction, profile, noise) for arm in arms for seed in seeds]
    rows = dev_sets.call_all(study, tried, units, 'classifiers', *place)
    return table_of(rows, arms, ['noise', 'arm', 'cohort'])[COLUMNS]


def compared(generators):
    """`classical` and `mixup`, and of each generator the arm alone and its GenMix arm at the low dose."""
    arms = [without_generator('real'), without_generator('mixup')]
    for g in generators:
        arms.append(with_generator('synthetic', g, DOSES[0]))
        arms.append(with_generator('genmix', g, DOSES[0], rule='genmix'))
    return arms
