from dataclasses import replace

import numpy as np
import pytest
from conftest import blobs

from genmix import NotEnough
from genmix.audit import heldout
from genmix.data import build as cohorts
from genmix.data import splits
from genmix.data.phantom import plan


def save_cohort(study, cohort, train_fraction):
    def build(out):
        cohort.save(out)
        table = splits.make_splits(cohort, n_folds=4, train_fraction=train_fraction)
        table.to_csv(out / 'splits.csv', index=False)

    study.stage('cohort', build, {'train_fraction': train_fraction})


def test_held_out_phantoms_are_fresh_ones_of_dev(study):
    save_cohort(study, blobs(), 1.0)
    held = heldout.audit_lesions(study, 'phantom', 6, 4, 5)
    assert list(held) == ['evaluation', 'reference', 'judge_training']
    assert [c.counts.tolist() for c in held.values()] == [[6] * 3, [4] * 3, [5] * 3]
    evaluation, reference, training = (set(c.patients) for c in held.values())
    assert all(name.startswith('dev.70') for name in evaluation | reference | training)
    assert held['evaluation'].images.shape[1:] == (32, 32)
    assert not evaluation & reference | training & reference
    assert study.key('audit/lesions/reference')


def test_real_data_gives_two_halves_by_patient_and_spares_the_test_patients_where_it_can(
    study, capsys, monkeypatch
):
    save_cohort(study, blobs((60, 40, 40)), 0.3)
    train, test = (cohorts.part(study, name) for name in ('train', 'test'))
    monkeypatch.setattr(heldout, 'MIN_UNUSED', 15)
    held = heldout.audit_lesions(study, 'folder', 0, 0, 0)
    evaluation, reference = set(held['evaluation'].patients), set(held['reference'].patients)
    assert not evaluation & reference and not (evaluation | reference) & set(test.patients)
    assert min(held['evaluation'].counts.min(), held['reference'].counts.min()) > 5
    assert held['judge_training'].fingerprint == train.fingerprint
    assert 'test patients' not in capsys.readouterr().out
    monkeypatch.setattr(heldout, 'MIN_UNUSED', 50)
    held = heldout.audit_lesions(study, 'folder', 0, 0, 0)
    every = set(held['evaluation'].patients) | set(held['reference'].patients)
    assert set(test.patients) <= every and 'include the test patients' in capsys.readouterr().out
    assert not set(train.patients) & every
    unseen = heldout.mixing_effect_lesions(study, train, 'folder')
    assert unseen.content_hash == held['evaluation'].content_hash


def test_a_patient_who_is_unused_in_part_only_is_not_held_out(study):
    """Official splits leave images unused whose patient trains or is tested: these may be near copies."""
    cohort = blobs((60, 60, 60))
    role = np.array(['train', 'unused', 'test', 'unused', 'unused'])[np.arange(180) % 5]
    patients = np.array([f'P{i // 5}' if i % 3 else f'Q{i}' for i in range(180)])
    cohort = replace(cohort, patients=patients)
    table = splits.make_splits(cohort, n_folds=4).assign(fold0=role)
    study.stage('cohort', lambda out: (cohort.save(out), table.to_csv(out / 'splits.csv', index=False)))
    held = heldout.audit_lesions(study, 'medmnist', 0, 0, 0)
    evaluation, reference = set(held['evaluation'].patients), set(held['reference'].patients)
    assert not set(patients[role == 'train']) & (evaluation | reference) and len(held['evaluation']) > 12


def test_one_held_out_patient_of_a_class_is_too_few(study):
    cohort = blobs((40, 40, 40))
    patients = np.where(cohort.labels == 2, [f'Q{i % 4}' for i in range(120)], cohort.patients)
    save_cohort(study, replace(cohort, patients=patients), 1.0)
    with pytest.raises(NotEnough, match='two groups of patients, and large has too few'):
        heldout.audit_lesions(study, 'folder', 0, 0, 0)


def test_each_use_has_lesions_of_its_own(study):
    train = plan.draw('cohort', (6, 6, 6), image_size=32, seed=0)
    mixing = heldout.mixing_effect_lesions(study, train, 'phantom', 5)
    assert mixing.counts.tolist() == [5, 5, 5] and all(p.startswith('dev') for p in mixing.patients)
    assert heldout.MIXING_SEED not in heldout.AUDIT_SEEDS.values()
