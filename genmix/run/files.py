"""Files that appear whole or not at all, locks, and hashes of folders."""

import fcntl
import glob
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path


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
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def file_lock(path):
    """Hold a lock that ends with the process, so that parallel notebooks do not build one stage twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w') as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


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
