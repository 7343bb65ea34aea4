"""Check cells of the exercises: they answer with a message and never raise."""
import math


def check(answer, expected, tolerance=1e-6):
    """Compare a number with the expected one, within `tolerance` relative to it: returns a sentence."""
    try:
        right = math.isclose(float(answer), float(expected), rel_tol=tolerance, abs_tol=tolerance)
    except (TypeError, ValueError):
        return f'Not yet: {answer!r} is no number.'
    return 'Correct.' if right else 'Not yet: try again, or look at the solution cell.'
