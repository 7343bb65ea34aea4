"""Files that appear whole or not at all, locks, checksums, and hashes of folders."""

import glob
import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:
    raise ImportError('genmix locks files as Linux and macOS do: on Windows, run it inside WSL.') from None

PROVENANCE = 'provenance.json'
SETTLED = 2e9  # ns: what was written that shortly ago may change once more without another date
_checksums = {}  # {path: (what a change of the file would change, its checksum)}, of this process


def files_hash(root):
    """16 hex digits that change when the file `root`, or a file below the folder, is added, removed or
    edited, also behind links; contents are not read.
    """
    files = [root] if root.is_file() else [p for p in _below(root) if p.is_file()]
    rows = sorted((p.relative_to(root).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in files)
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def _below(root):
    """Paths of what is below the folder `root`, links followed, none of them in a circle."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        seen.add(os.path.realpath(folder))
        folders[:] = [f for f in folders if os.path.realpath(os.path.join(folder, f)) not in seen]
        yield from (Path(folder, f) for f in files)


def process_exists(process):
    """Whether a process with this PID exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def atomic_write(path):
    """Write a file through a temporary name: `path` appears complete, or stays as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(
        f'.{glob.escape(path.name)}.*.part'
    ):  # by a process that was killed while it wrote
        if not process_exists(int(left.name.split('.')[-2])):
            left.unlink(missing_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield part
        to_disk(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def to_disk(*files):
    """Wait until the content of files is on the disk: a power cut then leaves none empty under its name."""
    for path in files:
        with open(path, 'rb') as file:
            os.fsync(file.fileno())


@contextmanager
def file_lock(path, waiting=None):
    """Hold a lock that ends with the process, so that parallel notebooks do not build one stage twice.

    waiting   called with the PID of the holder (as text, '' when unknown) where the lock is not free
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a+') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting(path.read_text().strip())
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


def checksum(path):
    """16 hex digits over the content of a file; read once in a process unless the file changes."""
    about = path.stat()
    state = about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
    if _checksums.get(path, ('', ''))[0] != state:
        with open(path, 'rb') as file:
            _checksums[path] = state, hashlib.file_digest(file, 'sha256').hexdigest()[:16]
    return _checksums[path][1]


@contextmanager
def remembered_checksums(path):
    """What `checksum` found below the folder of `path` is kept in `path`, a JSON file, for later processes.

    They read a file again when its inode, size, date or date of change (which every write sets) is another.
    """
    now = time.time_ns()
    try:
        kept = json.loads(path.read_text(encoding='utf-8'))
        rows = ((name, tuple(map(int, state)), found) for name, (state, found) in kept.items())
        known = {path.parent / name: (state, found) for name, state, found in rows if len(state) == 4}
    except (OSError, ValueError, TypeError, AttributeError):
        known = {}
    _checksums.update(known)
    yield
    below = {file: about for file, about in _checksums.items() if file.is_relative_to(path.parent)}
    settled = {file: about for file, about in below.items() if about[0][-1] < now - SETTLED}
    if settled != known:
        rows = {file.relative_to(path.parent).as_posix(): about for file, about in settled.items()}
        with atomic_write(path) as part:
            part.write_text(json.dumps(rows), encoding='utf-8')


def written(folder, deep=True):
    """Files of a folder that count as its result, sorted: all but hidden ones and provenance.json.

    deep   with those of its sub-folders
    """
    found = (p for p in folder.glob('**/*' if deep else '*') if p.is_file() and p.name != PROVENANCE)
    return sorted(p for p in found if not any(s.startswith('.') for s in p.relative_to(folder).parts))


def damages(folder, sums):
    """The files of {relative path: checksum} that are gone or have another content, one after the other."""
    for name, known in sums.items():
        try:
            if checksum(folder / name) != known:
                yield name
        except OSError:
            yield name


def first_damage(folder, sums):
    """The first of `damages`, '' when there is none."""
    return next(damages(folder, sums), '')


def replace_folder(new, final):
    """Put folder `new` in the place of `final`; at no moment does a half-written folder carry that name."""
    if final.exists():
        old = final.with_name(f'.{final.name}.old')
        shutil.rmtree(old, ignore_errors=True)
        os.rename(final, old)
        os.rename(new, final)
        shutil.rmtree(old)
    else:
        os.rename(new, final)
