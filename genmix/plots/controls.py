"""Figures of the generators' controls: scores of many sets beside each other."""

import numpy as np

from genmix.audit.findings import METRICS, RATIOS
from genmix.plots.style import join_words, marker, series_colour, styled, subplots


@styled
def control_scores(rows, study='as in the study'):
    """Scores of sets as ratios to real lesions, a panel per metric of RATIOS, a line per set, 95 % intervals.

    rows    columns name, metric, score, low, high, reference: of `controls_summary.select`
    study   end of the names of sets that differ in nothing: drawn filled, the others open
    """
    names = list(rows.name.unique())
    metrics = [metric for metric in RATIOS if metric in set(rows.metric)]
    width = 1.9 * len(metrics) + 0.075 * max(map(len, names))
    fig, axes = subplots(width, 0.24 * len(names) + 0.9, 1, len(metrics), sharey=True)
    places, found = {name: y for y, name in enumerate(names)}, {name: [] for name in names}
    for ax, metric in zip(axes[0], metrics):
        for r in rows[rows.metric == metric].itertuples():
            low, high, at = r.low / r.reference, r.high / r.reference, places[r.name]
            own = r.name.endswith(study)
            ax.plot([low, high], [at, at], color=series_colour(1), lw=1.2)
            fill = series_colour(1) if own else 'white'
            ax.plot(r.score / r.reference, at, marker(0), color=series_colour(1), mfc=fill, ms=5)
            found[r.name].append(f'{METRICS[metric]} {r.score / r.reference:.2f}')
        ax.axvline(1, color='k', lw=0.8, ls=':')
        ax.set(xlabel=METRICS[metric], xlim=(0, max(1.2, np.nanmax(ax.get_xlim()))))
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    shown = names if len(names) < 9 else [*names[:4], *names[-4:]]
    fig.alt = (
        f'{len(names)} synthetic sets, their scores as ratios to those of as many real lesions (dotted: 1): '
        f'{"; ".join(f"{name}: {join_words(found[name])}" for name in shown)}.'
    )
    return fig
