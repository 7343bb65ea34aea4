"""Figures of reliability: of probabilities, and of what a single hold-out concludes."""

import numpy as np

from genmix.plots.style import displayed, join_words, line_style, marker, series_colour, styled, subplots


@styled
def reliability_diagrams(diagrams, title=''):
    """Reliability diagrams, one column per arm: accuracy over confidence, histogram of confidence.

    diagrams  {arm: {kind: (points, confidence (n,))}} from `results.calibration.diagrams`; points, one row
              per bin, have columns confidence, accuracy, low, high (95 % Wilson interval), n, weight
    """
    size = 2.5 * len(diagrams) + 0.6, 4.4
    fig, axes = subplots(*size, 2, len(diagrams), sharex=True, sharey='row', height_ratios=[3, 1])
    every = [diagram for kinds in diagrams.values() for diagram in kinds.values()]
    edges = np.linspace(np.floor(20 * min(c.min() for _, c in every)) / 20, 1, 21)
    found = []
    for (arm, kinds), upper, lower in zip(diagrams.items(), *axes):
        upper.plot([0, 100], [0, 100], color='k', lw=0.8, ls=':', label='perfect calibration')
        for i, (kind, (points, confidence)) in enumerate(kinds.items()):
            _draw_diagram(upper, lower, points, confidence, edges, i, kind)
            gap = 100 * (points.confidence - points.accuracy) @ points.weight / points.weight.sum()
            side = 'above' if gap > 0 else 'below'
            found.append(f'{displayed(arm)}, {kind}: mean confidence {abs(gap):.1f} points {side} accuracy')
        upper.set_title(displayed(arm).replace(' @', '\n@'))
        _write_counts(upper, points)
        lower.set(xlabel='confidence [%]', xlim=(100 * edges[0] - 2, 102))
    upper.set(ylim=(100 * min([edges[0]] + [points.low.min() for points, _ in every]) - 3, 102))
    axes[0, 0].set(ylabel='accuracy [%]')
    axes[1, 0].set(ylabel='lesions [%]')
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc='outside lower center', ncols=3)
    fig.suptitle(title)
    fig.alt = (
        f'Reliability diagrams of {len(diagrams)} arms{f" ({title})" if title else ""}: accuracy over '
        f'confidence with 95 % Wilson intervals, and histograms of confidence. {join_words(found)}.'
    )
    return fig


def _draw_diagram(upper, lower, points, confidence, edges, i, kind):
    """The i-th kind of probabilities: accuracy over confidence above, its histogram over `edges` below."""
    bars = 100 * np.abs(points[['low', 'high']].to_numpy().T - points.accuracy.to_numpy())
    look = {'color': series_colour(4 - 3 * i), 'ls': line_style(1 - i), 'lw': 1.2}
    points_look = {'marker': marker(i), 'ms': 4.5, 'mfc': None if i else 'white', 'capsize': 2, 'label': kind}
    upper.errorbar(100 * points.confidence, 100 * points.accuracy, bars, **look, **points_look)
    fractions = np.histogram(confidence, edges)[0] / len(confidence)
    lower.stairs(100 * fractions, 100 * edges, **look)


def _write_counts(ax, points):
    """Number of lesions, in all and per bin, in the lower right corner."""
    sizes, lesions = points.n.round().astype(int), int(points.n.sum().round())
    many = f'{sizes.min()}' if sizes.min() == sizes.max() else f'{sizes.min()} to {sizes.max()}'
    text, at = f'n = {lesions:,} lesions,\n{many} per bin', {'ha': 'right', 'va': 'bottom'}
    ax.text(0.98, 0.03, text, transform=ax.transAxes, fontsize=7.5, **at)


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
    panels = (
        (rates, 100, 'studies [%]\n(lower is better)'),
        (points, 1, 'balanced accuracy [points]\n(lower is better)'),
    )
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
