"""What PROTOCOL.md declares in numbers: the tuned settings, which are filled in before a cohort is drawn."""

import re

import pandas as pd

from genmix import StudyError
from genmix.mixing.arms import dose_in_words
from genmix.results.contrasts import best_other, tuned

SECTION = 'Tuned settings'
OPEN = '*not yet*'
# Lines of the section, by what they begin with.
COMMIT, STEPS = 'commit of `measured/tuning.csv`', 'steps of all arms in contrasts 2 to 5'
METHODS = {
    'genmix': 'tuned GenMix (dose, balance, steps)',
    'synthetic': 'tuned generator alone (dose, balance, steps)',
    'none': 'tuned arm without a generator (method, balance, steps)',
}
BEST = 'the best of the latter two on `dev`, which contrast 1 compares with'


def declared_settings(text: str) -> dict[str, str]:
    """{what: value} of the lines `- what: value` of the section on tuned settings."""
    section = text.partition(f'## {SECTION}')[2].partition('\n## ')[0]
    return dict(re.findall(r'^>? ?- (.+?): (.+)$', section, re.MULTILINE))


def settings_lines(tuning: pd.DataFrame) -> dict[str, str]:
    """What the section has to say of measured/tuning.csv: {what: value}, in the order of its lines."""
    found = {title: in_words(tuned(tuning, method)) for method, title in METHODS.items()}
    return found | {BEST: in_words(best_other(tuning))}


def in_words(setting: pd.Series) -> str:
    """'1/8, natural, 350' of a setting, or 'mixup, natural, 350' where there is no generator."""
    first = dose_in_words(setting.dose) if setting.dose else setting.method
    return f'{first}, {setting.balance}, {setting.steps}'


def steps_of_contrasts(text: str, tuning: pd.DataFrame | None) -> int:
    """The optimiser steps of all arms in contrasts 2 to 5, of a protocol whose settings are filled in.

    StudyError while they are not, and where they are not those of `tuning`, measured/tuning.csv: no
    confirmatory cohort is drawn then.
    """
    said = declared_settings(text)
    wanted = [COMMIT, *METHODS.values(), BEST, STEPS]
    missing = [name for name in wanted if OPEN in said.get(name, OPEN)]
    if missing or tuning is None:
        what = missing[0] if missing else 'measured/tuning.csv is missing'
        raise StudyError(
            f'The section "{SECTION}" of PROTOCOL.md is not filled in ({what}), and no confirmatory cohort '
            'is drawn before: run `make tuning`, and write what it prints there.'
        )
    for name, value in settings_lines(tuning).items():
        if said[name].strip() != value:
            raise StudyError(
                f'PROTOCOL.md says "{name}: {said[name]}", but measured/tuning.csv says {value}: correct the '
                'one that is wrong.'
            )
    if not said[STEPS].strip().isdecimal():
        raise StudyError(f'PROTOCOL.md says "{STEPS}: {said[STEPS]}": give one number.')
    return int(said[STEPS])
