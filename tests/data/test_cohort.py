import numpy as np
import pytest
from conftest import blobs

from genmix import StudyError
from genmix.data.cohort import Cohort


def test_slicing_keeps_rows_together(cohort):
    cohort.extra['size'] = np.arange(len(cohort))
    rows = np.array([5, 40, 7])
    part = cohort[rows]
    assert part.extra['size'].tolist() == rows.tolist() and list(part.ids) == [cohort.ids[i] for i in rows]
    assert np.array_equal(part.images, cohort.images[rows]) and np.array_equal(
        part.labels, cohort.labels[rows]
    )
    assert (
        list(part.patients) == [cohort.patients[i] for i in rows] and part.class_names == cohort.class_names
    )
    assert len(cohort[cohort.labels == 1]) == cohort.counts['middle'] == 10


def test_counts_know_absent_classes(cohort):
    assert cohort[cohort.labels == 0].counts.to_dict() == {'small': 20, 'middle': 0, 'large': 0}


def test_save_and_load_are_inverse(cohort, tmp_path):
    cohort.extra['note'] = 'x'
    cohort.save(tmp_path)
    again = Cohort.load(tmp_path)
    assert again.content_hash == cohort.content_hash and again.fingerprint == cohort.fingerprint
    assert again.source == cohort.source and again.extra.equals(cohort.extra)


def test_fingerprint_is_about_who_not_in_which_order(cohort):
    shuffled = cohort[np.random.default_rng(0).permutation(len(cohort))]
    assert shuffled.fingerprint == cohort.fingerprint != cohort[:-1].fingerprint
    assert shuffled.content_hash != cohort.content_hash


def test_content_hash_sees_one_pixel(cohort):
    other = Cohort(cohort.images.copy(), cohort.labels, cohort.patients, cohort.class_names, ids=cohort.ids)
    assert other.content_hash == cohort.content_hash
    other.images[3, 4, 5] ^= 1
    assert other.content_hash != cohort.content_hash


@pytest.mark.parametrize(
    'change, word',
    [
        ({'images': np.zeros((45, 8, 8))}, 'uint8'),
        ({'labels': np.zeros(3)}, '3 labels'),
        ({'labels': np.full(45, 3)}, 'outside'),
        ({'patients': ['a']}, '1 patients'),
        ({'ids': ['a'] * 45}, 'unique'),
    ],
)
def test_errors(change, word):
    c = blobs()
    members = {
        'images': c.images,
        'labels': c.labels,
        'patients': c.patients,
        'class_names': c.class_names,
        'ids': c.ids,
    }
    with pytest.raises(StudyError, match=word):
        Cohort(**(members | change))
