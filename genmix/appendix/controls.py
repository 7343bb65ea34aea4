"""The generators' controls, each measured once: trained longer, on another base, sampled otherwise.

Everything happens on `dev` phantoms, as in `appendix.regime`.  Lesions, trainings, sets and what is measured
of a set are stages of the run, so controls that were stopped go on where they were.
"""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd

from genmix.appendix.controls_plan import FILMED, GENERATORS
from genmix.appendix.controls_summary import COLUMNS, METRICS, REAL, STUDY, Measured
from genmix.appendix.defaults import values_of
from genmix.audit.audit import audit_sets
from genmix.audit.card import generator_card
from genmix.audit.features import cached_features, load_features
from genmix.audit.fidelity import kid
from genmix.data import splits
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan as phantoms
from genmix.data.sampling import first_per_class
from genmix.generators.gan.training import sample_steps
from genmix.generators.latent.known_words import known_prompts
from genmix.generators.synthetic import sample_set
from genmix.run.log import progress, quiet
from genmix.run.parallel import run_parallel
from genmix.run.provenance import code_key
from genmix.run.study import Study

# Seeds of lesions in population `dev`: no other part of the study draws them.
SEEDS = {'training': 709, 'evaluation': 711, 'reference': 712, 'judge_training': 710}
FILM, SHOWN = 4, 5  # images per class that are kept of the film and of a set


def run(study, plan, profile, per_class, workers=0, scheduler=''):
    """The Measured of every Control of `plan`, `per_class` images of each class; cached units are kept."""
    own = values_of('06_generator_audit', profile)
    counts = dict.fromkeys(SEEDS, [own['real_lesions']] * 3) | {'reference': [per_class] * 3}
    counts |= {'judge_training': [own['reference_lesions']] * 3}
    counts |= {'training': values_of('01_data', profile)['lesions']}

    def call(function, units, label):
        units = [(study.run, study.home, *unit) for unit in units]
        list(progress(run_parallel(function, units, workers, scheduler), label, len(units)))

    call(draw_lesions, [(name, counts[name], profile) for name in SEEDS], 'lesions')
    call(train, [(control, profile) for control in first_of_each(plan)], 'trainings')
    call(sample, [(control, profile, per_class) for control in plan], 'sets')
    lesions = training_split(study, profile)
    about = {'class_names': lesions.class_names, 'training_lesions': len(lesions), 'per_class': per_class}
    tables = score(study, plan, profile), through_training(study, plan, profile)
    return Measured(*tables, examples(study, plan, profile), about)


# ---- units of work: called with the run's name and home, on any machine that sees its folder ----


def draw_lesions(run, home, name, counts, profile):
    """Stage lesions/<name>: phantoms of population `dev`."""
    params = {'counts': list(counts), 'image_size': values_of('01_data', profile)['image_size']}
    params['seed'] = SEEDS[name]
    with quiet():
        Study(run, home).stage(
            f'lesions/{name}', lambda out: phantoms.draw('dev', **params).save(out), params, code=phantoms
        )


def train(run, home, control, profile):
    """The stage of a control's training."""
    study, owner, config = Study(run, home), GENERATORS[control.generator], control.config(profile)
    lesions = training_split(study, profile)
    inputs = [lesions.content_hash, *getattr(config, 'inputs', tuple)()]
    with quiet():
        study.stage(
            control.trained, lambda out: owner.fit(lesions, out, config), asdict(config), inputs, code=owner
        )


def sample(run, home, control, profile, per_class):
    """Stage sets/<name of the control>: its synthetic set."""
    study, owner = Study(run, home), GENERATORS[control.generator]
    lesions = training_split(study, profile)

    def build(out):
        model = owner.load(study.folder / control.trained)
        sample_set(Resampled(model, control, lesions, profile), lesions, per_class, 0).save(out)

    params, inputs = {'per_class': per_class, 'sampling': control.sampling}, [study.key(control.trained)]
    if 'prompt' in control.sampling:
        inputs.append(code_key(known_prompts))
    with quiet():
        study.stage(f'sets/{control.name}', build, params, inputs, code=owner)


class Resampled:
    """A trained generator that samples as its Control says."""

    def __init__(self, model, control, cohort, profile):
        self.name, self.model, self.changes = control.generator, model, dict(control.sampling)
        if 'sampling_steps' in self.changes:
            self.changes['steps'] = self.changes.pop('sampling_steps')
        self.prompts = None
        if 'prompt' in self.changes:  # the noise correction was measured on samples of the learned tokens
            own = values_of(model.notebook, profile)
            known = known_prompts(cohort, own['templates'][0], own['num_vectors'], model.pipeline.tokenizer)
            self.prompts = known[self.changes.pop('prompt')]
            self.changes['nps_correction'] = False

    def sample(self, label, n, seed):
        """uint8 (n, H, W), as `generators.Generator.sample`."""
        prompt = {'prompt': self.prompts[label]} if self.prompts else {}
        return self.model.sample(label, n, seed, **self.changes, **prompt)


# ---- what is read of the stages ----


def training_split(study, profile):
    """The training lesions of every control, a Cohort: as many as the study's."""
    cohort = Cohort.load(study.need('lesions/training', 'controls'))
    fraction = values_of('01_data', profile)['train_fraction']
    return splits.select(cohort, splits.make_splits(cohort, train_fraction=fraction), 0, 'train')


def score(study, plan, profile):
    """scores.csv: the generator card of every set, in COLUMNS."""
    own = values_of('06_generator_audit', profile)
    sets = {control.name: Cohort.load(study.folder / 'sets' / control.name) for control in plan}
    held = {name: Cohort.load(study.folder / 'lesions' / name) for name in SEEDS if name != 'training'}
    lesions, steps = training_split(study, profile), (own['reference_steps'], own['tstr_steps'])
    _, audited, _, tstr = audit_sets(study, sets, lesions, held, own['features'], *steps, own['searched'])
    beside = audited.pop('evaluation'), audited.pop('reference')
    card = generator_card(audited, *beside, tstr)
    card = card[card.metric.isin(METRICS)].rename(columns={'generator': 'set', 'value': 'score'})
    about = [
        {'set': c.name, 'generator': c.generator, 'base': c.base, 'question': c.question}
        | {'setting': c.setting, 'steps': c.config(profile).steps}
        for c in plan
    ]
    return pd.DataFrame(about).merge(card, on='set')[COLUMNS].round(4)


def through_training(study, plan, profile):
    """training.csv: the log of each DCGAN, and the KID of each snapshot of a diffusion model; column `set`.

    The KID of as many real lesions stands there as set REAL.
    """
    trained, tables = first_of_each(plan), []
    for control in (c for c in trained if c.generator == 'dcgan'):
        log = pd.read_csv(study.folder / control.trained / 'train_log.csv')
        tables.append(log.filter(regex='step|loss|within').assign(set=control.name))
    if diffusion := [c for c in trained if c.generator == 'diffusion']:
        size = values_of('05_diffusion', profile)['snapshot_samples']
        tables += kid_tables(study, diffusion, size)
    return pd.concat(tables).set_index('set').reset_index().round(4)


def first_of_each(plan):
    """The first control of each training: a list."""
    found = {}
    for control in plan:
        found.setdefault(control.trained, control)
    return list(found.values())


def kid_tables(study, controls, per_class):
    """Tables (set, step, kid, sd) of the snapshots of each control, and of `per_class` real lesions."""
    evaluation, reference = (Cohort.load(study.folder / 'lesions' / n) for n in ('evaluation', 'reference'))
    extract, real = load_features(), cached_features(study, 'evaluation', evaluation)
    stacks = {REAL: [first_per_class(reference, per_class).images]}
    for control in controls:
        snapshots = np.load(study.folder / control.trained / 'snapshots.npy')
        stacks[control.name] = snapshots.reshape(len(snapshots), -1, *snapshots.shape[-2:])
    steps = {control.name: snapshot_steps_of(study, control) for control in controls}
    size = max(8, per_class * len(evaluation.class_names) // 2)
    tables = []
    for name, stack in stacks.items():
        values = [kid(real, extract(images), size=size) for images in stack]
        table = pd.DataFrame(values, columns=['kid', 'sd'])
        tables.append(table.assign(set=name, step=steps.get(name, [0])))
    return tables


def snapshot_steps_of(study, control):
    """Training steps of the snapshots of a latent generator: a list."""
    return json.loads((study.folder / control.trained / 'config.json').read_text())['snapshot_steps']


def examples(study, plan, profile):
    """Images by name, uint8 (K, SHOWN, H, W): REAL lesions, the study's sets, those without D4 or base.

    Beside them `film`, samples of the DCGAN without D4 augmentation (t, K, FILM, H, W), and `film_steps`,
    int (t,).
    """
    (filmed,) = (c for c in plan if c.question == FILMED)
    film = np.load(study.folder / filmed.trained / 'samples.npy')[:, :, :FILM]
    found = {'film': film, 'film_steps': sample_steps(filmed.config(profile).steps).astype(int)}
    shown = [c.name for c in plan if c.question in (STUDY, FILMED, 'scratch')]
    sets = {REAL: training_split(study, profile)}
    sets |= {name: Cohort.load(study.folder / 'sets' / name) for name in shown}
    for name, cohort in sets.items():
        by_class = [cohort.images[cohort.labels == k][:SHOWN] for k in range(len(cohort.class_names))]
        found[name] = np.stack(by_class)
    return found
