"""The phantom: who is drawn, that it repeats to the byte, and that the HU obey the physics they claim."""

import numpy as np
import pytest

from genmix import StudyError
from genmix.data.images import windowed
from genmix.data.phantom import plan as phantom
from genmix.data.phantom import render, scanner

CYST, HEMANGIOMA, METASTASIS = range(3)


@pytest.fixture(scope='module')
def cohort():
    return phantom.draw(image_size=32)


@pytest.fixture(scope='module')
def lesions():
    """A plan rich in every subtype, and its noise-free patches."""
    rows = phantom.plan('dev', (120, 160, 200), seed=5)
    return rows, phantom.render_hu(rows, 64, seed=1, noise=False)


def radius_maps(rows, size):
    """Distance of every pixel from the patch centre over the lesion's radius, (n, size, size)."""
    axis = (np.arange(size) - (size - 1) / 2) / size
    return np.hypot(axis, axis[:, None]) * (rows.fov_mm / rows.diameter_mm * 2).to_numpy()[:, None, None]


def mean_within(hu, rows, pick, inner, outer):
    """Mean HU of each picked lesion where inner <= distance / radius < outer."""
    rho = radius_maps(rows, hu.shape[-1])[pick]
    ring = (rho >= inner) & (rho < outer)
    return (hu[pick] * ring).sum((1, 2)) / ring.sum((1, 2))


# ---- who is drawn
def test_the_cohort_has_the_published_counts(cohort):
    assert tuple(cohort.counts) == (676, 130, 484) and cohort.class_names == phantom.CLASS_NAMES
    assert len(np.unique(cohort.patients)) == 502
    assert cohort.images.dtype == np.uint8 and cohort.images.shape == (1290, 32, 32)


def test_lesions_are_shuffled_and_named_by_population(cohort):
    assert len(np.unique(cohort.labels[:60])) == 3
    assert cohort.ids[12] == 'cohort-L00012' and all(p.startswith('cohort-P') for p in cohort.patients)
    assert {'diameter_mm', 'subtype', 'slice_mm', 'pixel_mm'} <= set(cohort.extra)


def test_a_patient_mostly_has_one_kind_of_lesion(cohort):
    rows = cohort.manifest
    many = rows.groupby('patient').filter(lambda patient: len(patient) >= 4)
    purity = many.groupby('patient').label.agg(lambda label: label.value_counts(normalize=True).max())
    assert 0.8 < purity.mean() < 1


def test_subtypes_come_in_their_shares(cohort):
    shares = cohort.manifest[cohort.labels == METASTASIS].subtype.value_counts(normalize=True)
    for name, share in phantom.SUBTYPES['metastasis'].items():
        assert abs(shares[name] - share) < 0.07
    assert set(cohort.extra.subtype) == set(phantom.LOOKS.index)


def test_patients_default_to_the_published_proportion():
    plan = phantom.plan('test', (300, 60, 216))
    assert plan.patient.nunique() == round(576 * 502 / 1290)


@pytest.mark.parametrize('n_patients', [1, 7, 60])
def test_every_patient_has_a_lesion(n_patients):
    plan = phantom.plan('dev', (31, 6, 23), n_patients)
    assert plan.patient.nunique() == n_patients and len(plan) == 60


@pytest.mark.parametrize('counts', [(20, 0, 5), (0, 7, 0), (0, 0, 1)])
def test_tiny_cohorts_and_missing_classes(counts):
    cohort = phantom.draw('oracle', counts, image_size=32)
    assert tuple(cohort.counts) == counts and cohort.images.std() > 5


@pytest.mark.parametrize('size', [32, 48, 128])
def test_image_size_changes_the_sampling_only(size):
    usual, other = (phantom.draw('dev', (6, 4, 6), image_size=s) for s in (64, size))
    assert other.images.shape == (16, size, size)
    fixed = ['id', 'patient', 'label', 'diameter_mm', 'subtype', 'slice_mm']
    assert usual.manifest[fixed].equals(other.manifest[fixed])
    assert np.allclose(usual.extra.pixel_mm * 64, other.extra.pixel_mm * size)


def test_image_size_keeps_the_shapes():
    rows = phantom.plan('dev', (8, 4, 8))
    fine, coarse = (phantom.render_hu(rows, size, noise=False) for size in (64, 32))
    pooled = fine.reshape(20, 32, 2, 32, 2).mean((2, 4))
    assert all(np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98 for a, b in zip(pooled, coarse))


# ---- it repeats, and populations stay apart
@pytest.mark.parametrize('noise', [True, False])
def test_chunks_side_by_side_are_the_same_bytes(monkeypatch, noise):
    lesions = phantom.plan('dev', (60, 40, 50), 60, seed=3)  # three chunks
    one_by_one = render.render_hu(lesions, 24, seed=1, noise=noise)
    monkeypatch.setattr(render, 'PIXELS_SIDE_BY_SIDE', 0)
    assert render.render_hu(lesions, 24, seed=1, noise=noise).tobytes() == one_by_one.tobytes()


def test_same_arguments_same_bytes():
    one, two = (phantom.draw('dev', (40, 20, 40), seed=3) for _ in range(2))
    assert one.content_hash == two.content_hash and one.manifest.equals(two.manifest)


@pytest.mark.parametrize('other', [dict(population='test'), dict(population='oracle'), dict(seed=1)])
def test_populations_and_seeds_share_nothing(other):
    one = phantom.draw('dev', (20, 10, 20))
    two = phantom.draw(**{'population': 'dev', 'counts': (20, 10, 20), **other})
    assert not set(one.ids) & set(two.ids) and not set(one.patients) & set(two.patients)
    low, high = phantom.DIAMETER_LIMITS
    size = [
        set(c.extra.diameter_mm[c.extra.diameter_mm.between(low, high, inclusive='neither')])
        for c in (one, two)
    ]
    assert size[0] and not size[0] & size[1]
    flat = [c.images.reshape(50, -1) for c in (one, two)]
    assert not (flat[0][:, None] == flat[1][None]).all(-1).any()


@pytest.mark.parametrize(
    'wrong, says',
    [
        (dict(population='train'), 'cohort, dev, test, oracle'),
        (dict(counts=(3, 2)), 'three whole numbers'),
        (dict(counts=(3, -1, 2)), 'three whole numbers'),
        (dict(counts=(0.5, 0.1, 0.4)), 'three whole numbers'),
        (dict(counts=(0, 0, 0)), 'not all zero'),
        (dict(counts=(2, 2, 2), n_patients=7), 'between 1 and 6'),
        (dict(counts=(2, 2, 2), n_patients=0), 'between 1 and 6'),
        (dict(counts=(2, 2, 2), image_size=8), 'image_size'),
    ],
)
def test_errors_name_the_fix(wrong, says):
    with pytest.raises(StudyError, match=says):
        phantom.draw(**wrong)


# ---- physics
def test_simple_cysts_hold_water(lesions):
    rows, hu = lesions
    pick = ((rows.subtype == 'simple') & (rows.diameter_mm > 15)).to_numpy()
    inside, around = mean_within(hu, rows, pick, 0, 0.5), rows.liver[pick]
    assert pick.sum() > 20 and abs(np.median(inside) - 6) < 6
    assert (inside < 35).all() and (around - inside > 40).all()


def test_small_cysts_read_too_high(lesions):
    rows, hu = lesions
    simple = (rows.subtype == 'simple').to_numpy()
    small, large = ((rows.diameter_mm < 9).to_numpy() & simple, (rows.diameter_mm > 20).to_numpy() & simple)
    assert mean_within(hu, rows, small, 0, 0.4).mean() > mean_within(hu, rows, large, 0, 0.4).mean() + 3


def test_complicated_cysts_are_denser_than_simple_ones(lesions):
    rows, hu = lesions
    inside = {
        s: mean_within(hu, rows, (rows.subtype == s).to_numpy(), 0, 0.5).mean()
        for s in ('simple', 'complicated')
    }
    assert inside['complicated'] > inside['simple'] + 15


def test_hemangioma_nodules_are_peripheral_and_blood_bright(lesions):
    rows, hu = lesions
    pick = ((rows.subtype == 'nodular') & (rows.diameter_mm > 20)).to_numpy()
    rho, blood = radius_maps(rows, 64)[pick], rows.blood[pick].to_numpy()[:, None, None]
    within = rho < 1.1
    peak = np.where(within, hu[pick], -np.inf).max((1, 2))
    assert pick.sum() > 20 and abs(np.median(peak / blood[:, 0, 0]) - 0.95) < 0.08
    threshold = (rows.blood + rows.core)[pick].to_numpy()[:, None, None] / 2
    nodule = within & (hu[pick] > threshold)
    assert rho[nodule].mean() > 0.65
    assert (
        np.median(nodule.sum((1, 2)) / within.sum((1, 2))) < 0.5
    )  # discontinuous: liquid blood between them


def test_flash_filled_hemangiomas_are_small_and_above_the_liver(lesions):
    rows, hu = lesions
    pick = (rows.subtype == 'flash').to_numpy()
    assert (rows.diameter_mm[pick] < phantom.FLASH_BELOW_MM).all()
    assert (mean_within(hu, rows, pick, 0, 0.6) > rows.liver[pick] + 5).mean() > 0.9


def test_target_metastases_have_a_rim_brighter_than_their_core(lesions):
    rows, hu = lesions
    large = rows.diameter_mm > 12

    def step(subtype):
        return np.subtract(
            *(
                mean_within(hu, rows, ((rows.subtype == subtype) & large).to_numpy(), *ring)
                for ring in ((0.75, 0.95), (0, 0.45))
            )
        )

    assert (step('target') > 10).mean() > 0.85
    assert np.median(step('target')) > np.median(step('solid')) + 10


def test_all_lesions_but_flash_are_darker_than_the_liver(lesions):
    rows, _ = lesions
    gap = (rows.liver - rows.core) * np.where(rows.subtype == 'flash', -1, 1)
    assert gap.min() > phantom.LEAST_HU - 1e-9 and set(rows.subtype) == set(phantom.LOOKS.index)


def test_metastases_have_softer_margins_than_cysts(lesions):
    rows, _ = lesions
    margin = rows.groupby('label').margin.mean()
    assert margin[METASTASIS] > 1.5 * margin[CYST]


def test_low_kilovoltage_raises_iodine_only():
    patients = phantom._patients(4000, np.random.default_rng(0))
    gain = np.log(patients.blood_gain)
    assert gain.max() - gain.min() > np.log(1.5)  # two kVp and the dose
    assert np.corrcoef(patients.blood, patients.liver)[0, 1] > 0.5  # one injection enhances both
    assert (patients.liver - patients.blood).mean() < -30


def test_thick_slices_blur_small_lesions():
    rows = phantom.plan('dev', (60, 0, 0)).assign(diameter_mm=8.0, core=0.0, fov_mm=26.0)
    thin, thick = (phantom.render_hu(rows.assign(slice_mm=mm), 32, noise=False) for mm in (1.0, 7.0))
    pick = np.ones(60, bool)
    assert (mean_within(thick, rows, pick, 0, 0.5) - mean_within(thin, rows, pick, 0, 0.5)).mean() > 5


# ---- the scanner
def noise_of(n, size, **scan):
    """Noise (n, size, size) of pixels of 0.6 mm, without streaks."""
    scan |= {'streak': 0, 'streak_angle': 0}
    scan = {name: np.full((n, 1, 1), value) for name, value in scan.items()}
    return scanner.correlated_noise(size, np.full((n, 1, 1), 0.6), np.random.default_rng(0), **scan)


def test_noise_has_the_level_it_is_given():
    noise = noise_of(40, 128, fwhm_mm=1.6, noise_hu=12.0)
    assert noise.shape == (40, 128, 128) and abs(noise.std() - 12) < 0.5


def test_noise_has_the_spectrum_of_filtered_back_projection():
    noise = noise_of(60, 64, fwhm_mm=1.4, noise_hu=10.0)
    power = (np.abs(np.fft.rfft2(noise)) ** 2).mean(0)
    f = np.hypot(*scanner.frequencies(64, np.full((1, 1, 1), 0.6)))[0]
    low, middle, high = (power[(f >= a) & (f < b)].mean() for a, b in ((0, 0.06), (0.2, 0.3), (0.6, 0.8)))
    assert low < 0.5 * middle and high < 0.2 * middle  # a ramp, cut off by the kernel


def test_noise_of_a_patch_is_that_of_its_patient():
    rows = phantom.plan('dev', (80, 0, 0)).assign(fov_mm=26.0, diameter_mm=6.0)  # more than a chunk
    noise = phantom.render_hu(rows, 64) - phantom.render_hu(rows, 64, noise=False)
    ratio = noise.std((1, 2)) / rows.noise_hu
    assert abs(ratio.mean() - 1) < 0.08 and ratio.between(0.75, 1.3).all()


def test_blur_keeps_the_mean_and_widens_a_point():
    ones = np.ones((1, 1, 1))
    point = np.zeros((1, 64, 64))
    point[0, 32, 32] = 1
    seen = scanner.blurred(point, 0.5 * ones, 2.0 * ones)[0]
    assert np.isclose(seen.sum(), 1)
    assert np.isclose(seen[32, 34] / seen[32, 32], 0.5, atol=0.01)  # half maximum 1 mm off the centre


def test_window_at_known_hu():
    level, width = phantom.WINDOW
    hu = np.array([-1000, level - width / 2, level, level + width / 2, 3000])
    assert windowed(hu, level, width).tolist() == [0, 0, 128, 255, 255]
    assert windowed(hu, level, width).dtype == np.uint8


# ---- the option of the scanner
def test_more_noise_of_the_scanner_changes_nothing_but_the_noise():
    usual, noisy, silent = (phantom.draw('dev', (40, 20, 40), seed=3, noise=n) for n in (1, 2, 0))
    same = ['id', 'patient', 'label', 'diameter_mm', 'subtype', 'slice_mm', 'pixel_mm']
    assert usual.manifest[same].equals(noisy.manifest[same])
    assert phantom.draw('dev', (40, 20, 40), seed=3).content_hash == usual.content_hash
    assert set(noisy.extra.noise) == {2.0} and noisy.source.endswith('noise x 2)')
    # gray levels well inside the window, where nothing is cut off: what is added is twice as large
    middle = (silent.images > 60) & (silent.images < 195)
    added = [(c.images.astype(float) - silent.images)[middle].std() for c in (usual, noisy)]
    assert 1.9 < added[1] / added[0] < 2.05
    for wrong in (-1, float('nan')):
        with pytest.raises(StudyError, match='give 0 or more'):
            phantom.draw('dev', (2, 2, 2), noise=wrong)
