"""The notebooks for students, in student/: as they are, without outputs and cells tagged `solution`.

python -m tools.student             writes them, except over those that a student has written into
python -m tools.student --seal      after a solution has changed: its hashes in genmix/teaching/exercises.json
"""

import ast
import json
import re
import sys

import nbformat
import numpy as np
from nbconvert.preprocessors import ClearOutputPreprocessor, TagRemovePreprocessor

from genmix import StudyError
from genmix.results import intervals, neighbours
from genmix.run.files import atomic_write
from genmix.run.log import log
from genmix.run.notebooks import notebooks
from genmix.run.study import home
from genmix.teaching import exercises
from tools import cli
from tools.copies import renew
from tools.outputs import joined, tags

STEPS = (
    TagRemovePreprocessor(remove_cell_tags={'solution'}, enabled=True),
    ClearOutputPreprocessor(enabled=True),
)
OF_THE_NOTEBOOK = {  # what solutions use, beside their own names
    'np': np,
    'intervals': intervals,
    'mixing_rate': neighbours.mixing_rate,
    'check': lambda *_: '',  # it knows an answer only once that is sealed
}


def edition(path):
    """The notebook in file `path` for students: a NotebookNode."""
    book = nbformat.read(path, as_version=4)
    for step in STEPS:
        book, _ = step(book, {})
    book.metadata.get('genmix', {}).pop('published', None)  # a stamp of outputs that are not there
    return book


def solutions(content):
    """{exercise: (code of its solution, expressions that it checks)} of a notebook (a dict)."""
    found = {}
    for cell in content['cells']:
        source = joined(cell['source'])
        if 'solution' in tags(cell) and 'check(' in source:  # others are model answers, in words
            name, *given = ast.parse(source).body[-1].value.args
            found[name.value] = source, [ast.unparse(answer) for answer in given]
    return found


def answers(code, expressions):
    """Values of the expressions after the solution `code` has run."""
    names = dict(OF_THE_NOTEBOOK)
    exec(code, names)
    return [eval(expression, names) for expression in expressions]


def leaks(book, found):
    """[(exercise, text)] of a student's notebook `book` (a dict) that give an answer away.

    found   `solutions` of the notebook.  Looked for are the lines of each solution and the right sides of its
            assignments, anywhere; each number of an answer in its own cells, and where it has three digits
            or more, anywhere.  A word is no leak: where one is asked for, the exercise lists several.
    """
    texts = [joined(cell['source']) for cell in book['cells']]
    given = []
    for name, (code, expressions) in found.items():
        whole = [text for text in expressed(code) if len(text) >= 6]
        numbers = [number for value in answers(code, expressions) for number in numbers_of(value) if number]
        own = [text for text in texts if f"check('{name}'" in text or text.startswith(f'{expressions[0]} = ')]
        given += [(name, text) for text in whole if any(text in other for other in texts)]
        for places, digits in ((own, 1), (texts, 3)):
            forms = {form for number in numbers for form in written(number) if significant(form) >= digits}
            given += [(name, form) for form in forms if any(stands_in(form, text) for text in places)]
    return given


def expressed(code):
    """Lines of a solution but for `def`, docstring and check, and right sides of its assignments."""
    nodes = [*ast.walk(ast.parse(code))]
    assigned = [node for node in nodes if isinstance(node, ast.Assign)]
    values = [node.value for node in assigned if not is_word(node.value)]
    values += [part for value in values if isinstance(value, ast.Tuple) for part in value.elts]
    returned = [node for node in nodes if isinstance(node, ast.Return | ast.AugAssign)]
    raw = [line.strip() for line in code.splitlines() if not line.startswith(('def ', 'check(', '#'))]
    return dict.fromkeys([*map(ast.unparse, [*assigned, *values, *returned]), *raw])


def is_word(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def numbers_of(value):
    """Numbers of an answer that is none of a function or a word."""
    return [] if callable(value) or isinstance(value, str) else np.asarray(value, float).ravel().tolist()


def written(number):
    """How a number may stand in a text."""
    return {
        f'{number:g}',
        f'{number:.3g}',
        f'{number:.4g}',
        repr(number),
        f'{number:,.0f}' if number > 99 else '',
    }


def significant(form):
    return len(re.sub(r'e.*|[^\d]', '', form).lstrip('0'))


def stands_in(form, text):
    return re.search(rf'(?<![\w.,]){re.escape(form)}(?![\w]|[.,]\d)', text)


def seal(every):
    """Write the hashes of all solutions into exercises.json; StudyError for an exercise that it lacks."""
    known = json.loads(exercises.KEYS.read_text(encoding='utf-8'))
    found = {name: own for nb in every for name, own in solutions(nb.content).items()}
    if differing := sorted(known.keys() ^ found.keys()):
        raise StudyError(
            f'{", ".join(differing)}: in exercises.json or in a notebook, but not in both: add or remove it.'
        )
    for name, own in found.items():
        known[name]['sealed'] = exercises.sealed(name, known[name], answers(*own))
    with atomic_write(exercises.KEYS) as part:
        lines = (f'{json.dumps(name)}: {json.dumps(key, ensure_ascii=False)}' for name, key in known.items())
        part.write_text('{\n' + ',\n'.join(lines) + '\n}\n', encoding='utf-8')
    return known


@cli.command
def main(argv=None):
    parser = cli.parser('tools.student', __doc__)
    parser.add_argument('--seal', action='store_true', help='note the solutions as hashes instead')
    args = parser.parse_args(argv)
    every = notebooks(home() / 'notebooks', appendices=True)
    if args.seal:
        log.info(f'{len(seal(every))} exercises are sealed')
        return
    books = {nb.path.name: json.loads(nbformat.writes(edition(nb.path))) for nb in every}
    for nb in every:
        if given := leaks(books[nb.path.name], solutions(nb.content)):
            name, text = given[0]
            raise StudyError(f'{nb.name} would give away exercise {name}: rewrite the cell with "{text}".')
    renew(books, home() / 'student')
    log.info(f'{len(every)} notebooks without solutions are in student/')


if __name__ == '__main__':
    sys.exit(main())
