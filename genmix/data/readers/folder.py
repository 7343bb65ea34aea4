"""Your own images: a folder for each class, or any folder with a list of the images in it."""

from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pandas as pd

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.duplicates import as_patients
from genmix.data.readers import pictures
from genmix.data.readers.files import (
    UNKNOWN,
    check_spelling,
    data_folder,
    find_table,
    log_faults,
    path_inside,
    read_delimited,
)
from genmix.data.readers.listing import companions, list_classes
from genmix.run.limits import check

COLUMNS = ['file', 'patient', 'label']


def load(data_dir, image_size=64, csv='', channel='gray', skip_faulty=False):
    """Read a folder of images: (Cohort of uint8 (n, image_size, image_size), notes for the checks).

    data_dir     one sub-folder of images per class, sorted by name; kinds of files: pictures.ENDINGS.  What
                 systems put beside files is skipped; masks and overlays of images, known by their names, and
                 files of other kinds are passed over and counted in the notes
    csv          a table file,patient,label: its path, also relative to data_dir; default: labels.csv in
                 data_dir, where there is one.  `file` lies anywhere below data_dir, `label` is the class name
    channel      of colour images: gray, red, green or blue
    skip_faulty  leave out images that are broken or too small instead of refusing the folder

    Images of 8 bits keep their gray levels.  Images of more bits (16-bit, float) are mapped to 0-255
    together, from the 0.5 to the 99.5 percentile of them all.  Ids are relative paths; extra columns: file,
    and width, height, bits, format, colour of the file.  Without patients (no table, or its patient column
    left empty) each cluster of near-duplicates is a patient, 'cluster-0001', and `source` says so.

    Raises StudyError naming the folder, class, row or file that cannot be used, and the fix; all faulty
    images are logged before.
    """
    check(channel=channel)
    root = data_folder(data_dir, 'your images')
    table = find_table(root, csv, 'labels.csv')
    if csv and not table:
        raise StudyError(
            f'The table "{csv}" does not exist: correct csv, or leave it empty to use folders as classes.'
        )
    rows, notes = _from_table(root, table) if table else _from_folders(root)
    _check_names(rows, f'"{table.name}"' if table else f'"{root.name}"')
    names = _class_names(root, rows)
    rows, found, faulty = _read_all(root, rows, image_size, channel, skip_faulty)
    images = pictures.to_common_range([p.pixels for p in found])
    patients, known = rows.patient, f'{rows.patient.nunique()} patients'
    if not patients.any():
        patients, clusters = as_patients(images)
        known = f'patients unknown: {clusters} near-duplicate clusters kept together'
    facts = pd.DataFrame([p[1:] for p in found], columns=pictures.Picture._fields[1:])
    source = f'{root.resolve().name}, {len(rows)} images ({known})'
    about = source, rows.file, pd.concat([rows.file, facts], axis=1)
    cohort = Cohort(images, rows.label.map(names.index), patients, names, *about)
    return cohort, [*notes, *_notes(rows, facts, faulty)]


def _class_names(root, rows):
    names = sorted(rows.label.unique())
    if len(names) < 2:
        raise StudyError(
            f'"{root}" has images of one class only ("{names[0]}"): add a folder or label for a second class.'
        )
    return names


def _check_names(rows, where):
    """StudyError for a class or a patient in two spellings."""
    for what, names in (('classes', rows.label), ('patients', rows.patient)):
        check_spelling(names, what, where)


def _notes(rows, facts, faulty):
    """Rows (check, count, of, verdict, note) of what the checks cannot see in gray images."""
    unknown = rows.patient[rows.patient.str.lower().isin(UNKNOWN)]
    note = f'{", ".join(unknown.unique())}: taken for patients; where one is unknown, leave all of them empty'
    verdict, note = ('look', note) if len(unknown) else ('ok', '')
    yield 'images of patients named as if unknown', len(unknown), len(rows), verdict, note
    n, colour = len(facts), int(facts.colour.sum())
    note = pictures.COLOUR_LOST if colour else ''
    yield 'colour images turned to gray', colour, n, 'look' if colour else 'ok', note
    note = f'left out by skip_faulty: {"; ".join(faulty[:5])}' if faulty else ''
    yield 'faulty images', len(faulty), n + len(faulty), 'left out' if faulty else 'ok', note


def _from_folders(root):
    """(DataFrame file, patient (empty), label; notes) of class folders."""
    found = list_classes(root)
    rows = [(file, '', label) for file, label in found.rows]
    return pd.DataFrame(rows, columns=COLUMNS), found.notes()


def _from_table(root, path):
    """(DataFrame file, patient, label, all str, checked and in the order of the table; notes)."""
    try:
        text, separator = read_delimited(path)
        rows = pd.read_csv(StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise StudyError(
            f'"{path.name}" is not a readable table ({error}): '
            'save it as CSV in UTF-8 with columns file,patient,label.'
        ) from error
    rows.columns = rows.columns.str.strip().str.lower()
    for name in COLUMNS:
        if name not in rows:
            raise StudyError(
                f'"{path.name}" has no column "{name}": it needs file,patient,label '
                '(leave patient empty where unknown).'
            )
    rows = rows[COLUMNS].apply(lambda column: column.fillna('').str.strip())
    if rows.empty:
        raise StudyError(f'"{path.name}" lists no images: add one row file,patient,label per image.')
    rows['file'] = [path_inside(root, file, f'"{path.name}"', files_only=True) for file in rows.file]
    no_patient = 'has no patient while others have: fill it in, or empty the column'
    for bad, why in (
        (rows.file.duplicated(), 'is listed twice: keep one row per file'),
        (rows.label == '', 'has an empty label: fill it in or remove the row'),
        ((rows.patient == '') & rows.patient.any(), no_patient),
    ):
        if bad.any():
            raise StudyError(f'"{rows.file[bad].iloc[0]}" in "{path.name}" {why}.')
    masks = [
        name for _, own in rows.file.groupby(rows.file.str.rpartition('/')[0]) for name in companions(own)
    ]
    note = f'listed as lesions, but named as masks: such as "{masks[0]}"' if masks else ''
    return rows, [('masks and overlays of images', len(masks), len(rows), 'look' if masks else 'ok', note)]


def _read_all(root, rows, size, channel, skip_faulty):
    """(rows, their Pictures, sentences of the faulty ones); decoding releases the GIL, so threads help.

    Raises StudyError after all faults are logged, unless faulty images are skipped.
    """

    def attempt(file):
        try:
            return pictures.read_picture(root / file, file, size, channel)
        except StudyError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(attempt, rows.file))
    faulty = [r for r in results if isinstance(r, str)]
    message = log_faults(faulty)
    if faulty and not skip_faulty:
        raise StudyError(f'{message} To leave such images out, set skip_faulty=True.')
    good = [not isinstance(r, str) for r in results]
    if lost := sorted(set(rows.label) - set(rows.label[good])):
        raise StudyError(f'No image of class "{lost[0]}" can be read: {message}')
    return rows[good].reset_index(drop=True), [r for r in results if not isinstance(r, str)], faulty
