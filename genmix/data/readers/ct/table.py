"""lesions.csv: which patient has which lesion in which file.

One row per mask, or per label of a mask:  patient,volume,mask,mask_label,class
"""

from csv import Error as CsvError
from csv import reader as csv_reader
from difflib import get_close_matches
from io import StringIO

import pandas as pd

from genmix import StudyError
from genmix.data.readers.files import check_spelling, find_table, path_inside, read_delimited, spelling

COLUMNS = ('patient', 'volume', 'mask', 'class')


def read_table(root, csv):
    """The rows of the table, checked: a DataFrame patient, volume, mask, mask_label, class, all str.

    root  folder that the paths are relative to;  csv  path of the table, '' for lesions.csv
    """
    if (path := find_table(root, csv, 'lesions.csv')) is None:
        raise StudyError(
            f'The table "{csv or "lesions.csv"}" does not exist in "{root.name}": '
            f'write one with columns {",".join(COLUMNS)}.'
        )
    rows = _lines(path)
    if rows.empty:
        raise StudyError(f'"{path.name}" lists no lesions: add one row per mask.')
    for column in ('volume', 'mask'):
        lines = rows[column].items()
        rows[column] = [path_inside(root, file, f'"{path.name}", line {i},') for i, file in lines]
    _check_fields(rows, path.name)
    _check_masks(rows, path.name)
    _check_patients(rows, path.name)
    return rows.reset_index(drop=True)


def _lines(path):
    """The lines that are not empty: a DataFrame of the five columns, all str, indexed by line number."""
    needs = f'save it as CSV in UTF-8 with columns {",".join(COLUMNS)}.'
    try:
        text, separator = read_delimited(path)
        lines = csv_reader(StringIO(text, newline=''), delimiter=separator, strict=True)
        rows = dict((lines.line_num, [field.strip() for field in fields]) for fields in lines)
    except OSError:
        raise StudyError(f'"{path.name}" may not be read: ask for the right to, or copy it.') from None
    except (UnicodeDecodeError, CsvError) as error:
        what = 'a quotation mark is not closed' if isinstance(error, CsvError) else 'not UTF-8'
        raise StudyError(f'"{path.name}" is not a readable table ({what}): {needs}') from None
    head = [name.lower() for name in rows.pop(min(rows, default=0), [])]
    for name in (*COLUMNS, 'mask_label'):
        if head.count(name) != 1 and name in (*COLUMNS, *head):
            count = f'{head.count(name)} columns' if name in head else 'no column'
            raise StudyError(
                f'"{path.name}" has {count} "{name}": it needs {",".join(COLUMNS)} '
                '(and mask_label where a mask has several labels).'
            )
    rows = {i: fields for i, fields in rows.items() if any(fields)}  # spreadsheets save empty lines
    for i, fields in rows.items():
        if any(fields[len(head) :]):
            raise StudyError(
                f'"{path.name}", line {i}, has more fields than the header has columns: '
                f'put what holds a "{separator}" into quotes.'
            )
    named = [dict(zip(head, fields)) for fields in rows.values()]
    table = pd.DataFrame(named, index=list(rows), dtype=object)
    return table.reindex(columns=['patient', 'volume', 'mask', 'mask_label', 'class']).fillna('').astype(str)


def _check_fields(rows, table):
    """StudyError for the first row with an empty or impossible field; labels are put into one spelling."""
    for i, patient, volume, mask, label, kind in rows.itertuples(name=None):
        where = f'"{table}", line {i},'
        for what, value in (('patient', patient), ('class', kind)):
            if not value:
                raise StudyError(f'{where} has no {what}: fill it in or remove the row.')
        if label and not (label.isdecimal() and int(label) > 0):
            raise StudyError(
                f'{where} has mask_label "{label}": '
                'give the whole number of the label in the mask, or leave it empty.'
            )
        if volume == mask:
            raise StudyError(
                f'{where} names "{mask}" as volume and as mask: give the file with the marked lesions.'
            )
    rows['mask_label'] = [label and str(int(label)) for label in rows.mask_label]  # 1 and 01 are one


def _check_masks(rows, table):
    """StudyError for a mask listed twice with one label, or with a label and without."""
    if (twice := rows[rows.duplicated(['volume', 'mask', 'mask_label'])]).size:
        mask = twice['mask'].iloc[0]
        raise StudyError(f'"{table}" lists "{mask}" twice with the same mask_label: keep one row for it.')
    several = rows[rows.duplicated(['volume', 'mask'], keep=False) & rows.mask_label.eq('')]
    if len(several):
        raise StudyError(
            f'"{table}", line {several.index[0]}, has no mask_label, but other rows have the same mask: '
            'give each of them its label.'
        )


def _check_patients(rows, table):
    """StudyError for a volume of several patients, and for a patient in two spellings."""
    if (owners := rows.groupby('volume').patient.nunique()).max() > 1:
        raise StudyError(
            f'"{table}" gives volume "{owners.idxmax()}" to {owners.max()} patients: '
            'correct the column "patient".'
        )
    alike = rows.patient.drop_duplicates().map(spelling)
    if (first := alike[alike.duplicated(keep=False)]).size:
        one, other = first.index[first == first.iloc[0]][:2]
        raise StudyError(
            f'"{table}", lines {one} and {other}, have patients that differ in case, spaces or leading zeros '
            'only: spell one person alike, or distinguish two by more.'
        )


def class_names(rows, classes):
    """The classes in order: those of `classes` that occur in the table, or all of the table, sorted.

    Raises StudyError for a class outside `classes`, one in two spellings, or one class only.
    """
    if any(isinstance(name, bool) for name in classes):
        raise StudyError('classes holds true or false, as YAML reads yes and no: put the names into quotes.')
    classes, found = list(dict.fromkeys(map(str, classes))), sorted(rows['class'].unique())
    check_spelling(found, 'classes', 'The table')
    if classes and (strange := [name for name in found if name not in classes]):
        near = get_close_matches(strange[0], classes, 1)
        guess = f' (did you mean "{near[0]}"?)' if near else ''
        names = ', '.join(classes)
        raise StudyError(f'The table has the unknown class "{strange[0]}"{guess}: use one of {names}.')
    names = [name for name in classes or found if name in found]
    if len(names) < 2:
        raise StudyError(
            f'The table has lesions of one class only ("{names[0]}"): add rows of a second class.'
        )
    return names
