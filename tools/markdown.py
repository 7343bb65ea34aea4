"""Tables and lists of the pages that tools.readme writes."""

import re

import pandas as pd

from genmix.generators import PAPER
from genmix.results import metrics, tables

# What the front page shows of all arms: what each trains on, and their names, whose mean it is.
SHORT = {
    'real images': ['classical'],
    'real images, classes balanced by repetition': ['oversample'],
    'mixup of real images': ['mixup'],
    'synthetic images added, dose 1/8, mean of 4 generators': [f'{g}@1/8' for g in PAPER],
    '**GenMix**, dose 1/8, mean of 4 generators': [f'genmix-{g}@1/8' for g in PAPER],
    'synthetic images added, dose 1/2, mean of 4 generators': [f'{g}@1/2' for g in PAPER],
    '**GenMix**, dose 1/2, mean of 4 generators': [f'genmix-{g}@1/2' for g in PAPER],
    'new phantoms added, dose 1/8 (a perfect generator)': ['oracle@1/8'],
}


def table_of(frame: pd.DataFrame, **options) -> str:
    """A Markdown table without the blanks that align its columns."""
    return re.sub(r'-{3,}', '---', re.sub(r' {2,}', ' ', frame.to_markdown(**options)))


def bullets(sentences):
    """A Markdown list."""
    return '\n'.join(f'- {sentence}' for sentence in sentences)


def scores_table(columns):
    """Balanced accuracy in per cent with intervals, one row per arm.  columns: {title: rows of arms.csv}."""
    cells = {}
    for title, table in columns.items():
        chosen = table.metric == metrics.PRIMARY
        if 'rule' in table:
            chosen &= table.rule == metrics.RULES[0]
        own = table[chosen].set_index('arm')[['mean', 'low', 'high']]
        cells[title] = {arm: in_cell(values) for arm, *values in own.itertuples()}
    wide = pd.DataFrame(cells).rename_axis('arm')
    arms = tables.arms_from(pd.concat(columns.values()))
    wide = wide.loc[tables.in_order(wide.index, arms)].fillna('')
    return table_of(wide.rename(index='`{}`'.format))


def cohort_scores(long):
    """Scores of every arm over cohorts, in a table with its caption."""
    cells = {
        f'balanced accuracy, {rule}': [over_cohorts(long, {name: 1.0}, rule=rule) for name in long.arms]
        for rule in metrics.RULES
    }
    cells['macro AUC'] = [over_cohorts(long, {name: 1.0}, 'macro_auc', '') for name in long.arms]
    index = pd.Index([f'`{name}`' for name in long.arms], name='arm')
    head = f"Per cent, mean over {len(long)} cohorts with 95 % intervals of Student's *t* over cohorts:"
    return f'{head}\n\n{table_of(pd.DataFrame(cells, index=index))}'


def short_table(title, cell_of):
    """The rows of SHORT with one number each, cell_of({arm: weight}), as a Markdown table."""
    cells = [cell_of(dict.fromkeys(names, 1 / len(names))) for names in SHORT.values()]
    table = pd.DataFrame({'training images': list(SHORT), title: cells})
    return table_of(table, index=False, disable_numparse=True, colalign=('left', 'right'))


def over_cohorts(long, weights, metric=metrics.PRIMARY, rule=metrics.RULES[0]):
    """Mean of {arm: weight} over cohorts and its interval, as in a cell of a table."""
    found = long.estimate(weights, metric, rule)
    return in_cell([found[name] for name in ('mean', 'low', 'high')])


def in_cell(values):
    """'71.2 [69.0, 73.4]', in per cent, of a value and the ends of its interval."""
    return '{:.1f} [{:.1f}, {:.1f}]'.format(*(100 * v for v in values))
