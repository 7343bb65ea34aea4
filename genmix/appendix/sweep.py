"""The sweep: when does GenMix help?  Scarcity x quality of the generator, then one choice at a time.

Everything happens on `dev` phantoms, as in `appendix.regime`: the study's patients and its test population
are not touched.  A unit of work (a generator with its sets, the quality of a set, a classifier) is a stage of
the run, so a sweep that was stopped goes on where it was.
"""

import json
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import pandas as pd

from genmix.appendix import regime as dev
from genmix.appendix.defaults import classification, config_from, values_of
from genmix.appendix.sweep_summary import BASELINES, ORACLE
from genmix.audit import features, fidelity
from genmix.classifier.config import Regime
from genmix.classifier.training import predict
from genmix.data.cohort import Cohort
from genmix.data.sampling import first_per_class
from genmix.generators.latent.diffusion import Diffusion
from genmix.mixing.arms import arms_for, with_generator
from genmix.mixing.batches import Pool
from genmix.mixing.config import BatchConfig
from genmix.mixing.dataset import mix_sets
from genmix.mixing.rules import GenMix
from genmix.results.metrics import score
from genmix.run.log import progress, quiet
from genmix.run.parallel import run_parallel
from genmix.run.study import Study

STORED = 3000  # GenMix images of a stored set, as in params/cpu.yaml


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One classifier of the sweep.

    question        `map`, or the name of the choice that differs from the default
    arm             classical, oversample, alone (the generator) or genmix
    cohort          number of the dev cohort; it seeds generator and classifier too
    train_fraction  share of its training patients
    quality         steps of fine-tuning of the generator, or `oracle`; '' for arms without a generator
    per_class       images of its synthetic set
    mix             mixtures of a stored set (`offline`), or new ones in each batch (`online`)
    batches         its mixed_share is that of GenMix here, of which half is synthetic; alone, half of a batch
    """

    question: str
    arm: str
    cohort: int
    train_fraction: float
    quality: str
    per_class: int
    regime: Regime
    batches: BatchConfig
    rule: GenMix
    mix: str = 'offline'

    @property
    def row(self):
        """Its columns of sweep.csv, but for the scores."""
        about = {'question': self.question, 'arm': self.arm, 'cohort': self.cohort}
        about |= {'train_fraction': self.train_fraction, 'quality': self.quality}
        about |= {'alpha': self.rule.alpha, 'pairing': self.rule.pairing, 'larger': self.rule.larger}
        about |= {'mixed_share': self.batches.mixed_share, 'mix': self.mix}
        about |= {'mixup_off': self.batches.mixup_off}
        return about | {'steps': self.regime.steps, 'vgg_width': self.regime.vgg_width}

    def less(self, default):
        """This setting without what its arm does not use, so that no classifier is trained twice."""
        if self.arm == 'genmix':
            return replace(self, question='')
        own = {'batches': default.batches, 'rule': default.rule, 'mix': default.mix}
        return replace(self, question='', **own)

    def varied(self, value):
        """This setting with what its question names set to `value`: of it, the rule, batches or regime."""
        if self.question == 'mix':
            return replace(self, mix=value)
        for part in ('rule', 'batches', 'regime'):
            config = getattr(self, part)
            if self.question in {f.name for f in fields(config)}:
                return replace(self, **{part: replace(config, **{self.question: value})})
        raise ValueError(self.question)


def default_setting(per_class, train_fraction=0.25, **changes):
    """The cell around which single choices vary: what params/cpu.yaml takes, with some values changed."""
    regime, batches, rules = classification(**changes)
    about = {'question': 'map', 'arm': 'genmix', 'cohort': 0, 'quality': '', 'per_class': per_class}
    configs = {'regime': regime, 'batches': batches, 'rule': rules['genmix']}
    return Setting(**about, train_fraction=train_fraction, **configs)


def planned(default, cohorts, fractions, qualities, alone):
    """Every Setting of the sweep, cohort by cohort.

    fractions x qualities in full, then `alone` ({name: values}) one at a time around the default.
    """
    found, best = [], [q for q in qualities if q != ORACLE][-1]
    trains_all = {f.name for f in fields(Regime)}  # choices that concern every arm
    for cohort in cohorts:
        for fraction in fractions:
            cell = replace(default, cohort=cohort, train_fraction=fraction)
            found += [replace(cell, arm=arm) for arm in BASELINES]
            found += [replace(cell, arm=arm, quality=q) for q in qualities for arm in ('alone', 'genmix')]
        for name, values in alone.items():
            ways = [(arm, '') for arm in BASELINES if name in trains_all]
            ways += [('alone', best), ('genmix', best)]
            for value in values:
                for arm, quality in ways:
                    cell = replace(default, question=name, cohort=cohort, arm=arm, quality=quality)
                    found.append(cell.varied(value))
    return found


# ---- units of work: called with the run's name and home, on any machine that sees its folder ----


def cached_result(study, name, compute, params, inputs):
    """What `compute()` gives, a dict of numbers, saved in stage `name`."""

    def build(out):
        (out / 'result.json').write_text(json.dumps(compute()))

    with quiet():
        return json.loads((study.stage(name, build, params, inputs) / 'result.json').read_text())


def make_sets(run, home, cohort, fraction, steps, per_class):
    """Stage sets/c<cohort>-f<fraction>:

    a diffusion model, and `per_class` samples at each of five snapshots.
    """
    study = Study(run, home)
    train = dev.training_split(study, cohort, fraction)
    changes = {'steps': steps, 'snapshot_samples': per_class, 'snapshots': 5, 'seed': cohort}
    config = config_from(Diffusion.Config, values_of('05_diffusion'), **changes, scratch=False)

    def build(out):
        model = Diffusion.fit(train, out, config)
        for step, frame in zip(model.config['snapshot_steps'], np.load(out / 'snapshots.npy')):
            images = np.concatenate([model.nps(x, label, cohort) for label, x in enumerate(frame)])
            labels = np.repeat(np.arange(len(frame)), per_class)
            owners, source = ['synthetic'] * len(labels), f'diffusion-{step}'
            (out / f'{step}').mkdir(exist_ok=True)
            Cohort(images, labels, owners, train.class_names, source).save(out / f'{step}')

    name, inputs = f'sets/c{cohort}-f{fraction}', [train.content_hash, *config.inputs()]
    with quiet():
        study.stage(name, build, asdict(config), inputs)


def synthetic(study, cohort, fraction, which, per_class):
    """The synthetic set of one quality; fresh phantoms for the oracle, and where nothing is drawn from it."""
    if which in (ORACLE, ''):
        return first_per_class(dev.load_dev_cohort(study, dev.ORACLE_SEED + cohort), per_class)
    return first_per_class(Cohort.load(study.folder / f'sets/c{cohort}-f{fraction}' / which), per_class)


def set_quality(run, home, cohort, fraction, which, per_class):
    """KID, coverage and diversity of a set against dev lesions, each the mean over the classes: a dict."""
    study = Study(run, home)
    made = synthetic(study, cohort, fraction, which, per_class)
    real = dev.load_dev_cohort(study, dev.TEST_SEED)

    def compute():
        extract, rows = features.load_features(), []
        for label in range(len(real.class_names)):
            r, s = (extract(c.images[c.labels == label][:500]) for c in (real, made))
            kid = fidelity.mmd2(fidelity.kernel(r, r), fidelity.kernel(s, s), fidelity.kernel(r, s))
            rows.append((kid, fidelity.prdc(r, s)['coverage'], fidelity.diversity(s)))
        means = dict(zip(('kid', 'coverage', 'diversity'), map(float, np.mean(rows, 0))))
        return {'cohort': cohort, 'train_fraction': fraction, 'quality': which, **means}

    name = f'looks/c{cohort}-f{fraction}-q{which}'
    return cached_result(
        study, name, compute, {'per_class': per_class}, [made.content_hash, real.content_hash]
    )


def arm_of(setting):
    """The Arm of a Setting."""
    if setting.arm == 'alone':
        return with_generator('synthetic', 'g', 1 / 2)
    if setting.arm == 'genmix':
        stored, dose = setting.mix == 'offline', setting.batches.mixed_share / 2
        return with_generator('genmix', 'g', dose, rule='genmix', stored=stored)
    return arms_for()[setting.arm]


def classifier_scores(run, home, setting, default):
    """Scores of one classifier on dev lesions:

    balanced accuracy and the sensitivity of each class; a dict.
    """
    study, s = Study(run, home), setting.less(default)
    train, test = (
        dev.training_split(study, s.cohort, s.train_fraction),
        dev.load_dev_cohort(study, dev.TEST_SEED),
    )
    made = synthetic(study, s.cohort, s.train_fraction, s.quality, s.per_class)
    arm = arm_of(s)

    def compute():
        stored = mix_sets(train, made, STORED, s.rule, s.cohort) if arm.stored else None
        pool = Pool(train, made, stored)
        model = dev.train_arm(arm, train, pool, s.regime, s.cohort, s.batches, s.rule)
        found = score(test.labels, predict(model, test.images, s.regime.input_size))
        classes = {f'sensitivity_{name}': found['sensitivity', k] for k, name in enumerate(test.class_names)}
        return {'balanced_accuracy': found['balanced_accuracy', 'all'], **classes}

    inputs = [c.content_hash for c in (train, made, test)]
    name = '-'.join(f'{value}' for value in (s.row | {'question': s.arm}).values() if value != s.arm)
    return setting.row | cached_result(
        study, f'units/{s.arm}-{name}', compute, {'setting': asdict(s)}, inputs
    )


def run(study, settings, default, steps=600, workers=0, scheduler=''):
    """(scores, sets): a row per classifier and a row per synthetic set; cached units are kept."""
    (per_class,) = {s.per_class for s in settings}
    dev.make_dev_cohorts(study, {s.cohort for s in settings})

    def call(function, units, label):
        units = [(study.run, study.home, *unit) for unit in units]
        return list(progress(run_parallel(function, units, workers, scheduler), label, len(units)))

    trained = {(s.cohort, s.train_fraction) for s in settings if s.quality not in (ORACLE, '')}
    call(make_sets, [(*cell, steps, per_class) for cell in sorted(trained)], 'generators')
    made = {(s.cohort, s.train_fraction, s.quality) for s in settings if s.quality}
    sets = call(set_quality, [(*unit, per_class) for unit in sorted(made)], 'sets')
    once = {s.less(default): s for s in settings}.values()  # the others find their classifier in the run
    call(classifier_scores, [(s, default) for s in once], 'classifiers')
    scores = [classifier_scores(study.run, study.home, s, default) for s in settings]
    order = ['cohort', 'train_fraction', 'kid']
    sets = pd.DataFrame(sets).sort_values(order, ignore_index=True)
    return pd.DataFrame(scores).round(5), sets.round(5)
