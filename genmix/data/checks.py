"""What is wrong with a set of images, asked before anything is split or learned: `examine`.

Public image sets carry copies, re-compressed copies and neighbouring slices of one scan.  Where patients are unknown,
such images must stand on one side of a split, or a classifier is graded on what it has already seen.
"""

import hashlib
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from genmix import StudyError

SIDE = 32  # pixels a side of the reduced images that are compared
# Measured at 64 px.  On 1,097 chest CT slices of 110 patients 0.90 links every copy moved by one pixel or re-compressed
# (JPEG quality 50); 99.7 % of the linked slices have the same class (of random pairs 42 %), and the largest cluster is a
# run of 31 slices.  At 0.80 a quarter of that set chains into one cluster; at 0.95 half the moved copies are lost.
# Among centred lesions 0.90 also joins some strangers, round cysts above all: that costs a split a little freedom, while
# parting copies would make it dishonest.
NEAR = 0.90
CROWD, SHARE = 50, 0.1  # a cluster above 50 images and above a tenth of the set is taken for a chain
# Between patients who are known to differ only the same picture counts: among 1,290 phantoms of 502 patients the most alike
# strangers correlate at 0.965, while BreastMNIST, whose frames follow each other, has a partner above 0.98 for a third.
SAME = 0.98
MANY = 30000  # images above which only exact copies are looked for: near ones take a look at every pair
FLAT, CLIPPED = (
    2,
    0.5,
)  # gray levels between the 1st and 99th percentile; share of pixels that are black or white
FAR = 2.5  # times larger or smaller than the median: an outlier of pixel spacing or image size
ROBUST_Z = 3.5  # of log diameter, by median and MAD: Iglewicz & Hoaglin 1993


def exact_duplicates(images):
    """Groups of images with the same pixels: a list of int arrays (two indices or more each), in order of appearance."""
    groups = pd.Series(range(len(images))).groupby(_copy_of(images)).indices.values()
    return sorted((rows for rows in groups if len(rows) > 1), key=lambda rows: rows[0])


def duplicate_clusters(images, exact=True, near=NEAR):
    """Cluster index of each image, int64 (n,), numbered 0, 1, ... by first appearance; copies share a cluster.

    images  uint8 (n, H, W)
    exact   join images whose pixels are equal
    near    join images whose detail correlates above this (0-1), directly or by a chain of others; None: exact copies only

    Where images resemble each other so much that most chain into one cluster, nothing could be split: inside
    such a cluster (see CROWD and SHARE) the threshold rises stepwise, up to 0.99, and a warning says so.
    """
    copy_of = _copy_of(images) if exact else np.arange(len(images))
    if near is None or len(images) < 2:
        return copy_of
    first = np.unique(copy_of, return_index=True)[1]
    links = _strongest_links(_detail(images[first]), near)
    return pd.factorize(_cut_chains(links, copy_of, near)[copy_of])[0]


def conflicts(cohort, column='class'):
    """Exact copies that disagree about `column` of the cohort's manifest ('class', 'patient', ...).

    A DataFrame with one row an image, copies together: copies (which group), id, patient, class; empty when all agree.
    """
    table = cohort.manifest.assign(copies=_copy_of(cohort.images))
    disagree = table.groupby('copies')[column].transform('nunique') > 1
    columns = list(dict.fromkeys(['copies', 'id', 'patient', 'class', column]))
    return table.loc[disagree, columns].sort_values('copies', kind='stable', ignore_index=True)


def as_patients(images):
    """(names, count): a patient for each cluster of near copies, 'cluster-0001' ..., where patients are unknown."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of chains that were cut: `examine` counts the clusters
        clusters = duplicate_clusters(images, near=NEAR if len(images) <= MANY else None)
    return np.array([f'cluster-{k + 1:04d}' for k in clusters]), int(clusters.max()) + 1


def nearest_pairs(cohort, n=6):
    """The n most alike pairs of different patients: [(row, row, correlation of their detail)], each image once at most."""
    if len(cohort) > MANY:
        return []
    detail, best, person = _detail(cohort.images), [], pd.factorize(cohort.patients)[0]
    for start in range(0, len(cohort), 256):
        close = np.triu(detail[start : start + 256] @ detail[start:].T, 1)
        close[person[start : start + 256, None] == person[None, start:]] = 0
        some = np.argpartition(-close, min(20 * n, close.size - 1), None)[: 20 * n]
        best += [(start + k // close.shape[1], start + k % close.shape[1], close.flat[k]) for k in some]
    pairs, taken = [], set()
    for i, j, value in sorted(best, key=lambda b: -b[2]):
        if not taken & {i, j} and len(pairs) < n and value > 0:
            pairs.append((int(i), int(j), float(value)))
            taken |= {i, j}
    return pairs


def examine(cohort, notes=()):
    """Audit a cohort: (the cohort to go on with, table, flagged).

    Copies with conflicting classes are dropped, all of them: nobody knows which is right.  Patients who share a picture become
    one patient, so that no split parts them.  Everything else is counted and left to the reader.

    notes    rows (check, count, of, verdict, note) that whoever read the files adds
    table    DataFrame check, count, of, verdict, note;  verdict is ok | look | mended | not verified | fact
    flagged  DataFrame id, patient, class, check: one row an image and reason
    """
    rows, flags = [], []

    def found(check, ids, of, verdict, note):
        rows.append((check, len(ids), of, verdict if len(ids) else 'ok', note))
        flags.extend((i, check) for i in ids)

    everyone, n = cohort.manifest, len(cohort)
    wrong = conflicts(cohort).id.to_numpy()
    copies = exact_duplicates(cohort.images)
    found(
        'redundant exact copies',
        [cohort.ids[i] for group in copies for i in group[1:]],
        n,
        'mended',
        'copies are kept on one side of every split',
    )
    found('copies with conflicting classes', wrong, n, 'mended', 'all of them are left out')
    if len(wrong):
        cohort = replace(
            cohort[~np.isin(cohort.ids, wrong)],
            source=f'{cohort.source}; {len(wrong)} with conflicting labels left out',
        )
    if not len(cohort):
        raise StudyError(
            'No image is left, for each has the same pixels as one of another class: look at the window and the files.'
        )
    cohort = _near_copies(cohort, found)
    _patients(cohort, found)
    _pixels(cohort, found)
    _scales(cohort, found)
    counts = [
        ('images', len(cohort), n, 'fact', 'used, of those read'),
        ('patients', len(set(cohort.patients)), '', 'fact', 'the unit of every split'),
    ]
    counts += [
        (f'class {name}', int(count), len(cohort), 'fact', '') for name, count in cohort.counts.items()
    ]
    unknown = [
        (
            'classes',
            '',
            '',
            'not verified',
            'labels are taken as given; only conflicts between copies can be seen',
        )
    ]
    if 'pixel_mm' not in cohort.extra:
        unknown.append(
            ('scale and window', '', '', 'not verified', 'the files state neither mm nor Hounsfield units')
        )
    if _unknown(cohort):
        unknown.append(
            (
                'patients',
                '',
                '',
                'not verified',
                'clusters of near copies stand for them: unlike pictures of one patient may be parted, so scores are upper bounds',
            )
        )
    if len(cohort) > MANY:
        unknown.append(
            ('near copies', '', len(cohort), 'not verified', f'not looked for among more than {MANY} images')
        )
    table = pd.DataFrame(
        counts + rows + list(notes) + unknown, columns=['check', 'count', 'of', 'verdict', 'note']
    )
    flagged = pd.DataFrame(flags, columns=['id', 'check']).merge(
        everyone[['id', 'patient', 'class']], on='id', how='left'
    )
    return cohort, table, flagged[['id', 'patient', 'class', 'check']]


def _near_copies(cohort, found):
    """Clusters of near copies, counted; patients who share the same picture joined."""
    n, invented = len(cohort), _unknown(cohort)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        clusters = duplicate_clusters(cohort.images, near=None if n > MANY else NEAR if invented else SAME)
    sizes = np.bincount(clusters)
    if n <= MANY:
        kept = (
            'each is a patient of its own'
            if invented
            else f'detail correlates above {SAME}; none is parted by a split'
        )
        found(
            'images in near-duplicate clusters',
            cohort.ids[sizes[clusters] > 1],
            n,
            'mended',
            f'{(sizes > 1).sum()} clusters of two or more, the largest of {sizes.max()}; {kept}',
        )
        mixed = pd.Series(cohort.labels).groupby(clusters).transform('nunique').to_numpy() > 1
        found(
            'images in clusters of several classes',
            cohort.ids[mixed],
            n,
            'look',
            'near copies that disagree: look at them',
        )
    if invented:
        return cohort
    links = coo_array((np.ones(n), (pd.factorize(cohort.patients)[0], clusters)), shape=(n, n))
    person = connected_components(links @ links.T, directed=False)[1][pd.factorize(cohort.patients)[0]]
    joined = pd.Series(cohort.patients).groupby(person).transform('first').to_numpy()
    found(
        'images of patients who share a picture',
        cohort.ids[pd.Series(cohort.patients).groupby(person).transform('nunique').to_numpy() > 1],
        n,
        'mended',
        'these patients are one from here on',
    )
    return replace(cohort, patients=joined)


def _unknown(cohort):
    """True where patients are clusters of near copies."""
    return bool(len(cohort)) and all(str(p).startswith('cluster-') for p in cohort.patients)


def _patients(cohort, found):
    if _unknown(cohort):
        return
    several = pd.Series(cohort.labels).groupby(cohort.patients).nunique()
    rows = np.isin(cohort.patients, several.index[several > 1])
    found(
        'images of patients with several classes',
        cohort.ids[rows],
        len(cohort),
        'look',
        f'{int((several > 1).sum())} patients: right where a patient has lesions of several kinds, wrong where the class belongs to the patient',
    )


def _pixels(cohort, found):
    flat, clipped = np.zeros(len(cohort), bool), np.zeros(len(cohort), bool)
    for i, image in enumerate(cohort.images):
        low, high = np.percentile(image, [1, 99])
        flat[i] = high - low <= FLAT
        clipped[i] = ((image == 0) | (image == 255)).mean() > CLIPPED
    found(
        'constant images',
        cohort.ids[flat],
        len(cohort),
        'look',
        f'less than {FLAT} gray levels between the 1st and the 99th percentile',
    )
    found(
        'clipped images',
        cohort.ids[clipped & ~flat],
        len(cohort),
        'look',
        f'more than {CLIPPED:.0%} of the pixels are black or white',
    )


def _scales(cohort, found):
    """Outliers of lesion size, and of the sizes and spacings of what was read."""
    if 'diameter_mm' in cohort.extra:
        size = np.log(cohort.extra.diameter_mm.to_numpy(float))
        spread = np.median(np.abs(size - np.median(size))) / 0.6745
        found(
            'lesion size outliers',
            cohort.ids[np.abs(size - np.median(size)) > ROBUST_Z * max(spread, 1e-6)],
            len(cohort),
            'look',
            f'long axis more than {ROBUST_Z} robust deviations from the median of {np.exp(np.median(size)):.1f} mm',
        )
    for column, what, unit in (
        ('width', 'image size', 'pixels'),
        ('inplane_mm', 'pixel spacing', 'mm'),
        ('spacing_mm', 'slice spacing', 'mm'),
    ):
        if column in cohort.extra:
            value = cohort.extra[column].to_numpy(float)
            ratio = value / np.median(value)
            found(
                f'{what} outliers',
                cohort.ids[(ratio > FAR) | (ratio < 1 / FAR)],
                len(cohort),
                'look',
                f'{column} {value.min():g} to {value.max():g}, median {np.median(value):g} {unit}; flagged beyond a factor of {FAR}',
            )


def _copy_of(images):
    """int64 (n,): equal numbers for equal pixels, by first appearance."""
    return pd.factorize(np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images], object))[
        0
    ]


def _detail(images):
    """float32 (n, SIDE * SIDE), rows of length one: what is particular to each image, at a resolution that forgives noise.

    A narrow blur forgives a shift by one pixel.  Taking a wide blur away removes what all images of a set share (the
    body's outline, a dark disc in the middle), which alone makes unrelated lesions correlate at 0.9.
    """
    small = np.stack(
        [np.asarray(Image.fromarray(i.astype(np.float32)).resize((SIDE, SIDE), Image.BOX)) for i in images]
    )
    detail = (gaussian_filter(small, (0, 0.7, 0.7)) - gaussian_filter(small, (0, 4, 4))).reshape(
        len(images), -1
    )
    detail -= detail.mean(1, keepdims=True)
    # below half a gray level there is only rounding: the floor keeps flat images from matching each other
    return detail / np.maximum(np.linalg.norm(detail, axis=1, keepdims=True), 0.5 * SIDE)


def _strongest_links(detail, near, block=256):
    """Pairs correlating above `near` as a sparse (n, n) of distances, thinned to the strongest that connect the same images.

    A spanning tree has the clusters of every higher threshold too, and keeps to n links however alike the images are.
    """
    n = len(detail)
    links = coo_array((n, n), dtype=np.float32)
    for start in range(0, n, block):
        close = np.triu(detail[start : start + block] @ detail[start:].T, 1)
        row, column = np.nonzero(close > near)
        distance = np.maximum(1 - close[row, column], 1e-6)  # a zero would mean "no link"
        ends = np.concatenate([links.row, row + start]), np.concatenate([links.col, column + start])
        links = coo_array(
            minimum_spanning_tree(
                coo_array((np.concatenate([links.data, distance]), ends), shape=(n, n)).tocsr()
            )
        )
    return links


def _cut_chains(links, copy_of, near):
    """Cluster index of each node of `links`, after cutting the weaker links of clusters too large to be one patient."""
    limit, strict, largest = max(CROWD, SHARE * len(copy_of)), near, 0
    while True:
        cluster = connected_components(links, directed=False)[1]
        sizes = np.bincount(cluster[copy_of])
        largest = largest or sizes.max()
        if sizes.max() <= limit or strict >= 0.99:  # above 0.99 they are copies, however many
            break
        strict = (1 + strict) / 2
        keep = (sizes[cluster[links.row]] <= limit) | (links.data < 1 - strict)
        links = coo_array((links.data[keep], (links.row[keep], links.col[keep])), shape=links.shape)
    if strict > near:
        warnings.warn(
            f'{largest} of {len(copy_of)} images chain into one near-duplicate cluster at correlation {near:.3g}: '
            f'{strict:.3g} was used among them.',
            stacklevel=3,
        )
    return cluster
