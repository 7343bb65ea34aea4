"""Phantom liver lesions: portal-venous CT patches of cysts, hemangiomas and metastases, from physical data.

Who has which lesion is planned first (`plan`, one table row per lesion), then each row is rendered in HU as a
scanner shows it (`render_hu`) and mapped through a display window (`draw`).  Everything is computed in
float64: rounding to gray levels then hides what differs between machines.
"""

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.images import windowed
from genmix.data.phantom.render import render_hu

CLASS_NAMES = ('cyst', 'hemangioma', 'metastasis')
COUNTS = (676, 130, 484)  # lesions and patients: Med Phys 2021;48:5029, doi 10.1002/mp.15118
N_PATIENTS = 502
POPULATIONS = ('cohort', 'dev', 'test', 'oracle')
WINDOW = (90.0, 220.0)  # level, width in HU: -20 HU is black, 200 HU white.  Assumption: a usual liver window

# ---- the patient and the scan
KVP100_SHARE = 0.35  # scans at 100 instead of 120 kVp.  Assumption
KVP100_GAIN = 1.35  # iodine at 100 over 120 kVp, 682 / 506 HU: hindawi.com/journals/rrp/2012/150980, table 1
CONTRAST_DOSE_SD = 0.12  # iodine for the body weight, log scale.  Assumption
LIVER_PLAIN = (59, 6)  # HU without contrast, mean and sd: 58.8 with the fatty: Boyce et al., 3,357 adults
FATTY_SHARE = 0.12  # 11.4 % of adults at 45 HU or less: Pickhardt 2014, PMID 24660702
FATTY_PLAIN = (35, 7)  # HU.  Assumption
# HU of contrast, portal phase: 56.2 (sd 13.7, dose included): Naruo 2007, doi 10.1007/s11604-006-0111-5
LIVER_GAIN = (56, 9)
BLOOD_PLAIN = 42  # HU.  Assumption
BLOOD_GAIN = (125, 10)  # HU of contrast in portal and hepatic veins.  Assumption
TIMING_BLOOD, TIMING_LIVER = -4, 2  # HU per sd of a later scan: blood washes out, liver fills.  Assumption
NOISE_HU = (12, 0.28)  # median and log sd of the image noise.  Assumption
FWHM_MM = (0.9, 1.7)  # in-plane point spread of soft kernels.  Assumption
SLICE_MM = (3, 5, 5)  # Assumption

# ---- the lesions.  Gore 2017 is the ACR white paper, J Am Coll Radiol 2017;14:1429
# median and log sd.  Assumption
DIAMETER_MM = {'cyst': (13, 0.55), 'hemangioma': (17, 0.5), 'metastasis': (17, 0.45)}
DIAMETER_LIMITS = (6, 70)
FLASH_BELOW_MM = 20  # only small hemangiomas fill at once: clinicalgate.com/hepatic-cavernous-hemangioma
PSEUDO_HU, PSEUDO_MM = 10, 5  # small cysts read too high: Gore 2017; how much, to what radius: assumption
# Contrast to the liver, at least 20 HU and noise * (1 + 8 mm / diameter): a lesion that no reader sees is in
# no data set.  Assumption
LEAST_HU, LEAST_NOISE = 20, (1.0, 8)
# Shares of the subtypes: assumptions, except that with CYSTIC_RIM 64 % of metastases have a rim (Jang 2002,
# PMID 12439304).  Complicated: haemorrhage, protein.  Ring: a closed one, Huang 2018,
# doi 10.18632/oncotarget.24185
SUBTYPES = {
    'cyst': {'simple': 0.87, 'complicated': 0.13},
    'hemangioma': {'nodular': 0.50, 'flash': 0.20, 'poor': 0.22, 'ring': 0.08},
    'metastasis': {'target': 0.58, 'solid': 0.17, 'cystic': 0.13, 'hypervascular': 0.12},
}
CYSTIC_RIM = 0.45
# HU without contrast; contrast as a share of the blood's; waviness of the outline; softness of the margin in
# mm; mottling in HU.  Sources: simple, 0-10 HU: ECR 2019 C-0923, under 20: Gore 2017; nodular, like blood
# without contrast: clinicalgate, as above; solid, ill-defined and heterogeneous: Gore 2017.  Other figures:
# assumptions
# fmt: off
LOOKS = pd.DataFrame.from_dict({
    'simple':        ((-4, 12), (0.00, 0.00), 0.012, (0.2, 0.3), (0, 0)),
    'complicated':   ((24, 50), (0.00, 0.00), 0.015, (0.2, 0.4), (0, 2)),
    'nodular':       ((38, 46), (0.08, 0.28), 0.045, (0.4, 0.7), (3, 5)),
    'ring':          ((38, 46), (0.04, 0.20), 0.045, (0.4, 0.7), (3, 5)),
    'poor':          ((38, 46), (0.02, 0.16), 0.045, (0.4, 0.7), (3, 5)),
    'flash':         ((40, 44), (0.70, 0.95), 0.040, (0.4, 0.7), (3, 5)),
    'solid':         ((32, 40), (0.04, 0.26), 0.065, (0.5, 1.9), (4, 13)),
    'target':        ((28, 40), (0.00, 0.14), 0.060, (0.4, 1.1), (4, 13)),
    'cystic':        ((14, 36), (0.00, 0.05), 0.030, (0.3, 0.7), (2, 4)),
    'hypervascular': ((34, 42), (0.06, 0.26), 0.060, (0.5, 1.6), (4, 13)),
}, orient='index', columns=['plain', 'uptake', 'rough', 'margin', 'mottle'])
# fmt: on
NODULE_COUNT = {'nodular': (2, 6), 'poor': (0, 2), 'hypervascular': (1, 4)}  # from, below.  Assumption
NODULE_NEEDS_MM = 5  # of diameter, each: so that nodules do not hide a small lesion.  Assumption


def draw(population='cohort', counts=COUNTS, n_patients=None, image_size=64, seed=0, noise=1.0):
    """A Cohort of phantom lesions, shuffled; the same bytes for the same arguments.

    population  one of POPULATIONS; their random streams and ids never meet
    counts      lesions of each class, in the order of CLASS_NAMES; zeros are fine
    n_patients  each gets at least one lesion; None keeps the proportion of 502 patients to 1,290 lesions
    image_size  pixels a side; changes the sampling and the noise texture, not the lesions
    noise       of the scanner, as a multiple of that of the plan: 2 doubles it; the lesions stay
    extra columns: diameter_mm, subtype, slice_mm, pixel_mm, noise

    Raises StudyError for an unknown population, counts that are no three whole numbers,
    more patients than lesions, an image_size below 16, or a negative noise.
    """
    if image_size < 16:
        raise StudyError(f'image_size={image_size} shows no lesion: take 16 or more (32 to 128 are usual).')
    if not noise >= 0:
        raise StudyError(f'noise={noise} is no multiple of the image noise: give 0 or more (1 is usual).')
    lesions = plan(population, counts, n_patients, seed)
    scanned = lesions.assign(noise_hu=noise * lesions.noise_hu)
    images = windowed(render_hu(scanned, image_size, _streams(population, seed)[1]), *WINDOW)
    extra = lesions[['diameter_mm', 'subtype', 'slice_mm']]
    extra = extra.assign(pixel_mm=lesions.fov_mm / image_size, noise=float(noise))
    label, patient, ids = (lesions[name].to_numpy() for name in ('label', 'patient', 'id'))
    source = f'phantom ({population}, seed {seed}{"" if noise == 1 else f", noise x {noise:g}"})'
    return Cohort(images, label, patient, CLASS_NAMES, source, ids, extra)


def plan(population='cohort', counts=COUNTS, n_patients=None, seed=0):
    """The lesions that `draw` renders: a DataFrame, one row each.

    id, patient, label, subtype; diameter_mm, fov_mm; HU of `core`, `liver`, `blood`; the scan
    (slice_mm, fwhm_mm, noise_hu, ...).  Same arguments and errors as `draw`.
    """
    counts, n_patients = _checked(population, counts, n_patients)
    rng = np.random.default_rng(_streams(population, seed)[0])
    label, owner = _owners(counts, n_patients, rng)
    patients = _patients(n_patients, rng)
    name = population + (f'.{seed}' if seed else '')
    lesions = patients.iloc[owner].reset_index(drop=True)
    lesions.insert(0, 'id', [f'{name}-L{i:05d}' for i in range(len(label))])
    lesions.insert(1, 'patient', [f'{name}-P{i:04d}' for i in owner])
    lesions.insert(2, 'label', label)
    return _lesions(lesions, rng)


def _streams(population, seed):
    """Two seed sequences per population and seed, shared with no other: for the plan, for rendering."""
    return np.random.SeedSequence(seed, spawn_key=(POPULATIONS.index(population),)).spawn(2)


def _checked(population, counts, n_patients):
    if population not in POPULATIONS:
        raise StudyError(f"There is no population '{population}': choose one of {', '.join(POPULATIONS)}.")
    counts = np.asarray(counts)
    if counts.shape != (3,) or counts.dtype.kind not in 'iu' or counts.min() < 0 or counts.sum() == 0:
        wrong = f'counts={counts.tolist()}'
        raise StudyError(f'{wrong} must be three whole numbers, one for each of {CLASS_NAMES}, not all zero.')
    total = int(counts.sum())
    if n_patients is None:
        n_patients = max(1, round(total * N_PATIENTS / sum(COUNTS)))
    if not 1 <= n_patients <= total:
        raise StudyError(
            f'{n_patients} patients cannot share {total} lesions: give n_patients between 1 and {total}.'
        )
    return counts, n_patients


def _owners(counts, n_patients, rng):
    """Shuffled labels and the patient of each: everybody has one lesion, further ones mostly of its class."""
    label = rng.permutation(np.repeat(np.arange(3), counts))
    owner = np.arange(len(label))
    kind = label[:n_patients]
    burden = rng.gamma(1.2, 1.0, n_patients) + 0.15  # a few patients carry many lesions.  Assumption
    for k in range(3):
        rest = np.flatnonzero((label == k) & (owner >= n_patients))
        weight = burden * np.where(kind == k, 1, 0.06)  # mixed kinds are rare.  Assumption
        owner[rest] = rng.choice(n_patients, len(rest), p=weight / weight.sum())
    order = rng.permutation(len(label))
    return label[order], owner[order]


def _patients(n, rng):
    """One row per patient: attenuation of liver and blood at the time of the scan, and the scan itself."""
    dose = np.exp(rng.normal(0, CONTRAST_DOSE_SD, n)) * np.where(rng.random(n) < KVP100_SHARE, KVP100_GAIN, 1)
    timing = rng.normal(0, 1, n).clip(-2, 2)
    fatty = rng.random(n) < FATTY_SHARE
    plain = np.where(fatty, rng.normal(*FATTY_PLAIN, n), rng.normal(*LIVER_PLAIN, n))
    blood_gain = dose * (rng.normal(*BLOOD_GAIN, n) + TIMING_BLOOD * timing)
    liver_gain = dose * (rng.normal(*LIVER_GAIN, n).clip(25) + TIMING_LIVER * timing)
    columns = {
        'timing': timing,
        'liver': plain + liver_gain,
        'blood': BLOOD_PLAIN + blood_gain,
        'blood_gain': blood_gain,
        'slice_mm': rng.choice(SLICE_MM, n).astype(float),
        'fwhm_mm': rng.uniform(*FWHM_MM, n),
        'noise_hu': np.exp(rng.normal(np.log(NOISE_HU[0]), NOISE_HU[1], n)),
        'streak': rng.uniform(0, 0.6, n),
        'streak_angle': rng.normal(0, 0.25, n),
        'offset_hu': rng.normal(0, 3, n),
    }
    return pd.DataFrame(columns)


def _lesions(t, rng):
    """Adds size, subtype and attenuation to a table of patients' rows."""
    n = len(t)

    def uniform(pairs):
        return rng.uniform(*np.array(pairs.tolist()).reshape(n, 2).T)

    names = np.array(CLASS_NAMES)[t.label]
    median, log_sd = np.array([DIAMETER_MM[name] for name in names]).T
    t['diameter_mm'] = (median * np.exp(log_sd * rng.normal(0, 1, n))).clip(*DIAMETER_LIMITS)
    t['fov_mm'] = np.maximum(t.diameter_mm * rng.uniform(1.5, 2.4, n), 26)
    t['subtype'] = [_pick(SUBTYPES[name], r) for name, r in zip(names, rng.random(n))]
    t.loc[(t.subtype == 'flash') & (t.diameter_mm >= FLASH_BELOW_MM), 'subtype'] = 'nodular'
    looks = LOOKS.loc[t.subtype]
    uptake = uniform(looks.uptake) + 0.03 * t.timing * t.subtype.isin(['nodular', 'poor', 'ring'])
    t['core'] = uniform(looks.plain) + uptake * t.blood_gain
    t['core'] += PSEUDO_HU * np.exp(-t.diameter_mm / 2 / PSEUDO_MM) * (t.label == 0)
    least = np.maximum(LEAST_HU, t.noise_hu * (LEAST_NOISE[0] + LEAST_NOISE[1] / t.diameter_mm))
    brighter, darker = np.maximum(t.core, t.liver + least), np.minimum(t.core, t.liver - least)
    t['core'] = np.where(t.subtype == 'flash', brighter, darker)
    t['rough'] = looks.rough.to_numpy()
    t['margin'] = uniform(looks.margin)
    t['mottle'] = uniform(looks.mottle)
    span = [NODULE_COUNT.get(s, (0, 1)) for s in t.subtype]
    large = (t.subtype == 'nodular') & (t.diameter_mm > 30)
    t['nodules'] = rng.integers(*np.array(span).T) + large * rng.integers(0, 4, n)
    t['nodules'] = np.minimum(t.nodules, t.diameter_mm // NODULE_NEEDS_MM).astype(int)
    t['rim'] = t.subtype.isin(['target', 'ring']) | ((t.subtype == 'cystic') & (rng.random(n) < CYSTIC_RIM))
    return t


def _pick(shares, r):
    """The name into whose share r in [0, 1) falls."""
    return list(shares)[np.searchsorted(np.cumsum(list(shares.values()))[:-1], r, side='right')]
