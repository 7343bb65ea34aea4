"""Figure of the sweep: where GenMix helps, by scarcity of data and quality of the generator."""

import numpy as np

from genmix.plots.style import styled, subplots

VERDICTS = {
    'higher': ('GenMix helps', {'marker': 'o', 'color': '#0173b2'}),
    'lower': ('GenMix hurts', {'marker': 's', 'color': '#d55e00'}),
    'undecided': ('undecided (95 % CI includes 0)', {'marker': 'o', 'color': '#8a8a8a', 'mfc': 'white'}),
}


@styled
def benefit_map(grids, choices, sets):
    """GenMix - generator alone, and GenMix - classical, by scarcity and quality; then one choice at a time.

    grids    {title: table of `appendix.sweep_summary.differences` over the question `map`}
    choices  the same for the default and the others, with a column choice
    sets     sweep_sets.csv: the KID that each quality reached
    """
    fractions, low = sorted({f for t in grids.values() for f in t.train_fraction}), 0.26 * len(choices)
    size, heights = (10.5, 2.6 * len(grids) + low + 1.6), [2.6] * len(grids) + [low + 0.9]
    fig, axes = subplots(*size, len(grids) + 1, len(fractions), sharey='row', height_ratios=heights)
    kid = sets.groupby(['train_fraction', 'quality']).kid.mean()
    for row, (title, table) in zip(axes, grids.items()):
        for ax, fraction in zip(row, fractions):
            own = table[table.train_fraction == fraction]
            _draw_differences(ax, own)
            labels = [f'{q}\n{kid.get((fraction, q), np.nan):.1f}' for q in own.quality]
            ax.set_xticks(range(len(own)), labels)
        row[0].set_ylabel(f'{title}\n[points]')
    for ax, fraction in zip(axes[0], fractions):
        ax.set_title(f'{fraction:.0%} of the training patients', fontsize=9)
    for ax in axes[-2]:
        ax.set_xlabel('generator: steps of fine-tuning, KID below')
    below = axes[-1, 0].get_gridspec()[-1, :]
    for ax in axes[-1]:
        ax.remove()
    ax = fig.add_subplot(below)
    _draw_differences(ax, choices, horizontal=True)
    ax.set_yticks(np.arange(len(choices)), choices.choice)
    ax.set(ylim=(len(choices) - 0.4, -0.6))
    ax.set_xlabel(f'{next(iter(grids))} [points], around the default one choice at a time')
    handles = [ax.plot([], [], ls='', label=label, **look)[0] for label, look in VERDICTS.values()]
    fig.legend(handles=handles, loc='outside upper center', ncols=3)
    fig.alt = f'{_describe(grids)} Below, {len(choices)} choices one at a time.'
    return fig


def _draw_differences(ax, table, horizontal=False):
    """Differences in points with 95 % intervals, one beside the other: filled where decided."""
    for i, r in enumerate(table.itertuples()):
        look = VERDICTS[r.verdict][1]
        bar, point = ([i, i], [100 * r.low, 100 * r.high]), ([i], [100 * r.mean])
        if horizontal:
            bar, point = bar[::-1], point[::-1]
        ax.plot(*bar, color=look['color'], lw=1.5)
        ax.plot(*point, ls='', ms=6, mew=1.2, **look)
    (ax.axvline if horizontal else ax.axhline)(0, color='k', lw=0.8, ls=':')


def _describe(grids):
    """Alt text: how many cells of the map are decided, and the largest and smallest difference."""
    cells = {
        f'{title}, {r.train_fraction:.0%}, {r.quality}': r
        for title, table in grids.items()
        for r in table.itertuples()
    }
    n = {verdict: sum(r.verdict == verdict for r in cells.values()) for verdict in VERDICTS}
    best, worst = (pick(cells, key=lambda name: cells[name].mean) for pick in (max, min))
    return (
        f'Differences in balanced accuracy on dev with 95 % intervals, {len(cells)} cells of scarcity and '
        f'quality: {n["higher"]} where GenMix helps, {n["lower"]} where it hurts, {n["undecided"]} '
        f'undecided. Most: {best} {100 * cells[best].mean:+.1f}; least: {worst} '
        f'{100 * cells[worst].mean:+.1f}.'
    )
