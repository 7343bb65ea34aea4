"""The GenMix study: generative and mixture augmentation for medical images (arXiv 2405.20650)."""

__version__ = '0.1.0'


class StudyError(Exception):
    """Something a user can fix.  The message is one sentence that names the thing and the fix."""


class NotEnough(StudyError):
    """The data cannot answer one notebook's question: it ends there, and the study goes on without it."""
