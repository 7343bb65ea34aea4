"""Figures of probabilities: is a network that is 80 % sure right in 80 % of the cases?"""

import numpy as np

from genmix.plots.style import join_words, line_style, marker, series_colour, styled, subplots


@styled
def reliability_diagrams(diagrams, title=''):
    """Reliability diagrams, one column per arm: accuracy over confidence, histogram of confidence.

    diagrams  {arm: {kind: (points, confidence (n,))}} from `results.calibration.diagrams`; points, one row
              per bin of equal mass, have columns confidence, accuracy, low, high (95 % Wilson interval), n
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
            gap = 100 * (points.confidence - points.accuracy) @ points.n / points.n.sum()
            side = 'above' if gap > 0 else 'below'
            found.append(f'{arm}, {kind}: mean confidence {abs(gap):.1f} points {side} accuracy')
        upper.set_title(arm)
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
