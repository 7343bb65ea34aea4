"""What more training lesions bring to each generator, from measured/data_size.csv (appendix A6)."""

import pandas as pd

from genmix.results.intervals import over_units

GANS, DIFFUSION = ('dcgan', 'stylegan'), 'diffusion'
BETTER = {'tstr': 1, 'coverage': 1, 'kid': -1, 'diversity': 1}  # the better direction


def changes(table: pd.DataFrame) -> list[dict]:
    """What improves from the smallest to the largest train_fraction, over dev cohorts: a dict for each
    generator, then one for diffusion - the mean of the GANs, and each metric.

    table   columns generator, train_fraction, cohort, and metrics of BETTER; two cohorts at least

    Keys: generator, part, metric, and the dict of `intervals.student`, n.
    """
    few, many = table.train_fraction.min(), table.train_fraction.max()
    found = []
    for metric, sign in ((m, s) for m, s in BETTER.items() if m in table):
        wide = table.pivot_table(metric, 'cohort', ['generator', 'train_fraction'])
        gain = {g: sign * (wide[g][many] - wide[g][few]) for g in table.generator.unique()}
        span = f'{many:.0%} − {few:.0%} of the patients'
        units = {(g, f'{g}, {span}'): gain[g] for g in gain}
        gans = [gain[g] for g in GANS if g in gain]
        if gans and DIFFUSION in gain:
            beside = gain[DIFFUSION] - sum(gans) / len(gans)
            units[f'{DIFFUSION} - GANs', f'{DIFFUSION} − mean of the GANs, {span}'] = beside
        for (name, part), values in units.items():
            about = {'generator': name, 'part': part, 'metric': metric}
            found.append(about | over_units(values.to_numpy()) | {'n': len(values)})
    return found
