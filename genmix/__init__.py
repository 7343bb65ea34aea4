"""The GenMix study: generative and mixture augmentation for medical images (arXiv 2405.20650)."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (readable by any Python, so that it is said before a traceback)
    sys.exit('error: Python 3.11 to 3.13 is needed, and this is ' + sys.version.split()[0])

__version__ = '0.1.0'


class StudyError(Exception):
    """Something a user can fix.  The message is one sentence that names the thing and the fix."""

    def _render_traceback_(self):
        """One line in IPython and JupyterLab, where the frames of the package would bury it."""
        return [type(self).__name__ + ': ' + str(self)]


class NotEnough(StudyError):
    """The data cannot answer one notebook's question: it ends there, and the study goes on without it."""


import genmix.run.imports  # noqa: E402, F401  (keeps the source of the package as it is now, before any work)
