"""Cohorts of real images: a large set is divided once, and each part is then a run like one of the long run.

The strength of the classical augmentation is chosen on images that are in no cohort and in no test set.
Everything is a stage of the run real-<name>, so that work that was stopped goes on where it was.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from genmix import StudyError
from genmix.appendix.defaults import config_from, values_of
from genmix.appendix.dev_sets import call_all, kept_result
from genmix.appendix.long_run import DEV, FIRST, PROFILE, Plan
from genmix.appendix.regime import score_arm
from genmix.classifier.config import Regime
from genmix.data import division, splits
from genmix.data.build import READERS, CohortConfig
from genmix.data.cohort import Cohort
from genmix.mixing.arms import arms_for
from genmix.results.cohorts import without_paths
from genmix.results.metrics import PRIMARY
from genmix.results.real_sets import NONE, STRENGTHS
from genmix.run.notebooks import notebooks
from genmix.run.profile import parameter_of, read_profile, resolve
from genmix.run.settings import as_set, read_settings, split_set
from genmix.run.study import Study, home

COHORTS, DEV_COHORTS = 15, 4  # that a set is divided into
TRAININGS = 2  # of each strength on each dev cohort
ALL_TRAIN = '01_data.train_fraction', '1.0'  # unless SET says otherwise
OWN = 'dataset', 'augmentation_strength', *(name for _, names in READERS.values() for name in names)


@dataclass(frozen=True, kw_only=True)
class RealPlan(Plan):
    """What every cohort of a divided set is asked.

    name      of the set                               division   how it is divided
    whole     SET of the whole, {key: value}, but for paths
    strength  of the classical augmentation, as it was chosen
    """

    name: str
    division: division.Division
    whole: Mapping = field(default_factory=dict)
    strength: float = 1.0

    def asked(self, seed: int) -> str:
        part = f'runs/{run_of(self.name, self.profile)}/{division.STAGE}/{seed - FIRST:02d}'
        own = {'augmentation_strength': self.strength, 'dataset': 'subsample', 'data_dir': part}
        return f'{super().asked(seed)} {as_set(own.items())}'

    def run(self, seed: int) -> str:
        return f'{run_of(self.name, self.profile)}-{seed}'

    def folder(self, home: Path, seed: int = FIRST) -> Path:
        if self.profile == PROFILE:
            return home / 'measured' / 'real' / self.name
        return home / 'runs' / f'cohorts-{self.profile}-{self.name}'

    @property
    def about(self) -> dict:
        return {'set': {'name': self.name, 'asked': self.whole, 'division': asdict(self.division)}}


def run_of(name: str, profile: str) -> str:
    """Name of the run that holds a divided set; those of its cohorts add their seed."""
    return f'real-{name}' if profile == PROFILE else f'real-{profile}-{name}'


def real_plan(name: str, text: str, parts: division.Division, base: Plan) -> tuple[RealPlan, dict]:
    """(plan, {notebook: {parameter: value}} of the whole) of a set; the strength is still to be chosen.

    text   SET: by what the set is read, and what its runs are asked beside that
    base   the Plan whose profile, steps and tuned arms the runs have

    A cohort trains on all its training patients, unless SET says otherwise: it is as small as what a cohort
    of phantoms trains on.  StudyError for what no notebook knows, and for a strength: it is no free choice.
    """
    pairs = split_set(text)
    if any(key.rpartition('.')[2] == 'augmentation_strength' for key, _ in pairs):
        raise StudyError(
            'augmentation_strength is chosen on the dev cohorts of the set: leave it out of SET.'
        )
    every = notebooks(home() / 'notebooks', appendices=True)
    settings = read_settings([ALL_TRAIN, *pairs], parameter_of(every))
    profile = read_profile(home() / 'params' / f'{base.profile}.yaml')
    values = resolve(profile, settings, every)
    values = {nb: values_of(nb, base.profile) | values[nb] for nb in ('01_data', '08_classification')}
    whole = without_paths(read_settings(pairs, parameter_of(every)))
    extra = as_set([ALL_TRAIN, *(pair for pair in pairs if pair[0].rpartition('.')[2] not in OWN)])
    own = {f: getattr(base, f) for f in ('profile', 'steps', 'tuned', 'lengths')}
    return RealPlan(name=name, division=parts, whole=whole, extra=extra, **own), values


def divide(plan: RealPlan, values: dict) -> tuple[Study, Path]:
    """(run of the set, folder of its stage `divided`).  Errors of `data.division.divide`."""
    study = Study(run_of(plan.name, plan.profile), home())
    config = config_from(CohortConfig, values['01_data'])
    return study, division.divide(study, config, plan.division, **values['01_data'])


def measure(plan: RealPlan, values: dict, workers=0, scheduler='') -> dict:
    """What set.json holds of a set (`results.real_sets`): each strength is tried on its dev cohorts."""
    study, folder = divide(plan, values)
    tested, dev = (Cohort.load(folder / name) for name in (division.POPULATION, division.DEV))
    regime = values['08_classification'] | ({'steps': plan.steps} if plan.steps else {})
    how = regime, {f: values['01_data'][f] for f in ('n_folds', 'train_fraction')}, dev.content_hash
    units = [
        (strength, k, i, *how)
        for strength in (0.0, *STRENGTHS)
        for k in range(plan.division.dev)
        for i in range(TRAININGS)
    ]
    found = call_all(study, tried, units, 'strengths', workers, scheduler)
    scores = {(r['strength'], r['cohort'], r['training']): r[PRIMARY] for r in found}
    means = {
        strength: [
            round(float(np.mean([scores[strength, k, i] for i in range(TRAININGS)])), 5)
            for k in range(plan.division.dev)
        ]
        for strength in (0.0, *STRENGTHS)
    }
    about = {name: plan.about['set'][name] for name in ('asked', 'division')}
    about |= {'source': tested.source.rpartition('; ')[0], 'population': tested.counts.to_dict()}
    return about | {'tried': {f'{s:g}' if s else NONE: values for s, values in means.items()}}


def tried(run, home, strength, number, training, values, parts, content):
    """Balanced accuracy of one classifier on the other dev cohorts of a set, decided by the class mass that
    it was trained on: a dict.  Arm `classical` with a strength, `none` where that is 0.
    """
    study, seed = Study(run, home), DEV + TRAININGS * number + training
    arm = arms_for()['classical' if strength else 'none']
    regime = config_from(Regime, values, augmentation_strength=strength or 1.0)

    def compute():
        dev = Cohort.load(study.folder / division.STAGE / division.DEV)
        own = (dev.extra.cohort == number).to_numpy()
        test, cohort = dev[~own], dev[own]
        train = splits.select(cohort, splits.make_splits(cohort, **parts, seed=seed))
        return {PRIMARY: float(score_arm(arm, train, None, test, regime, seed)[PRIMARY])}

    about = {'strength': strength, 'cohort': number, 'training': training}
    params = about | {'arm': asdict(arm), 'regime': asdict(regime), 'parts': parts}
    name = f'strengths/{strength:g}-{number}-{training}'
    return about | kept_result(study, name, compute, params, [content], tried)
