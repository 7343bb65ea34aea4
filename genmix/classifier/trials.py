"""Trials: one classifier trained for one arm, seed and fold, and its predictions.  They run side by side and are kept one by one."""

import gzip
import json
import time
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from genmix import StudyError
from genmix.classifier import training, vgg
from genmix.data import build
from genmix.data.cohort import Cohort
from genmix.data.splits import check_split
from genmix.mixing import arms, dataset, rules
from genmix.mixing.arms import Arm
from genmix.mixing.batches import Batches, MixingConfig, Pool
from genmix.run import device
from genmix.run.files import atomic_write
from genmix.run.log import log, progress
from genmix.run.parallel import run_parallel
from genmix.run.provenance import environment, key_of
from genmix.run.study import Study, stage_name


@dataclass(frozen=True)
class Regime:
    """How every classifier is trained: the same for all arms.

    steps, batch_size  optimiser steps and images a step      lr, weight_decay  peak of the one-cycle schedule, of AdamW
    input_size         side of the classifier's input [px]    vgg_width  1.0 is VGG-16      weights  '' or 'imagenet'
    """

    steps: int = 1200
    batch_size: int = 32
    lr: float = 2e-3
    weight_decay: float = 0.02
    input_size: int = 32
    vgg_width: float = 0.125
    weights: str = ''


@dataclass(frozen=True)
class Trial:
    """What one prediction file depends on."""

    arm: Arm
    seed: int
    fold: int
    regime: Regime
    mixture: MixingConfig

    @property
    def name(self):
        return f'{self.arm.name}-s{self.seed}-f{self.fold}'

    def key(self, study):
        """The cache key: arm, seed, fold, regime, mixing (for arms that use it), and the data that enter."""
        inputs = [study.key('cohort'), study.key('population')]
        if self.arm.generator:
            inputs.append(study.key(stage_name('synthetic', self.arm.generator, self.fold)))
        if self.stored:
            inputs.append(study.key(stage_name('mixed', self.arm.generator, self.fold)))
        params = {
            'arm': asdict(self.arm),
            'seed': self.seed,
            'fold': self.fold,
            'regime': asdict(self.regime),
        }
        if self.arm.mixing or self.arm.generator:
            params['mixture'] = asdict(self.mixture)
        return key_of(
            params,
            inputs,
            (arms, training, device, rules, run, pool_for, classifier_for, test_sets, dataset.load_set),
        )

    @property
    def stored(self):
        """True when the arm trains on the GenMix set of 07."""
        return self.arm.mixing == 'genmix' and self.mixture.mix == 'offline'

    def stands(self, study):
        """True when the predictions are there and were made from what is there now."""
        try:
            about = json.loads(self.about(study).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        return about['key'] == self.key(study) and self.file(study).exists()

    def file(self, study):
        return study.path('predictions', f'{self.name}.csv.gz')

    def about(self, study):
        return study.path('predictions', f'{self.name}.json')


def test_sets(study, fold):
    """{test set: cohort} of a run: the hold-out of the fold, and the phantom population where there is one."""
    return _test_sets(study.folder, fold, study.key('cohort'), study.key('population'))


@lru_cache(maxsize=4)
def _test_sets(folder, fold, *keys):  # read once in a process, again when a key changes
    study = Study(folder.name, folder.parents[1])
    found = {'holdout': build.part(study, 'test', fold)}
    if study.key('population'):
        found['population'] = Cohort.load(study.path('population'))
    return found


def pool_for(study, trial):
    """(Pool, training cohort) of a trial.  StudyError when a set of images was learned from another split."""
    train = build.part(study, 'train', trial.fold)
    if not trial.arm.generator:
        return Pool(train.images, train.labels, len(train.class_names)), train
    name = stage_name('synthetic', trial.arm.generator, trial.fold)
    synthetic = Cohort.load(study.need(name, '07_genmix'))
    check_split(synthetic, train)
    stored = None
    if trial.stored:
        stored = dataset.load_set(study, train, synthetic, trial.fold)
        made = study.provenance(stage_name('mixed', trial.arm.generator, trial.fold))['params']
        for rule in ('alpha', 'pairing', 'larger'):
            if made[rule] != getattr(trial.mixture, rule):
                raise StudyError(
                    f'08 asks for {rule}={getattr(trial.mixture, rule)} but the GenMix sets were made with {made[rule]}: give both the same.'
                )
    return Pool(
        train.images, train.labels, len(train.class_names), synthetic.images, synthetic.labels, stored
    ), train


def classifier_for(regime, train):
    """An untrained classifier with the statistics of the training images."""
    gray = train.images / np.float32(255)
    model = vgg.Classifier(
        len(train.class_names), regime.vgg_width, regime.input_size, float(gray.mean()), float(gray.std())
    )
    return vgg.load_imagenet(model) if regime.weights == 'imagenet' else model


def run(trial, run_name, home):
    """Train one classifier and write its predictions, its losses and, for seed 0, its weights.  Returns seconds."""
    study, start = Study(run_name, home), time.time()
    trial.about(study).unlink(missing_ok=True)
    pool, train = pool_for(study, trial)
    torch.manual_seed(trial.seed)
    model = classifier_for(trial.regime, train)
    draws = Batches(
        trial.arm,
        pool.to(training.DEVICE),
        trial.mixture,
        trial.regime.steps,
        trial.regime.batch_size,
        trial.seed,
    )
    losses = training.train(
        trial.arm,
        pool,
        draws,
        model,
        trial.regime.lr,
        trial.regime.weight_decay,
        trial.seed,
        trial.regime.input_size,
    )
    tables = []
    for name, cohort in test_sets(study, trial.fold).items():
        p = pd.DataFrame(
            training.predict(model, cohort.images, trial.regime.input_size),
            columns=[f'p_{c}' for c in cohort.class_names],
        )
        tables.append(
            pd.concat(
                [
                    cohort.manifest[['id', 'patient', 'label']],
                    p.astype(float).round(6),
                    pd.Series([name] * len(cohort), name='test_set'),
                ],
                axis=1,
            )
        )
    if trial.seed == 0 and trial.fold == 0:
        keep_weights(study, trial, model, losses)
    with atomic_write(trial.file(study)) as part:
        part.write_bytes(
            gzip.compress(pd.concat(tables).to_csv(index=False).encode(), mtime=0)
        )  # same numbers, same bytes
    about = {
        'key': trial.key(study),
        'seconds': round(time.time() - start, 1),
        'final_loss': float(losses[-50:].mean()),
        **environment(),
    }
    with atomic_write(trial.about(study)) as part:
        part.write_text(json.dumps(about, indent=1))
    return time.time() - start


def keep_weights(study, trial, model, losses):
    """classifiers/<arm>/: weights, config and training loss of one seed, for figures."""
    folder = study.path('classifiers', trial.arm.name, 'config.json').parent
    with atomic_write(folder / 'model.safetensors') as part:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, part)
    with atomic_write(folder / 'config.json') as part:
        part.write_text(json.dumps({**asdict(trial.regime), 'key': trial.key(study)}))
    with atomic_write(folder / 'train_log.csv') as part:
        pd.DataFrame({'step': np.arange(1, len(losses) + 1), 'loss': losses}).to_csv(part, index=False)


def load_classifier(study, arm):
    """The kept classifier of one arm (seed 0): (model, config)."""
    folder = study.folder / 'classifiers' / arm
    config = json.loads((folder / 'config.json').read_text())
    weights = load_file(folder / 'model.safetensors')
    with torch.device('meta'):  # nothing is drawn: all comes from the file
        model = vgg.Classifier(
            len(weights['net.classifier.6.bias']), config['vgg_width'], config['input_size']
        )
    model.load_state_dict(weights, assign=True)
    return model.to(training.DEVICE, memory_format=torch.channels_last), config


def run_all(study, trials, workers=0, scheduler=''):
    """Run the trials whose predictions do not stand, side by side (`engine.side_by_side`).

    A trial is kept as soon as it is done, so a killed run resumes; predictions of arms that are no longer asked for are removed.
    """
    todo = [t for t in trials if not t.stands(study)]
    log.info(f'{len(trials) - len(todo)} of {len(trials)} trials stand, {len(todo)} to run')
    done = run_parallel(run, [(t, study.run, study.home) for t in todo], workers, scheduler)
    seconds = sum(progress(done, 'classifiers', len(todo)))
    names = {t.name for t in trials}
    for old in study.path('predictions', 'x').parent.glob('*-s*-f*.*'):
        if old.name.split('.')[0] not in names:
            old.unlink()
    study.sign('predictions', {t.name: t.key(study) for t in trials} | {'mixture': asdict(trials[0].mixture)})
    return seconds
