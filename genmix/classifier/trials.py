"""Trials: one classifier for one arm, seed and fold, and its predictions.

They run side by side and are saved one by one.
"""

import gzip
import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from genmix import StudyError
from genmix.classifier.config import Regime
from genmix.classifier.training import fit_classifier, predict
from genmix.classifier.vgg import Classifier, build_classifier
from genmix.data.build import part
from genmix.data.cohort import Cohort
from genmix.data.splits import check_split
from genmix.mixing import rules
from genmix.mixing.arms import Arm, slug
from genmix.mixing.batches import Batches, Pool, batch_mass
from genmix.mixing.config import BatchConfig
from genmix.mixing.dataset import load_set
from genmix.run.device import DEVICE
from genmix.run.files import atomic_write, checksum, first_damage, written
from genmix.run.gpu import gpu_job
from genmix.run.log import log, progress
from genmix.run.parallel import run_parallel
from genmix.run.provenance import code_key, environment, key_of
from genmix.run.study import Study, stage_name

# {test set: its stage} of phantoms; on `dev` bias and temperature are fitted, it is never scored
TEST_SETS = {'population': 'population', 'dev': 'calibration'}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one prediction file depends on: plain values, so that it can be sent to another process.

    rule      parameters of the arm's mixing rule, {} for none
    plugins   files that bring rules
    kept      whether the weights and the losses are saved as well, for figures
    """

    arm: Arm
    seed: int
    fold: int = 0
    regime: Regime
    batches: BatchConfig
    rule: dict = field(default_factory=dict)
    plugins: tuple = ()
    kept: bool = False

    @property
    def name(self) -> str:
        return f'{self.arm.slug}-s{self.seed}-f{self.fold}'

    @property
    def own_regime(self) -> Regime:
        """The regime, with the steps of the arm where it has its own."""
        return replace(self.regime, steps=self.arm.steps or self.regime.steps)

    def make_rule(self) -> Any:
        """The mixing rule of the arm, None where it has none."""
        return rules.known(self.plugins)[self.arm.rule](**self.rule) if self.arm.rule else None

    def key(self, study: Study) -> str:
        """The cache key: arm, seed, fold, regime, the data that enter, and mixing where the arm mixes."""
        params = {'arm': asdict(self.arm), 'seed': self.seed, 'fold': self.fold, 'kept': self.kept}
        params |= {'regime': asdict(self.own_regime), 'batches': self.batches.used_by(self.arm)}
        inputs = [study.key(name) for name in ('cohort', *TEST_SETS.values())]
        if self.arm.generator:
            inputs.append(study.key(stage_name('synthetic', self.arm.generator, self.fold)))
        if self.arm.rule:
            rule = self.make_rule()
            params['rule'] = asdict(rule)
            inputs.append(code_key(type(rule)))
        if self.arm.stored:
            inputs.append(study.key(stage_name('mixed', self.arm.generator, self.fold)))
        return key_of(params, inputs, run)

    def is_cached(self, study: Study) -> bool:
        """Whether predictions exist, their key is current, and they are as they were written."""
        try:
            about = json.loads(self.about(study).read_text(encoding='utf-8'))
            current = about['key'] == self.key(study) and self.file(study).exists()
            damage = first_damage(study.folder, about.get('files', {})) if current else ''
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return False
        if damage:
            log.info(f'{damage} is gone or not as it was written: {self.name} is trained again')
        return current and not damage

    def file(self, study):
        return study.folder / 'predictions' / f'{self.name}.csv.gz'

    def about(self, study):
        return study.folder / 'predictions' / f'{self.name}.json'


def sets_to_predict(study: Study, fold: int) -> dict[str, Cohort]:
    """{test set: Cohort} of a run: the hold-out of the fold, and those of TEST_SETS that it has."""
    found = {name: stage for name, stage in TEST_SETS.items() if study.key(stage)}
    phantoms = {name: Cohort.load(study.need(stage, '08_classification')) for name, stage in found.items()}
    return {'holdout': part(study, 'test', fold), **phantoms}


def pool_for(study: Study, trial: Trial) -> tuple[Pool, Cohort]:
    """(Pool, training cohort) of a trial.  StudyError when a set of images was learned from another split."""
    train, arm = part(study, 'train', trial.fold), trial.arm
    if not arm.generator:
        return Pool(train), train
    synthetic = Cohort.load(study.need(stage_name('synthetic', arm.generator, trial.fold), '07_genmix'))
    check_split(synthetic, train)
    if not arm.stored:
        return Pool(train, synthetic), train
    stored = load_set(study, train, synthetic, trial.fold)
    made = study.provenance(stage_name('mixed', arm.generator, trial.fold))['params']
    for name, value in trial.rule.items():
        if made[name] != value:
            raise StudyError(
                f'08 asks for {name}={value} but the GenMix sets were made with {made[name]}: give both '
                'the same.'
            )
    return Pool(train, synthetic, stored), train


def run(trial: Trial, run_name: str, home: Path) -> float:
    """Train one classifier; write its predictions, and its weights and losses where they are kept.

    Returns seconds.
    """
    study, start = Study(run_name, home), time.time()
    key = trial.key(study)  # before the work: of the code that does it
    trial.about(study).unlink(missing_ok=True)
    with gpu_job(trial.name, lower='batch_size or input_size of 08_classification'):
        model, losses, tables, mass = trained(trial, study)
    made = [trial.file(study)]
    if trial.kept:
        made += save_classifier(study, trial, key, model, losses)
    with atomic_write(trial.file(study)) as path:  # no time of writing inside: same numbers, same bytes
        path.write_bytes(gzip.compress(pd.concat(tables).to_csv(index=False).encode(), mtime=0))
    seconds = time.time() - start
    about = {'key': key, 'arm': trial.arm.name, 'seed': trial.seed, 'fold': trial.fold}
    about |= {'mass': mass['labels'], 'synthetic': mass['synthetic']}
    about |= {'seconds': round(seconds, 1), 'final_loss': float(losses[-50:].mean()), **environment()}
    about['files'] = {path.relative_to(study.folder).as_posix(): checksum(path) for path in made}
    with atomic_write(trial.about(study)) as path:
        path.write_text(json.dumps(about, indent=1))
    return seconds


def trained(trial, study):
    """(model, losses (steps,), tables of predictions, `batch_mass` of its batches) of one trial."""
    pool, train = pool_for(study, trial)
    torch.manual_seed(trial.seed)
    regime, how = trial.own_regime, (trial.seed, trial.batches, trial.make_rule())
    model = build_classifier(regime, train)
    losses = fit_classifier(model, trial.arm, pool, regime, *how)
    mass = batch_mass(Batches(trial.arm, pool, regime.steps, regime.batch_size, *how))
    tables = []
    for name, cohort in sets_to_predict(study, trial.fold).items():
        p = predict(model, cohort.images, regime.input_size).astype(float).round(6)
        table = cohort.manifest[['id', 'patient', 'label']]
        tables.append(
            table.assign(**{f'p_{c}': p[:, k] for k, c in enumerate(cohort.class_names)}, test_set=name)
        )
    return model, losses, tables, mass


def save_classifier(study, trial, key, model, losses):
    """classifiers/<arm>/: weights, config and training loss of one seed, for figures; returns the files."""
    folder = study.folder / 'classifiers' / trial.arm.slug
    with atomic_write(folder / 'model.safetensors') as path:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    with atomic_write(folder / 'config.json') as path:
        path.write_text(json.dumps({**asdict(trial.own_regime), 'key': key}))
    with atomic_write(folder / 'train_log.csv') as path:
        pd.DataFrame({'step': np.arange(1, len(losses) + 1), 'loss': losses}).to_csv(path, index=False)
    return [folder / name for name in ('model.safetensors', 'config.json', 'train_log.csv')]


def load_classifier(study, arm):
    """The saved classifier of an arm, by its name: (model, config)."""
    folder = study.folder / 'classifiers' / slug(arm)
    config = json.loads((folder / 'config.json').read_text())
    weights = load_file(folder / 'model.safetensors')
    with torch.device('meta'):  # nothing is drawn: all comes from the file
        model = Classifier(len(weights['net.classifier.6.bias']), config['vgg_width'], config['input_size'])
    model.load_state_dict(weights, assign=True)
    return model.to(DEVICE, memory_format=torch.channels_last), config


def run_all(study, trials, workers=0, scheduler=''):
    """Run the trials that are not cached, side by side; returns their seconds in all.

    A trial is saved as soon as it is done, so a killed run resumes; predictions of other arms are removed.
    """
    todo = [t for t in trials if not t.is_cached(study)]
    log.info(f'{len(trials) - len(todo)} of {len(trials)} trials are cached, {len(todo)} to run')
    done: Any = run_parallel(run, [(t, study.run, study.home) for t in todo], workers, scheduler)
    seconds = sum(progress(done, 'classifiers', len(todo)))
    names = {t.name for t in trials}
    for old in (study.folder / 'predictions').glob('*-s*-f*.*'):
        if old.name.split('.')[0] not in names:
            old.unlink()
    arms = {t.arm.name: asdict(t.arm) | {'steps': t.own_regime.steps} for t in trials}
    about = {
        'trials': {t.name: t.key(study) for t in trials},
        'arms': arms,
        'batches': asdict(trials[0].batches),
    }
    files = [t.file(study) for t in trials]  # without their .json, which hold the seconds they took
    for name in arms:
        files += written(study.folder / 'classifiers' / slug(name))
    study.sign('predictions', about, files=files)
    return seconds
