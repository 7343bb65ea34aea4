"""Real trainings, small: a generator that must help and one that must harm come out as such."""

import numpy as np
import pytest

from genmix.appendix.defaults import classification
from genmix.appendix.regime import score_arm
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.mixing.arms import arms_for
from genmix.results.intervals import SMALLEST, over_units, superiority
from genmix.results.metrics import PRIMARY

SMALL = {'steps': 120, 'batch_size': 32, 'vgg_width': 0.0625, 'lr': 4e-3}


def mislabelled(images, seed):
    """What a generator without any idea of the classes makes: lesions with the label of another class."""
    labels = (images.labels + np.random.default_rng(seed).integers(1, 3, len(images))) % 3
    return Cohort(images.images, labels, images.patients, images.class_names, 'noise')


@pytest.mark.long
def test_the_oracle_helps_and_a_generator_of_wrong_labels_harms():
    """Balanced accuracy at the primary rule, over four cohorts of their own lesions, paired."""
    found = {'oracle': [], 'noise': [], 'mixed noise': []}
    for seed in range(4):
        train = plan.draw('cohort', (30, 10, 24), image_size=32, seed=seed)
        test = plan.draw('dev', (150, 150, 150), image_size=32, seed=500 + seed)
        fresh = plan.draw('oracle', (100, 100, 100), image_size=32, seed=seed)
        pools = {'oracle': fresh, 'noise': mislabelled(fresh, seed)}

        def balanced_accuracy(name, synthetic=None, train=train, test=test, seed=seed):
            arm, (regime, batches, rules) = arms_for(['g'])[name], classification(**SMALL)
            how = regime, seed, batches, rules.get(arm.rule)
            return score_arm(arm, train, synthetic, test, *how)[PRIMARY]

        base = balanced_accuracy('classical')
        for name, synthetic in pools.items():
            found[name].append(balanced_accuracy('g@1/2', synthetic) - base)
        found['mixed noise'].append(balanced_accuracy('genmix-g@1/2', pools['noise']) - base)
    intervals = {name: over_units(values) for name, values in found.items()}
    # a few points between single small trainings: the direction in most cohorts, and more than the margin
    assert intervals['oracle']['mean'] > SMALLEST and superiority(found['oracle']) >= 0.75, found
    assert max(found['noise']) < 0 and intervals['mixed noise']['mean'] < 0, found
