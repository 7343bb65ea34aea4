"""How the training regime is chosen: on `dev` phantoms, which the study never tests on."""

from itertools import product

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed

from genmix.classifier import training as training_module
from genmix.classifier import trials
from genmix.data import splits
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.mixing.arms import arms_for
from genmix.mixing.batches import Batches, MixingConfig, Pool
from genmix.results.metrics import score
from genmix.run.device import DEVICE
from genmix.run.log import progress
from genmix.run.study import Study

TRAIN_LESIONS, TEST_LESIONS, ORACLE_LESIONS = plan.COUNTS, (800, 500, 800), (600, 600, 600)
TEST_SEED, ORACLE_SEED = 1000, 2000  # dev streams of their own, apart from the training cohorts 0, 1, 2, ...


def keep_dev_cohorts(study, seeds):
    """Phantoms of population `dev`, kept in the run as stages dev/seed<number>: training cohorts `seeds`, fresh ones for their oracles, one test set."""
    wanted = (
        {TEST_SEED: TEST_LESIONS}
        | {seed: TRAIN_LESIONS for seed in seeds}
        | {ORACLE_SEED + seed: ORACLE_LESIONS for seed in seeds}
    )
    for seed, lesions in wanted.items():
        study.stage(
            f'dev/seed{seed}',
            lambda out: plan.draw('dev', lesions, seed=seed).save(out),
            {'seed': seed, 'lesions': list(lesions)},
            code=plan,
        )


def load_dev_cohort(study, number):
    """The dev cohort of that number, which `dev_scores` or the sweep has made."""
    return Cohort.load(study.need(f'dev/seed{number}', 'regime'))


def training_split(study, seed, train_fraction):
    """The training split of dev cohort number `seed`: a Cohort."""
    cohort = load_dev_cohort(study, seed)
    return splits.select(
        cohort, splits.make_splits(cohort, train_fraction=train_fraction, seed=seed), 0, 'train'
    )


def taught(arm, train, synthetic, regime, mixture, seed, stored=None):
    """The classifier of one arm: as `trials.run` trains it, but for the place where its images come from."""
    pool = Pool(
        train.images, train.labels, len(train.class_names), synthetic.images, synthetic.labels, stored
    ).to(DEVICE)
    torch.manual_seed(seed)
    model = trials.classifier_for(regime, train)
    draws = Batches(arm, pool, mixture, regime.steps, regime.batch_size, seed)
    training_module.train(arm, pool, draws, model, regime.lr, regime.weight_decay, seed, regime.input_size)
    return model


def dev_score(run, home, arm, regime, train_fraction, seed, mixture=MixingConfig(mix='online')):
    """Balanced accuracy on dev lesions of one arm, trained on the training split of dev cohort number `seed`."""
    study = Study(run, home)
    model = taught(
        arms_for(['oracle'])[arm],
        training_split(study, seed, train_fraction),
        load_dev_cohort(study, ORACLE_SEED + seed),
        regime,
        mixture,
        seed,
    )
    test = load_dev_cohort(study, TEST_SEED)
    return score(test.labels, training_module.predict(model, test.images, regime.input_size))[
        'balanced_accuracy', 'all'
    ]


def measure(study, question, axes, seeds, base, workers=2):
    """Balanced accuracy on dev over the product of `axes` ({column: values}) and seeds: a table, one row a trained classifier.

    Columns: question, arm, steps, train_fraction, mixed_share, seed, balanced_accuracy.  What is no axis comes from `base`, which also
    holds batch_size and lr.
    """
    rows = [base | dict(zip([*axes, 'seed'], values)) for values in product(*axes.values(), range(seeds))]
    jobs = [
        (
            r['arm'],
            trials.Regime(steps=r['steps'], batch_size=r['batch_size'], lr=r['lr']),
            r['train_fraction'],
            r['seed'],
            MixingConfig(mix='online', mixed_share=r['mixed_share']),
        )
        for r in rows
    ]
    table = pd.DataFrame(rows)[['arm', 'steps', 'train_fraction', 'mixed_share', 'seed']]
    table.insert(0, 'question', question)
    return table.assign(balanced_accuracy=dev_scores(study, jobs, workers).round(5))


def dev_scores(study, jobs, workers=2):
    """`dev_score` for many jobs side by side: a list of (arm, regime, train_fraction, seed, mixture) -> float (len(jobs),)."""
    keep_dev_cohorts(study, {j[3] for j in jobs})
    calls = (delayed(dev_score)(study.run, study.home, *job) for job in jobs)
    return np.array(list(progress(Parallel(workers, return_as='generator')(calls), 'dev', len(jobs))))
