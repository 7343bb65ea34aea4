import numpy as np
from conftest import blobs

from genmix.audit import audit
from genmix.audit.card import AuditedSet, TrainingLesions, generator_card
from genmix.audit.features import cached_features
from genmix.audit.memorisation import coarse
from genmix.data.images import symmetries


def test_audit_sets_bring_everything_the_card_needs_and_are_cached(study):
    train, sets = blobs((12, 12, 12)), {'g': blobs((9, 9, 9), seed=3)}
    evaluation = blobs((14, 14, 14), seed=4)
    held = {'evaluation': evaluation, 'reference': blobs((8, 8, 8), seed=5), 'judge_training': blobs(seed=6)}
    asked = study, sets, train, held, 'efficientnet_lite0', 6, 4
    classifier, audited, training, tstr = audit.audit_sets(*asked)
    assert set(audited) == {'g', 'evaluation', 'reference'}
    assert set(tstr) == {'g', 'reference'} and len(tstr['g']) == 42
    assert audited['evaluation'].features.shape == (42, 1280) and training.features.shape == (8, 36, 1280)
    assert np.array_equal(audited['g'].predicted, classifier.label(sets['g'].images))
    first = training.features[0]
    assert np.allclose(first, cached_features(study, 'alone', train), atol=2e-3 * np.abs(first).max())
    table = generator_card({'g': audited['g']}, audited['evaluation'], audited['reference'], training, tstr)
    row = table[(table.metric == 'tstr') & (table.label == 'middle')].iloc[0]
    assert row.n == 14 and row.value == (tstr['g'][evaluation.labels == 1] == 1).mean()
    assert row.reference == (tstr['reference'][evaluation.labels == 1] == 1).mean()
    made = {p: p.stat().st_mtime_ns for p in study.folder.rglob('*.npy')}
    audit.audit_sets(*asked)
    assert made == {p: p.stat().st_mtime_ns for p in study.folder.rglob('*.npy')}


def test_the_card_detects_the_positive_controls(world):
    def audited(c):
        return AuditedSet(c, coarse(c.images), c.labels)

    train = world['train']
    bad = {name: audited(c) for name, c in audit.positive_controls(train, 60).items()}
    training = TrainingLesions(train, coarse(symmetries(train.images)))
    table = generator_card(bad, audited(world['heldout']), audited(world['more']), training)
    of = table[table.label == 'all'].pivot_table(index='metric', columns='generator', values='value')
    assert (of.loc['copy_ratio'] > 0.9).all() and (of.loc['authenticity'] < 0.1).all()
    assert (of.loc['c_t'] < -5).all()
    assert of.collapsed['diversity'] < 0.3 * of.copier['diversity'] and of.collapsed['coverage'] < 0.1
