"""Which code a thing stands on: the transitive import graph, read from source.

Make's rules (`run.notebooks`) and the keys of the stage cache (`run.provenance`) use this one graph.  Only
the standard library, so that `make` can ask before any environment exists.
"""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package
_sources = {f: f.read_text(encoding='utf-8') for f in (ROOT / 'genmix').rglob('*.py') if f.is_file()}


def imported(code):
    """Dotted names that a piece of code imports, at any depth; lines of notebook magic are passed over."""
    lines = [line for line in code.splitlines() if not line.lstrip().startswith(('%', '!'))]
    names = []
    for node in ast.walk(ast.parse('\n'.join(lines))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f'{node.module}.{alias.name}' for alias in node.names)]
    return names


def source(file):
    """Text of a source file as it was when this process began (of a plugin: when it was first asked for)."""
    if file not in _sources:
        _sources[file] = file.read_text(encoding='utf-8')
    return _sources[file]


@cache
def imported_by(file):
    """`imported` of a source file; read once in a process."""
    return imported(source(file))


def module_file(name, folder=ROOT):
    """The file below `folder` that defines module `name`, None when there is none."""
    base = folder.joinpath(*name.split('.'))
    return next((f for f in (base.with_suffix('.py'), base / '__init__.py') if f.exists()), None)


def closure(files):
    """`files` and all that they import in turn, of this package and of the folders they lie in: sorted paths.

    A plugin outside the package has its helper modules beside it; of the package only `genmix` counts.
    """
    found, todo = set(), list(files)
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found.add(file)
        inside = file.is_relative_to(ROOT / 'genmix')
        for name in imported_by(file):
            own = module_file(name) if name.split('.')[0] == 'genmix' else None
            beside = None if inside or own else module_file(name, file.parent)
            todo += [f for f in (own, beside) if f]
    return sorted(found)
