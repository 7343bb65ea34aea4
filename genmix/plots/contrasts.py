"""Figures of contrasts: forest plots, and one run among the cohorts of the long run."""

import textwrap

import numpy as np

from genmix.plots.style import displayed, generator_style, in_order, join_words, single_axes, styled
from genmix.results.contrasts import with_g
from genmix.results.intervals import SMALLEST
from genmix.results.verdicts import EVERY, primary

# The two sides of declared contrasts, for who has not read the protocol.
COMPARED = {
    'mixing at matched dose and mass': 'GenMix − the same images unmixed, mean',
    'synthesis given mixing': 'GenMix − mixup of real images, mean',
}


@styled
def forest(table, title=''):
    """Contrasts as a forest plot: differences of the primary outcome in points, with 95 % intervals.

    table   rows of contrasts.csv; exploratory pairs that ask the same of several generators share a row.  The
            row for every generator, which has no interval of its own, is left out

    What is about one generator has its colour and marker, what is about several or none is black.
    """
    rows: dict[str, list] = {}
    for row in primary(table[table.contrast != EVERY]).itertuples():
        rows.setdefault(_label(row), []).append(row)
    rows = {label: _in_order(own) for label, own in rows.items()}
    sizes = [max(len(own), 1.25 * (label.count('\n') + 1)) + 0.8 for label, own in rows.items()]
    ends = np.cumsum(sizes)
    height = 0.13 * sum(sizes) + 1.1
    fig, ax = single_axes(8.2, height)
    for own, end, size in zip(rows.values(), ends, sizes):
        for k, row in enumerate(own):
            _draw(ax, row, end - size / 2 + k - (len(own) - 1) / 2)
    _mark_zero(ax)
    for end in ends[:-1]:
        ax.axhline(end, color='#dddddd', lw=0.6, zorder=0)
    ax.set_yticks(ends - np.divide(sizes, 2), list(rows))
    ax.set(title=title, ylim=(ends[-1], 0))
    ax.tick_params('y', length=0)
    unit = 'cohorts' if table.cohorts.max() > 1 else 'runs of one cohort'
    ax.set_xlabel(
        f'difference in balanced accuracy [percentage points], 95 % interval (n = {table.n.max()} {unit});\n'
        'right of 0: the first is better; gray: less than the smallest effect of interest'
    )
    shown = dict.fromkeys(in_order({_generator(row) for own in rows.values() for row in own}))
    if any(shown):
        for name in shown:
            ax.plot([], [], label=generator_style(name).name if name else 'several, or none', **_look(name))
        ax.legend(loc='upper left', bbox_to_anchor=(1, 1), title='generator')
    fig.alt = _alt(rows, title)
    return fig


def _alt(rows, title):
    """The largest differences in words."""
    every = [row for own in rows.values() for row in own]
    largest = sorted(every, key=lambda r: -abs(r.mean))[:3]
    found = join_words(f'{_name(r)} {_points(r)}{f" ({r.verdict})" if r.verdict else ""}' for r in largest)
    return (
        f'Forest plot{f", {title}" if title else ""}: {len(every)} differences in percentage points with '
        f'95 % intervals. {"The largest" if len(every) > 3 else "They are"} in balanced accuracy: {found}.'
    )


def _generator(row):
    return getattr(row, 'generator', '')


def _in_order(rows):
    """Rows in the order of their generators."""
    places = in_order(map(_generator, rows))
    return sorted(rows, key=lambda row: places.index(_generator(row)))


def _look(generator):
    style = generator_style(generator)
    return {'color': style.colour, 'marker': style.marker, 'ms': 5.5, 'lw': 1.4}


def _draw(ax, row, y):
    """One contrast: its interval, and the estimate on it."""
    look = _look(_generator(row))
    ax.plot([100 * row.low, 100 * row.high], [y, y], **look | {'marker': ''}, zorder=2)
    ax.plot(100 * row.mean, y, **look | {'ls': ''}, zorder=3)


def _mark_zero(ax):
    """A line at 0, and a band of the differences that are smaller than the smallest effect of interest."""
    ax.axvline(0, color='k', lw=0.8, ls=':')
    ax.axvspan(-100 * SMALLEST, 100 * SMALLEST, color='#eeeeee', zorder=0, lw=0)


def _name(row):
    return displayed(row.contrast if row.gate else f'{row.a} − {row.b}')


def _label(row):
    """What is asked, the verdict where there is one, and what is compared where the name does not say it."""
    if row.gate:
        verdict = f' ({row.verdict})' if row.verdict else ''
        lines = [textwrap.fill(_name(row) + verdict, 44, break_on_hyphens=False), COMPARED.get(row.contrast)]
        return '\n'.join(filter(None, lines))
    known = [_generator(row)] if _generator(row) else []
    sides = [with_g(side, known) if known else side for side in (row.a, row.b)]
    return f'{row.contrast}\n{displayed(" − ".join(sides))}'


def _points(row):
    return f'{100 * row.mean:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]'


@styled
def among_cohorts(values, run=None):
    """Contrasts in each cohort, their mean, the range of new cohorts, and where one run falls.

    values   {name: (values (cohorts,), (low, high) of `intervals.predicted`)}
    run      {name: value} of a run, for those that it has
    """
    run = run or {}
    fig, ax = single_axes(7.8, 0.42 * len(values) + 1.5)
    for i, (each, (low, high)) in enumerate(values.values()):
        each, label = np.asarray(each), None if i else 'one cohort'
        ax.plot([100 * low, 100 * high], [i, i], color='#bbbbbb', lw=6, zorder=1, solid_capstyle='butt')
        shift = 0.12 * (np.arange(len(each)) % 3 - 1)
        ax.plot(100 * each, i + shift, 'o', ms=4, color='#555555', alpha=0.7, mew=0, label=label)
        ax.plot(100 * each.mean(), i, '|', ms=17, mew=2.2, color='k', label=None if i else 'their mean')
    places = {name: i for i, name in enumerate(values) if name in run}
    own = [100 * run[name] for name in places]
    ax.plot(own, list(places.values()), '*', ms=11, mfc='white', mew=1.4, color='k', label='this run')
    _mark_zero(ax)
    ax.set_yticks(range(len(values)), [textwrap.fill(displayed(name), 40) for name in values])
    n = max(len(each) for each, _ in values.values())
    ax.set(ylim=(len(values) - 0.4, -0.6))
    ax.set_xlabel(
        f'difference in balanced accuracy [percentage points], {n} cohorts;\n'
        'right of 0: the first is better; bar: 95 of 100 new cohorts;\n'
        'band: less than the smallest effect of interest'
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
