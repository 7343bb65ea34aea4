"""The GenMix study: generative and mixture augmentation for medical image classification (arXiv 2405.20650)."""

__version__ = '0.1.0'


class StudyError(Exception):
    """Something a user can mend.  The message is one sentence that names the thing and the mend."""


class NotEnough(StudyError):
    """The data cannot answer one notebook's question: that notebook ends there with the sentence, and the study goes on without it."""
