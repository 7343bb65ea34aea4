"""Lesions from CT volumes with masks: a table of who and what, connected components, one patch a lesion.

`lesions.csv`, one row a mask (or a label of a mask):  patient,volume,mask,mask_label,class
"""

import json
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.images import windowed
from genmix.data.readers.ct import dicom
from genmix.data.readers.ct import table as tables
from genmix.data.readers.ct import volume as volumes
from genmix.run.files import atomic_write, files_hash
from genmix.run.log import log, progress
from genmix.run.provenance import key_of

LEAST_FOV_MM = 26  # that of the phantoms: a smaller field shows no liver around a small lesion
FACTS = (
    'lesion',
    'slice',
    'class',
    'diameter_mm',
    'volume_mm3',
    'slice_mm',
    'spacing_mm',
    'inplane_mm',
    'pixel_mm',
    'cut',
    'centre',
    'tilt',
)
FEW = 8  # volumes for which another process is not worth its start
TILTED = 20  # degrees between a scan's slices and axial ones that the audit mentions
MOST = 8  # processes at once: each holds a volume
TOUCHING = np.ones((3, 3, 3), int)  # voxels that share a corner belong to one lesion


def load(
    data_dir,
    image_size=64,
    table='',
    window=(90.0, 220.0),
    fov_times=2.0,
    margin_mm=0.0,
    slices_per_lesion=1,
    smallest_mm=3.0,
    classes=(),
    cache=None,
    jobs=None,
):
    """Read CT volumes with lesion masks: (Cohort of uint8 (n, image_size, image_size), notes for the audit).

    data_dir    holds the table and, anywhere below it, what the table names
    table       path of the table, also relative to data_dir; default lesions.csv.  `volume` is a NIfTI file or a folder with one
                DICOM series, `mask` NIfTI or DICOM SEG on the volume's grid, `mask_label` (may be absent or empty where
                the mask has one) the value or segment number of this row's lesions, `class` the class of them all
    window      level and width in HU
    fov_times, margin_mm   side of the square patch: fov_times x long axis + 2 x margin_mm, at least 26 mm
    slices_per_lesion      the axial slices of largest area that become images, each a row of the cohort
    smallest_mm long axis below which a component is taken for a speckle and left out
    classes     class names in their order; empty: those of the table, sorted
    cache       folder of finished volumes: a reading that was interrupted, or whose set was mended, goes on from there
    jobs        processes; default: one a core, eight at most

    Patches are centred on the lesion in its slice, with isotropic pixels.  Extra columns: diameter_mm (long axis in the slice),
    volume_mm3, slice_mm (thickness), spacing_mm (between slices), inplane_mm (pixels of the scan), pixel_mm, cut (lesion or patch
    reaches the volume's border).  Patients are salted hashes, and no name of a file is kept.

    Raises StudyError naming the row or file that cannot be used, and the mend; all faulty volumes are logged before.
    """
    root, rows = table_of(data_dir, table)
    names = tables.class_names(rows, classes)
    settings = dict(
        image_size=image_size,
        window=tuple(window),
        fov_times=fov_times,
        margin_mm=margin_mm,
        slices_per_lesion=slices_per_lesion,
        smallest_mm=smallest_mm,
    )
    tasks = [
        (volume, group[['mask', 'mask_label', 'class']].values.tolist())
        for volume, group in rows.groupby('volume', sort=False)
    ]
    found = _all_volumes(root, tasks, settings, cache, jobs)
    return _cohort(root, rows, names, found)


def table_of(data_dir, table=''):
    """(folder, rows) of a set: its table, checked, before any volume is read."""
    root = Path(data_dir).expanduser()
    if not str(data_dir) or not root.is_dir():
        raise StudyError(
            f'data_dir "{data_dir}" is not a folder: set data_dir to the folder that holds lesions.csv.'
        )
    dicom.installed()
    return root, tables.read(root, table)


# ---- one volume


def lesions_of(root, volume, masks, smallest_mm, **settings):
    """One volume to its patches: (uint8 (n, size, size), one dict a patch, number of speckles left out).

    masks  [(mask, mask_label, class)], paths relative to root;  settings  as of `_pictures`
    """
    scan = volumes.volume(root / volume, volume)
    patches, facts, speckles = [], [], 0
    for mask, label, kind in masks:
        marked = volumes.mask(root / mask, int(label) if label else None, scan, mask, volume)
        for lesion, where in _components(marked):
            own, known = _pictures(scan.hu, scan.spacing, lesion, where, **settings)
            if known[0]['diameter_mm'] < smallest_mm:
                speckles += 1
                continue
            if not np.isfinite(own).all():
                raise StudyError(
                    f'"{volume}" has voxels that are not numbers (NaN or infinite) around a lesion: '
                    'fill them (air is -1000 HU) or export it again.'
                )
            number = facts[-1]['lesion'] + 1 if facts else 1
            patches += [windowed(hu_patch, *settings['window']) for hu_patch in own]
            facts += [
                {
                    'lesion': number,
                    'class': kind,
                    'slice_mm': round(scan.slice_mm, 3),
                    'tilt': round(scan.tilt, 1),
                }
                | one
                for one in known
            ]
    size = settings['image_size']
    return np.array(patches, np.uint8).reshape(-1, size, size), facts, speckles


def _pictures(hu, spacing, lesion, where, image_size, fov_times, margin_mm, slices_per_lesion, window):
    """The axial slices of largest area of one lesion: (patches in HU, float32 (k, size, size); what is known of each).

    hu, spacing  the volume (z, y, x) and mm between its voxels;  lesion, where  a bool box and its place, from `_components`
    """
    areas = lesion.sum((1, 2))
    chosen = np.argsort(-areas, kind='stable')[: min(slices_per_lesion, np.count_nonzero(areas))]
    diameter = long_axis(lesion[chosen[0]], spacing[1:])
    fov = max(fov_times * diameter + 2 * margin_mm, LEAST_FOV_MM)
    border = any(s.start == 0 or s.stop == n for s, n in zip(where, hu.shape))
    patches, facts = [], []
    for j, k in enumerate(chosen, 1):
        centre = np.add(ndimage.center_of_mass(lesion[k]), [where[1].start, where[2].start])
        pixels, outside = patch(hu[where[0].start + k], centre, spacing[1:], fov, image_size)
        patches.append(pixels)
        facts.append(
            {
                'slice': j,
                'diameter_mm': round(diameter, 2),
                'volume_mm3': round(float(areas.sum() * spacing.prod()), 1),
                'spacing_mm': round(spacing[0], 3),
                'inplane_mm': round(spacing[1], 4),
                'pixel_mm': round(fov / image_size, 4),
                'cut': bool(border or outside),
                'centre': [float(where[0].start + k), *map(float, centre)],
            }
        )
    return np.array(patches), facts


def _components(mask):
    """Each connected component of a bool (z, y, x) as (bool box, slices of the box)."""
    rows = [np.flatnonzero(mask.any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
    around = tuple(
        slice(r[0], r[-1] + 1) for r in rows
    )  # labels take four bytes a voxel: only where there is something
    labels, _ = ndimage.label(mask[around], TOUCHING)
    for k, box in enumerate(ndimage.find_objects(labels), 1):
        yield labels[box] == k, tuple(slice(b.start + a.start, b.stop + a.start) for a, b in zip(around, box))


def long_axis(lesion, spacing):
    """Longest diameter in mm of a bool (y, x), from pixel edge to pixel edge (RECIST 1.1 measures it in the axial plane)."""
    points = np.argwhere(lesion & ~ndimage.binary_erosion(lesion)) * spacing
    try:
        points = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):  # a line or a dot of pixels
        pass
    return float((pdist(points).max() if len(points) > 1 else 0) + np.mean(spacing))


def patch(plane, centre, spacing, fov_mm, size):
    """(float32 (size, size), outside): a square of fov_mm around `centre` (row, column) of a slice, isotropic pixels.

    Reduction is antialiased.  Beyond the slice its border goes on, and `outside` is True.
    """
    half = fov_mm / 2 / np.asarray(spacing)
    low, high = np.asarray(centre) + 0.5 - half, np.asarray(centre) + 0.5 + half  # in pixel edges
    start, stop = np.floor(low).astype(int) - 2, np.ceil(high).astype(int) + 2
    inside = [np.clip(np.arange(a, b), 0, n - 1) for a, b, n in zip(start, stop, plane.shape)]
    part = Image.fromarray(np.ascontiguousarray(plane[np.ix_(*inside)], np.float32))
    box = (low[1] - start[1], low[0] - start[0], high[1] - start[1], high[0] - start[0])
    square = part.resize((size, size), Image.BILINEAR, box=tuple(map(float, box)))
    return np.asarray(square), bool((low < 0).any() or (high > plane.shape).any())


# ---- all volumes


def _all_volumes(root, tasks, settings, cache, jobs):
    """[(patches, facts, speckles)] in the order of `tasks`, read in parallel; one StudyError after all faults are logged."""
    from joblib import Parallel, cpu_count, delayed

    code = key_of(settings, code=lesions_of)
    own = partial(_kept, root, settings=settings, cache=cache and Path(cache), code=code)
    jobs = min(jobs or cpu_count(), -(-len(tasks) // FEW), MOST)
    done = Parallel(jobs, return_as='generator_unordered', pre_dispatch='2*n_jobs')(
        delayed(own)(i, *task) for i, task in enumerate(tasks)
    )
    found, faults, files = {}, [], set()
    try:
        for i, result, fault, file in progress(done, 'CT volumes', len(tasks)):
            found[i] = result
            files.add(file)
            faults += [(i, fault)] if fault else []
    except BrokenProcessPool:  # nobody can say at which volume
        raise StudyError(
            'A process that read CT volumes was ended from outside, as when memory runs out: close other programs, or read on a larger machine; '
            'what was read is kept.'
        ) from None
    for _, fault in sorted(faults):
        log.info(f'fault: {fault}')
    if faults:
        more = f' (the first of {len(faults)} faults, all in the log)' if len(faults) > 1 else ''
        raise StudyError(min(faults)[1] + more)
    for old in (
        set(Path(cache).glob('*.npz')) - files if cache else ()
    ):  # of other settings, or of files since mended
        old.unlink(missing_ok=True)
    return [found[i] for i in range(len(tasks))]


def _kept(root, i, volume, masks, settings, cache, code):
    """(i, result or None, fault or '', file of the cache or None): a volume from the cache, or read and put there.  Runs in a process of its own."""
    file = None
    try:
        key = key_of(
            {'masks': masks, 'volume': volume},
            [code, files_hash(root / volume), *(files_hash(root / m[0]) for m in masks)],
        )
        file = cache and cache / f'{key}.npz'
        if file and (kept := _from_cache(file)):
            return i, kept, '', file
        result = lesions_of(root, volume, masks, **settings)
    except StudyError as error:
        return i, None, str(error), file
    except MemoryError:
        return i, None, f'"{volume}" does not fit into memory: crop it around the organ.', file
    except PermissionError:
        return i, None, f'"{volume}" or its mask may not be read: ask for the right to, or copy them.', file
    except Exception as error:  # one strange file must not end a day of reading; what it says may hold a name
        return (
            i,
            None,
            f'"{volume}" or its mask cannot be used ({type(error).__name__}): export them again, or remove its rows from the table.',
            file,
        )
    if file:
        with atomic_write(file) as part, open(part, 'wb') as handle:
            np.savez_compressed(handle, patches=result[0], facts=json.dumps(result[1:]))
    return i, result, '', file


def _from_cache(file):
    """The finished volume in `file`, or None; a damaged file is as good as none."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            return kept['patches'], *json.loads(str(kept['facts']))
    except FileNotFoundError:
        return None
    except Exception:  # numpy, zipfile and zlib have many names for it
        file.unlink()
        return None


def _cohort(root, rows, names, found):
    """The volumes' patches as one Cohort, and what the audit should know."""
    alias = tables.pseudonyms(rows.patient)
    owners = rows.groupby('volume', sort=False).patient.first().map(alias).tolist()
    frames = []
    for owner, (_, facts, _), number in zip(owners, found, pd.Series(owners).groupby(owners).cumcount() + 1):
        frames.append(
            pd.DataFrame(facts, columns=FACTS).assign(patient=owner, volume=f'{owner}-V{number:02d}')
        )
    if not (frames := [frame for frame in frames if len(frame)]):
        raise StudyError(
            'No mask holds a lesion of smallest_mm or more: lower smallest_mm, or correct the masks.'
        )
    facts = pd.concat(frames, ignore_index=True)
    several = facts.slice.max() > 1
    facts['id'] = (
        facts.volume
        + facts.lesion.map('-L{:03d}'.format)
        + (facts.slice.map('-S{}'.format) if several else '')
    )
    images = np.concatenate([patches for patches, _, _ in found])
    extra = facts[
        ['volume', 'diameter_mm', 'volume_mm3', 'slice_mm', 'spacing_mm', 'inplane_mm', 'pixel_mm', 'cut']
    ]
    speckles, lesions = sum(s for *_, s in found), facts.groupby(['volume', 'lesion']).ngroups
    source = (
        f'CT, {lesions} lesions of {facts.patient.nunique()} patients in {facts.volume.nunique()} volumes'
    )
    notes = [
        (
            'components below smallest_mm',
            speckles,
            speckles + lesions,
            'left out' if speckles else 'ok',
            'speckles of a mask are no lesions',
        ),
        (
            'lesions or patches cut by the border of the volume',
            int(facts.cut.sum()),
            len(facts),
            'look' if facts.cut.any() else 'ok',
            'column cut of the manifest',
        ),
        (
            f'images of slices tilted by more than {TILTED} degrees',
            int((facts.tilt > TILTED).sum()),
            len(facts),
            'look' if (facts.tilt > TILTED).any() else 'ok',
            'the axis nearest to that of the body is taken for axial',
        ),
        (
            'contrast phase, kernel and dose',
            '',
            '',
            'not verified',
            'headers are not trusted for them: if a class goes with a scanner or phase, so will a classifier',
        ),
    ]
    return Cohort(
        images, facts['class'].map(names.index), facts.patient, names, source, facts.id, extra
    ), notes
