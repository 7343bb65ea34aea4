"""The map in numbers and words: how the effects depend on scarcity and on the defects of a generator.

Exploratory: probabilities and intervals, and no verdicts.
"""

import pandas as pd

from genmix.results.effect_surface import Surface, fit, leave_one_out
from genmix.results.map_space import AXES, NAMES, unit_places
from genmix.results.metrics import PRIMARY

# {effect: weights of the arms}.  The arms of the first two carry equal synthetic and equal label mass.
EFFECTS = {
    'mixing at dose 1/8': {'genmix-g@1/8': 1, 'g@1/8': -1},
    'mixing at dose 1/2': {'genmix-g@1/2': 1, 'g@1/2': -1},
    'synthesis given mixing': {'genmix-g@1/8': 1, 'mixup': -1},
    'synthesis without mixing': {'g@1/8': 1, 'classical': -1},
}
# Places of the defects in the unit cube: the ends of their axes.
PERFECT = {'modes': 1, 'label_noise': -1, 'blur': -1}
PLACES = {
    'no defect': PERFECT,
    'few modes alone': PERFECT | {'modes': -1},
    'wrong labels alone': PERFECT | {'label_noise': 1},
    'blur alone': PERFECT | {'blur': 1},
    'all three': {name: -place for name, place in PERFECT.items()},
}
NOT_MEASURED = 'The map is not measured yet: `make map` measures it.'


def formula(effect: str) -> str:
    """The arms of an effect: `genmix-g@1/8 − g@1/8`."""
    first, second = EFFECTS[effect]
    return f'{first} − {second}'


def effects_of(table: pd.DataFrame, metric=PRIMARY) -> pd.DataFrame:
    """The EFFECTS at each point, paired within its cohort: a row per point, columns NAMES and EFFECTS.

    table   measured/map.csv      metric   a column of it; effects have its unit, 1 for 100 points
    """
    wide = table.pivot(index=['cohort', *NAMES], columns='arm', values=metric)
    found = {name: sum(w * wide[arm] for arm, w in weights.items()) for name, weights in EFFECTS.items()}
    return pd.DataFrame(found).reset_index(NAMES)


def surfaces(table: pd.DataFrame | None) -> dict[str, Surface]:
    """{effect: its Surface} of measured/map.csv; {} where it is not measured (None)."""
    if table is None:
        return {}
    effects = effects_of(table)
    x = unit_places(effects)
    return {name: fit(x, effects[name].to_numpy()) for name in EFFECTS}


def at_places(surface: Surface) -> pd.DataFrame:
    """The surface at each of PLACES, averaged over the number of lesions: a row each."""
    found = [surface.at(surface.averaged(**place)[None]) for place in PLACES.values()]
    return pd.concat(found).set_axis(list(PLACES))


def checks(table: pd.DataFrame, process=True) -> pd.DataFrame:
    """`leave_one_out` of every effect: a row for each effect and model, `error` in points."""
    effects = effects_of(table)
    x = unit_places(effects)
    found = {name: leave_one_out(x, effects[name].to_numpy(), process) for name in EFFECTS}
    return pd.concat(found, names=['effect', 'model']).assign(error=lambda t: 100 * t.error)


def summarise_map(table: pd.DataFrame | None) -> list[str]:
    """Sentences: of each effect its average over the map, and how it changes along each axis."""
    if table is None:
        return [NOT_MEASURED]
    explained, lines = checks(table, process=False).explained, []
    for name, surface in surfaces(table).items():
        mean = surface.at(surface.averaged()[None]).iloc[0]
        changes = '; '.join(f'{_ends(axis)}: {_points(surface.change(axis.name))}' for axis in AXES)
        lines.append(
            f'{name} (`{formula(name)}`), {len(surface.x)} cohorts: on average over the map {_points(mean)} '
            f'points, P(effect > 1) = {mean.above:.2f}, P(|effect| < 1) = {mean.within:.2f}, '
            f'P(effect < −1) = {mean.below:.2f}. Change along an axis, averaged over the others: {changes}. '
            f'Of the variance of cohorts left out, the surface explains {explained[name, "quadratic"]:.0%}'
        )
    return lines


def _points(r):
    return f'{100 * r["mean"]:+.1f} [{100 * r["low"]:+.1f}, {100 * r["high"]:+.1f}]'


def _ends(axis):
    return f'{axis.title} from {axis.low:g} to {axis.high:g}'
