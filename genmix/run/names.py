"""Names of runs.  Only the standard library: the one rule is here, and the Makefile repeats its pattern."""

import re

from genmix import StudyError

NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]*')


def check_name(name, what='RUN'):
    """`name`, when it can be that of one folder below runs/; StudyError otherwise.

    Slashes, spaces, wildcards and an empty name would reach other folders of the project, or all runs.
    """
    if not NAME.fullmatch(name):
        raise StudyError(
            f'{what} is "{name}", but a name begins with a letter or a digit and has only letters, digits, '
            '".", "_" and "-": choose another one.'
        )
    return name
