"""Data-size curves: how near the set of each generator comes to real lesions, by how many it learned from.

On dev cohorts, whose sets the tuning shares (`appendix.dev_sets`).
"""

import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from genmix.appendix import dev_sets
from genmix.appendix.defaults import values_of
from genmix.audit import features, fidelity
from genmix.audit.judge import train_reference
from genmix.run.study import Study

MEASURED = 500  # lesions of a class, at most, that a set is compared with
COLUMNS = ['generator', 'train_fraction', 'lesions', 'cohort', 'tstr', 'coverage', 'kid', 'diversity']


def run(study, cohorts, generators, fractions, profile='cpu', workers=0, scheduler=''):
    """measured/data_size.csv: COLUMNS, one row for each generator, fraction and dev cohort.

    fractions   shares of the training patients      lesions   that the generator learned from

    tstr        balanced accuracy on real lesions of a network that was trained on the set alone
    coverage, kid, diversity    means over the classes; diversity as a share of that of real lesions
    """
    seeds = dev_sets.make_sets(study, cohorts, generators, fractions, profile, workers, scheduler)
    units = [(seed, name, f, profile) for f in fractions for name in generators for seed in seeds]
    rows = dev_sets.call_all(study, looked_at, units, 'sets', workers, scheduler)
    table = pd.DataFrame(rows)[COLUMNS].sort_values(COLUMNS[:4], ignore_index=True)
    return table.round(5)


def looked_at(run, home, seed, generator, fraction, profile):
    """One row of `run`: a dict."""
    study, own = Study(run, home), values_of('06_generator_audit', profile)
    made, real = dev_sets.synthetic(study, generator, seed, fraction), dev_sets.test_lesions(study, seed)
    lesions = len(dev_sets.training_split(study, seed, fraction, profile))

    def compute():
        extract, rows = features.load_features(own['features']), []
        for label in range(len(real.class_names)):
            r, s = (extract(c.images[c.labels == label][:MEASURED]) for c in (real, made))
            kid = fidelity.mmd2(*fidelity.pairwise(fidelity.kernel, r, s))
            share = fidelity.diversity(s) / fidelity.diversity(r)
            rows.append({'coverage': fidelity.prdc(r, s)['coverage'], 'kid': kid, 'diversity': share})
        predicted = train_reference(made, own['tstr_steps'], seed).label(real.images)
        tstr = float(balanced_accuracy_score(real.labels, predicted))
        return pd.DataFrame(rows).mean().to_dict() | {'tstr': tstr}

    about = {'generator': generator, 'train_fraction': fraction, 'lesions': lesions, 'cohort': seed}
    params = {'steps': own['tstr_steps'], 'seed': seed, 'features': own['features']}
    inputs = [made.content_hash, real.content_hash]
    name = f'looks/{dev_sets.set_name(generator, seed, fraction)}'
    return about | dev_sets.kept_result(study, name, compute, params, inputs, looked_at)
