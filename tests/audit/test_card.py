from dataclasses import replace

import numpy as np
import pytest

from genmix import StudyError
from genmix.audit import findings
from genmix.audit.card import CARD, AuditedSet, generator_card
from genmix.audit.features import pixel_features
from genmix.audit.findings import METRICS, overlaps_reference
from genmix.audit.planted import positive_controls
from genmix.audit.training_lesions import TrainingLesions
from genmix.data.phantom import plan

SEARCHED = 50


@pytest.fixture(scope='module')
def table(world):
    training = TrainingLesions(world['train'])

    def audited(cohort):  # a toy network: halved pixels
        found = training.search_set(cohort, SEARCHED)
        return AuditedSet(cohort, pixel_features(cohort.images) / 2 + 1, cohort.labels, found)

    planted = positive_controls(world['train'], 100)
    collapsed = replace(world['fresh'], images=np.repeat(world['fresh'].images[:1], 300, 0))
    sets = {'oracle': world['fresh'], 'one image': collapsed}
    sets |= {name: planted[name] for name in ('augmenting copier', 'blender')}
    held, more = audited(world['heldout']), audited(world['more'])
    right = {'reference': held.cohort.labels} | {name: held.cohort.labels * 0 for name in sets}
    return generator_card({name: audited(c) for name, c in sets.items()}, held, more, right)


def test_card_keeps_its_contract(table):
    assert list(table) == CARD and table.notna().all().all()
    assert not table.duplicated(['generator', 'label', 'metric']).any()
    assert set(table.label) == {*plan.CLASS_NAMES, 'all'}
    assert (table.low <= table.value + 1e-9).all() and (table.value <= table.high + 1e-9).all()
    whole = table[table.label == 'all'].set_index(['generator', 'metric']).value
    classes = table[table.label != 'all'].groupby(['generator', 'metric']).value.mean()
    assert np.allclose(whole, classes[whole.index])


def test_rows_are_in_the_order_of_the_metrics_and_tstr_comes_first(table):
    for _, own in table.groupby(['generator', 'label']):
        places = [list(METRICS).index(m) for m in own.metric]
        assert places[0] == 0 and places == sorted(places)
    oracle = table[(table.generator == 'oracle') & (table.label == 'all')]
    assert list(oracle.metric) == list(METRICS)
    assert list(METRICS)[:13] == [
        *('tstr', 'coverage', 'density', 'precision', 'recall', 'kid', 'fid', 'diversity'),
        *('class_agreement', 'copy_ratio', 'blend_ratio', 'c_t', 'authenticity'),
    ]
    assert table.generator.unique().tolist() == ['oracle', 'one image', 'augmenting copier', 'blender']
    assert table.label.unique().tolist() == [*plan.CLASS_NAMES, 'all']


def test_the_number_of_images_is_that_of_the_set_or_of_the_search(table):
    n = table[table.label == 'cyst'].groupby('metric').n.agg(['min', 'max'])
    searched = ['copy_ratio', 'blend_ratio', 'c_t', 'authenticity']
    assert (n.loc[searched] == SEARCHED).all(axis=None) and (n.loc['tstr'] == 120).all()
    assert (n.drop(index=[*searched, 'tstr']) == 100).all(axis=None)
    d = table[table.generator == 'oracle'].groupby('metric').d.first()
    assert d['coverage'] == d['kid_pixels'] == 256 and d['fid'] == d['diversity_pixels'] == 25


def test_card_detects_each(table):
    def of(name):
        return table[(table.generator == name) & (table.label == 'all')].set_index('metric')

    collapsed = of('one image')
    own = table[(table.generator == 'oracle') & (table.metric != 'tstr')]
    assert overlaps_reference(own).mean() > 0.95
    assert of('augmenting copier').value['copy_ratio'] > 0.6 and of('blender').value['blend_ratio'] > 0.4
    assert of('oracle').value[['copy_ratio', 'blend_ratio']].max() < 0.06
    assert collapsed.value['coverage'] < 0.1 and collapsed.value['diversity'] < 0.01
    assert collapsed.value['kid'] > collapsed.reference_high['kid']
    assert of('oracle').reference['tstr'] == 1 and of('oracle').value['tstr'] == pytest.approx(1 / 3)
    verdicts = findings.copying_verdicts(table)
    assert verdicts['augmenting copier'] == verdicts['blender'] == 'copies' != verdicts['oracle']


def test_both_spaces_measure_alike_where_features_are_pixels(table):
    """Neighbours do not change under a scale and a shift; here the network is pixels halved."""
    values = table.pivot_table(index=['generator', 'label'], columns='metric', values='value')
    for metric in ('coverage', 'density', 'precision', 'recall'):
        assert np.allclose(values[metric], values[f'{metric}_pixels'], atol=0.02)
    share = values.fid_pixels / values.fid
    assert np.allclose(share, share.iloc[0], rtol=0.01)
    assert not np.allclose(values.kid, values.kid_pixels, rtol=0.1)


def test_a_set_without_a_search_or_predictions_has_the_other_rows(world):
    evaluation, reference = (
        AuditedSet(world[w], pixel_features(world[w].images)) for w in ('heldout', 'more')
    )
    few = generator_card({'g': reference}, evaluation, reference)
    assert list(few[few.label == 'all'].metric) == [
        m for m in METRICS if m.removesuffix('_pixels') in findings.FIDELITY
    ]
    assert np.allclose(few.value, few.reference)


def test_card_of_too_few_images_says_so(world):
    fresh = world['fresh']
    rows = np.concatenate([np.flatnonzero(fresh.labels == k)[:n] for k, n in enumerate((9, 9, 2))])
    few, evaluation, reference = (
        AuditedSet(c, pixel_features(c.images)) for c in (fresh[rows], world['heldout'], world['more'])
    )
    with pytest.raises(StudyError, match='at least 4 images.* metastasis has 2'):
        generator_card({'few': few}, evaluation, reference)
