"""Figures of contrasts: forest plots, and one run among the cohorts of the long run."""

import textwrap

import numpy as np

from genmix.plots.style import join_words, series_colour, single_axes, styled
from genmix.results.intervals import SMALLEST
from genmix.results.verdicts import LOSS, primary

OUTCOMES = {
    ('balanced_accuracy', 'prior'): {'label': 'balanced accuracy, prior rule', 'marker': 'o', 'ms': 6.5},
    ('balanced_accuracy', 'argmax'): {'label': 'balanced accuracy, argmax', 'marker': 's', 'ms': 4.5},
    ('macro_auc', ''): {'label': 'macro AUC', 'marker': '^', 'ms': 5},
}


@styled
def forest(table, title=''):
    """Contrasts as a forest plot: differences in points with 95 % intervals, one marker an outcome.

    table   rows of contrasts.csv; the log loss, which is not in points, is left out.  A point of the primary
            outcome is filled where its interval excludes 0.
    """
    table = table[table.metric != LOSS]
    rows = list(table.groupby(['contrast', 'a', 'b'], sort=False))
    labels = [_label(own.iloc[0]) for _, own in rows]
    outcomes = len(set(zip(table.metric, table.rule)))
    height = (0.15 + 0.07 * outcomes) * sum(label.count('\n') + 1.2 for label in labels) + 1.4
    fig, ax = single_axes(7.8, height)
    for i, (_, own) in enumerate(rows):
        for k, row in enumerate(own.itertuples()):
            _draw(ax, row, i + 0.24 * (k - (len(own) - 1) / 2))
    _mark_zero(ax)
    ax.set_yticks(range(len(rows)), labels)
    unit = 'cohorts' if table.cohorts.max() > 1 else 'runs of one cohort'
    ax.set(title=title, ylim=(len(rows) - 0.4, -0.6))
    ax.set_xlabel(
        f'difference [percentage points], 95 % interval (n = {table.n.max()} {unit});\n'
        'gray: less than the smallest effect of interest'
    )
    if outcomes > 1:
        ax.legend(*_unique(ax), loc='upper center', bbox_to_anchor=(0.5, -0.8 / height), ncols=3)
    main = sorted(primary(table).itertuples(), key=lambda r: -abs(r.mean))[:3]
    found = join_words(f'{_name(r)} {_points(r)}{f" ({r.verdict})" if r.verdict else ""}' for r in main)
    fig.alt = (
        f'Forest plot{f", {title}" if title else ""}: {len(rows)} differences in percentage points with 95 % '
        f'intervals. {"The largest" if len(rows) > 3 else "They are"} in balanced accuracy: {found}.'
    )
    return fig


def _draw(ax, row, y):
    """One outcome of one contrast."""
    look = dict(OUTCOMES[row.metric, row.rule])
    main = row.metric, row.rule
    colour = series_colour(list(OUTCOMES).index(main))
    filled = main == next(iter(OUTCOMES)) and (row.low > 0 or row.high < 0)
    ax.plot([100 * row.low, 100 * row.high], [y, y], color=colour, lw=1.4, zorder=2)
    face = colour if filled else 'white'
    ax.plot(100 * row.mean, y, ls='', color=colour, mfc=face, mew=1.3, zorder=3, **look)


def _mark_zero(ax):
    """A line at 0, and a band of the differences that are smaller than the smallest effect of interest."""
    ax.axvline(0, color='k', lw=0.8, ls=':')
    ax.axvspan(-100 * SMALLEST, 100 * SMALLEST, color='#eeeeee', zorder=0, lw=0)


def _unique(ax):
    """(handles, labels) of a legend, each label once."""
    found = dict(zip(*reversed(ax.get_legend_handles_labels())))
    return list(found.values()), list(found)


def _name(row):
    return row.contrast if row.gate else f'{row.a} − {row.b}'


def _label(row):
    """What is compared, and the verdict where there is one."""
    verdict = f' ({row.verdict})' if row.verdict else ''
    return textwrap.fill(_name(row) + verdict, 44, break_on_hyphens=False)


def _points(row):
    return f'{100 * row.mean:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]'


@styled
def among_cohorts(values, run=None):
    """Contrasts in each cohort, their mean, the range of new cohorts, and where one run falls.

    values   {name: (values (cohorts,), (low, high) of `intervals.predicted`)}
    run      {name: value} of a run, for those that it has
    """
    run = run or {}
    fig, ax = single_axes(7.8, 0.42 * len(values) + 1.3)
    for i, (each, (low, high)) in enumerate(values.values()):
        each, label = np.asarray(each), None if i else 'one cohort'
        ax.plot([100 * low, 100 * high], [i, i], color='#bbbbbb', lw=6, zorder=1, solid_capstyle='butt')
        shift = 0.12 * (np.arange(len(each)) % 3 - 1)
        ax.plot(100 * each, i + shift, 'o', ms=4, color='#555555', alpha=0.7, mew=0, label=label)
        ax.plot(100 * each.mean(), i, '|', ms=17, mew=2.2, color='k', label=None if i else 'their mean')
    places = {name: i for i, name in enumerate(values) if name in run}
    own = [100 * run[name] for name in places]
    ax.plot(
        own, list(places.values()), 'D', ms=7, mfc='white', mew=1.6, color=series_colour(4), label='this run'
    )
    _mark_zero(ax)
    ax.set_yticks(range(len(values)), [textwrap.fill(name, 40) for name in values])
    n = max(len(each) for each, _ in values.values())
    ax.set(ylim=(len(values) - 0.4, -0.6))
    ax.set_xlabel(
        f'difference in balanced accuracy [percentage points], {n} cohorts;\n'
        'bar: 95 of 100 new cohorts; band: less than the smallest effect of interest'
    )
    ax.legend(loc='upper left', bbox_to_anchor=(1, 1))
    found = (
        f'{name} {100 * np.mean(each):+.1f}, new cohorts from {100 * low:+.1f} to {100 * high:+.1f}'
        + (f', this run {100 * run[name]:+.1f}' if name in run else '')
        for name, (each, (low, high)) in values.items()
    )
    fig.alt = (
        f'Differences in points in {n} cohorts, their means and the range of new ones: {join_words(found)}.'
    )
    return fig
