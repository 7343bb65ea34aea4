import warnings

import numpy as np
import pandas as pd
import pytest

from genmix.mixing.arms import arms_for
from genmix.results.neighbour_notes import note, source_notes, summarise_neighbours
from genmix.results.neighbours import (
    class_means,
    medians,
    mixing_rate,
    nearest,
    neighbour_agreement,
    over_patients,
    separation,
)

RNG = np.random.default_rng(0)


def cloud(n, d=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def alone(n):
    """Every lesion a patient of its own."""
    return np.arange(n).astype(str)


LABELS = np.repeat([0, 1, 2], [60, 20, 40])


def test_separate_classes_agree_wholly_and_shuffled_ones_by_chance():
    apart = cloud(120) + 100 * np.eye(3, 8)[LABELS]
    share, chance = neighbour_agreement(apart, LABELS, alone(120))
    assert (share == 1).all()
    assert np.allclose(chance, (np.bincount(LABELS)[LABELS] - 1) / 119)
    by_chance = np.mean(
        [
            class_means(neighbour_agreement(cloud(120, seed=s), LABELS, alone(120))[0], LABELS, range(3))
            for s in range(30)
        ],
        axis=0,
    )
    assert by_chance == pytest.approx(class_means(chance, LABELS, range(3)), abs=0.02)


def test_own_lesions_never_count():
    """Pairs of one patient lie together, each class elsewhere: only other patients are asked."""
    line, labels, patients = (
        np.array([[0.0], [1.0], [2.0], [9.0]]),
        np.array([0, 0, 1, 0]),
        np.array(['A', 'A', 'B', 'B']),
    )
    order, there = nearest(line, patients, 3)
    assert order[0, :2].tolist() == [2, 3] and there[0].tolist() == [True, True, False]
    share, chance = neighbour_agreement(line, labels, patients, k=1)
    assert share[[0, 1]].tolist() == [0, 0] and chance[0] == 0.5
    assert (
        share[3] == 1 and np.isnan(share[2]) and np.isnan(chance[2])
    )  # no other patient has a lesion of class 1
    assert neighbour_agreement(line, labels, alone(4), k=1)[0][0] == 1


def test_the_typical_lesion_is_of_its_class():
    values, labels = (
        np.array([0.9, 0.1, 0.5, 0.2, np.nan, 0.3, np.nan, np.nan]),
        np.array([0, 0, 0, 1, 1, 1, 2, 2]),
    )
    rows = medians(values, labels)
    assert rows[[0, 2]].tolist() == [2, 6] and rows[1] in (3, 5)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert medians(np.full(4, np.nan), np.array([0, 0, 2, 2])).tolist() == [0, 2]


def test_few_class_mates_are_asked_for_as_many():
    labels = np.repeat([0, 1], [3, 30])
    assert (neighbour_agreement(cloud(33) + 100 * labels[:, None], labels, alone(33))[0] == 1).all()


@pytest.mark.parametrize(
    'real, made',
    [((60, 20, 40), (200, 200, 200)), ((60, 20, 40), (15, 15, 15)), ((30, 30, 30), (30, 30, 30))],
)
def test_one_distribution_mixes_wholly(real, made):
    labels, kinds = np.repeat([0, 1, 2], real), np.repeat([0, 1, 2], made)
    rates = [
        mixing_rate(
            cloud(len(labels), seed=s), labels, alone(len(labels)), cloud(len(kinds), seed=1000 + s), kinds
        ).mean()
        for s in range(80)
    ]
    assert np.mean(rates) == pytest.approx(1, abs=4 * np.std(rates) / 80**0.5) and np.std(rates) < 0.12


def test_separate_sets_do_not_mix_and_a_mean_draws_all():
    labels = np.zeros(50, int)
    assert (mixing_rate(cloud(50), labels, alone(50), cloud(80) + 100, np.zeros(80, int)) == 0).all()
    assert (
        mixing_rate(cloud(50), labels, alone(50), cloud(20) + 100, np.zeros(20, int)) == 0
    ).all()  # fewer synthetic than real
    flat = cloud(50, d=300)
    assert (mixing_rate(flat, labels, alone(50), np.zeros((80, 300)), np.zeros(80, int)) == 2).all()


def test_mixing_rate_by_hand_and_by_drawing():
    """One real neighbour at 2, synthetic at 1 and 3, one drawn: with k = 1 nearest in half of the draws."""
    real, synthetic, zeros = np.array([[0.0], [2.0]]), np.array([[1.0], [-3.0]]), np.zeros(2, int)
    assert mixing_rate(real, zeros, alone(2), synthetic, zeros, k=1)[0] == pytest.approx(2 * 0.5)
    real, synthetic, n, k = cloud(13, 2), cloud(40, 2, seed=1) + 0.5, 12, 5
    rng, shares = np.random.default_rng(0), []
    for _ in range(4000):
        drawn = synthetic[rng.choice(40, n, replace=False)]
        near = np.argsort(np.linalg.norm(np.concatenate([real[1:], drawn]) - real[0], axis=1))[:k]
        shares.append(2 * np.mean(near >= n))
    exact = mixing_rate(real, np.zeros(13, int), alone(13), synthetic, np.zeros(40, int), k)[0]
    assert exact == pytest.approx(np.mean(shares), abs=4 * np.std(shares) / 4000**0.5)


def test_mixing_keeps_to_the_class_and_to_other_patients():
    labels, kinds = np.array([0, 0, 1, 1]), np.array([0, 0])
    rate = mixing_rate(cloud(4), labels, np.array(['a', 'b', 'c', 'd']), cloud(2), kinds)
    assert np.isfinite(rate[:2]).all() and np.isnan(rate[2:]).all()  # nothing synthetic of class 1
    assert np.isnan(
        mixing_rate(cloud(4), labels, np.array(['a', 'a', 'c', 'd']), cloud(2), kinds)
    ).all()  # class 0 is one patient's


def test_intervals_hold_the_truth():
    """The mean of one value per patient: known standard error; repeats within a patient narrow nothing."""
    values, patients, labels = (
        np.repeat(RNG.normal(5, 1, 200), 3),
        np.repeat(np.arange(200), 3).astype(str),
        np.zeros(600, int),
    )
    mean, low, high, n = over_patients(lambda rows: values[rows], labels, patients, halves=200)['all']
    assert mean == pytest.approx(values.mean()) and n == 600
    assert (high - low) / 2 == pytest.approx(1.96 * values[::3].std() / 200**0.5, rel=0.15)


def test_classes_count_alike_and_missing_ones_are_left_out():
    values, labels = np.array([1.0, 1.0, 1.0, 0.0, np.nan]), np.array([0, 0, 0, 1, 2])
    found = over_patients(lambda rows: values[rows], labels, alone(5))
    assert found['all'][0] == 0.5 and found['all'][3] == 4 and list(found) == [0, 1, 'all']
    nothing = over_patients(lambda rows: np.full(rows.sum(), np.nan), labels, alone(5))
    assert np.isnan(nothing['all'][0]) and nothing['all'][3] == 0


def test_separation_by_hand():
    assert separation(np.array([[0.0], [2.0], [10.0], [12.0]]), np.array([0, 0, 1, 1])) == pytest.approx(10)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert np.isnan(separation(np.zeros((4, 2)), np.array([0, 0, 1, 1]))) and np.isnan(
            separation(cloud(4), np.zeros(4, int))
        )


def numbers(dcgan):
    rows = [
        ('classical', 'neighbour_agreement', 0.7, 0.6, 0.8, 50, 'all', 'held-out', 0.33),
        ('classical', 'mixing_rate_training', 0.98, 0.9, 1.1, 50, 'all', 'training', 1),
        ('dcgan@1/8', 'neighbour_agreement', 0.5, 0.45, 0.55, 50, 'all', 'held-out', 0.33),
        ('dcgan@1/8', 'mixing_rate_training', 1.01, 0.9, 1.1, 50, 'all', 'training', 1),
        ('dcgan@1/8', 'mixing_rate', *dcgan, 50, 'all', 'dcgan', 1),
        ('dcgan@1/8', 'mixing_rate', *dcgan, 50, 'cyst', 'dcgan', 1),
    ]
    return pd.DataFrame(
        rows, columns=['arm', 'metric', 'value', 'low', 'high', 'n', 'label', 'source', 'expected']
    )


ARMS = arms_for(['dcgan', 'oracle'])


def test_words_follow_the_numbers():
    apart, whole = (
        summarise_neighbours(numbers(rate), ARMS) for rate in ((0.6, 0.5, 0.7), (0.97, 0.9, 1.04))
    )
    assert 'most often under `classical`, 70% [60%, 80%]' in apart[0]
    assert 'The intervals do not overlap' in apart[0]
    assert 'distinguishable' in apart[1] and 'distinguishable' not in whole[1]
    assert '0.97 [0.90, 1.04]' in whole[1]
    found = numbers((0.6, 0.5, 0.7))
    assert note(found, ARMS['dcgan@1/8']) == 'neighbours 50% [45%, 55%]\nmixing rate 0.60 [0.50, 0.70]'
    assert source_notes(found, ARMS['dcgan@1/8'])['dcgan'] == 'mixing rate\n0.60 [0.50, 0.70]\ncyst 0.60'
    assert len(summarise_neighbours(found.assign(n=0), ARMS)) == 1


def test_one_panel_is_compared_with_none():
    (line,) = summarise_neighbours(numbers((0.6, 0.5, 0.7)).query('arm == "classical"'), ARMS)
    neighbours = '70% [60%, 80%] of the neighbours of a held-out lesion have its class'
    assert line == f'Under `classical`, {neighbours}; chance is 33%.'


def test_the_oracle_tells_of_chance_only_where_its_images_were_not_trained_on():
    table = numbers((0.6, 0.5, 0.7)).replace({'dcgan': 'oracle', 'dcgan@1/8': 'oracle@1/8'})
    assert 'is chance' not in ' '.join(summarise_neighbours(table, ARMS)[1:])
    seen = table[table.arm == 'oracle@1/8']
    lines = summarise_neighbours(pd.concat([table, seen.assign(arm='classical')]), ARMS)
    assert '`classical` was trained on none' in lines[-1]
