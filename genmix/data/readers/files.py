"""What readers of users' own files share: the data folder, its table, and paths named in the table."""

import re
from pathlib import Path, PureWindowsPath
from unicodedata import normalize

from genmix import StudyError
from genmix.run.log import log


def data_folder(data_dir, holds):
    """The folder `data_dir`, home expanded; `holds` says in the error what it should contain."""
    root = Path(data_dir).expanduser()
    if not str(data_dir) or not root.is_dir():
        raise StudyError(
            f'data_dir "{data_dir}" is not a folder: set data_dir to the folder that holds {holds}.'
        )
    return root


def find_table(root, csv, default):
    """Path of the table `csv`, also relative to `root`; of root/default where csv is ''.  None if absent."""
    places = [Path(csv).expanduser(), root / csv] if csv else [root / default]
    return next((p for p in places if exists(p) and p.is_file()), None)


def read_delimited(path):
    """(text, separator) of a CSV file in UTF-8.  Raises OSError and UnicodeDecodeError."""
    # spreadsheets write a byte order mark, and semicolons in much of Europe
    text = path.read_text('utf-8-sig')
    return text, max(',;\t', key=text.partition('\n')[0].count)


def path_inside(root, file, where, files_only=False):
    """`file` relative to root, with forward slashes; absolute paths inside root are taken as well.

    Raises StudyError when it leaves root, does not exist, or is neither a file nor a folder (with files_only:
    is no file); `where` names the row of the table in the message.
    """
    path = PureWindowsPath(file)  # takes both kinds of slashes, and knows drives
    if (own := Path(file)).is_absolute() and own.is_relative_to(root.absolute()):
        path = PureWindowsPath(own.relative_to(root.absolute()))
    named, place = f'{where} names "{file[:99]}"', root / path.as_posix()
    if path.anchor or '..' in path.parts:
        raise StudyError(
            f'{named}, which leaves the data folder: give paths relative to data_dir, without "..".'
        )
    if not file or not exists(place) or (files_only and not place.is_file()):
        lacks = 'is not a file' if files_only else 'does not exist'
        raise StudyError(f'{named}, which {lacks} in "{root.name}": correct the row or add the file.')
    if not place.is_file() and not place.is_dir():  # opening a pipe would wait for ever
        raise StudyError(f'{named}, which is neither a file nor a folder: correct the row.')
    return path.as_posix()


# As tables say "unknown".  A patient of such a name stays that patient, and the checks ask for a look.
UNKNOWN = {'na', 'n/a', 'nan', 'none', 'null', 'unknown', '-', '?', '#n/a', '<na>'}


def spelling(name):
    """What two spellings of one name share: without case, leading zeros, and kinds of spaces."""
    folded = re.sub(r'(?<![\d.,])0+(?=\d)', '', normalize('NFKC', name).casefold().strip())
    return re.sub(r'[\s_]+', ' ', folded)


def check_spelling(names, what, where):
    """StudyError for the first two `names` that differ in spelling only; `what` and `where` they are."""
    seen = {}
    for name in dict.fromkeys(names):
        if name.lower() not in UNKNOWN and (other := seen.setdefault(spelling(name), name)) != name:
            raise StudyError(
                f'{where} has the {what} "{other}" and "{name}", which differ in case, spaces or leading '
                'zeros only: spell one alike, or distinguish two by more.'
            )


def log_faults(faults):
    """Log every fault of a set; returns the sentence that names the first, and how many there are."""
    for fault in faults:
        log.info(f'fault: {fault}')
    more = f' (the first of {len(faults)} faults, all in the log)' if len(faults) > 1 else ''
    return faults[0] + more if faults else ''


def exists(path):
    """Whether something is at `path`; False too where its name is impossible.

    Raises StudyError where a folder above it may not be read.
    """
    try:
        path.lstat()
        return path.exists()
    except PermissionError:
        raise StudyError(
            f'The folder of "{path.name}" may not be read: ask for the right to, or copy the set.'
        ) from None
    except (OSError, ValueError):
        return False
