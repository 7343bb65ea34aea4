"""What a result was made from: the key of a stage, and the environment it was made in."""

import ast
import hashlib
import inspect
import json
import sys
from functools import cache
from pathlib import Path

from genmix import StudyError
from genmix.run.imports import ROOT, closure, source

LIBRARIES = ('torch', 'torchvision', 'fastai', 'diffusers', 'transformers', 'numpy', 'scikit-learn')
# Folders, cache, log and parameters move results about but compute none, nor do the package's two exceptions:
# of run/ only the device counts in a key.
HARNESS = {f for f in (ROOT / 'genmix' / 'run').glob('*.py') if f.name != 'device.py'}
HARNESS.add(ROOT / 'genmix' / '__init__.py')


def without_docstrings(code):
    """What a piece of code does, as text: comments, docstrings and layout do not count."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@cache
def code_of_file(file):
    """`without_docstrings` of a source file as this process imported it; looked up once in a process.

    StudyError when the file does something else by now: nobody could say which of both a result came from.
    """
    code = without_docstrings(source(file))
    try:
        same = source(file) == (now := file.read_text(encoding='utf-8')) or without_docstrings(now) == code
    except (OSError, SyntaxError):
        same = False
    if not same:
        raise StudyError(f'{file.name} was edited while this process ran: start it, or the kernel, again.')
    return code


def code_key(thing):
    """16 hex digits over code: the file of a module, class or function, and all that it imports.

    What was defined in a notebook or an interactive session counts as its own source alone.
    """
    module = thing if inspect.ismodule(thing) else inspect.getmodule(thing)
    file = getattr(module, '__file__', None)
    if file is None:
        parts = [without_docstrings(inspect.cleandoc('\n' + inspect.getsource(thing)))]
    else:
        parts = [code_of_file(f) for f in closure([Path(file).resolve()]) if f not in HARNESS]
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]


def key_of(params, inputs=(), code=None):
    """16 hex digits over everything a stage depends on:

    parameters, fingerprints of inputs, `code_key` of `code`.
    """
    parts = [json.dumps(params, sort_keys=True, default=str), *map(str, inputs)]
    parts += [] if code is None else [code_key(code)]
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]


def git_commit():
    """Short hash of the commit that is checked out, '+' when files differ from it, '' outside git."""
    import subprocess

    def git(*words):
        return subprocess.run(['git', '-C', str(ROOT), *words], capture_output=True, text=True)

    try:
        head = git('rev-parse', '--short=12', 'HEAD')
        if head.returncode:
            return ''
        return head.stdout.strip() + ('+' if git('status', '--porcelain').stdout.strip() else '')
    except OSError:
        return ''


def environment():
    """Git commit, versions, machine, device, precision and threads: a dict."""
    import platform  # here, and not above: `make all` without anything to do needs none of this
    from importlib import metadata

    about = {
        'git': git_commit(),
        'python': platform.python_version(),
        'machine': platform.machine(),
        'packages': {name: metadata.version(name) for name in LIBRARIES},
    }
    if torch := sys.modules.get('torch'):
        chosen = sys.modules.get('genmix.run.device')
        about |= {'device': chosen.device_name() if chosen else 'cpu', 'threads': torch.get_num_threads()}
        about |= {'bfloat16': chosen.bf16_pays()} if chosen else {}
    return about
