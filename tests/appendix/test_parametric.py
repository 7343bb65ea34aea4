"""Each defect of the parametric generator is the one that was asked for, and no other."""

import numpy as np
import pytest

from genmix.appendix.parametric import sample_set
from genmix.data.phantom import plan

PERFECT = {'modes': 60, 'label_noise': 0.0, 'blur': 0.0, 'per_class': 60, 'image_size': 32, 'seed': 9100}


def made(**changes):
    return sample_set(**PERFECT | changes)


def sources(cohort, fresh):
    """Row of `fresh` that each image shows."""
    rows = {image.tobytes(): i for i, image in enumerate(fresh.images)}
    return np.array([rows[image.tobytes()] for image in cohort.images])


def test_without_defects_it_is_the_oracle():
    fresh = plan.draw('oracle', (60, 60, 60), image_size=32, seed=9100)
    own = sources(made(), fresh)
    assert sorted(own) == list(range(180)) and (fresh.labels[own] == made().labels).all()
    assert (made().images == made().images).all() and not (made().images == made(seed=9101).images).all()


@pytest.mark.parametrize('modes', [1, 7, 59])
def test_modes_are_repeated_equally_often(modes):
    cohort = made(modes=modes)
    assert np.bincount(cohort.labels).tolist() == [60, 60, 60]
    for label in range(3):
        _, times = np.unique(cohort.images[cohort.labels == label], axis=0, return_counts=True)
        assert len(times) == modes and np.ptp(times) <= 1


def test_more_modes_than_images_are_no_more_than_images():
    assert (made(modes=600).images == made().images).all()


@pytest.mark.parametrize('noise', [0.1, 0.3])
def test_wrong_labels_are_as_many_as_asked_and_of_every_other_class(noise):
    """A wrong image shows a lesion of another class; which lesions there are does not change."""
    fresh = plan.draw('oracle', (12, 12, 12), image_size=32, seed=9100)
    cohort = made(modes=12, label_noise=noise)
    shown = fresh.labels[sources(cohort, fresh)]
    table = np.histogram2d(cohort.labels, shown, bins=3)[0]
    wrong = round(60 * noise)
    assert np.diag(table).tolist() == [60 - wrong] * 3
    assert (table[~np.eye(3, dtype=bool)] == wrong / 2).all()
    assert len(np.unique(cohort.images, axis=0)) == 36


def test_blur_lowers_detail_by_the_transfer_function_of_a_gaussian():
    """A fall of the power at each frequency f by exp(-4 pi^2 f^2 sd^2), and the brightness stays."""
    sharp, soft = (made(blur=blur, image_size=64).images.astype(float) for blur in (0.0, 1.5))
    assert np.abs(sharp.mean((1, 2)) - soft.mean((1, 2))).max() < 1.5
    window = np.hanning(64)[:, None] * np.hanning(64)
    power = [
        np.abs(np.fft.fft2((x - x.mean((1, 2), keepdims=True)) * window)).mean(0) ** 2 for x in (sharp, soft)
    ]
    for i, j in ((0, 4), (3, 5), (6, 0)):
        wanted = np.exp(-4 * np.pi**2 * (i**2 + j**2) / 64**2 * 1.5**2)
        assert power[1][i, j] / power[0][i, j] == pytest.approx(wanted, rel=0.1)
