"""The map, measured: when does GenMix help, by scarcity and by the defects of a generator?

Each point of `results.map_space` is one `dev` cohort: training lesions, test lesions and a parametric
generator of its own, and one classifier of each arm.  A point is a stage of the run, so that a map that was
stopped goes on where it was.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd

from genmix.appendix import dev_sets, parametric
from genmix.appendix.defaults import classification, values_of
from genmix.appendix.regime import score_arm
from genmix.data.phantom import plan
from genmix.mixing.arms import DOSES, with_generator, without_generator
from genmix.results.map_space import NAMES, design
from genmix.results.metrics import PRIMARY
from genmix.run.study import Study

FIRST = dev_sets.FIRST + 100  # seed of the first point: its cohorts are for nothing else
COLUMNS = ['cohort', *NAMES, 'arm', PRIMARY, 'argmax', 'macro_auc']
ARMS = (
    *(without_generator(kind) for kind in ('real', 'mixup')),
    *(with_generator('synthetic', 'g', dose) for dose in DOSES),
    *(with_generator('genmix', 'g', dose, rule='genmix') for dose in DOSES),
)


def run(study, points, profile='cpu', workers=0, scheduler=''):
    """measured/map.csv: COLUMNS, a row for each of the first so many points and each arm.

    profile   of params/, for all that is no axis of the map
    """
    places = design(points).to_dict('records')
    units = [(FIRST + n, place, profile) for n, place in enumerate(places)]
    rows = dev_sets.call_all(study, measure_point, units, 'points', workers, scheduler)
    table = pd.DataFrame([row for point in rows for row in point])
    return table.sort_values('cohort', kind='stable', ignore_index=True)[COLUMNS].round(5)


def measure_point(run, home, seed, place, profile):
    """Scores of every arm at one place of the map, {axis: value}: a list of dicts of COLUMNS."""
    study, (regime, batches, rules) = Study(run, home), classification(profile)
    counts, patients = training_counts(place['lesions'], profile)
    defects = {name: place[name] for name in NAMES if name != 'lesions'}
    size = values_of('01_data', profile)['image_size']
    tested = values_of('08_classification', profile)['population_lesions']
    per_class = values_of('06_generator_audit', profile)['synthetic_per_class']

    def compute():
        train = plan.draw('dev', counts, patients, size, seed)
        test = plan.draw('dev', tested, None, size, dev_sets.TEST + seed)
        made = parametric.sample_set(**defects, per_class=per_class, image_size=size, seed=seed)
        own = {arm: made if arm.generator else None for arm in ARMS}
        return {
            arm.name: score_arm(arm, train, own[arm], test, regime, seed, batches, rules.get(arm.rule))
            for arm in ARMS
        }

    params = {'counts': counts, 'patients': patients, 'tested': tested, 'image_size': size, 'seed': seed}
    params |= {'defects': defects, 'per_class': per_class, 'arms': [asdict(arm) for arm in ARMS]}
    params |= {'regime': asdict(regime), 'batches': asdict(batches)}
    params |= {'rules': {name: asdict(rule) for name, rule in rules.items()}}
    found = dev_sets.kept_result(study, f'points/{seed}', compute, params, [], measure_point)
    return [{'cohort': seed, **place, 'arm': name, **scores} for name, scores in found.items()]


def training_counts(lesions, profile):
    """(lesions of each class, patients) of a training set whose rarest class has so many lesions, in the
    proportions of the profile's cohort.
    """
    data = values_of('01_data', profile)
    share = lesions / min(data['lesions'])
    counts = [int(n) for n in np.round(np.multiply(data['lesions'], share))]
    return counts, max(round(data['patients'] * share), 1)
