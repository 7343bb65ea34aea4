import numpy as np
from conftest import config_of

from genmix.appendix import regime
from genmix.data import build


def test_measure_gives_a_row_a_classifier_and_touches_no_study_patient(study, monkeypatch):
    for name in ('TEST_LESIONS', 'ORACLE_LESIONS'):
        monkeypatch.setattr(regime, name, (9, 9, 9))
    monkeypatch.setattr(regime, 'TRAIN_LESIONS', (16, 8, 12))
    base = {'steps': 2, 'train_fraction': 1.0, 'mixed_share': 0.5, 'batch_size': 8, 'lr': 1e-3}
    axes = {'arm': ['classical', 'oracle@1/2'], 'steps': [1, 2]}
    table = regime.measure(study, 'steps', axes, 2, base, workers=1)
    assert list(table.columns) == [
        'question',
        'arm',
        'steps',
        'train_fraction',
        'mixed_share',
        'seed',
        'balanced_accuracy',
    ]
    assert len(table) == 8 and table.balanced_accuracy.between(0, 1).all() and set(table.steps) == {1, 2}
    again = regime.measure(study, 'steps', axes, 2, base, workers=1)
    assert np.array_equal(table.balanced_accuracy, again.balanced_accuracy)
    seen = {p for f in (study.folder / 'dev').iterdir() if f.is_dir() for p in regime.Cohort.load(f).patients}
    config = config_of(build.CohortConfig, '01_data', image_size=32, train_fraction=1.0)
    cohort, _ = build.make_cohort(study, config, lesions=(9, 6, 9), patients=12)
    assert len(seen) > 20 and not seen & set(cohort.patients)
