"""The search for copies, from end to end: planted memorisers are found, held-out lesions are not."""

import time

import numpy as np
import pandas as pd
import pytest
from conftest import blobs

from genmix.audit import copies, training_lesions
from genmix.audit.planted import positive_controls
from genmix.audit.registration import POSE, Registration
from genmix.audit.training_lesions import PARENTS, TrainingLesions, blended, cached_search, copied
from genmix.data.phantom import plan


@pytest.fixture(scope='module')
def training(world):
    return TrainingLesions(world['train'])


@pytest.fixture(scope='module')
def found(world, training):
    """{name: `search_set`} of planted generators, of held-out lesions and of fresh ones."""
    sets = positive_controls(world['train'], 40) | {name: world[name] for name in ('heldout', 'fresh')}
    return {name: training.search_set(cohort, 80) for name, cohort in sets.items()}


def shares(found, name):
    """Shares of copies, of blends and of authentic images: means over the classes, as in the card."""
    of_class = [
        copies.shares(*(table[table.label == k] for table in (found['heldout'], found[name])))
        for k in range(3)
    ]
    return pd.DataFrame(of_class).map(np.mean).mean()


@pytest.mark.parametrize(
    'name, metric, least',
    [
        ('copier', 'copy_ratio', 0.95),
        ('augmenting copier', 'copy_ratio', 0.6),
        ('blender', 'blend_ratio', 0.4),
        ('collapsed', 'copy_ratio', 0.95),
    ],
)
def test_a_planted_memoriser_is_found(found, name, metric, least):
    own = shares(found, name)
    assert own[metric] > least
    assert own['authenticity'] < shares(found, 'fresh')['authenticity'] - 0.15
    assert own['copy_ratio'] + own['blend_ratio'] > 0.6


def test_real_against_real_is_near_the_nominal_share(found):
    own = shares(found, 'fresh')
    assert own['copy_ratio'] < 0.04 and own['blend_ratio'] < 0.04 and own['authenticity'] > 0.7


def test_a_copy_of_one_lesion_is_no_blend_of_two(found):
    assert shares(found, 'copier')['blend_ratio'] < 0.05 < shares(found, 'copier')['copy_ratio']


def test_an_average_of_real_lesions_is_no_copy(world, training, found):
    """Near to everything is not near to one."""
    blurred = np.float32(world['heldout'].images[:300]).reshape(60, 5, 64, 64).mean(1).astype(np.uint8)
    relative = training.search(blurred).relative
    assert copies.are_copies(found['heldout'].relative, relative).mean() < 0.1


def test_what_is_found_can_be_shown(world, training, found):
    """The lesion of a copy, placed as it was matched, is the copy; of a blend both parents are."""
    train, planted = world['train'], positive_controls(world['train'], 40)
    for name, most in (('copier', 4), ('augmenting copier', 9)):
        pairs = training_lesions.most_alike(found[name], 6)
        assert pairs.lesion.is_unique and list(pairs.label) == [0, 0, 1, 1, 2, 2]
        middle = (slice(None), slice(14, 50), slice(14, 50))
        error = np.float32(copied(train, pairs)) - planted[name].images[pairs.image]
        assert np.abs(error[middle]).mean() < most
    pairs = training_lesions.most_alike(found['blender'], 6, 'blend_relative')
    one, two = np.float32(blended(train, pairs)).reshape(2, 6, -1)
    for image, a, b in zip(planted['blender'].images[pairs.image].reshape(6, -1), one, two):
        weights = np.linalg.lstsq(np.stack([a, b], 1), np.float32(image))[0]
        assert (weights > 0.2).all() and weights.sum() == pytest.approx(1, abs=0.05)


def test_nearest_pairs_are_those_of_the_search(world, found):
    train = world['train']
    planted = positive_controls(train, 40)['augmenting copier']
    pairs, images = training_lesions.nearest_pairs(train, planted, 6, 80)
    wanted = training_lesions.most_alike(found['augmenting copier'], 6)
    assert images.shape == (2, 6, 64, 64) and pairs.image.tolist() == wanted.image.tolist()
    assert np.array_equal(images[0], planted.images[pairs.image])
    assert np.array_equal(images[1], copied(train, wanted))


def test_a_search_is_of_the_first_images_of_each_class_and_cached(study):
    train, cohort = blobs(), blobs((9, 4, 7), seed=3)
    training = TrainingLesions(train)
    table = cached_search(study, 'g', cohort, training, 5)
    assert table.label.value_counts().to_dict() == {0: 5, 1: 4, 2: 5}
    assert table.image.tolist() == [0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15, 16, 17]
    assert {*POSE, *PARENTS, 'authentic', 'cell', 'blend_relative'} < set(table)
    direct = training.search(cohort.images[table.image])[['lesion', 'distance', 'blend_relative']]
    assert np.allclose(table[list(direct)], direct, atol=1e-3)
    assert cached_search(study, 'g', cohort, training, 5).equals(table)


def test_the_search_is_affordable():
    """600 images against 250 lesions: a few seconds of one core, half a minute for a card of six sets."""
    train, images = plan.draw('cohort', (130, 25, 95)), plan.draw('dev', (20, 20, 20)).images
    start = time.process_time()
    training = TrainingLesions(train)
    prepared = time.process_time()
    training.search(images)
    assert prepared - start < 10 and 10 * (time.process_time() - prepared) < 30


def test_lesions_are_enough_where_there_are_two(world):
    two = Registration(world['train'].images[:2]).match(world['fresh'].images[:3])
    assert np.isfinite(two.relative).all()
