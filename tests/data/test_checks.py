"""What `examine` leaves out, joins, counts and does not claim."""

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from test_duplicates import pictures

from genmix import StudyError
from genmix.data import checks, duplicates
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.data.readers import folder

IQ = SHARED / 'iq_othnccd'


def table_of(cohort, notes=()):
    again, table, flagged = checks.examine(cohort, notes)
    return again, table.set_index('check'), flagged


def test_copies_that_disagree_are_left_out_and_patients_who_share_are_joined():
    images = pictures(9)
    images[3], images[5], images[7] = images[0], images[1], images[2] + np.uint8(3)
    cohort = Cohort(images, [0, 1, 0, 1, 0, 1, 1, 0, 1], list('abcdefghi'), ('x', 'y'), 'made')
    again, table, flagged = table_of(cohort)
    assert len(again) == 7 and not set(again.ids) & {'L00000', 'L00003'}
    assert '2 with conflicting labels left out' in again.source
    assert again.patients.tolist() == ['b', 'c', 'e', 'b', 'g', 'c', 'i']
    names = ['redundant exact copies', 'copies with conflicting classes', 'images', 'class x']
    assert table['count'][names].tolist() == [2, 2, 7, 3]
    assert table.verdict[names].tolist() == ['fixed', 'fixed', 'fact', 'fact']
    assert set(flagged.id[flagged.check == 'copies with conflicting classes']) == {'L00000', 'L00003'}
    assert flagged[flagged.id == 'L00003'].patient.tolist() == ['d'] * 2


def test_exact_copies_join_patients_in_large_sets_too(monkeypatch):
    monkeypatch.setattr(duplicates, 'MANY', 5)
    images = pictures(8)
    images[5], images[6] = images[0], images[1] + np.uint8(1)
    again, table, _ = table_of(Cohort(images, [0, 1, 0, 1, 0, 0, 1, 1], list('abcdefgh'), ('x', 'y')))
    assert again.patients.tolist() == list('abcdeagh') and table.verdict['near copies'] == 'not verified'
    assert 'images in near-duplicate clusters' not in table.index


def test_nothing_left_is_an_error():
    with pytest.raises(StudyError, match='No image is left'):
        checks.examine(Cohort(np.zeros((4, 32, 32), np.uint8), [0, 1, 0, 1], list('abcd'), ('x', 'y')))


def test_a_small_class_is_questioned():
    cohort = Cohort(pictures(24), [0] * 12 + [1] * 9 + [0] * 3, list('abcdefghijklmnopqrstuvwx'), ('x', 'y'))
    row = table_of(cohort)[1].loc['patients of the smallest class']
    assert row['count'] == 9 and row.verdict == 'look' and row.note.startswith('y; the study runs from 2 on')
    many = table_of(Cohort(pictures(24), [0, 1] * 12, list('abcdefghijklmnopqrstuvwx'), ('x', 'y')))[1]
    assert 'patients of the smallest class' not in many.index


def test_a_class_that_the_checks_empty_is_named():
    images = pictures(8)
    images[[1, 3, 5]] = images[[0, 2, 4]]
    cohort = Cohort(images, [0, 1, 0, 1, 0, 1, 0, 0], list('abcdefgh'), ('x', 'y'))
    with pytest.raises(
        StudyError, match='"y" has 0 of its 3 patients left after the checks: 3 of its images'
    ):
        checks.examine(cohort)
    images[1], images[3], images[5] = images[3], images[3], pictures(9)[8]
    images[2], images[4] = pictures(2, seed=5)
    with pytest.raises(StudyError, match='"z" has 1 of its 2 patients left .*patients who share a picture'):
        checks.examine(Cohort(images, [0, 1, 0, 1, 0, 0, 0, 0], list('abcdefgh'), ('w', 'z')))


def test_clusters_of_the_reader_are_not_searched_again(monkeypatch):
    images = pictures(30)
    images[20] = np.roll(images[4], 1, axis=1)
    names, _ = duplicates.as_patients(images)
    cohort = Cohort(images, np.arange(30) % 2, names, ('x', 'y'))
    monkeypatch.setattr(duplicates, 'duplicate_clusters', None)
    _, table, _ = table_of(cohort)
    assert table['count']['images in near-duplicate clusters'] == 2


def test_a_clean_set_stays_as_it_is():
    cohort = plan.draw('dev', (12, 6, 10), 18, 32)
    again, table, flagged = table_of(cohort, [('a note', 1, 2, 'look', 'of the reader')])
    assert again.content_hash == cohort.content_hash
    assert table.verdict['a note'] == 'look' and table.verdict['classes'] == 'not verified'
    asked = ['a note', 'images of patients with several classes', 'patients of the smallest class']
    counted = table[table.verdict != 'fact'].drop(index=asked)
    assert set(counted['count']) == {0, ''} and set(counted.verdict) == {'ok', 'not verified'}


def test_flat_clipped_and_outlying_images_are_flagged():
    images = pictures(12)
    images[0], images[1, 10:50], images[2] = 77, 0, np.where(images[2] > 128, 255, 0)
    extra = {
        'diameter_mm': [10.0] * 5 + [11.0, 12.0, 9.0, 8.0, 10.0, 12.0] + [200.0],
        'inplane_mm': [0.7] * 10 + [0.8, 2.0],
        'spacing_mm': [3.0] * 11 + [5.0],
    }
    cohort = Cohort(
        images, np.arange(12) % 2, [f'p{i}' for i in range(12)], ('x', 'y'), extra=pd.DataFrame(extra)
    )
    again, table, flagged = table_of(cohort)
    found = {check: rows.id.tolist() for check, rows in flagged.groupby('check')}
    assert found == {
        'constant images': ['L00000'],
        'clipped images': ['L00001', 'L00002'],
        'lesion size outliers': ['L00011'],
        'pixel spacing outliers': ['L00011'],
    }
    assert len(again) == 12 and '0.7 to 2, median 0.7 mm' in table.note['pixel spacing outliers']


def test_patients_with_several_classes_and_unknown_ones():
    cohort = Cohort(pictures(6), [0, 1, 0, 1, 0, 1], list('aabcdd'), ('x', 'y'))
    assert table_of(cohort)[1]['count']['images of patients with several classes'] == 4
    names, n = duplicates.as_patients(cohort.images)
    unknown = table_of(Cohort(cohort.images, cohort.labels, names, ('x', 'y')))[1]
    assert n == 6 and 'images of patients with several classes' not in unknown.index
    assert unknown.verdict[['patients', 'scale and window']].tolist()[-1] == 'not verified'


@pytest.mark.skipif(not IQ.is_dir(), reason='the CT set is not here')
def test_the_checks_of_real_slices():
    cohort = folder.load(IQ)[0]
    again, table, flagged = table_of(cohort)
    count = table['count']
    assert again.content_hash == cohort.content_hash
    assert count['redundant exact copies'] == 42 and count['copies with conflicting classes'] == 0
    assert 850 <= count['images in near-duplicate clusters'] <= 950
    assert 0 < count['images in clusters of several classes'] <= 20
    assert count['clipped images'] > 900 and (table.loc['patients'].verdict == 'not verified').any()
