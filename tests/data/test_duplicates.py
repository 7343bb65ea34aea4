"""Copies and near-duplicates are found, unrelated images are left apart."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, SHARED
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components

from genmix.data import duplicates
from genmix.data.cohort import Cohort
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


def test_planted_copies_join_and_unrelated_images_do_not():
    images = pictures(40)
    a = images[3]
    planted = [a, np.roll(a, 1, axis=1), recompressed(a), a + np.uint8(3), np.roll(images[7], 1, axis=0)]
    clusters = duplicates.duplicate_clusters(np.concatenate([images, planted]))
    assert clusters[:40].tolist() == list(range(40))
    assert clusters[40:].tolist() == [3, 3, 3, 3, 7]


def test_discs_of_one_kind_are_not_copies():
    # centred dark discs of one size in noisy tissue correlate at 0.9 as pictures; what differs is the noise
    y, x = np.mgrid[:64, :64] - 31.5
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(30, 64, 64)), (0, 1, 1))
    images = (140 - 60 * (np.hypot(x, y) < 14) + 12 * noise / noise.std()).clip(0, 255).astype(np.uint8)
    assert np.corrcoef(images[:2].reshape(2, -1))[0, 1] > 0.75
    assert len(np.unique(duplicates.duplicate_clusters(images))) == 30


def test_exact_only_joins_equal_pixels():
    images = pictures(6)
    images[4] = images[1]
    images[5] = images[1] + np.uint8(1)
    assert duplicates.duplicate_clusters(images, near=None).tolist() == [0, 1, 2, 3, 1, 4]
    assert duplicates.duplicate_clusters(images).tolist() == [0, 1, 2, 3, 1, 1]
    assert [g.tolist() for g in duplicates.exact_duplicates(images)] == [[1, 4]]


def test_flat_images_of_different_gray_are_not_copies():
    flat = np.stack([np.full((64, 64), v, np.uint8) for v in (10, 200, 10)])
    flat[:2, 20, 20] += 1  # a trace of rounding is no detail
    assert duplicates.duplicate_clusters(flat).tolist() == [0, 1, 2]


@pytest.mark.parametrize('n', [0, 1])
def test_hardly_any_images(n):
    assert duplicates.duplicate_clusters(pictures(2)[:n]).tolist() == list(range(n))


def test_blocks_equal_the_whole():
    images = pictures(70)
    images = np.concatenate([images, np.roll(images[::3], 1, axis=2)])
    detail = duplicates._detail(images)
    whole = connected_components(np.triu(detail @ detail.T, 1) > 0.9, directed=False)[1]
    links = duplicates._strongest_links(detail, 0.9, block=7)
    assert connected_components(links, directed=False)[1].tolist() == whole.tolist()


def test_many_true_copies_stay_together():
    copies = np.stack([pictures(1)[0] + np.uint8(k) for k in range(60)])
    with pytest.warns(UserWarning, match='60 of 100'):
        clusters = duplicates.duplicate_clusters(np.concatenate([copies, pictures(40, seed=2)]))
    assert len(set(clusters[:60])) == 1 and len(set(clusters)) == 41


def test_a_chain_of_unrelated_images_falls_into_pieces():
    # each picture shares three quarters with the next and nothing with those further on
    parts = pictures(403, seed=3).astype(float) - 128
    images = (128 + (parts[:-3] + parts[1:-2] + parts[2:-1] + parts[3:]) / 2).clip(0, 255).astype(np.uint8)
    with pytest.warns(UserWarning, match='chain into one'):
        clusters = duplicates.duplicate_clusters(images, near=0.6)
    assert np.bincount(clusters).max() <= 50


def test_conflicts_name_copies_with_different_labels():
    images = pictures(5)
    images[3], images[4] = images[0], images[1]
    cohort = Cohort(images, [0, 1, 0, 1, 1], ['p', 'p', 'q', 'p', 'r'], ('cyst', 'hemangioma'))
    table = duplicates.conflicts(cohort)
    assert table.id.tolist() == ['L00000', 'L00003'] and table['class'].tolist() == ['cyst', 'hemangioma']
    assert duplicates.conflicts(cohort, 'patient').id.tolist() == ['L00001', 'L00004']
    assert duplicates.conflicts(cohort[:3]).empty


@pytest.mark.skipif(not IQ.is_dir(), reason='the CT set is not here')
def test_ct_slices():
    cohort = folder.load(IQ)[0]
    copies = duplicates.exact_duplicates(cohort.images)
    assert len(copies) == 42 and sum(map(len, copies)) == 84 and duplicates.conflicts(cohort).empty
    clusters = duplicates.duplicate_clusters(cohort.images)
    sizes = np.bincount(clusters)
    assert 310 <= len(sizes) <= 365 and 25 <= sizes.max() <= 40
    classes = [len(set(cohort.labels[clusters == k])) for k in range(len(sizes))]
    assert sum(n > 1 for n in classes) <= 2
    some = cohort.images[::20]
    for changed in (np.roll(some, 1, axis=2), np.stack([recompressed(i) for i in some])):
        again = duplicates.duplicate_clusters(np.concatenate([some, changed]))
        assert (again[: len(some)] == again[len(some) :]).mean() >= 0.98


def test_nearest_pairs():
    images = pictures(30)
    images[20], images[11] = np.roll(images[4], 1, axis=1), images[10]
    cohort = Cohort(images, np.arange(30) % 2, [f'p{i // 2}' for i in range(30)], ('x', 'y'))
    pairs = duplicates.nearest_pairs(cohort, 3)  # 10 and 11 are of one patient
    assert pairs[0][:2] == (4, 20) and pairs[0][2] > 0.95 > pairs[1][2]
    assert len({k for i, j, _ in pairs for k in (i, j)}) == 6
    assert duplicates.nearest_pairs(cohort[:2], 3) == []


SEARCH = """
import re, resource, time
from pathlib import Path
import numpy as np
from genmix.data import checks, duplicates
from genmix.data.cohort import Cohort

rng = np.random.default_rng(0)
images = rng.integers(0, 256, (20000, 16, 16), np.uint8).repeat(4, 1).repeat(4, 2)
images[5000:10000] = np.roll(images[:5000], 1, axis=2)
names, count = duplicates.as_patients(images)
checks.examine(Cohort(images, np.arange(20000) % 2, names, ('x', 'y')))
# ru_maxrss would hold what the process that forked this one had: Linux keeps it through exec
status = Path('/proc/self/status')
kilobytes = re.search('VmHWM:\\\\s+(\\\\d+)', status.read_text())[1] if status.exists() else 0
print(count, time.process_time(), (int(kilobytes) or resource.getrusage(0).ru_maxrss) / 2**20)
"""


def test_twenty_thousand_images_take_less_than_a_minute_and_1_5_gigabytes():
    env = os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
    done = subprocess.run([sys.executable, '-c', SEARCH], env=env, capture_output=True, text=True, check=True)
    count, seconds, gigabytes = map(float, done.stdout.split())
    assert 15000 <= count < 15200 and seconds < 60 and gigabytes < 1.5
