"""Dev cohorts with their generators and synthetic sets, made once for every question that the appendix asks.

Dev cohort number n is `FIRST` + n: its lesions, its split, its test lesions and its generators are its own.
Everything is a stage of the run, so that work that was stopped goes on where it was.
"""

import json
from dataclasses import asdict

from genmix import generators as registry
from genmix.appendix.controls_plan import OFF
from genmix.appendix.defaults import config_from, values_of
from genmix.data import splits
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.generators.synthetic import sample_set
from genmix.run.log import progress, quiet
from genmix.run.parallel import run_parallel
from genmix.run.study import Study

FIRST = 9000  # seed of the first dev cohort
TEST = 10_000  # added to it: seed of its test lesions.  No other part of the study draws these
REMEDY = 'tuning'  # the make target that brings a missing stage


def call_all(study, function, units, label, workers, scheduler):
    """Results of function(run, home, *unit), side by side, in the order in which they are done: a list."""
    units = [(study.run, study.home, *unit) for unit in units]
    return list(progress(run_parallel(function, units, workers, scheduler), label, len(units)))


def make_sets(study, cohorts, generators, fractions, profile, workers=0, scheduler='', noise=1.0):
    """Stages of the first `cohorts` dev cohorts, and of every generator on each of the fractions of them.

    noise   of the scanner, as of `plan.draw`; returns the seeds
    """
    seeds = [FIRST + n for n in range(cohorts)]
    call_all(study, draw, [(seed, profile, noise) for seed in seeds], 'lesions', workers, scheduler)
    units = [(seed, name, f, profile, noise) for seed in seeds for f in fractions for name in generators]
    call_all(study, make_set, units, 'generators', workers, scheduler)
    return seeds


# ---- units of work: called with the run's name and home, on any machine that sees its folder ----


def draw(run, home, seed, profile, noise=1.0):
    """Stages lesions/<seed> and test/<seed>: phantoms of population `dev`, as many as the study's."""
    data, tested = values_of('01_data', profile), values_of('08_classification', profile)
    wanted = {'lesions': (data['lesions'], data['patients'], seed)}
    wanted['test'] = (tested['population_lesions'], None, TEST + seed)
    for name, (counts, patients, own) in wanted.items():
        params = {'counts': counts, 'n_patients': patients, 'image_size': data['image_size']}
        params |= {'seed': own, 'noise': noise}

        def build(out, params=params):
            plan.draw('dev', **params).save(out)

        with quiet():
            Study(run, home).stage(f'{name}/{cohort_name(seed, noise)}', build, params, code=plan)


def make_set(run, home, seed, name, fraction, profile, noise=1.0):
    """Stages trained/<name> and sets/<name> of one generator on a fraction of the training patients."""
    study, owner, values = Study(run, home), registry.known()[name], {}
    if notebook := getattr(owner, 'notebook', ''):
        values = OFF | values_of(notebook, profile) | {'seed': seed}
    config, lesions = config_from(owner.Config, values), training_split(study, seed, fraction, profile, noise)
    per_class = values_of('06_generator_audit', profile)['synthetic_per_class']
    stage = set_name(name, seed, fraction, noise)
    inputs = [lesions.content_hash, *getattr(config, 'inputs', tuple)()]

    def sample(out):
        model = owner.load(study.folder / 'trained' / stage)
        sample_set(model, lesions, per_class, seed).save(out)

    def fit(out):
        owner.fit(lesions, out, config)

    with quiet():
        study.stage(f'trained/{stage}', fit, asdict(config), inputs, code=owner)
        params = {'per_class': per_class, 'seed': seed}
        study.stage(f'sets/{stage}', sample, params, [study.key(f'trained/{stage}')], code=owner)


# ---- what is read of the stages ----


def cohort_name(seed, noise=1.0):
    """Name of a dev cohort: its seed, and the noise of its scans where that is not the usual one."""
    return f'{seed}' if noise == 1 else f'{seed}-noise{noise:g}'


def set_name(generator, seed, fraction, noise=1.0):
    """Name of the synthetic set of a generator on a fraction of the training patients of a dev cohort."""
    return f'{generator}-{cohort_name(seed, noise)}-{fraction:g}'


def training_split(study, seed, fraction, profile, noise=1.0):
    """The training lesions of a dev cohort: a Cohort.  A smaller fraction is a part of a larger one."""
    cohort = Cohort.load(study.need(f'lesions/{cohort_name(seed, noise)}', REMEDY))
    n_folds = values_of('01_data', profile)['n_folds']
    table = splits.make_splits(cohort, n_folds, train_fraction=fraction, seed=seed)
    return splits.select(cohort, table, 0, 'train')


def synthetic(study, generator, seed, fraction, noise=1.0):
    """The synthetic set of a generator: a Cohort."""
    return Cohort.load(study.need(f'sets/{set_name(generator, seed, fraction, noise)}', REMEDY))


def test_lesions(study, seed, noise=1.0):
    """The test lesions of a dev cohort: a Cohort."""
    return Cohort.load(study.need(f'test/{cohort_name(seed, noise)}', REMEDY))


def kept_result(study, name, compute, params, inputs, code):
    """What `compute()` gives, a dict of numbers, kept in stage `name`."""

    def build(out):
        (out / 'result.json').write_text(json.dumps(compute()))

    with quiet():
        return json.loads((study.stage(name, build, params, inputs, code) / 'result.json').read_text())
