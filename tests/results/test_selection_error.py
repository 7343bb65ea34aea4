import numpy as np
import pandas as pd
from test_metrics import predictions

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


def test_arms_far_apart_are_never_confused_and_equal_ones_often():
    clear = selection_error.selection_errors(population({'x': 0.9, 'y': 0.3}), (100,), draws=300)
    assert clear.wrong_winner.item() == 0 == clear.type_s_error.item() and clear.selection_regret.item() == 0
    close = population({'x': 0.6, 'y': 0.6, 'z': 0.6})
    rng, columns = np.random.default_rng(0), ['p_a', 'p_b', 'p_c']
    for _, rows in close.groupby(
        ['arm', 'seed', 'label']
    ).groups.items():  # each arm errs on lesions of its own
        close.loc[rows, columns] = close.loc[rng.permutation(rows), columns].to_numpy()
    close = selection_error.selection_errors(close, (25, 400), draws=600)
    assert close.wrong_winner.iloc[0] > 0.2 and close.worst_gap.is_monotonic_decreasing
    assert (close.selection_regret < 3).all()  # nearly equal arms: a wrong winner costs little


def test_sizes_beyond_half_of_the_population_are_left_out():
    assert list(
        selection_error.selection_errors(population({'x': 0.7, 'y': 0.5}), (50, 5000), draws=5).patients
    ) == [50]


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
