"""A set of CT volumes with lesion masks as a Cohort: read in parallel, each volume saved when finished.

`lesions.csv`, one row per mask (or per label of a mask):  patient,volume,mask,mask_label,class
"""

import json
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.readers.ct import patches
from genmix.data.readers.ct.dicom import require_packages
from genmix.data.readers.ct.pseudonyms import pseudonyms
from genmix.data.readers.ct.table import class_names, read_table
from genmix.data.readers.files import data_folder, log_faults
from genmix.run.files import atomic_write, files_hash
from genmix.run.log import progress
from genmix.run.provenance import key_of

EXTRA = ('volume', 'diameter_mm', 'volume_mm3', 'slice_mm', 'spacing_mm', 'inplane_mm', 'pixel_mm', 'cut')
FACTS = (*EXTRA[1:], 'lesion', 'slice', 'class', 'centre', 'tilt', 'burnt_in')
FEW = 8  # volumes for which another process is not worth its start
MAX_JOBS = 8  # processes at once: each holds a volume
TILTED = 20  # degrees between a scan's slices and axial ones that the checks mention


def load(data_dir, config, csv='', classes=(), cache=None, jobs=None):
    """Read CT volumes with lesion masks: (Cohort of uint8 (n, image_size, image_size), notes for the checks).

    data_dir  holds the table and, anywhere below it, what the table names
    config    PatchConfig
    csv       path of the table, also relative to data_dir; default lesions.csv.  `volume` is a NIfTI file or
              a folder with one DICOM series, `mask` NIfTI or DICOM SEG on the volume's grid, `mask_label`
              (absent or empty where the mask has one) the value or segment number of this row's lesions,
              `class` the class of them all
    classes   class names in their order; empty: those of the table, sorted
    cache     folder of finished volumes, where a reading that was interrupted resumes
    jobs      processes; default: one per core, eight at most

    Patches are centred on the lesion in its slice, with isotropic pixels.  Extra columns: diameter_mm (long
    axis in the slice), volume_mm3, slice_mm (thickness), spacing_mm (between slices), inplane_mm (pixels of
    the scan), pixel_mm, cut (lesion or patch reaches the volume's border).  Patients are salted hashes, and
    no name of a file is kept.

    Raises StudyError naming the row or file that cannot be used, and the fix; all faulty volumes are logged
    before.
    """
    root, rows = table_of(data_dir, csv)
    names = class_names(rows, classes)
    found = _all_volumes(root, rows, config, cache and Path(cache), jobs)
    facts = _facts(rows, found)
    lesions = facts.groupby(['volume', 'lesion']).ngroups
    people = f'{facts.patient.nunique()} patients in {facts.volume.nunique()} volumes'
    images, labels = np.concatenate([own for own, _, _ in found]), facts['class'].map(names.index)
    extra, source = facts[list(EXTRA)], f'CT, {lesions} lesions of {people}'
    cohort = Cohort(images, labels, facts.patient, names, source, facts.id, extra)
    return cohort, list(_notes(facts, sum(speckles for *_, speckles in found), lesions))


def table_of(data_dir, csv=''):
    """(folder, rows) of a set: its table, checked, before any volume is read."""
    root = data_folder(data_dir, 'lesions.csv')
    require_packages()
    return root, read_table(root, csv)


def _all_volumes(root, rows, config, cache, jobs):
    """[(patches, facts, speckles)] in the order of the table; one StudyError after all faults are logged."""
    from joblib import Parallel, cpu_count, delayed

    columns, volumes = ['mask', 'mask_label', 'class'], rows.groupby('volume', sort=False)
    tasks = [(volume, group[columns].values.tolist()) for volume, group in volumes]
    code = key_of(asdict(config) | {'least_fov_mm': patches.LEAST_FOV_MM}, code=patches.lesions_of)
    own = partial(_read_or_cached, root, config=config, cache=cache, code=code)
    jobs = min(jobs or cpu_count(), -(-len(tasks) // FEW), MAX_JOBS)
    done = Parallel(jobs, return_as='generator_unordered', pre_dispatch='2*n_jobs')(
        delayed(own)(i, *task) for i, task in enumerate(tasks)
    )
    found, faults, files = {}, [], set()
    try:
        for i, result, fault, file in progress(done, 'CT volumes', len(tasks)):
            found[i] = result
            files.add(file)
            faults += [(i, fault)] if fault else []
    except BrokenProcessPool:  # it is unknown at which volume
        raise StudyError(
            'A process that read CT volumes was ended from outside, as when memory runs out: '
            'close other programs, or read on a larger machine; what was read is saved.'
        ) from None
    if faults:
        raise StudyError(log_faults([fault for _, fault in sorted(faults)]))
    for old in (
        set(cache.glob('*.npz')) - files if cache else ()
    ):  # of other settings, or of files since fixed
        old.unlink(missing_ok=True)
    return [found[i] for i in range(len(tasks))]


def _read_or_cached(root, i, volume, masks, config, cache, code):
    """(i, result or None, fault or '', file of the cache or None) of one volume; runs in its own process."""
    file = None
    try:
        hashes = [files_hash(root / volume), *(files_hash(root / m[0]) for m in masks)]
        key = key_of({'masks': masks, 'volume': volume}, [code, *hashes])
        file = cache and cache / f'{key}.npz'
        if file and (result := _from_cache(file)):
            return i, result, '', file
        result = patches.lesions_of(root, volume, masks, config)
    except Exception as error:  # one strange file must not end a day of reading
        return i, None, _fault(error, volume), file
    if file:
        with atomic_write(file) as part, open(part, 'wb') as handle:
            np.savez_compressed(handle, patches=result[0], facts=json.dumps(result[1:]))
    return i, result, '', file


def _fault(error, volume):
    """The sentence for an error; that of a library is not quoted, because it may hold a name."""
    if isinstance(error, StudyError):
        return str(error)
    if isinstance(error, MemoryError):
        return f'"{volume}" does not fit into memory: crop it around the organ.'
    if isinstance(error, PermissionError):
        return f'"{volume}" or its mask may not be read: ask for the right to, or copy them.'
    return (
        f'"{volume}" or its mask cannot be used ({type(error).__name__}): '
        'export them again, or remove its rows from the table.'
    )


def _from_cache(file):
    """The finished volume in `file`; None where there is none, or a damaged one, which is removed."""
    try:
        with np.load(file, allow_pickle=False) as saved:
            return saved['patches'], *json.loads(str(saved['facts']))
    except FileNotFoundError:
        return None
    except Exception:  # numpy, zipfile and zlib raise errors of many types
        file.unlink()
        return None


def _facts(rows, found):
    """One row per image: FACTS, id, and the pseudonyms of patient and volume."""
    alias = pseudonyms(rows.patient)
    owners = rows.groupby('volume', sort=False).patient.first().map(alias).tolist()
    numbers = pd.Series(owners).groupby(owners).cumcount() + 1
    frames = [
        pd.DataFrame(own, columns=FACTS).assign(patient=owner, volume=f'{owner}-V{number:02d}')
        for owner, (_, own, _), number in zip(owners, found, numbers)
        if own
    ]
    if not frames:
        raise StudyError(
            'No mask holds a lesion of smallest_mm or more: lower smallest_mm, or correct the masks.'
        )
    facts = pd.concat(frames, ignore_index=True)
    ids = facts.volume + facts.lesion.map('-L{:03d}'.format)
    return facts.assign(id=ids + facts.slice.map('-S{}'.format) if facts.slice.max() > 1 else ids)


def _notes(facts, speckles, lesions):
    """Rows (check, count, of, verdict, note) of what the checks cannot see in the images."""
    verdict, note = 'left out' if speckles else 'ok', 'speckles of a mask are no lesions'
    yield 'components below smallest_mm', speckles, speckles + lesions, verdict, note
    tilted = facts.tilt > TILTED
    for check, rows, note in (
        ('lesions or patches cut by the border of the volume', facts.cut, 'column cut of the manifest'),
        (
            f'images of slices tilted by more than {TILTED} degrees',
            tilted,
            'the axis nearest to that of the body is taken for axial',
        ),
        (
            'images of scans with burnt-in text',
            facts.burnt_in,
            'BurnedInAnnotation of a header: look at them',
        ),
    ):
        yield check, int(rows.sum()), len(facts), 'look' if rows.any() else 'ok', note
    note = 'headers are not trusted for them: if a class goes with a scanner or phase, so will a classifier'
    yield 'contrast phase, kernel and dose', '', '', 'not verified', note
