from dataclasses import replace

import numpy as np
import pytest

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
from genmix.audit.memorisation import coarse
from genmix.data.images import symmetries
from genmix.data.phantom import plan


def audited(cohort):
    return AuditedSet(cohort, coarse(cohort.images), cohort.labels)  # a toy network: the coarse image itself


@pytest.fixture(scope='module')
def table(world):
    collapsed = replace(world['fresh'], images=np.repeat(world['fresh'].images[:1], 300, 0))
    sets = {'oracle': world['fresh'], 'copier': world['copies'], 'collapsed': collapsed}
    sets = {name: audited(c) for name, c in sets.items()}
    training = TrainingLesions(world['train'], coarse(symmetries(world['train'].images)))
    return generator_card(sets, audited(world['heldout']), audited(world['more']), training)


FIDELITY = ['diversity', 'kid', 'fid', 'density', 'coverage', 'precision', 'recall']
COPYING = ['copy_ratio', 'copy_ratio_features', 'c_t', 'authenticity']


def test_card_keeps_its_contract(table):
    assert list(table) == CARD and table.notna().all().all()
    assert not table.duplicated(['generator', 'label', 'metric']).any()
    assert set(table.label) == {*plan.CLASS_NAMES, 'all'}
    assert set(table.metric) == {'class_agreement', *FIDELITY, *COPYING}
    assert (table.low <= table.value + 1e-9).all() and (table.value <= table.high + 1e-9).all()
    every = table[table.metric != 'c_t']  # which some class may have too few lesions per cell for
    assert (every[every.label != 'all'].n == 100).all() and (every[every.label == 'all'].n == 300).all()
    whole = table[table.label == 'all'].set_index(['generator', 'metric']).value
    classes = table[table.label != 'all'].groupby(['generator', 'metric']).value.mean()
    assert np.allclose(whole, classes[whole.index])


def test_card_detects_each(table):
    def of(name):
        return table[(table.generator == name) & (table.label == 'all')].set_index('metric')

    copier, collapsed = of('copier'), of('collapsed')
    assert overlaps_reference(table[table.generator == 'oracle']).mean() > 0.95
    assert copier.value['copy_ratio'] > 0.9 and copier.value['copy_ratio_features'] > 0.5
    assert not overlaps_reference(copier)['c_t']
    assert collapsed.value['coverage'] < 0.1 and collapsed.value['diversity'] < 0.01
    assert collapsed.value['kid'] > collapsed.reference_high['kid']


def test_card_of_too_few_images_says_so(world):
    fresh = world['fresh']
    rows = np.concatenate([np.flatnonzero(fresh.labels == k)[:n] for k, n in enumerate((9, 9, 2))])
    few, evaluation, reference = (
        AuditedSet(c, coarse(c.images)) for c in (fresh[rows], world['heldout'], world['more'])
    )
    with pytest.raises(StudyError, match='at least 4 images.* metastasis has 2'):
        generator_card({'few': few}, evaluation, reference, TrainingLesions(world['train']))


def test_a_card_in_words_and_as_shares_of_real_lesions(table):
    lines = summarise_card(table)
    assert len(lines) == 3 and 'No sign of copying' in lines[0]
    assert 'copies by pixels (all)' in lines[1] and 'C_T' in lines[1]
    none = table.assign(reference=0.0)
    some = table[table.reference != 0]
    assert np.allclose(relative(some).value * some.reference, some.value)
    assert relative(none).isna().all(axis=None)
    assert 'class agreement nan' in summarise_card(none)[0]
