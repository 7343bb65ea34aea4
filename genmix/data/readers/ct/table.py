"""lesions.csv: who has which lesion in which file; and what a patient is called from here on.

One row a mask, or a label of a mask:  patient,volume,mask,mask_label,class
"""

import hashlib
import hmac
import os
from csv import Error as CsvError
from csv import reader as csv_reader
from difflib import get_close_matches
from io import StringIO
from pathlib import Path, PureWindowsPath

import pandas as pd

from genmix import StudyError

COLUMNS = ('patient', 'volume', 'mask', 'class')
SALT = 16  # characters of the secret at least


def read(root, csv):
    """The rows of the table, checked: a DataFrame patient, volume, mask, mask_label, class, all str."""
    places = [Path(csv).expanduser(), root / csv] if csv else [root / 'lesions.csv']
    path = next((p for p in places if _is_there(p)), None)
    if path is None:
        raise StudyError(
            f'The table "{csv or "lesions.csv"}" does not exist in "{root.name}": write one with columns {",".join(COLUMNS)}.'
        )
    rows = _lines(path)
    if rows.empty:
        raise StudyError(f'"{path.name}" lists no lesions: add one row a mask.')
    for column in ('volume', 'mask'):
        rows[column] = [_inside(root, file, path.name, i) for i, file in rows[column].items()]
    _check_rows(rows, path.name)
    return rows.reset_index(drop=True)


def _lines(path):
    """The lines of the table that are not empty: a DataFrame of the five columns, all str, indexed by the number of the line."""
    needs = f'save it as CSV in UTF-8 with columns {",".join(COLUMNS)}.'
    try:
        text = path.read_text(
            'utf-8-sig'
        )  # spreadsheets write a byte order mark, and semicolons in much of Europe
        separator = max(',;\t', key=text.partition('\n')[0].count)
        lines = csv_reader(StringIO(text, newline=''), delimiter=separator, strict=True)
        rows = {lines.line_num: [field.strip() for field in fields] for fields in lines}
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
                f'"{path.name}" has {count} "{name}": it needs {",".join(COLUMNS)} (and mask_label where a mask has several labels).'
            )
    rows = {i: fields for i, fields in rows.items() if any(fields)}  # spreadsheets save empty lines
    for i, fields in rows.items():
        if any(fields[len(head) :]):
            raise StudyError(
                f'"{path.name}", line {i}, has more fields than the header has columns: put what holds a "{separator}" into quotes.'
            )
    table = pd.DataFrame(
        [dict(zip(head, fields)) for fields in rows.values()], index=list(rows), dtype=object
    )
    return table.reindex(columns=['patient', 'volume', 'mask', 'mask_label', 'class']).fillna('').astype(str)


def _is_there(path):
    """Whether something is at `path`; False too where its name is impossible.  StudyError where a folder above it may not be read."""
    try:
        path.lstat()
        return path.exists()
    except PermissionError:
        raise StudyError(
            f'The folder of "{path.name}" may not be read: ask for the right to, or copy the set.'
        ) from None
    except (OSError, ValueError):
        return False


def _inside(root, file, table, line):
    """The relative path `file` with forward slashes, something that exists below root."""
    path = PureWindowsPath(file)  # takes both kinds of slashes, and knows drives
    if path.anchor or '..' in path.parts:
        raise StudyError(
            f'"{table}", line {line}, names "{file[:99]}", which leaves the data folder: give paths relative to data_dir, without "..".'
        )
    if not file or not _is_there(root / path.as_posix()):
        raise StudyError(
            f'"{table}", line {line}, names "{file[:99]}", which does not exist in "{root.name}": correct the row or add the file.'
        )
    return path.as_posix()


def _check_rows(rows, table):
    for i, patient, volume, mask, label, kind in rows.itertuples(name=None):
        for what, value in (('patient', patient), ('class', kind)):
            if not value:
                raise StudyError(f'"{table}", line {i}, has no {what}: fill it in or remove the row.')
        if label and not (label.isdecimal() and int(label) > 0):
            raise StudyError(
                f'"{table}", line {i}, has mask_label "{label}": give the whole number of the label in the mask, or leave it empty.'
            )
        if volume == mask:
            raise StudyError(
                f'"{table}", line {i}, names "{mask}" as volume and as mask: give the file in which the lesions are marked.'
            )
    rows['mask_label'] = [label and str(int(label)) for label in rows.mask_label]  # 1 and 01 are one
    if (twice := rows[rows.duplicated(['volume', 'mask', 'mask_label'])]).size:
        raise StudyError(
            f'"{table}" lists "{twice["mask"].iloc[0]}" twice with the same mask_label: keep one row for it.'
        )
    several = rows[rows.duplicated(['volume', 'mask'], keep=False) & rows.mask_label.eq('')]
    if len(several):
        raise StudyError(
            f'"{table}", line {several.index[0]}, has no mask_label, but other rows have the same mask: give each of them its label.'
        )
    if (owners := rows.groupby('volume').patient.nunique()).max() > 1:
        raise StudyError(
            f'"{table}" gives volume "{owners.idxmax()}" to {owners.max()} patients: correct the column "patient".'
        )
    alike = rows.patient.drop_duplicates().map(lambda patient: patient.casefold().lstrip('0'))
    if (first := alike[alike.duplicated(keep=False)]).size:
        one, other = first.index[first == first.iloc[0]][:2]
        raise StudyError(
            f'"{table}", lines {one} and {other}, have patients that differ in case or leading zeros only: spell one person alike, '
            'or tell two apart by more.'
        )


def class_names(rows, classes):
    """The classes in order; StudyError for one outside `classes`, and for two that differ in case alone."""
    if any(isinstance(name, bool) for name in classes):
        raise StudyError('classes holds true or false, as YAML reads yes and no: put the names into quotes.')
    classes, found = list(dict.fromkeys(map(str, classes))), sorted(rows['class'].unique())
    lower = [name.lower() for name in found]
    if twins := [name for name in found if lower.count(name.lower()) > 1]:
        raise StudyError(
            f'Classes "{twins[0]}" and "{twins[1]}" differ in upper and lower case only: spell them alike in the table.'
        )
    if classes and (strange := [name for name in found if name not in classes]):
        near = get_close_matches(strange[0], classes, 1)
        guess = f' (did you mean "{near[0]}"?)' if near else ''
        raise StudyError(
            f'The table has the unknown class "{strange[0]}"{guess}: use one of {", ".join(classes)}.'
        )
    names = [name for name in classes or found if name in found]
    if len(names) < 2:
        raise StudyError(
            f'The table has lesions of one class only ("{names[0]}"): add rows of a second class.'
        )
    return names


def salt():
    """The secret that patient ids are hashed with: GENMIX_SALT, or one drawn once and kept in the user's own settings.

    It stays outside every run folder: who has a run cannot try out patient numbers.  The same salt gives the same ids elsewhere.
    """
    if given := os.environ.get('GENMIX_SALT'):
        if len(given) < SALT:
            raise StudyError(
                f'GENMIX_SALT has {len(given)} characters, few enough to be tried out: give it {SALT} or more.'
            )
        return given
    path = Path(os.environ.get('XDG_CONFIG_HOME') or Path.home() / '.config') / 'genmix' / 'salt'
    try:
        kept = _drawn(path)
    except (OSError, UnicodeDecodeError):
        raise StudyError(
            f'The secret that patients are named with cannot be kept in "{path.parent}": set GENMIX_SALT to {SALT} characters or more.'
        ) from None
    if len(kept) < SALT:
        raise StudyError(
            f'"{path}" is empty or cut short: restore it, or remove it to have patients named anew.'
        )
    return kept


def _drawn(path):
    """The text of the file `path`, drawn at random where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'.salt.{os.getpid()}.part')
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as handle:
                handle.write(os.urandom(16).hex())
            os.link(part, path)  # appears whole, and never over another's
        except FileExistsError:  # another process drew it first
            pass
        finally:
            part.unlink(missing_ok=True)
    return path.read_text().strip()


def pseudonyms(patients):
    """{patient: 'P0001-' and 10 hex digits}: order of appearance, so that a split is the same everywhere, and a salted hash."""
    secret = salt().encode()

    def digest(patient):
        return hmac.new(secret, patient.encode(), hashlib.sha256).hexdigest()[:10]

    return {patient: f'P{i:04d}-{digest(patient)}' for i, patient in enumerate(dict.fromkeys(patients), 1)}
