"""Cohorts of real images: the rule for their classical augmentation, and what is said of them.

A set that was divided (`data.division`) has a folder measured/real/<name>/ with set.json and a file for each
finished cohort.

`set.json`   content
asked        SET that the set was read by, and all runs were asked, but for paths
division     fields of `data.division.Division`
source       where the images come from, for captions
population   images of each class that every cohort is tested on
tried        {strength, or `none`: balanced accuracy on each dev cohort, mean over trainings}
"""

from typing import Any

import pandas as pd

from genmix.results.claim_parts import Sources
from genmix.results.cohorts import Cohorts
from genmix.results.verdicts import primary, summarise_contrasts

NONE = 'none'  # the arm without classical augmentation
# Tried on the dev cohorts of a set, in this order: see `data.augmentation.affine_warp`.
STRENGTHS = (1.0, 0.5, 0.25, 0.125)


def chosen_strength(tried: dict[str, list[float]]) -> float:
    """The strength of the classical augmentation that a set needs, 0 where the set is out.

    tried   {strength, or NONE: balanced accuracy on each dev cohort}

    The rule: the strength with the highest mean over the dev cohorts, of equal ones the first that was tried;
    a set on which even that one is below NONE is out, since every arm but `none` has this augmentation.
    """
    mean = {name: sum(values) / len(values) for name, values in tried.items()}
    best = max((name for name in tried if name != NONE), key=mean.get)  # type: ignore[arg-type]
    return float(best) if mean[best] >= mean[NONE] else 0.0


def rule_in_words(about: dict[str, Any]) -> str:
    """What the rule found on the dev cohorts of a set, from its set.json: one sentence."""
    tried, n = about['tried'], about['division']['dev']
    means = ', '.join(
        f'{"`none`" if name == NONE else name} {100 * sum(values) / len(values):.1f}'
        for name, values in tried.items()
    )
    strength = chosen_strength(tried)
    verdict = f'strength {strength:g} is taken' if strength else '`classical` loses to `none`: the set is out'
    return (
        f'Balanced accuracy in per cent on {n} dev cohorts, by strength of augmentation: {means}; {verdict}.'
    )


def summarise_real(cohorts: Cohorts, tuning: pd.DataFrame | None = None) -> list[str]:
    """One sentence for each declared contrast: the difference, other outcomes, and what could be found; then
    the generators whose cards, averaged over the cohorts, fail the gate of the audit.

    tuning   measured/tuning.csv, on phantoms, for the practical contrast
    """
    table, _ = cohorts.contrasts(tuning, judged=False)
    said = summarise_contrasts(table, 'population')
    lines = [
        f'{line}; detectable {100 * row.minimum_detectable_effect:.1f} points'
        for line, row in zip(said, primary(table).itertuples())
    ]
    failing = Sources.of_cohorts(cohorts).failing
    each = '; '.join(f'{name}: {why}' for name, why in failing.items())
    return lines + ([f'below the gate of the audit, mean over the cohorts: {each}'] if failing else [])
