"""What each notebook declares: parameters, imports, inputs, outputs, for make and the runner.

Only the standard library, so that `make` can ask before any environment exists:  python3 -m
genmix.run.notebooks > rules
"""

import ast
import json
import re
from dataclasses import dataclass, fields
from fnmatch import fnmatch
from functools import cached_property
from importlib import import_module
from pathlib import Path

from genmix.run.imports import ROOT, closure, imported, module_file

NAMES, LESSON = '[0-9A-Z][0-9_]*.ipynb', 'L_lesson'  # as 07_genmix and A1_base_model
SLIDER = 'application/vnd.genmix.slider+html'  # type of an output that notebooks keep and do not show
# Modules that read committed tables, and the folder of these.
READERS = {'results/measured.py': 'measured', 'appendix/controls_summary.py': 'measured/controls'}


class NotebookError(Exception):
    """A notebook declares something that cannot be; the message names it and the fix."""


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's cell tagged `parameters`: a literal, and whether null is allowed as well."""

    name: str
    default: object
    optional: bool = False

    def accepts(self, value):
        """True when `value` has the type of the default:

        int passes for float, null only where annotated `| None`.
        """
        if value is None:
            return self.optional
        if self.default is None:
            return isinstance(value, str)
        kind = type(self.default)
        if kind is float:
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        if kind is list and self.default:
            return isinstance(value, list) and all(type(v) is type(self.default[0]) for v in value)
        return type(value) is kind

    def read(self, value):
        """`value`, as a number where YAML took one such as 1e-3 for text."""
        try:
            return float(value) if type(self.default) is float and isinstance(value, str) else value
        except ValueError:
            return value

    @property
    def kind(self):
        return type(self.default).__name__ + (' or null' if self.optional else '')


class Notebook:
    """A numbered notebook of the study, read but not run."""

    def __init__(self, path):
        self.path = Path(path)
        self.name = self.path.stem
        try:
            self.content = json.loads(self.path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise NotebookError(
                f'{self.path.name} is not a notebook ({error}): restore it with git checkout.'
            ) from None
        about = self.content['metadata'].get('genmix', {})
        self.needs, self.makes = about.get('needs', []), about.get('makes', [])
        self.optional = about.get('optional', False)
        self.seconds = about.get('seconds', 0)  # about, on one core; where it matters what begins first

    @property
    def code(self):
        return [''.join(c['source']) for c in self.content['cells'] if c['cell_type'] == 'code']

    @cached_property
    def parameters(self):
        """The flat typed literals of the one cell tagged `parameters`, by name; read once."""
        tagged = [c for c in self.content['cells'] if 'parameters' in c['metadata'].get('tags', [])]
        if len(tagged) != 1:
            raise NotebookError(
                f'{self.path.name} has {len(tagged)} cells tagged "parameters": exactly one must carry the '
                'tag.'
            )
        found = {}
        for node in ast.parse(''.join(tagged[0]['source'])).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, 'target', None)
            try:
                value = ast.literal_eval(node.value)
            except (ValueError, AttributeError):
                raise NotebookError(
                    f'{self.path.name}: line {node.lineno} of the parameters cell is no "name = literal".'
                ) from None
            optional = isinstance(node, ast.AnnAssign) and 'None' in ast.unparse(node.annotation)
            found[target.id] = Parameter(target.id, value, optional)
        return found

    @property
    def bounds(self):
        """{parameter: bounds} of the configs named in the metadata as "module:Class"; imports them."""
        owners = self.content['metadata'].get('genmix', {}).get('configs', [])
        modules = [(import_module(module), name) for module, _, name in (o.partition(':') for o in owners)]
        return {f.name: f.metadata for module, name in modules for f in fields(getattr(module, name))}

    @property
    def committed(self):
        """Tables of measured/ that are shown beside the run's own, for a notebook that reads them."""
        read = [folder for reader, folder in READERS.items() if ROOT / 'genmix' / reader in self.modules]
        tables = (path for folder in read for path in (ROOT / folder).rglob('*.*'))
        return sorted({path for path in tables if path.suffix in ('.csv', '.npz')})

    @cached_property
    def modules(self):
        """Files of genmix/ that the code cells import, and those that these import in turn."""
        names = [n for cell in self.code for n in imported(cell) if n.split('.')[0] == 'genmix']
        files = [f for name in names if (f := module_file(name))]
        if 'genmix.generators' in names:  # the registry imports every generator by its file name
            files += (ROOT / 'genmix' / 'generators').rglob('*.py')
        return closure(files)


def question(content):
    """The question of a notebook (a dict): the bold sentence under its title, '' where there is none."""
    found = re.search(r'^\*\*(.+?)\*\*', ''.join(content['cells'][0]['source']), re.DOTALL | re.MULTILINE)
    return ' '.join(found[1].split()) if found else ''


def notebooks(folder=ROOT / 'notebooks', appendices=False):
    """The study's notebooks in running order; the lesson and appendices, marked optional, when asked for."""
    found = [Notebook(path) for path in sorted(Path(folder).glob(NAMES))]
    return in_order([nb for nb in found if appendices or not nb.optional])


def in_order(found):
    """`found` by name, except that a notebook waits for those that make what it needs:

    00_overview runs last.  NotebookError when some wait for each other.
    """
    order, waiting = [], list(found)
    while waiting:
        ready = next(
            (nb for nb in waiting if not inputs_of(nb, [other for other in waiting if other is not nb])), None
        )
        if not ready:
            raise NotebookError(
                f'{", ".join(nb.name for nb in waiting)} wait for each other: correct "needs" or "makes" '
                'in the '
                'metadata of one of them.'
            )
        waiting.remove(ready)
        order.append(ready)
    return order


def inputs_of(notebook, every):
    """Stages that `notebook` needs, patterns such as synthetic/* expanded by what the others make."""
    made = [stage for nb in every for stage in nb.makes]
    return [stage for need in notebook.needs for stage in made if fnmatch(stage, need)]


def rules(every=None):
    """Rules for make: a notebook depends on its source, modules, parameters and the stages it needs."""
    every = every or notebooks()

    def relative(path):
        return path.relative_to(ROOT).as_posix()

    # Of notebooks that may run side by side make begins with what is named first: the longest, which
    # should not be left over.
    longest = sorted(reversed(every), key=lambda nb: -nb.seconds)
    lines = [f'FIRST := {" ".join(nb.name for nb in longest)}', '']
    for nb in every:
        done = f'$(R)/notebooks/{nb.name}.ipynb'
        stages = [f'$(R)/{stage}/provenance.json' for stage in reversed(inputs_of(nb, every))]
        needs = [
            relative(nb.path),
            *map(relative, nb.modules),
            *map(relative, nb.committed),
            '$(R)/params.yaml',
            *stages,
        ]
        # what is finished appears whole: make must not remove it when it is stopped
        lines += [f'{done}: {" ".join(needs)}', f'\t@$(RUNNER) {nb.name}', f'.PRECIOUS: {done}']
        lines += [f'.PHONY: {nb.name}']
        lines += [f'$(R)/{stage}/provenance.json: {done} ; @:' for stage in nb.makes] + ['']
    return '\n'.join(lines)


if __name__ == '__main__':
    print(rules())
