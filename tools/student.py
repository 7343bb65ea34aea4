"""The notebooks for students, in student/: as they are, without outputs and cells tagged `solution`.

python -m tools.student      writes them, except over those that a student has written into
"""

import json
import sys

import nbformat
from nbconvert.preprocessors import ClearOutputPreprocessor, TagRemovePreprocessor

from genmix.run.log import log
from genmix.run.notebooks import notebooks
from genmix.run.study import home
from tools import cli
from tools.copies import renew

STEPS = (
    TagRemovePreprocessor(remove_cell_tags={'solution'}, enabled=True),
    ClearOutputPreprocessor(enabled=True),
)


def edition(path):
    """The notebook in file `path` for students: a NotebookNode."""
    book = nbformat.read(path, as_version=4)
    for step in STEPS:
        book, _ = step(book, {})
    book.metadata.get('genmix', {}).pop('published', None)  # a stamp of outputs that are not there
    return book


@cli.command
def main(argv=None):
    every = notebooks(home() / 'notebooks', appendices=True)
    renew({nb.path.name: json.loads(nbformat.writes(edition(nb.path))) for nb in every}, home() / 'student')
    log.info(f'{len(every)} notebooks without solutions are in student/')


if __name__ == '__main__':
    sys.exit(main())
