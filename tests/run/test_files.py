import hashlib
import json
import os

import pytest

from genmix.run import files
from genmix.run.files import checksum, remembered_checksums


@pytest.fixture
def read(monkeypatch):
    """Names of the files whose content was read, in a process that knows none yet."""
    names, digest = [], hashlib.file_digest

    def noting(file, name):
        names.append(os.path.basename(file.name))
        return digest(file, name)

    monkeypatch.setattr(files, '_checksums', {})
    monkeypatch.setattr(files, 'SETTLED', -1e9)  # what was written a moment ago counts as settled
    monkeypatch.setattr(files.hashlib, 'file_digest', noting)
    return names


def sums(folder):
    """Checksums of a folder's two files, as a new process asks for them."""
    files._checksums.clear()
    with remembered_checksums(folder / '.known.json'):
        return [checksum(folder / name) for name in ('a', 'b')]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'a').write_bytes(b'1234')
    (tmp_path / 'b').write_bytes(b'5678')
    return tmp_path


def test_files_that_have_not_changed_are_not_read_again(folder, read):
    first, stamp = sums(folder), (folder / '.known.json').stat().st_mtime_ns
    assert read == ['a', 'b'] and first[0] == hashlib.sha256(b'1234').hexdigest()[:16]
    assert sums(folder) == first and read == ['a', 'b']
    assert (folder / '.known.json').stat().st_mtime_ns == stamp, 'written only when something is new'


def test_a_changed_file_of_equal_size_and_date_is_read_again(folder, read):
    first, date = sums(folder), (folder / 'a').stat().st_mtime_ns
    with open(folder / 'a', 'r+b') as file:
        file.write(b'1235')
    os.utime(folder / 'a', ns=(date, date))
    found = sums(folder)
    assert read == ['a', 'b', 'a'] and found[1] == first[1]
    assert found[0] == hashlib.sha256(b'1235').hexdigest()[:16]


def test_what_was_written_a_moment_ago_is_not_remembered(folder, read, monkeypatch):
    """It may change once more within the grain of the clock, and keep its date."""
    monkeypatch.setattr(files, 'SETTLED', 2e9)
    sums(folder)
    sums(folder)
    assert read == ['a', 'b', 'a', 'b'] and not (folder / '.known.json').exists()


@pytest.mark.parametrize(
    'damage', [b'', b'\xff', b'[]', b'{"a": 3}', b'{"a": [[], 0], "z": [[0], 0]}', b'{"z": ["abcd", 0]}']
)
def test_a_damaged_memory_is_no_memory(folder, read, damage):
    first = sums(folder)
    (folder / '.known.json').write_bytes(damage)
    assert sums(folder) == first and read == ['a', 'b'] * 2
    assert set(json.loads((folder / '.known.json').read_text())) == {'a', 'b'}
