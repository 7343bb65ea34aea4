"""How the training regime was chosen: on `dev` phantoms, which the study never tests on."""

from itertools import product

import numpy as np
import pandas as pd
import torch

from genmix.appendix.defaults import classification
from genmix.classifier.training import fit_classifier, predict
from genmix.classifier.vgg import build_classifier
from genmix.data import splits
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.mixing.arms import arms_for
from genmix.mixing.batches import Batches, Pool, batch_mass
from genmix.results.metrics import PRIMARY, score
from genmix.run.log import progress
from genmix.run.parallel import run_in_order
from genmix.run.study import Study

TRAIN_LESIONS, TEST_LESIONS, ORACLE_LESIONS = plan.COUNTS, (800, 500, 800), (600, 600, 600)
TEST_SEED, ORACLE_SEED = 1000, 2000  # dev streams of their own, apart from the training cohorts 0, 1, 2, ...


def make_dev_cohorts(study, seeds):
    """Phantoms of population `dev` as stages dev/seed<number>.

    Training cohorts `seeds`, fresh ones for their oracles, and one test set.
    """
    wanted = {TEST_SEED: TEST_LESIONS} | dict.fromkeys(seeds, TRAIN_LESIONS)
    wanted |= {ORACLE_SEED + seed: ORACLE_LESIONS for seed in seeds}
    for seed, lesions in wanted.items():

        def build(out, seed=seed, lesions=lesions):
            plan.draw('dev', lesions, seed=seed).save(out)

        study.stage(f'dev/seed{seed}', build, {'seed': seed, 'lesions': list(lesions)}, code=plan)


def load_dev_cohort(study, number):
    """The dev cohort of that number, which `make_dev_cohorts` has made."""
    return Cohort.load(study.need(f'dev/seed{number}', 'regime'))


def training_split(study, seed, train_fraction):
    """The training split of dev cohort number `seed`: a Cohort."""
    cohort = load_dev_cohort(study, seed)
    split = splits.make_splits(cohort, train_fraction=train_fraction, seed=seed)
    return splits.select(cohort, split, 0, 'train')


def train_arm(arm, train, pool, regime, seed, batches, rule):
    """The classifier of one arm, trained as `trials.run` does."""
    torch.manual_seed(seed)
    model = build_classifier(regime, train)
    fit_classifier(model, arm, pool, regime, seed, batches, rule)
    return model


def score_arm(arm, train, made, test, regime, seed, batches=None, rule=None):
    """Scores on the lesions `test` of a classifier of one arm, a dict: balanced accuracy decided by the class
    mass of its batches and by plain argmax, macro AUC.

    made   its synthetic set, None for an arm without a generator
    """
    pool = Pool(train, made)
    model = train_arm(arm, train, pool, regime, seed, batches, rule)
    mass = batch_mass(Batches(arm, pool, regime.steps, regime.batch_size, seed, batches, rule))['labels']
    p = predict(model, test.images, regime.input_size).astype(float)
    found, plain = score(test.labels, p, mass), score(test.labels, p)
    auc = found['macro_auc', 'all']
    return {PRIMARY: found[PRIMARY, 'all'], 'argmax': plain[PRIMARY, 'all'], 'macro_auc': auc}


def dev_score(run, home, seed, train_fraction, arm, changes):
    """Balanced accuracy on dev lesions of one arm, trained on the training split of dev cohort number `seed`.

    changes   {parameter: value} of 08_classification that differ from the profile
    """
    study = Study(run, home)
    regime, batches, rules = classification(**changes)
    train, oracle = training_split(study, seed, train_fraction), load_dev_cohort(study, ORACLE_SEED + seed)
    arm = arms_for(['oracle'])[arm]
    model = train_arm(arm, train, Pool(train, oracle), regime, seed, batches, rules.get(arm.rule))
    test = load_dev_cohort(study, TEST_SEED)
    return score(test.labels, predict(model, test.images, regime.input_size))['balanced_accuracy', 'all']


def measure(study, question, axes, seeds, base, workers=2):
    """Balanced accuracy on dev over the product of `axes` ({column: values}) and seeds: a row per classifier.

    Columns: question, arm, steps, train_fraction, mixed_share, seed, balanced_accuracy.  What is no axis
    comes from `base`, and what neither has from params/cpu.yaml.
    """
    rows = [base | dict(zip([*axes, 'seed'], values)) for values in product(*axes.values(), range(seeds))]
    make_dev_cohorts(study, {row['seed'] for row in rows})
    units = []
    for row in rows:
        changes = {k: v for k, v in row.items() if k not in ('arm', 'seed', 'train_fraction')}
        units.append((study.run, study.home, row['seed'], row['train_fraction'], row['arm'], changes))
    scores = list(progress(run_in_order(dev_score, units, workers), 'dev', len(units)))
    table = pd.DataFrame(rows)[['arm', 'steps', 'train_fraction', 'mixed_share', 'seed']]
    table.insert(0, 'question', question)
    return table.assign(balanced_accuracy=np.round(scores, 5))
