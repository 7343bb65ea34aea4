"""Copies of the notebooks that readers work in: renewed while they are as they were, never overwritten."""

import copy
import hashlib
import json
from typing import NamedTuple

from genmix.run.files import atomic_write
from genmix.run.log import log
from tools.outputs import joined

MARK = 'copied'  # in the metadata of a copy, which JupyterLab keeps: the Hashes that it was made with


class Hashes(NamedTuple):
    """Of a notebook: of the sources of its cells, and of their outputs too; metadata do not count."""

    sources: str
    whole: str


def hashes(content):
    """The Hashes of a notebook (a dict)."""
    sources = [(cell['cell_type'], joined(cell['source'])) for cell in content['cells']]
    outputs = [cell.get('outputs', []) for cell in content['cells']]
    texts = (json.dumps(part, sort_keys=True) for part in (sources, [sources, outputs]))
    return Hashes(*(hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts))


def renew(books, folder):
    """Write {file name: notebook} into `folder`, and say what changes there; returns the names written.

    A copy whose cells a reader has edited stays.  One that was only executed stays until the cells of the
    notebook change.  The copy of a notebook that is gone goes with it, unless it was edited.
    """
    written = [name for name, book in books.items() if _renew(book, folder / name)]
    for path in folder.glob('*.ipynb'):
        now, before = _state(path)
        if path.name not in books and now and before and now.sources == before.sources:
            path.unlink()
    return written


def _renew(book, place):
    """Whether the copy `place` of a notebook was written."""
    new, name = hashes(book), f'{place.parent.name}/{place.name}'
    if place.exists():
        now, before = _state(place)
        if now and before and now.whole == before.whole:  # as it was written
            if new.whole == now.whole:
                return False
        elif now and new.sources in (now.sources, before and before.sources):
            return False
        elif not (now and before and now.sources == before.sources):
            log.info(f'{name} has changes of yours and stays; there is a newer one: rename yours to get it')
            return False
        log.info(f'{name} is renewed: the notebook has changed')
    marked = copy.deepcopy(book)
    marked['metadata'].setdefault('genmix', {})[MARK] = new
    with atomic_write(place) as part:
        part.write_text(json.dumps(marked, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    return True


def _state(path):
    """(Hashes now, those that it was made with) of a copy; None for what is no notebook or no copy."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        before = content['metadata'].get('genmix', {}).get(MARK)
        return hashes(content), before and Hashes(*before)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None
