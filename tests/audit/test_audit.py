import numpy as np
from conftest import blobs

from genmix.audit import audit
from genmix.audit.card import generator_card
from genmix.audit.features import cached_features


def test_audit_sets_bring_everything_the_card_needs_and_are_cached(study):
    train, sets = blobs((12, 12, 12)), {'g': blobs((9, 9, 9), seed=3)}
    evaluation = blobs((14, 14, 14), seed=4)
    held = {'evaluation': evaluation, 'reference': blobs((8, 8, 8), seed=5), 'judge_training': blobs(seed=6)}
    asked = study, sets, train, held, 'efficientnet_lite0', 6, 4, 7
    classifier, audited, training, tstr = audit.audit_sets(*asked)
    assert set(audited) == {'g', 'evaluation', 'reference'}
    assert set(tstr) == {'g', 'reference'} and len(tstr['g']) == 42
    assert audited['evaluation'].features.shape == (42, 1280) and len(training.spacing.index) == 36
    assert np.array_equal(audited['g'].predicted, classifier.label(sets['g'].images))
    own = audited['g'].features
    assert np.allclose(own, cached_features(study, 'alone', sets['g']), atol=2e-3 * np.abs(own).max())
    assert all(len(s.found) == 21 for s in audited.values())
    table = generator_card({'g': audited['g']}, audited['evaluation'], audited['reference'], tstr)
    assert (table[(table.label != 'all') & (table.metric == 'copy_ratio')].n == 7).all()
    row = table[(table.metric == 'tstr') & (table.label == 'middle')].iloc[0]
    assert row.n == 14 and row.value == (tstr['g'][evaluation.labels == 1] == 1).mean()
    assert row.reference == (tstr['reference'][evaluation.labels == 1] == 1).mean()
    made = {p: p.stat().st_mtime_ns for s in ('npy', 'csv') for p in (study.folder / 'audit').rglob(f'*.{s}')}
    assert len(made) == 4 + 2 + 3  # features, with those alone; TSTR; searches
    audit.audit_sets(*asked)
    assert made == {p: p.stat().st_mtime_ns for p in made}
