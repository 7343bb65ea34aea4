"""The notebooks for students, in student/: as they are, without outputs and cells tagged `solution`.

python -m tools.student      writes them anew; what a student wrote into them is lost
"""

import sys

import nbformat
from nbconvert.preprocessors import ClearOutputPreprocessor, TagRemovePreprocessor

from genmix.run.files import atomic_write
from genmix.run.log import log
from genmix.run.notebooks import notebooks
from genmix.run.study import home
from tools import cli

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
    folder, every = home() / 'student', notebooks(home() / 'notebooks', appendices=True)
    for nb in every:
        with atomic_write(folder / nb.path.name) as part:
            part.write_text(nbformat.writes(edition(nb.path)) + '\n', encoding='utf-8')
    for old in {*folder.glob('*.ipynb')} - {folder / nb.path.name for nb in every}:
        old.unlink()
    log.info(f'{len(every)} notebooks without solutions are in student/')


if __name__ == '__main__':
    sys.exit(main())
