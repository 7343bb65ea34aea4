import numpy as np
import pandas as pd
from test_metrics import plain, predictions

from genmix.mixing.arms import arms_for
from genmix.results import selection_error


def population(arms, **about):
    return predictions(arms, n=2000, patients=900, **about).assign(test_set='population')


def test_counts_are_confusions_of_patients():
    table = population({'x': 0.7, 'y': 0.5}, runs=2)
    arms, counts, n = selection_error.patient_confusions(table)
    assert arms == ['x', 'y'] and counts.shape == (2, 2, n, 3, 3) and counts.sum() == 2 * 2 * 2000
    one = table[(table.arm == 'y') & (table.seed == 1)]
    guess = one[['p_a', 'p_b', 'p_c']].to_numpy().argmax(1)
    assert np.array_equal(
        counts[1, 1].sum(0),
        pd.crosstab(one.label, guess).reindex(index=range(3), columns=range(3), fill_value=0),
    )


def test_arms_far_apart_are_never_confused_and_near_ones_often():
    clear = selection_error.selection_errors(
        population({'x': 0.9, 'y': 0.3}), plain('x', 'y'), (100,), draws=300
    )
    assert clear.wrong_winner.item() == 0 == clear.type_s_error.item() and clear.selection_regret.item() == 0
    close = population({'x': 0.6, 'y': 0.62, 'z': 0.64})
    rng, columns = np.random.default_rng(0), ['p_a', 'p_b', 'p_c']
    for _, rows in close.groupby(
        ['arm', 'seed', 'label']
    ).groups.items():  # each arm errs on lesions of its own
        close.loc[rows, columns] = close.loc[rng.permutation(rows), columns].to_numpy()
    close = selection_error.selection_errors(close, plain(*'xyz'), (25, 400), draws=600)
    assert close.wrong_winner.iloc[0] > 0.2 and close.worst_gap.is_monotonic_decreasing
    assert close.wrong_winner.is_monotonic_decreasing and (close.selection_regret < 3).all()


def test_equal_arms_have_no_wrong_winner_and_no_wrong_sign():
    equal = selection_error.selection_errors(
        population({'x': 0.6, 'y': 0.6}), plain('x', 'y'), (50,), draws=50
    )
    assert equal.wrong_winner.item() == 0 and np.isnan(equal.type_s_error.item())


def test_sizes_beyond_half_of_the_population_are_left_out():
    table = population({'x': 0.7, 'y': 0.5})
    found = selection_error.selection_errors(table, plain('x', 'y'), (50, 5000), draws=5)
    assert list(found.patients) == [50]


def test_no_study_on_patients_has_an_oracle_to_pick():
    arms = arms_for(['dcgan', 'oracle'])
    own = {'classical': 0.8, 'dcgan@1/8': 0.6, 'oracle@1/8': 0.95, 'genmix-oracle@1/8': 0.95}
    table, draws = population(own, runs=2), {'sizes': (100,), 'draws': 200}
    found = selection_error.selection_errors(table, arms, **draws)
    bare = selection_error.selection_errors(table[table.arm.isin(['classical', 'dcgan@1/8'])], arms, **draws)
    pd.testing.assert_frame_equal(found, bare)
    assert found.wrong_winner.item() == 0


def test_an_arm_that_is_as_good_as_the_best_is_no_wrong_winner():
    """Half a point of tolerance, by hand: three studies, the truth .700, .697, .600."""
    truth = np.array([0.7, 0.697, 0.6])
    scores = np.array([[0.71, 0.7, 0.6], [0.7, 0.71, 0.6], [0.7, 0.69, 0.72]])
    wrong, regret, sign, _, near = selection_error._errors(scores, truth)
    assert wrong == 1 / 3 and near == 0.5 and np.isclose(regret, 100 * (0 + 0.003 + 0.1) / 3)
    assert sign == 2 / 6  # of the two pairs that are apart, in three studies: both of the last one


def test_words_take_the_nearest_size():
    table = pd.DataFrame(
        {
            'patients': [50, 100],
            'wrong_winner': [0.7, 0.5],
            'selection_regret': [3.0, 2.0],
            'type_s_error': [0.3, 0.2],
            'worst_gap': [8.0, 6.0],
        }
    )
    assert (
        '100 patients' in selection_error.summarise_selection_error(table, 98)[0]
        and '50%' in selection_error.summarise_selection_error(table, 98)[0]
    )
    assert selection_error.summarise_selection_error(table.iloc[:0], 98) == []
    (said,) = selection_error.summarise_selection_error(table.assign(tolerance=0.5), 98)
    assert 'worse than the best by more than 0.5 points in 50%' in said
