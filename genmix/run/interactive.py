"""A notebook in the browser and the run it opens: both must have been asked the same."""

import ast
import os
import sys
from pathlib import Path

from genmix import StudyError

WHERE = {'workers', 'scheduler'}  # where the work is done: a run may go on elsewhere


def namespace():
    """Variables of the notebook that is open in a browser, {} headless and outside of IPython."""
    if os.environ.get('GENMIX_HEADLESS') or 'IPython' not in sys.modules:
        return {}
    shell = sys.modules['IPython'].get_ipython()
    return shell.user_ns if shell else {}


def check_parameters(folder):
    """StudyError when the open notebook has other parameters than the run in `folder` was made with.

    Nothing is said where no notebook is open, and of a run that make has not begun.
    """
    values, path = namespace(), folder / 'params.yaml'
    if not values or not path.exists():
        return
    import yaml

    try:
        asked = yaml.safe_load(path.read_text(encoding='utf-8'))['notebooks']
        name = which(asked, values)
        wanted = asked[name].items()
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError):
        return  # a damaged file: make says so
    other = [k for k, v in wanted if k not in WHERE and k in values and values[k] != v]
    if other:
        theirs = ', '.join(f'{k} = {asked[name][k]!r}' for k in other[:3])
        more = f' and {len(other) - 3} more' if len(other) > 3 else ''
        raise StudyError(
            f'runs/{folder.name} was made with {theirs}{more}, and here {other[0]} = {values[other[0]]!r}: '
            f'open runs/{folder.name}/notebooks/{name}.ipynb, or give `run` another name.'
        )


def which(asked, values):
    """Name of the open notebook among the sections of `asked`: as its file, else as its parameters."""
    name = Path(os.environ.get('JPY_SESSION_NAME', '')).stem
    if name in asked:
        return name
    cells = [names for cell in values.get('In', ()) if 'run' in (names := assigned(cell))]
    mine = cells[-1] if cells else values.keys()
    return max(asked, key=lambda n: 2 * len(asked[n].keys() & mine) - len(asked[n]))


def assigned(cell):
    """Names that a cell assigns at its top level, none where it is no plain Python."""
    try:
        body = ast.parse(cell).body
    except SyntaxError:
        return set()
    targets = [t for node in body for t in getattr(node, 'targets', [getattr(node, 'target', None)])]
    return {t.id for t in targets if isinstance(t, ast.Name)}
