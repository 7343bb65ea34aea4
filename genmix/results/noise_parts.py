"""What more noise of the scanner changes, from measured/noise.csv (appendix A7)."""

import pandas as pd

from genmix.results.intervals import over_units
from genmix.results.metrics import PRIMARY


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """Differences of arms at each noise, and what changes from the least to the most: over dev cohorts.

    table   columns noise, method, generator, cohort, balanced_accuracy; two cohorts and two noises at least

    Columns contrast, noise, n and the dict of `intervals.student`.  Exploratory: no verdicts.
    """
    wide = table.pivot_table(PRIMARY, ['noise', 'cohort'], ['method', 'generator'])
    pairs = {'mixup − classical': (('mixup', ''), ('real', ''))}
    for g in dict.fromkeys(table.generator[table.generator != '']):
        pairs[f'GenMix − alone, {g}'] = ('genmix', g), ('synthetic', g)
        pairs[f'GenMix − mixup, {g}'] = ('genmix', g), ('mixup', '')
    rows = []
    for name, (a, b) in pairs.items():
        each = (wide[a] - wide[b]).unstack('noise')
        parts = {f'x {noise:g}': each[noise] for noise in each}
        parts['change'] = each.iloc[:, -1] - each.iloc[:, 0]
        for part, values in parts.items():
            found = over_units(values.to_numpy())
            rows.append({'contrast': name, 'noise': part, 'n': len(values)} | found)
    return pd.DataFrame(rows)
