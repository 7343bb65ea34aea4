"""No patient in two roles, every class on both sides, proportions kept."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.splits import make_splits, select


def cohort_of(labels, patients, names=('cyst', 'hemangioma', 'metastasis')):
    return Cohort(np.zeros((len(labels), 2, 2), np.uint8), labels, patients, names)


def study_like(seed=0):
    """About the size of the study: 500 patients, some with lesions of two classes."""
    rng = np.random.default_rng(seed)
    size = rng.geometric(0.4, 500)
    main = np.repeat(rng.choice(3, 500, p=[0.53, 0.1, 0.37]), size)
    labels = np.where(rng.random(size.sum()) < 0.15, 0, main)
    return cohort_of(labels, np.repeat([f'P{i:03d}' for i in range(500)], size))


def roles(splits, fold=0):
    return splits.groupby('patient')[f'fold{fold}'].agg(set)


@st.composite
def cohorts(draw):
    """Two or three patients of each class alone, and others with any mixture of lesions."""
    n, n_patients, n_alone = draw(st.integers(0, 40)), draw(st.integers(1, 25)), draw(st.integers(2, 3))
    labels = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    patients = draw(st.lists(st.integers(1, n_patients), min_size=n, max_size=n))
    alone = [0, 1, 2] * n_alone
    return cohort_of(labels + alone, patients + [f'alone {i}' for i in range(len(alone))])


@settings(max_examples=40, deadline=None)
@given(cohorts(), st.integers(1, 3), st.sampled_from([0.05, 0.3, 1.0]), st.integers(0, 2))
def test_no_patient_in_two_roles_and_every_class_on_both_sides(cohort, folds, fraction, seed):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            splits = make_splits(cohort, folds=folds, train_fraction=fraction, seed=seed)
        except StudyError as error:
            assert 'cannot be split' in str(error) or 'but folds is 3' in str(error)
            return
    tested = [set(splits.patient[splits[f'fold{k}'] == 'test']) for k in range(folds)]
    assert sum(map(len, tested)) == len(set.union(*tested))
    for k in range(folds):
        assert (roles(splits, k).map(len) == 1).all()
        for role in ('train', 'test'):
            assert set(splits.label[splits[f'fold{k}'] == role]) == {0, 1, 2}
        assert fraction < 1 or 'unused' not in set(splits[f'fold{k}'])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=7), min_size=3, max_size=3), st.integers(0, 3)
)
def test_two_patients_of_each_class_always_suffice(sizes, seed):
    owners = [(k, f'{k}-{i}') for k, group in enumerate(sizes) for i, n in enumerate(group) for _ in range(n)]
    labels, patients = zip(*owners)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        splits = make_splits(cohort_of(labels, patients), seed=seed)
    assert (
        splits.label[splits.fold0 == 'test'].nunique() == 3 == splits.label[splits.fold0 == 'train'].nunique()
    )


def test_hold_out_is_a_fifth_with_the_same_proportions():
    cohort = study_like()
    splits = make_splits(cohort, folds=5)
    for k in range(5):
        test = select(cohort, splits, k, 'test')
        assert np.abs(test.counts / cohort.counts - 0.2).max() < 0.02
    assert (sum((splits[f'fold{k}'] == 'test').astype(int) for k in range(5)) == 1).all()
    assert splits.columns.tolist() == ['id', 'patient', 'label'] + [f'fold{k}' for k in range(5)]


def test_same_seed_same_splits_other_seed_other_splits():
    cohort = study_like()
    first, again, other = (make_splits(cohort, train_fraction=0.5, seed=s) for s in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_the_hold_out_does_not_depend_on_fraction_or_folds():
    cohort = study_like()
    tests = [
        make_splits(cohort, folds=f, train_fraction=t).fold0 == 'test'
        for f, t in ((1, 1.0), (3, 1.0), (1, 0.1))
    ]
    assert tests[0].equals(tests[1]) and tests[0].equals(tests[2])


@pytest.mark.parametrize('seed', range(3))
def test_train_fraction_is_of_patients_nested_and_in_proportion(seed):
    cohort = study_like(seed)
    whole = select(cohort, make_splits(cohort, seed=seed))
    n_patients, kept_before = len(set(whole.patients)), set()
    for fraction in (0.02, 0.1, 0.25, 0.5, 0.75, 1.0):
        part = select(cohort, make_splits(cohort, train_fraction=fraction, seed=seed))
        kept = set(part.patients)
        assert kept_before <= kept and len(kept) == max(3, round(fraction * n_patients))
        assert (part.counts > 0).all()
        if fraction >= 0.25:
            assert np.abs(part.counts / len(part) - whole.counts / len(whole)).max() < 0.04
            assert abs(len(part) / len(whole) - fraction) < 0.025
        kept_before = kept


def test_a_tiny_fraction_keeps_a_patient_of_each_class():
    splits = make_splits(study_like(), train_fraction=1e-6)
    train = splits[splits.fold0 == 'train']
    assert train.label.nunique() == 3 and train.patient.nunique() <= 3


def test_one_patient_of_a_class_is_refused():
    with pytest.raises(StudyError, match='Class "hemangioma" has 1 patient: a split needs at least 2'):
        make_splits(cohort_of([0, 0, 0, 1, 1, 2, 2], list('abcddef')))


def test_no_patient_of_a_class_is_refused():
    with pytest.raises(StudyError, match='Class "metastasis" has 0 patients'):
        make_splits(cohort_of([0, 0, 1, 1], list('abcd')))


def test_a_class_rarer_than_the_parts_still_keeps_a_fifth_for_testing():
    labels = [0] * 50 + [1] * 50 + [2] * 2
    splits = make_splits(cohort_of(labels, range(102)))
    assert (splits.fold0 == 'test').mean() == pytest.approx(0.2, abs=0.03)
    assert sorted(splits.fold0[splits.label == 2]) == ['test', 'train']


def test_small_sets_are_split_into_fewer_parts_with_a_warning():
    with pytest.warns(UserWarning, match='split into 2'):
        splits = make_splits(cohort_of([0, 0, 1, 1, 2, 2], list('abcdef')))
    assert splits.groupby('label').fold0.agg(sorted).tolist() == [['test', 'train']] * 3


def test_patients_that_cannot_be_split_are_refused():
    # each class has two patients, but of any two sides one holds both patients of some class
    with pytest.raises(StudyError, match='cannot be split'):
        make_splits(cohort_of([0, 1, 0, 2, 1, 2], list('aabbcc')))


@pytest.mark.parametrize(
    'wrong, says',
    [
        (dict(train_fraction=0), 'train_fraction is 0'),
        (dict(train_fraction=1.2), 'train_fraction is 1.2'),
        (dict(train_fraction=float('nan')), 'train_fraction is nan'),
        (dict(folds=6), 'folds is 6'),
        (dict(folds=0), 'folds is 0'),
        (dict(n_folds=1), 'n_folds is 1'),
    ],
)
def test_arguments_out_of_range(wrong, says):
    with pytest.raises(StudyError, match=says):
        make_splits(study_like(), **wrong)


def test_more_folds_than_patients_of_a_class():
    labels = [0] * 50 + [1] * 50 + [2] * 3
    with pytest.raises(StudyError, match='choose folds=3 or fewer'):
        make_splits(cohort_of(labels, range(103)), folds=4)


def test_select_parts_the_cohort_and_survives_csv(tmp_path):
    cohort = study_like()
    splits = make_splits(cohort, train_fraction=0.3)
    splits.to_csv(tmp_path / 'splits.csv', index=False)
    splits = pd.read_csv(tmp_path / 'splits.csv')
    parts = [select(cohort, splits, role=role) for role in ('train', 'unused', 'test')]
    assert sum(map(len, parts)) == len(cohort) and len({p.fingerprint for p in parts}) == 3
    assert sorted(np.concatenate([p.ids for p in parts])) == sorted(cohort.ids)
    assert len(select(cohort, make_splits(cohort), role='unused')) == 0


def test_select_refuses_foreign_splits():
    cohort = study_like()
    splits = make_splits(cohort)
    with pytest.raises(StudyError, match='another cohort'):
        select(replace(cohort, ids=[f'X{i}' for i in range(len(cohort))]), splits)
    with pytest.raises(StudyError, match='another cohort'):
        select(cohort[:-1], splits)
    with pytest.raises(StudyError, match='no fold 1: make them with folds=2'):
        select(cohort, splits, fold=1)
    with pytest.raises(StudyError, match='"validation" is unknown'):
        select(cohort, splits, role='validation')
