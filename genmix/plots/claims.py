"""Figures of conclusions: the claims, the selection error of a single hold-out."""

import textwrap

import numpy as np

from genmix.plots.style import join_words, marker, series_colour, single_axes, styled, subplots

VERDICTS = {
    'supported': {'marker': 'o', 'color': '#0173b2'},
    'contradicted': {'marker': 's', 'color': '#d55e00'},
    'undecided': {'marker': 'o', 'color': '#8a8a8a', 'mfc': 'white'},
    'not testable here': {'marker': 'x', 'color': '#8a8a8a'},
    '': {'marker': 'o', 'color': '#8a8a8a'},
}
LEGEND = {'undecided': 'undecided', '': 'one cohort: no verdict'}


@styled
def claim_strip(parts, limit=6):
    """All parts of all claims on one axis, in half-widths of their 95 % intervals, to the right as claimed.

    parts   from `results.claims.claims_table`
    limit   end of the axis; what lies beyond is drawn there. Past one half-width an interval excludes 0.

    Parts without an interval are left out.
    """
    parts = parts[np.isfinite(parts.low.astype(float))]
    claims = {name: own for name, own in parts.groupby('claim', sort=False)}
    labels = [
        textwrap.fill(name, 44) + ('\n(control)' if own.concerns.iloc[0] == 'controls' else '')
        for name, own in claims.items()
    ]
    fig, ax = single_axes(8.2, 0.17 * sum(label.count('\n') + 1.7 for label in labels) + 0.9)
    for i, own in enumerate(claims.values()):
        _draw_parts(ax, i, own, limit)
    ax.axvspan(-1, 1, color='#eeeeee', zorder=0, lw=0)
    ax.axvline(0, color='k', lw=0.8, ls=':')
    for verdict in (v for v in VERDICTS if v in set(parts.verdict)):
        ax.plot([], [], ls='', label=LEGEND.get(verdict, verdict), **VERDICTS[verdict])
    ax.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=3)
    ax.set_yticks(range(len(claims)), labels)
    xlabel = '← against the claim      difference in half-widths of its 95 % interval      as claimed →'
    ax.set(ylim=(len(claims) - 0.4, -0.6), xlim=(-limit - 0.4, limit + 0.4), xlabel=xlabel)
    counts = (
        f'{name}: {join_words(f"{n} {LEGEND.get(v, v)}" for v, n in own.verdict.value_counts().items())}'
        for name, own in claims.items()
    )
    fig.alt = (
        f'Parts of {len(claims)} claims, one point per difference, to the right as claimed, 0 excluded past '
        f'one half-width of its interval. {"; ".join(counts)}.'
    )
    return fig


def _draw_parts(ax, row, parts, limit):
    """The parts of one claim around the line `row`."""
    half_width = ((parts.high - parts.low) / 2).clip(lower=1e-12)
    x = (parts['mean'] / half_width * np.where(parts.expected == 'higher', 1, -1)).clip(-limit, limit)
    for j, (value, verdict) in enumerate(zip(x, parts.verdict)):
        y = row + 0.3 * (j - (len(x) - 1) / 2) / max(len(x) - 1, 1)
        ax.plot(value, y, ms=5.5, mew=1.2, **VERDICTS[verdict])


@styled
def selection_error(table, patients=None):
    """What a single hold-out would have concluded, against its size.

    table     from `results.selection_error.selection_errors`
    patients  size of a real hold-out, drawn as a dotted line
    """
    rates = {
        'wrong_winner': 'picked arm worse than the best by over half a point',
        'type_s_error': 'Type S error: wrong sign of a difference',
    }
    points = {
        'worst_gap': 'error of a difference, 90th percentile',
        'selection_regret': 'selection regret, mean',
    }
    panels = (rates, 100, 'studies [%]'), (points, 1, 'balanced accuracy [points]')
    fig, axes = subplots(8.6, 3, 1, 2)
    for ax, (columns, scale, ylabel) in zip(axes[0], panels):
        for i, (column, label) in enumerate(columns.items()):
            look = {'ls': '-', 'color': series_colour(i + 1), 'label': label, 'lw': 1.3}
            ax.plot(table.patients, scale * table[column], marker(i), **look)
        if patients:
            ax.axvline(patients, color='k', lw=0.8, ls=':')
        ax.set(xscale='log', xlabel='patients in the hold-out', ylabel=ylabel, ylim=(0, None))
        ax.set_xticks(table.patients, table.patients)
        ax.minorticks_off()
        ax.legend(loc='upper center', bbox_to_anchor=(0.5, -0.24))
    found = (
        f'{r.patients} patients, an arm worse than the best by over half a point in {r.wrong_winner:.0%}, '
        f'Type S error in {r.type_s_error:.0%}, regret {r.selection_regret:.1f} points'
        for r in table.itertuples()
    )
    fig.alt = f'Errors of a single study against the number of patients in its hold-out: {join_words(found)}.'
    return fig
