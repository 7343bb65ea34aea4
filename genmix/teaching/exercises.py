"""Check cells of the exercises: they answer with a message and never raise."""

import math


def check(answer, expected, tolerance=1e-6):
    """A sentence: whether `answer` is the number (within a relative tolerance) or the word expected."""
    try:
        right = (
            str(answer).strip().lower() == expected.lower()
            if isinstance(expected, str)
            else math.isclose(float(answer), float(expected), rel_tol=tolerance, abs_tol=tolerance)
        )
    except (TypeError, ValueError):
        return f'Not yet: {answer!r} is no number.'
    return 'Correct.' if right else 'Not yet: try again, or look at the solution cell.'
