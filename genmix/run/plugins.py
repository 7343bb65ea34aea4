"""Python files of your own that bring a generator or a mixing rule: named by the parameter `plugins`."""

import importlib.util
import sys
from pathlib import Path

from genmix import StudyError
from genmix.run.imports import closure


def load_plugins(paths):
    """Import each file once: what it registers is known then.  It may import modules beside it.

    Raises StudyError for a file that does not exist.
    """
    for path in (Path(p).resolve() for p in paths):
        if not path.exists():
            raise StudyError(f'The plugin {path} does not exist: fix the path in "plugins".')
        name = f'genmix_plugin_{path.stem}'
        if getattr(sys.modules.get(name), '__file__', None) == str(path):
            continue
        closure([path])  # keeps the source of the file, and of those beside it, as it is imported now
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
