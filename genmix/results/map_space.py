"""What the map is spanned by: how scarce lesions are, and three defects of a generator.  And its points."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

SEED = 0  # of the scrambling: more points go on from the same ones


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis, from `low` to `high`: in steps of equal ratio where `log`, of whole numbers where `whole`.

    title   with its unit, for figures and sentences
    """

    name: str
    low: float
    high: float
    title: str
    log: bool = False
    whole: bool = False

    def to_unit(self, values) -> np.ndarray:
        """Places between -1 (`low`) and 1 (`high`) of values on this axis."""
        low, high, values = (self._scaled(v) for v in (self.low, self.high, values))
        return 2 * (values - low) / (high - low) - 1

    def from_unit(self, places) -> np.ndarray:
        """Values at places between -1 and 1; not rounded where `whole`, for lines between the points."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        values = low + (np.asarray(places, float) + 1) / 2 * (high - low)
        return np.exp(values) if self.log else values

    def _scaled(self, values):
        return np.log(values) if self.log else np.asarray(values, float)


# Lesions: from nearly none to as many as a cohort of the study has for training (104; a run of the default
# profile takes 23).  Modes: from three pictures per class to a set without repeats.  The other two begin at a
# perfect generator; how far they go is a choice.
AXES = (
    Axis(name='lesions', low=5, high=100, title='lesions of the rarest class', log=True, whole=True),
    Axis(name='modes', low=3, high=600, title='distinct lesions per class', log=True, whole=True),
    Axis(name='label_noise', low=0.0, high=0.3, title='share of wrong labels'),
    Axis(name='blur', low=0.0, high=2.0, title='blur, SD [px]'),
)
NAMES = [axis.name for axis in AXES]


def values_at(**places) -> dict[str, np.ndarray]:
    """{axis: values} at places between -1 and 1 of some axes, as they are measured: whole numbers where the
    axis has these, else four decimals.
    """
    found = {}
    for name, place in places.items():
        axis = AXES[NAMES.index(name)]
        values = axis.from_unit(place).round(0 if axis.whole else 4)
        found[name] = values.astype(int) if axis.whole else values
    return found


def design(points: int) -> pd.DataFrame:
    """So many points of the space, spread evenly: a row each, columns NAMES.

    The first ones of one scrambled Sobol sequence (Owen 1998, Journal of Complexity 14:466): any number of
    them lies more evenly than random points, and a larger design holds the smaller.
    """
    from scipy.stats import qmc  # slow to import

    sequence = qmc.Sobol(len(AXES), scramble=True, seed=SEED)
    unit = sequence.random_base2(max(int(np.ceil(np.log2(points))), 0))[:points]
    return pd.DataFrame(values_at(**dict(zip(NAMES, 2 * unit.T - 1))))


def unit_places(table: pd.DataFrame) -> np.ndarray:
    """Places float (n, 4) in the unit cube from -1 to 1 of the rows of a table with columns NAMES."""
    return np.column_stack([axis.to_unit(table[axis.name]) for axis in AXES])
