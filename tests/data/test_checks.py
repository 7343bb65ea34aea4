"""Copies and near copies are found, strangers are left apart."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from conftest import SHARED
from genmix import StudyError
from genmix.data import checks
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.data.readers import folder

IQ = SHARED / 'iq_othnccd'


def pictures(n, seed=0, size=64):
    """Unrelated smooth pictures, uint8 (n, size, size), away from 0 and 255."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(n, size, size)), (0, 3, 3))
    return (128 + 30 * np.clip(field / field.std(), -3, 3)).astype(np.uint8)


def recompressed(image, quality=50):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', quality=quality)
    return np.asarray(Image.open(buffer))


def test_planted_copies_join_and_strangers_do_not():
    images = pictures(40)
    a = images[3]
    planted = [a, np.roll(a, 1, axis=1), recompressed(a), a + np.uint8(3), np.roll(images[7], 1, axis=0)]
    clusters = checks.duplicate_clusters(np.concatenate([images, planted]))
    assert clusters[:40].tolist() == list(range(40))
    assert clusters[40:].tolist() == [3, 3, 3, 3, 7]


def test_discs_of_one_kind_are_strangers():
    # centred dark discs of one size in noisy tissue correlate at 0.9 as pictures; what is particular to each is the noise
    y, x = np.mgrid[:64, :64] - 31.5
    grain = gaussian_filter(np.random.default_rng(0).normal(size=(30, 64, 64)), (0, 1, 1))
    images = (140 - 60 * (np.hypot(x, y) < 14) + 12 * grain / grain.std()).clip(0, 255).astype(np.uint8)
    assert np.corrcoef(images[:2].reshape(2, -1))[0, 1] > 0.75
    assert len(np.unique(checks.duplicate_clusters(images))) == 30


def test_exact_only_joins_equal_pixels():
    images = pictures(6)
    images[4] = images[1]
    images[5] = images[1] + np.uint8(1)
    assert checks.duplicate_clusters(images, near=None).tolist() == [0, 1, 2, 3, 1, 4]
    assert checks.duplicate_clusters(images).tolist() == [0, 1, 2, 3, 1, 1]
    assert [g.tolist() for g in checks.exact_duplicates(images)] == [[1, 4]]


def test_flat_images_of_different_gray_are_not_copies():
    flat = np.stack([np.full((64, 64), v, np.uint8) for v in (10, 200, 10)])
    flat[:2, 20, 20] += 1  # a trace of rounding is no detail
    assert checks.duplicate_clusters(flat).tolist() == [0, 1, 2]


@pytest.mark.parametrize('n', [0, 1])
def test_hardly_any_images(n):
    assert checks.duplicate_clusters(pictures(2)[:n]).tolist() == list(range(n))


def test_blocks_equal_the_whole(monkeypatch):
    images = pictures(70)
    images = np.concatenate([images, np.roll(images[::3], 1, axis=2)])
    detail = checks._detail(images)
    whole = checks.connected_components(np.triu(detail @ detail.T, 1) > 0.9, directed=False)[1]
    links = checks._strongest_links(detail, 0.9, block=7)
    assert checks.connected_components(links, directed=False)[1].tolist() == whole.tolist()


def test_many_true_copies_stay_together():
    copies = np.stack([pictures(1)[0] + np.uint8(k) for k in range(60)])
    with pytest.warns(UserWarning, match='60 of 100'):
        clusters = checks.duplicate_clusters(np.concatenate([copies, pictures(40, seed=2)]))
    assert len(set(clusters[:60])) == 1 and len(set(clusters)) == 41


def test_a_chain_of_strangers_falls_into_pieces():
    # each picture shares three quarters with the next and nothing with those further on
    parts = pictures(403, seed=3).astype(float) - 128
    images = (128 + (parts[:-3] + parts[1:-2] + parts[2:-1] + parts[3:]) / 2).clip(0, 255).astype(np.uint8)
    with pytest.warns(UserWarning, match='chain into one'):
        clusters = checks.duplicate_clusters(images, near=0.6)
    assert np.bincount(clusters).max() <= 50


def test_conflicts_name_copies_with_different_labels():
    images = pictures(5)
    images[3], images[4] = images[0], images[1]
    cohort = Cohort(images, [0, 1, 0, 1, 1], ['p', 'p', 'q', 'p', 'r'], ('cyst', 'hemangioma'))
    table = checks.conflicts(cohort)
    assert table.id.tolist() == ['L00000', 'L00003'] and table['class'].tolist() == ['cyst', 'hemangioma']
    assert checks.conflicts(cohort, 'patient').id.tolist() == ['L00001', 'L00004']
    assert checks.conflicts(cohort[:3]).empty


@pytest.mark.skipif(not IQ.is_dir(), reason='the CT set is not here')
def test_ct_slices():
    cohort = folder.load(IQ)
    copies = checks.exact_duplicates(cohort.images)
    assert len(copies) == 42 and sum(map(len, copies)) == 84 and checks.conflicts(cohort).empty
    clusters = checks.duplicate_clusters(cohort.images)
    sizes = np.bincount(clusters)
    assert 310 <= len(sizes) <= 365 and 25 <= sizes.max() <= 40
    spread = [len(set(cohort.labels[clusters == k])) for k in range(len(sizes))]
    assert sum(s > 1 for s in spread) <= 2
    some = cohort.images[::20]
    for changed in (np.roll(some, 1, axis=2), np.stack([recompressed(i) for i in some])):
        again = checks.duplicate_clusters(np.concatenate([some, changed]))
        assert (again[: len(some)] == again[len(some) :]).mean() >= 0.98


# ---- the whole audit


def table_of(cohort, notes=()):
    again, table, flagged = checks.examine(cohort, notes)
    return again, table.set_index('check'), flagged


def test_copies_that_disagree_are_left_out_and_patients_who_share_are_joined():
    images = pictures(9)
    images[3], images[5], images[7] = images[0], images[1], images[2] + np.uint8(3)
    cohort = Cohort(images, [0, 1, 0, 1, 0, 1, 1, 0, 1], list('abcdefghi'), ('x', 'y'), 'made')
    again, table, flagged = table_of(cohort)
    assert (
        len(again) == 7
        and not set(again.ids) & {'L00000', 'L00003'}
        and '2 with conflicting labels left out' in again.source
    )
    assert again.patients.tolist() == ['b', 'c', 'e', 'b', 'g', 'c', 'i']
    assert table['count'][
        ['redundant exact copies', 'copies with conflicting classes', 'images', 'class x']
    ].tolist() == [2, 2, 7, 3]
    assert set(flagged.id[flagged.check == 'copies with conflicting classes']) == {'L00000', 'L00003'}
    assert flagged[flagged.id == 'L00003'].patient.tolist() == ['d'] * 2


def test_exact_copies_join_patients_in_large_sets_too(monkeypatch):
    monkeypatch.setattr(checks, 'MANY', 5)
    images = pictures(8)
    images[5], images[6] = images[0], images[1] + np.uint8(1)
    again, table, _ = table_of(Cohort(images, [0, 1, 0, 1, 0, 0, 1, 1], list('abcdefgh'), ('x', 'y')))
    assert again.patients.tolist() == list('abcdeagh') and table.verdict['near copies'] == 'not verified'
    assert 'images in near-duplicate clusters' not in table.index


def test_nothing_left_is_said():
    with pytest.raises(StudyError, match='No image is left'):
        checks.examine(Cohort(np.zeros((4, 32, 32), np.uint8), [0, 1, 0, 1], list('abcd'), ('x', 'y')))


def test_a_clean_set_stays_as_it_is():
    cohort = plan.draw('dev', (12, 6, 10), 18, 32)
    again, table, flagged = table_of(cohort, [('a note', 1, 2, 'look', 'of the reader')])
    assert (
        again.content_hash == cohort.content_hash
        and table.verdict['a note'] == 'look'
        and table.verdict['classes'] == 'not verified'
    )
    counted = table[table.verdict != 'fact'].drop(index=['a note', 'images of patients with several classes'])
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
    names, n = checks.as_patients(cohort.images)
    unknown = table_of(Cohort(cohort.images, cohort.labels, names, ('x', 'y')))[1]
    assert (
        n == 6
        and unknown.verdict[['patients', 'scale and window']].tolist()[-1] == 'not verified'
        and 'images of patients with several classes' not in unknown.index
    )


def test_nearest_pairs():
    images = pictures(30)
    images[20], images[11] = np.roll(images[4], 1, axis=1), images[10]
    cohort = Cohort(images, np.arange(30) % 2, [f'p{i // 2}' for i in range(30)], ('x', 'y'))
    pairs = checks.nearest_pairs(cohort, 3)  # 10 and 11 are of one patient
    assert (
        pairs[0][:2] == (4, 20)
        and pairs[0][2] > 0.95 > pairs[1][2]
        and len({k for i, j, _ in pairs for k in (i, j)}) == 6
    )
    assert checks.nearest_pairs(cohort[:2], 3) == []


@pytest.mark.skipif(not IQ.is_dir(), reason='the CT set is not here')
def test_the_audit_of_real_slices():
    cohort = folder.load(IQ)
    again, table, flagged = table_of(cohort)
    count = table['count']
    assert (
        again.content_hash == cohort.content_hash
        and count['redundant exact copies'] == 42
        and count['copies with conflicting classes'] == 0
    )
    assert (
        850 <= count['images in near-duplicate clusters'] <= 950
        and 0 < count['images in clusters of several classes'] <= 20
    )
    assert count['clipped images'] > 900 and (table.loc['patients'].verdict == 'not verified').any()
