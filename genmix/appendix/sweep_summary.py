"""What the sweep says: differences with intervals in each cell, from measured/sweep.csv.

Needs no network.
"""

import numpy as np
import pandas as pd

from genmix.audit.intervals import t_quantile
from genmix.results.intervals import verdict

ORACLE, BASELINES = 'oracle', ('classical', 'oversample')
NAMES = {'alone': 'the generator alone', 'classical': 'classical', 'oversample': 'oversample'}
CELL = [
    *('question', 'train_fraction', 'quality', 'alpha', 'pairing', 'larger', 'mixed_share', 'mix'),
    *('mixup_off', 'steps', 'vgg_width'),
]


def differences(scores, a='genmix', b='alone', metric='balanced_accuracy'):
    """a - b in each cell: a table with CELL, mean, low, high, n, verdict (higher, lower, undecided).

    Pairs share cohort, split, generator and seed.  Every cell has few pairs, so their standard deviation is
    taken for equal and pooled over all cells, with degrees of freedom to match: 95 % intervals of Student's
    t.  Not corrected for the number of cells.
    """
    same = ['train_fraction', 'steps', 'vgg_width', 'cohort'] if b in BASELINES else [*CELL, 'cohort']
    first = scores[scores.arm == a].drop_duplicates([*CELL, 'cohort'])
    second = scores[scores.arm == b].drop_duplicates(same)
    pairs = first.merge(second[[*same, metric]], on=same, suffixes=('', '_b'))
    gaps = (pairs[metric] - pairs[f'{metric}_b']).set_axis(pd.MultiIndex.from_frame(pairs[CELL]))
    return pooled(gaps, CELL)


def pooled(gaps, cell, level=0.95):
    """Means of paired differences by `cell`; intervals from the standard deviation pooled over cells."""
    by = gaps.groupby(cell, sort=False)
    n, freedom = by.size(), len(gaps) - by.ngroups
    sd = np.sqrt(((gaps - by.transform('mean')) ** 2).sum() / freedom) if freedom > 0 else np.nan
    half = t_quantile((1 + level) / 2, max(freedom, 1)) * sd / np.sqrt(n)
    means = {'mean': by.mean(), 'low': by.mean() - half, 'high': by.mean() + half, 'n': n}
    table = pd.DataFrame(means).reset_index()
    return table.assign(verdict=[verdict(r.low, r.high, 0.0) for r in table.itertuples()])


def figure_data(scores, sets, default_fraction=0.25):
    """(grids, choices, sets) for `plots.benefit_map`."""
    against = {f'GenMix − {NAMES[b]}': differences(scores, b=b) for b in ('alone', 'classical')}
    cells = next(iter(against.values()))
    others = cells[cells.question != 'map']
    default = cells[(cells.question == 'map') & (cells.train_fraction == default_fraction)]
    default = default[default.quality.isin(others.quality)].assign(choice='default')
    names = [f'{r.question} = {getattr(r, r.question)}' for r in others.itertuples()]
    choices = pd.concat([default, others.assign(choice=names)])
    return {title: t[t.question == 'map'] for title, t in against.items()}, choices, sets


def summarise_sweep(scores):
    """Sentences: in how many cells GenMix helps or hurts, at which quality, and which choices are decided."""
    lines = []
    for b in ('alone', *BASELINES):
        cells = differences(scores, b=b)
        own = cells[cells.question == 'map']
        n = own.verdict.value_counts()
        best, worst = (own.loc[own['mean'].agg(pick)] for pick in ('idxmax', 'idxmin'))
        counts = ', '.join(f'{word} in {n.get(word, 0)}' for word in ('higher', 'lower', 'undecided'))
        lines.append(
            f'GenMix − {NAMES[b]}, {len(own)} cells of scarcity and quality: {counts}; most '
            f'{_points(best)} points ({_place(best)}), least {_points(worst)} ({_place(worst)}); '
            f'{int(own.n.min())} cohorts per cell'
        )
    cells = differences(scores)
    for r in cells[(cells.question != 'map') & (cells.verdict != 'undecided')].to_dict('records'):
        choice = f'{r["question"]} = {r[r["question"]]}'
        lines.append(f'with {choice} GenMix is {r["verdict"]} than the generator alone: {_points(r)} points')
    return lines


def _points(r):
    return f'{100 * r["mean"]:+.1f} [{100 * r["low"]:+.1f}, {100 * r["high"]:+.1f}]'


def _place(r):
    generator = r.quality if r.quality == ORACLE else f'after {r.quality} steps'
    return f'{r.train_fraction:.0%} of the patients, generator {generator}'
