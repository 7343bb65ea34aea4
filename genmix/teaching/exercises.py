"""Checks of the exercises: they answer with a message, never raise, and hold no answer that can be read.

`exercises.json` has for each exercise its level (1 to 3), a hint, and its answer as salted hashes of small
cells of the number line: nobody reads it in passing. (Who tries all numbers finds it; so does who opens the
complete notebook.)
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np

from genmix.teaching.tasks import TASKS

KEYS = Path(__file__).with_name('exercises.json')
DIGITS = 12  # of each hash
CORRECT, NOT_YET = 'Correct.', 'Not yet'


class NoAnswer(ValueError):
    """What was given is no number, or a function without a `return`."""


@cache
def keys() -> dict:
    """{exercise: {level, hint, width, slack, salt, sealed}} of exercises.json.

    width   side of a cell: answers are told apart from there on; 0 for words
    slack   cells on either side that are right as well
    sealed  a list of hashes per number of the answer
    """
    return json.loads(KEYS.read_text(encoding='utf-8'))


def check(name, *answers):
    """A sentence: whether the answers to an exercise are right.

    name      number of notebook and exercise, such as '07.4'
    answers   numbers, words or a function, as the exercise asks; without any, the sentence is a hint
    """
    key = keys()[name]
    if not answers:
        return f'Hint: {key["hint"]}'
    more = f": for a hint call check('{name}')."
    if key['width'] == 0:
        right = seal(key['salt'], 0, _word(answers[0])) in key['sealed'][0]
        return CORRECT if right else NOT_YET + more
    try:
        numbers = flat(name, answers)
    except NoAnswer as error:
        return f'{NOT_YET}: {error}.'
    except Exception as error:  # whatever the student's function raises
        return f'{NOT_YET}: {type(error).__name__}: {error}.'
    if fits(key, numbers):
        return CORRECT
    if fits(key, numbers / 100):
        return f'{NOT_YET}: give a share, such as 0.25, not a percentage.'
    if len(numbers) != len(key['sealed']):
        return f'{NOT_YET}: {len(key["sealed"])} numbers are expected, not {len(numbers)}.'
    return NOT_YET + more


def _word(answer):
    return ' '.join(str(answer).lower().split())


def flat(name, answers) -> np.ndarray:
    """The answers as float64 (m,): of a function, what its task measures.

    Raises what the function raises, NoAnswer for what is no number.
    """
    if callable(answers[0]):
        if name not in TASKS:
            raise NoAnswer('a number is expected, no function')
        answers = TASKS[name](_returning(answers[0]))
    try:
        parts = [np.asarray(answer, np.float64).ravel() for answer in answers]
    except (TypeError, ValueError):
        raise NoAnswer(f'a number is expected, not {answers[0]!r}') from None
    if not all(np.isfinite(part).all() for part in parts):
        raise NoAnswer('some of it is no finite number')
    return np.concatenate(parts)


def _returning(function):
    """`function`, with a plain sentence where it has no `return` yet."""

    def called(*args):
        if (found := function(*args)) is None:
            raise NoAnswer('the function returns nothing yet')
        return found

    return called


def fits(key, numbers):
    """Whether every number lies in one of its cells."""
    cells = np.rint(numbers / key['width'])
    return len(cells) == len(key['sealed']) and all(
        seal(key['salt'], i, int(cell)) in hashes
        for i, (cell, hashes) in enumerate(zip(cells, key['sealed']))
    )


def seal(salt, place, what):
    """Hash of the number of a cell, or of a word, at one place of an answer."""
    return hashlib.sha256(f'{salt}|{place}|{what}'.encode()).hexdigest()[:DIGITS]


def sealed(name, key, answers):
    """The hashes of right answers: what `tools.student --seal` writes to exercises.json."""
    if key['width'] == 0:
        return [[seal(key['salt'], 0, _word(answers[0]))]]
    cells = np.rint(flat(name, answers) / key['width']).astype(int)
    near = range(-key['slack'], key['slack'] + 1)
    return [sorted(seal(key['salt'], i, int(cell) + step) for step in near) for i, cell in enumerate(cells)]
