"""What the commands of a maintainer share: the option --run, and an error as one line."""

import argparse
import sys
from functools import wraps

from genmix import StudyError


def parser(module, about, run=False):
    """A parser for `python -m <module>`, described by the first line of `about`; `run` adds --run."""
    found = argparse.ArgumentParser(prog=f'python -m {module}', description=about.splitlines()[0])
    if run:
        found.add_argument('--run', default='cpu', help='a finished run below runs/ (default %(default)s)')
    return found


def command(main):
    """Make `main(argv)` return an exit code: what it returns or 0; a StudyError is printed and gives 1."""

    @wraps(main)
    def checked(argv=None):
        try:
            return main(argv) or 0
        except StudyError as error:
            print(f'error: {error}', file=sys.stderr)
            return 1

    return checked
