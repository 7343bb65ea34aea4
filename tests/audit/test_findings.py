import numpy as np
import pandas as pd
import pytest

from genmix.audit import findings

BASE = {
    'tstr': (0.8, 0.75, 0.85),
    'coverage': (0.9, 0.85, 0.95),
    'density': (1.0, 0.9, 1.1),
    'kid': (0.0, -0.1, 0.1),
    'diversity': (30.0, 29.0, 31.0),
    'copy_ratio': (0.01, 0.005, 0.02),
    'blend_ratio': (0.01, 0.005, 0.02),
    'c_t': (0.0, -2.0, 2.0),
    'authenticity': (0.8, 0.75, 0.85),
    'coverage_pixels': (0.9, 0.85, 0.95),
    'kid_pixels': (0.0, -0.1, 0.1),
}


def card_of(**generators):
    """A card: {generator: {metric: (value, low, high)}} where it differs from real lesions, BASE."""
    rows = [
        (g, 'all', metric, *values, *BASE[metric], 300)
        for g, changes in generators.items()
        for metric, values in {**BASE, **changes}.items()
    ]
    columns = ['generator', 'label', 'metric', 'value', 'low', 'high']
    return pd.DataFrame(rows, columns=[*columns, 'reference', 'reference_low', 'reference_high', 'n'])


COPIES = {'copy_ratio': (0.5, 0.4, 0.6)}
NEARER = {'c_t': (-6.0, -8.0, -4.0)}


@pytest.mark.parametrize(
    'changes, verdict',
    [
        ({}, 'new'),
        (COPIES, 'copies'),
        ({'blend_ratio': (0.2, 0.15, 0.25)}, 'copies'),
        (COPIES | NEARER, 'copies'),
        (NEARER, 'undecided'),
        ({'authenticity': (0.5, 0.45, 0.55)}, 'undecided'),
        ({'c_t': (6.0, 4.0, 8.0), 'authenticity': (0.95, 0.9, 0.98)}, 'new'),  # farther is not nearer
        ({'copy_ratio': (0.04, 0.01, 0.08)}, 'undecided'),  # too few images to tell
        ({'copy_ratio': (0.0, 0.0, 0.01)}, 'new'),
    ],
)
def test_copies_need_images_and_a_new_set_needs_all_evidence(changes, verdict):
    assert findings.copying_verdicts(card_of(g=changes)) == {'g': verdict}


def test_the_interval_of_the_evidence_by_hand():
    """Half-widths of both are added in squares; authenticity counts downwards."""
    table = findings.copying_evidence(card_of(g=COPIES | {'authenticity': (0.5, 0.4, 0.55)}))
    copy, authentic = (table[table.metric == m].iloc[0] for m in ('copy_ratio', 'authenticity'))
    assert copy.excess == pytest.approx(0.49) and copy.finding == 'copies'
    assert (copy.low, copy.high) == pytest.approx((0.49 - np.hypot(0.1, 0.01), 0.49 + np.hypot(0.1, 0.005)))
    assert authentic.excess == pytest.approx(0.3) and authentic.finding == 'nearer'
    assert (authentic.low, authentic.high) == pytest.approx(
        (0.3 - np.hypot(0.05, 0.05), 0.3 + np.hypot(0.1, 0.05))
    )


def test_a_bad_generator_is_not_testable_here():
    card = card_of(
        good={},
        teaches_little={'tstr': (0.6, 0.55, 0.65)},
        collapsed={'tstr': (0.5, 0.45, 0.55), 'coverage': (0.01, 0.0, 0.02)},
    )
    found = findings.not_testable(card)
    assert found['good'] == '' and found['teaches_little'] == 'TSTR is 0.750 of real'
    assert found['collapsed'] == 'TSTR is 0.625 of real and coverage is 0.011 of real'
    no_tstr = card[card.metric != 'tstr']  # of the control card
    assert findings.not_testable(no_tstr)['teaches_little'] == ''


def test_ranks_of_both_spaces_stand_side_by_side():
    card = card_of(
        a={'kid': (2.0, 1.0, 3.0), 'coverage_pixels': (0.5, 0.4, 0.6)},
        b={'kid': (1.0, 0.5, 2.0), 'tstr': (0.7, 0.65, 0.75)},
    )
    table = findings.ranks(card)
    assert list(table) == ['TSTR', 'coverage', 'coverage, pixels', 'KID', 'KID, pixels']
    assert table.loc['a'].tolist() == [1, 1, 2, 2, 1] and table.loc['b'].tolist() == [2, 1, 1, 1, 1]


def test_a_card_in_words_and_as_shares_of_real_lesions():
    card = card_of(good={}, bad=COPIES | NEARER | {'tstr': (0.4, 0.35, 0.45)})
    good, bad = findings.summarise_card(card)
    assert good.startswith('**good**: as shares of real lesions TSTR 1.00, coverage 1.00')
    assert 'Copying: new. Of its 10 numbers 10' in good and 'Not testable' not in good
    assert '**Not testable here**: TSTR is 0.500 of real.' in bad
    assert 'Copying: copies (copy ratio: copies, C_T: nearer).' in bad
    some = card[card.reference != 0]
    assert np.allclose(findings.relative(some).value * some.reference, some.value)
    assert findings.relative(card.assign(reference=0.0)).isna().all(axis=None)
