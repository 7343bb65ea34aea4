from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from test_fidelity import mmd2_of_shift

from genmix import StudyError
from genmix.audit.card import (
    CARD,
    AuditedSet,
    TrainingLesions,
    generator_card,
    overlaps_reference,
    relative,
    summarise_card,
)
from genmix.audit.fidelity import kernel, mmd2
from genmix.audit.intervals import jackknife, jackknife_groups, proportion
from genmix.audit.memorisation import coarse
from genmix.data.images import symmetries
from genmix.data.phantom import plan


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_jackknife_of_a_mean_is_the_textbook_interval():
    x = normal(40, 1)[:, 0]
    value, low, high = jackknife(lambda keep: [x[keep].mean()], np.arange(40))
    half = stats.t.ppf(0.975, 39) * x.std(ddof=1) / 40**0.5
    assert value[0] == pytest.approx(x.mean()) and (high - low)[0] / 2 == pytest.approx(half)


def test_jackknife_encloses_the_truth_about_as_often_as_it_says():
    truth, hits = mmd2_of_shift(1.0, 4), 0
    for seed in range(100):
        x, y = normal(80, 4, seed), normal(80, 4, 500 + seed) + [1, 0, 0, 0]
        k = kernel(x, x), kernel(y, y), kernel(x, y)

        def cut(i, j):
            return [mmd2(k[0][np.ix_(i, i)], k[1][np.ix_(j, j)], k[2][np.ix_(i, j)])]

        _, low, high = jackknife(cut, np.arange(80) % 10, np.arange(80) % 10)
        hits += low[0] <= truth <= high[0]
    assert 86 <= hits <= 99


def test_share_of_none_still_has_an_interval():
    assert proportion(np.zeros(100, bool))[0] == 0 < proportion(np.zeros(100, bool))[2] < 0.05


def test_patients_stay_together(world):
    groups = jackknife_groups(world['heldout'])
    assert all(
        len(np.unique(groups[world['heldout'].patients == p])) == 1 for p in world['heldout'].patients[:20]
    )
    assert np.bincount(jackknife_groups(world['copies'])).tolist() == [30] * 10
    few = world['heldout'][np.isin(world['heldout'].patients, np.unique(world['heldout'].patients)[:4])]
    assert len(np.unique(jackknife_groups(few))) == 4  # a patient at a time, never a patient's lesions apart


@pytest.fixture(scope='module')
def table(world):
    def seen(c):
        return AuditedSet(c, coarse(c.images), c.labels)  # a toy network: the coarse image itself

    stuck = replace(world['fresh'], images=np.repeat(world['fresh'].images[:1], 300, 0))
    sets = {'oracle': world['fresh'], 'copier': world['copies'], 'stuck': stuck}
    return generator_card(
        {name: seen(c) for name, c in sets.items()},
        seen(world['heldout']),
        seen(world['more']),
        TrainingLesions(world['train'], coarse(symmetries(world['train'].images))),
    )


def test_card_keeps_its_contract(table):
    assert list(table) == CARD and table.notna().all().all()
    assert not table.duplicated(['generator', 'label', 'metric']).any()
    assert set(table.label) == {*plan.CLASS_NAMES, 'all'}
    assert set(table.metric) == {
        'class_agreement',
        'diversity',
        'kid',
        'fid',
        'density',
        'coverage',
        'precision',
        'recall',
        'copy_ratio',
        'copy_ratio_features',
        'c_t',
        'authenticity',
    }
    assert (table.low <= table.value + 1e-9).all() and (table.value <= table.high + 1e-9).all()
    every = table[table.metric != 'c_t']  # which some class may have too few lesions a cell for
    assert (every[every.label != 'all'].n == 100).all() and (every[every.label == 'all'].n == 300).all()
    whole = table[table.label == 'all'].set_index(['generator', 'metric']).value
    assert np.allclose(
        whole, table[table.label != 'all'].groupby(['generator', 'metric']).value.mean()[whole.index]
    )


def test_card_sees_through_each(table):
    def of(name):
        return table[(table.generator == name) & (table.label == 'all')].set_index('metric')

    assert overlaps_reference(table[table.generator == 'oracle']).mean() > 0.95
    assert (
        of('copier').value['copy_ratio'] > 0.9
        and of('copier').value['copy_ratio_features'] > 0.5
        and not overlaps_reference(of('copier'))['c_t']
    )
    assert (
        of('stuck').value['coverage'] < 0.1
        and of('stuck').value['diversity'] < 0.01
        and of('stuck').value['kid'] > of('stuck').reference_high['kid']
    )


def test_card_of_too_few_images_says_so(world):
    def seen(c):
        return AuditedSet(c, coarse(c.images))

    with pytest.raises(StudyError, match='at least 4 images.* metastasis has 2'):
        few = world['fresh'][
            np.concatenate([np.flatnonzero(world['fresh'].labels == k)[:n] for k, n in enumerate((9, 9, 2))])
        ]
        generator_card(
            {'few': seen(few)}, seen(world['heldout']), seen(world['more']), TrainingLesions(world['train'])
        )


def test_a_card_in_words_and_as_shares_of_real_lesions(table):
    lines = summarise_card(table)
    assert (
        len(lines) == 3
        and 'cannot be told to copy' in lines[0]
        and 'copies by pixels (all)' in lines[1]
        and 'C_T' in lines[1]
    )
    none = table.assign(reference=0.0)
    some = table[table.reference != 0]
    assert np.allclose(relative(some).value * some.reference, some.value) and relative(none).isna().all(
        axis=None
    )
    assert 'nan right class' in summarise_card(none)[0]
