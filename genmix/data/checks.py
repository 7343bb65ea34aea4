"""What is wrong with a set of images, checked before anything is split or learned: `examine`."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genmix import StudyError
from genmix.data import duplicates
from genmix.data.names import check_formulas

FLAT = 2  # gray levels between the 1st and 99th percentile
CLIPPED = 0.5  # share of pixels that are black or white
FAR = 2.5  # times larger or smaller than the median: an outlier of pixel spacing or image size
BOUND = 0.5  # Cramer's V between a fact of the files and the classes: a shortcut for a classifier
FEW = 10  # patients of a class: its hold-out has about two
ROBUST_Z = 3.5  # of log diameter, by median and MAD: Iglewicz & Hoaglin 1993


class Findings:
    """Rows of the table and flagged images, as the checks add them."""

    def __init__(self):
        self.rows, self.flags = [], []

    def add(self, check, ids, of, verdict, note):
        """A check that concerns the images `ids` of `of` images; its verdict is ok where there are none."""
        self.rows.append((check, len(ids), of, verdict if len(ids) else 'ok', note))
        self.flags.extend((i, check) for i in ids)


def examine(cohort, notes=()):
    """Check a cohort: (the cohort to go on with, table, flagged).

    Exact copies with conflicting classes are all left out, because it is unknown which label is right.
    Patients who share a picture become one patient, so that no split separates them.  Everything else is
    counted and left to the reader.

    notes    rows (check, count, of, verdict, note) that the reader of the files adds
    table    DataFrame check, count, of, verdict, note
             verdict is ok | look | fixed | left out | not verified | fact
    flagged  DataFrame id, patient, class, check: one row per image and reason

    Raises StudyError when no image is left, or fewer than two patients of a class that had more, and for
    names that spreadsheets run.
    """
    check_formulas(cohort.manifest)
    everyone, findings = cohort, Findings()
    cohort = _without_conflicts(cohort, findings)
    cohort = _near_duplicates(cohort, findings)
    _patients(cohort, findings)
    _check_classes_left(everyone, cohort)
    _pixels(cohort, findings)
    _scales(cohort, findings)
    _shortcuts(cohort, findings)
    rows = [*_counts(cohort, len(everyone)), *findings.rows, *notes, *_not_verified(cohort)]
    table = pd.DataFrame(rows, columns=['check', 'count', 'of', 'verdict', 'note'])
    who = everyone.manifest[['id', 'patient', 'class']]
    flagged = pd.DataFrame(findings.flags, columns=['id', 'check']).merge(who, on='id', how='left')
    return cohort, table, flagged[['id', 'patient', 'class', 'check']]


def _counts(cohort, n_read):
    """Rows that state facts, and whether a class is too small to say much."""
    yield 'images', len(cohort), n_read, 'fact', 'used, of those read'
    yield 'patients', len(set(cohort.patients)), '', 'fact', 'the unit of every split'
    for name, count in cohort.counts.items():
        yield f'class {name}', int(count), len(cohort), 'fact', ''
    patients = pd.Series(cohort.patients).groupby(cohort.labels).nunique()
    least, name = int(patients.min()), cohort.class_names[patients.idxmin()]
    if least < FEW:
        note = f'{name}; the study runs from 2 on, but below {FEW} the scores of a class mean little'
        yield 'patients of the smallest class', least, '', 'look', note


def _not_verified(cohort):
    """Rows for what cannot be checked from the images."""
    note = 'labels are taken as given; only conflicts between copies can be seen'
    yield 'classes', '', '', 'not verified', note
    if 'pixel_mm' not in cohort.extra:
        note = 'the files state neither mm nor Hounsfield units'
        yield 'scale and window', '', '', 'not verified', note
    if _patients_unknown(cohort):
        note = (
            'clusters of near copies stand for them: unlike pictures of one patient may be parted, '
            'so scores are upper bounds'
        )
        yield 'patients', '', '', 'not verified', note
    if len(cohort) > duplicates.MANY:
        note = f'not looked for among more than {duplicates.MANY} images'
        yield 'near copies', '', len(cohort), 'not verified', note


def _patients_unknown(cohort):
    """True where patients are clusters of near-duplicates."""
    return bool(len(cohort)) and all(str(p).startswith('cluster-') for p in cohort.patients)


def _without_conflicts(cohort, findings):
    """The cohort without exact copies of different classes; copies and conflicts counted."""
    n, wrong = len(cohort), duplicates.conflicts(cohort).id.to_numpy()
    redundant = [cohort.ids[i] for rows in duplicates.exact_duplicates(cohort.images) for i in rows[1:]]
    kept = 'copies are kept on one side of every split'
    findings.add('redundant exact copies', redundant, n, 'fixed', kept)
    findings.add('copies with conflicting classes', wrong, n, 'fixed', 'all of them are left out')
    if len(wrong) == n:
        raise StudyError(
            'No image is left, for each has the same pixels as one of another class: '
            'look at the window and the files.'
        )
    if not len(wrong):
        return cohort
    source = f'{cohort.source}; {len(wrong)} with conflicting labels left out'
    return replace(cohort[~np.isin(cohort.ids, wrong)], source=source)


def _near_duplicates(cohort, findings):
    """Clusters of near-duplicates, counted; patients who share the same picture joined."""
    n, unknown, many = len(cohort), _patients_unknown(cohort), len(cohort) > duplicates.MANY
    person = pd.factorize(cohort.patients)[0]
    if unknown:  # the reader has searched: its clusters are the patients
        clusters = person
    else:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of chains that were cut: the table has the sizes of clusters
            near = None if many else duplicates.SAME
            clusters = duplicates.duplicate_clusters(cohort.images, near=near)
    if not many:
        _count_clusters(cohort, clusters, unknown, findings)
    if unknown:
        return cohort
    links = coo_array((np.ones(n), (person, clusters)), shape=(n, n))
    person = connected_components(links @ links.T, directed=False)[1][person]
    groups = pd.Series(cohort.patients).groupby(person)
    shared, note = (
        cohort.ids[groups.transform('nunique').to_numpy() > 1],
        'these patients are one from here on',
    )
    findings.add('images of patients who share a picture', shared, n, 'fixed', note)
    return replace(cohort, patients=groups.transform('first').to_numpy())


def _count_clusters(cohort, clusters, unknown, findings):
    sizes = np.bincount(clusters)
    note = f'detail correlates above {duplicates.SAME}; none is parted by a split'
    note = 'each is a patient of its own' if unknown else note
    note = f'{(sizes > 1).sum()} clusters of two or more, the largest of {sizes.max()}; {note}'
    joined = cohort.ids[sizes[clusters] > 1]
    findings.add('images in near-duplicate clusters', joined, len(cohort), 'fixed', note)
    mixed = pd.Series(cohort.labels).groupby(clusters).transform('nunique').to_numpy() > 1
    note = 'near copies that disagree: look at them'
    findings.add('images in clusters of several classes', cohort.ids[mixed], len(cohort), 'look', note)


def _check_classes_left(before, after):
    """StudyError for a class that the checks left with fewer than the two patients that a split needs."""
    for k, name in enumerate(before.class_names):
        own = [c.patients[c.labels == k] for c in (before, after)]
        had, has = (len(set(patients)) for patients in own)
        if has < 2 <= had:
            gone = len(own[0]) - len(own[1])
            raise StudyError(
                f'Class "{name}" has {has} of its {had} patients left after the checks: {gone} of its images '
                'have the same pixels as images of other classes, and patients who share a picture are one; '
                'remove the copies, or drop the class.'
            )


def _patients(cohort, findings):
    """Patients with lesions of several classes."""
    if _patients_unknown(cohort):
        return
    several = pd.Series(cohort.labels).groupby(cohort.patients).nunique() > 1
    ids = cohort.ids[np.isin(cohort.patients, several.index[several])]
    note = (
        f'{int(several.sum())} patients: right where a patient has lesions of several kinds, '
        'wrong where the class belongs to the patient'
    )
    findings.add('images of patients with several classes', ids, len(cohort), 'look', note)


def _pixels(cohort, findings):
    """Constant images, and those that are mostly black or white."""
    flat, clipped = np.zeros(len(cohort), bool), np.zeros(len(cohort), bool)
    for i, image in enumerate(cohort.images):
        low, high = np.percentile(image, [1, 99])
        flat[i] = high - low <= FLAT
        clipped[i] = ((image == 0) | (image == 255)).mean() > CLIPPED
    note = f'less than {FLAT} gray levels between the 1st and the 99th percentile'
    findings.add('constant images', cohort.ids[flat], len(cohort), 'look', note)
    note = f'more than {CLIPPED:.0%} of the pixels are black or white'
    findings.add('clipped images', cohort.ids[clipped & ~flat], len(cohort), 'look', note)


def _scales(cohort, findings):
    """Outliers of lesion size, and of the sizes and spacings of the files."""
    if 'diameter_mm' in cohort.extra:
        size = np.log(cohort.extra.diameter_mm.to_numpy(float))
        away = np.abs(size - np.median(size))
        outliers = cohort.ids[away > ROBUST_Z * max(np.median(away) / 0.6745, 1e-6)]
        median = f'the median of {np.exp(np.median(size)):.1f} mm'
        note = f'long axis more than {ROBUST_Z} robust deviations from {median}'
        findings.add('lesion size outliers', outliers, len(cohort), 'look', note)
    for column, what, unit in (
        ('width', 'image size', 'pixels'),
        ('inplane_mm', 'pixel spacing', 'mm'),
        ('spacing_mm', 'slice spacing', 'mm'),
    ):
        if column in cohort.extra:
            value = cohort.extra[column].to_numpy(float)
            ratio = value / np.median(value)
            outliers = cohort.ids[(ratio > FAR) | (ratio < 1 / FAR)]
            span = f'{value.min():g} to {value.max():g}, median {np.median(value):g} {unit}'
            note = f'{column} {span}; flagged beyond a factor of {FAR}'
            findings.add(f'{what} outliers', outliers, len(cohort), 'look', note)


def _shortcuts(cohort, findings):
    """Facts of the files that may tell a class without its lesion, such as gray levels of another depth."""
    from scipy.stats.contingency import association  # slow to import

    for column, what, note in (
        ('bits', 'bits per pixel', 'deeper images are stretched to one range and others are not'),
        ('format', 'file format', 'compression leaves traces'),
        ('colour', 'colour', 'gray images and colour images made gray look different'),
    ):
        if column not in cohort.extra:
            continue
        value, kind = cohort.extra[column].astype(str).to_numpy(), cohort.manifest['class']
        counts = pd.crosstab(value, kind)
        bound = len(counts) > 1 and association(counts, 'cramer') > BOUND
        rare = cohort.ids[value != counts.sum(axis=1).idxmax()] if bound else []
        names = [f'{v}: {", ".join(f"{n} {c}" for c, n in row.items() if n)}' for v, row in counts.iterrows()]
        note = f'{note}; {"; ".join(names)}' if bound else ''
        findings.add(f'images whose {what} goes with a class', rare, len(cohort), 'look', note)
