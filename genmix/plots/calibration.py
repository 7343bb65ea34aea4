"""Figures of probabilities: does a network that says 80 % get 80 % right?"""

import numpy as np

from genmix.plots.style import dashes, listed, marker, new, shade


def reliability(diagrams, title=''):
    """Reliability diagrams, one column an arm: accuracy over confidence in bins of equal mass, and below how often each confidence is given.

    diagrams  {arm: {kind: (points, confidence (n,))}} from `genmix.calibration.diagrams`; points hold confidence, accuracy, low, high, n
    """
    fig, axes = new(
        2.5 * len(diagrams) + 0.6, 4.4, 2, len(diagrams), sharex=True, sharey='row', height_ratios=[3, 1]
    )
    said, lowest = [], min(c.min() for kinds in diagrams.values() for _, c in kinds.values())
    edges = np.linspace(np.floor(20 * lowest) / 20, 1, 21)
    for (arm, kinds), upper, lower in zip(diagrams.items(), *axes):
        upper.plot([0, 100], [0, 100], color='k', lw=0.8, ls=':', label='as sure as right')
        for i, (kind, (points, confidence)) in enumerate(kinds.items()):
            bars = np.abs(points[['low', 'high']].to_numpy().T - points.accuracy.to_numpy())
            upper.errorbar(
                100 * points.confidence,
                100 * points.accuracy,
                100 * bars,
                color=shade(4 - 3 * i),
                ls=dashes(1 - i),
                lw=1.2,
                marker=marker(i),
                ms=4.5,
                mfc='white' if i == 0 else None,
                capsize=2,
                label=kind,
            )
            share = np.histogram(confidence, edges)[0] / len(confidence)
            lower.stairs(100 * share, 100 * edges, color=shade(4 - 3 * i), ls=dashes(1 - i), lw=1.2)
            gap = 100 * (points.confidence - points.accuracy) @ points.n / points.n.sum()
            said.append(
                f'{arm}, {kind}: mean confidence {abs(gap):.1f} points {"above" if gap > 0 else "below"} accuracy'
            )
        sizes, lesions = points.n.round().astype(int), int(points.n.sum().round())
        upper.set_title(arm)
        many = f'{sizes.min()}' if sizes.min() == sizes.max() else f'{sizes.min()} to {sizes.max()}'
        upper.text(
            0.98,
            0.03,
            f'n = {lesions:,} lesions,\n{many} a bin',
            transform=upper.transAxes,
            ha='right',
            va='bottom',
            fontsize=7.5,
        )
        lower.set(xlabel='confidence [%]', xlim=(100 * edges[0] - 2, 102))
    upper.set(
        ylim=(
            100
            * min(
                [edges[0]] + [points.low.min() for kinds in diagrams.values() for points, _ in kinds.values()]
            )
            - 3,
            102,
        )
    )
    axes[0, 0].set(ylabel='accuracy [%]')
    axes[1, 0].set(ylabel='share of\nlesions [%]')
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc='outside lower center', ncols=3)
    fig.suptitle(title)
    fig.alt = (
        f'Reliability diagrams of {len(diagrams)} arms{f" ({title})" if title else ""}: accuracy over confidence with 95 % Wilson intervals, '
        f'and histograms of confidence. {listed(said)}.'
    )
    return fig
