from dataclasses import replace

import numpy as np
import pytest
from conftest import blobs

from genmix import NotEnough
from genmix.audit import audit
from genmix.audit.card import AuditedSet, TrainingLesions, generator_card
from genmix.audit.memorisation import coarse
from genmix.data import build as cohorts
from genmix.data import sampling, splits
from genmix.data.images import symmetries
from genmix.data.phantom import plan


def keep(study, cohort, train_fraction):
    def build(out):
        cohort.save(out)
        splits.make_splits(cohort, n_folds=4, train_fraction=train_fraction).to_csv(
            out / 'splits.csv', index=False
        )

    study.stage('cohort', build, {'train_fraction': train_fraction})


def test_held_out_phantoms_are_fresh_ones_of_dev(study):
    keep(study, blobs(), 1.0)
    held = audit.heldout_sets(study, 'phantom', 6, 4, 5)
    assert [held[name].counts.tolist() for name in ('real', 'second', 'many')] == [[6] * 3, [4] * 3, [5] * 3]
    ids = np.concatenate([c.patients for c in held.values()])
    assert all(name.startswith('dev.70') for name in ids) and held['real'].images.shape[1:] == (32, 32)
    assert not set(held['real'].patients) & set(held['second'].patients) | set(held['many'].patients) & set(
        held['second'].patients
    )


def test_real_data_gives_two_halves_by_patient_and_spares_the_test_patients_where_it_can(
    study, capsys, monkeypatch
):
    cohort = blobs((60, 40, 40))
    keep(study, cohort, 0.3)
    test = set(cohorts.part(study, 'test').patients)
    monkeypatch.setattr(audit, 'ENOUGH', 15)
    held = audit.heldout_sets(study, 'folder', 0, 0, 0)
    real, second = set(held['real'].patients), set(held['second'].patients)
    assert (
        not real & second
        and not (real | second) & test
        and min(held['real'].counts.min(), held['second'].counts.min()) > 5
    )
    assert (
        held['many'].fingerprint == cohorts.part(study, 'train').fingerprint
        and 'test patients' not in capsys.readouterr().out
    )
    monkeypatch.setattr(audit, 'ENOUGH', 50)
    held = audit.heldout_sets(study, 'folder', 0, 0, 0)
    assert (
        test <= set(held['real'].patients) | set(held['second'].patients)
        and 'include the test patients' in capsys.readouterr().out
    )
    assert not set(cohorts.part(study, 'train').patients) & (
        set(held['real'].patients) | set(held['second'].patients)
    )


def test_a_patient_who_is_unused_in_part_only_is_not_held_out(study):
    """Official splits leave images unused whose patient trains or is tested: near copies of those must not be judged against."""
    cohort = blobs((60, 60, 60))
    role = np.array(['train', 'unused', 'test', 'unused', 'unused'])[np.arange(180) % 5]
    patients = np.array([f'P{i // 5}' if i % 3 else f'Q{i}' for i in range(180)])
    cohort = replace(cohort, patients=patients)
    table = splits.make_splits(cohort, n_folds=4).assign(fold0=role)
    study.stage('cohort', lambda out: (cohort.save(out), table.to_csv(out / 'splits.csv', index=False)))
    held = audit.heldout_sets(study, 'medmnist', 0, 0, 0)
    seen = set(patients[role == 'train'])
    assert not seen & (set(held['real'].patients) | set(held['second'].patients)) and len(held['real']) > 12


def test_one_held_out_patient_of_a_class_is_too_few(study):
    cohort = blobs((40, 40, 40))
    keep(
        study,
        replace(
            cohort, patients=np.where(cohort.labels == 2, [f'Q{i % 4}' for i in range(120)], cohort.patients)
        ),
        1.0,
    )
    with pytest.raises(NotEnough, match='two groups of patients, and large has too few'):
        audit.heldout_sets(study, 'folder', 0, 0, 0)


def test_look_brings_everything_the_card_needs_and_keeps_it(study):
    train, sets = blobs((12, 12, 12)), {'g': blobs((9, 9, 9), seed=3)}
    held = {'real': blobs((14, 14, 14), seed=4), 'second': blobs((8, 8, 8), seed=5), 'many': blobs(seed=6)}
    judge, seen, training, lessons = audit.audit_sets(
        study, sets, train, held, reference_steps=6, lesson_steps=4
    )
    assert (
        set(seen) == {'g', 'real', 'second'} and set(lessons) == {'g', 'second'} and len(lessons['g']) == 42
    )
    assert seen['real'].features.shape == (42, 1280) and training.features.shape == (8, 36, 1280)
    assert np.array_equal(seen['g'].predicted, judge.label(sets['g'].images))
    first = training.features[0]
    assert np.allclose(first, audit.cached_features(study, 'alone', train), atol=2e-3 * np.abs(first).max())
    table = generator_card({'g': seen['g']}, seen['real'], seen['second'], training, lessons)
    tstr = table[(table.metric == 'tstr') & (table.label == 'middle')].iloc[0]
    assert tstr.n == 14 and tstr.value == (lessons['g'][held['real'].labels == 1] == 1).mean()
    assert tstr.reference == (lessons['second'][held['real'].labels == 1] == 1).mean()
    made = {p: p.stat().st_mtime_ns for p in study.folder.rglob('*.npy')}
    audit.audit_sets(study, sets, train, held, reference_steps=6, lesson_steps=4)
    assert made == {p: p.stat().st_mtime_ns for p in study.folder.rglob('*.npy')}


def test_the_card_sees_through_planted_generators(world):
    bad = audit.positive_controls(world['train'], 60)

    def seen(c):
        return AuditedSet(c, coarse(c.images), c.labels)

    table = generator_card(
        {name: seen(c) for name, c in bad.items()},
        seen(world['heldout']),
        seen(world['more']),
        TrainingLesions(world['train'], coarse(symmetries(world['train'].images))),
    )
    of = table[table.label == 'all'].pivot_table(index='metric', columns='generator', values='value')
    assert (
        (of.loc['copy_ratio'] > 0.9).all()
        and (of.loc['authenticity'] < 0.1).all()
        and (of.loc['c_t'] < -5).all()
    )
    assert of.stuck['diversity'] < 0.3 * of.copier['diversity'] and of.stuck['coverage'] < 0.1


def test_nearest_shows_the_training_lesion_as_it_was_matched(world):
    turned_first = symmetries(world['train'].images[[7]])[5]
    pairs = audit.nearest_pairs_shown(
        world['train'],
        replace(world['fresh'], images=np.concatenate([turned_first, world['fresh'].images[1:]])),
        1,
    )
    assert np.array_equal(pairs[0][0], turned_first[0]) and np.array_equal(pairs[0][1], turned_first[0])


def test_first_takes_the_same_number_of_each_class():
    c = sampling.first_per_class(blobs((7, 3, 5)), 3)
    assert (
        c.counts.tolist() == [3, 3, 3]
        and c.ids.tolist() == blobs((7, 3, 5)).ids[[0, 1, 2, 7, 8, 9, 10, 11, 12]].tolist()
    )


def test_lookout_is_dev_on_phantoms_and_the_training_lesions_elsewhere(cohort, capsys):
    train = plan.draw('cohort', (6, 6, 6), image_size=32, seed=0)
    fresh, other = (
        audit.tuning_lesions(train, 'phantom', 5),
        audit.tuning_lesions(train, 'phantom', 5, seed=706),
    )
    assert (
        fresh.counts.tolist() == [5, 5, 5]
        and fresh.images.shape[1:] == (32, 32)
        and all(p.startswith('dev') for p in fresh.patients)
    )
    assert not np.array_equal(fresh.images, other.images)
    assert (
        audit.tuning_lesions(cohort, 'folder', 4).counts.tolist() == [4, 4, 4]
        and 'training lesions' in capsys.readouterr().out
    )
