"""Speed as `make bench` found it, by class of processor: rows of measured/speed.csv, and a table of them."""

import re
from pathlib import Path

import pandas as pd

from genmix.run.files import atomic_write

OURS = 'ours'  # what the names of our ways begin with; the others are peers
WHOSE = ['class', 'table']  # rows of a measurement replace those of the same class and table
COLUMNS = [
    *WHOSE, 'processor', 'threads', 'way', 'unit', 'n',
    'cpu_min', 'cpu_median', 'wall_min', 'wall_median', 'ratio',
]  # fmt: skip


def keep(rows, path):
    """Write rows (DataFrame of COLUMNS, one class and table) to a CSV, in place of those it had of them."""
    rows, path = rows[COLUMNS], Path(path)
    if path.exists():
        before = pd.read_csv(path)
        same = (before[WHOSE] == rows[WHOSE].iloc[0]).all(axis=1)
        rows = pd.concat([before[~same], rows])
    with atomic_write(path) as part:
        rows.round(5).to_csv(part, index=False)


def peers_table(kept):
    """CPU seconds of each peer over those of ours: a row a peer, a column a class of processor, or ''."""
    peers = kept[~kept.way.str.startswith(OURS)]
    cells = peers.assign(ratio=peers.ratio.map('{:.2f}'.format))
    wide = cells.pivot(index=['table', 'way'], columns='class', values='ratio').fillna('')
    wide = wide.loc[list(dict.fromkeys(zip(peers.table, peers.way)))]  # in the order of measurement
    return wide.reset_index().rename(columns={'table': 'work', 'way': 'peer'}).rename_axis(columns=None)


def block(kept):
    """The Markdown of `peers_table`, and where and how it was measured."""
    text = peers_table(kept).to_markdown(index=False, disable_numparse=True)
    text = re.sub(r'-{3,}', '---', re.sub(r' {2,}', ' ', text))
    where = [
        f'{name}: {" and ".join(dict.fromkeys(rows.processor))}, threads: {rows.threads.max()}'
        for name, rows in kept.groupby('class', sort=False)
    ]
    return (
        'CPU seconds of the peer over those of ours, medians within one run; above 1 ours is faster. '
        'Ours computes in bfloat16 where bf16 units are used, in float32 elsewhere; what a peer computes in '
        f'stands beside its name. {"; ".join(where)}.\n\n{text}'
    )
