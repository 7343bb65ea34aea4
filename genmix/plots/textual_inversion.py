"""Figures of Textual Inversion: which known words the new ones are like, and ways of asking for a lesion side by side."""

import numpy as np

from genmix.plots.style import listed, marker, new, shade


def nearest_words(found, starts, tokens):
    """The words most like each learned vector: one row a token, one column a vector.

    found    (tokens, vectors, n) of (word, cosine)      starts   (tokens, vectors) words that the vectors began with, '' for none
    """
    rows, columns = len(found), len(found[0])
    fig, axes = new(max(4, 1.25 * columns + 1.2), 0.95 * rows + 0.5)
    ax = axes[0, 0]
    best = np.array([[vector[0][1] for vector in token] for token in found])
    ax.imshow(best, cmap='Blues', vmin=0, vmax=2, aspect='auto')
    for i, j in np.ndindex(rows, columns):
        ax.text(
            j,
            i - 0.3,
            f'from {starts[i][j]}' if starts[i][j] else '',
            ha='center',
            va='center',
            size=6,
            style='italic',
        )
        ax.text(
            j,
            i + 0.1,
            '\n'.join(f'{word} {cosine:.2f}' for word, cosine in found[i][j]),
            ha='center',
            va='center',
            size=7,
        )
    ax.set_yticks(range(rows), tokens)
    ax.set_xticks(range(columns), [f'vector {j + 1}' for j in range(columns)])
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    nearest = (
        f'{token} {", ".join(vector[0][0] for vector in vectors)}' for token, vectors in zip(tokens, found)
    )
    fig.alt = (
        f'The words of the vocabulary most like each of {columns} learned vectors, with their cosines, {best.min():.2f} to {best.max():.2f} for the nearest. '
        f'Nearest, vector by vector: {"; ".join(nearest)}.'
    )
    return fig


def ways_compared(table, real=None):
    """Ways of asking for a lesion: one panel a metric, one line a way.

    table   index: ways; columns: metrics      real   {metric: value of as many real lesions}, dotted
    """
    fig, axes = new(2.0 + 2.0 * table.shape[1], 0.3 * len(table) + 1.0, 1, table.shape[1], sharey=True)
    places = np.arange(len(table))[::-1]
    for i, (ax, metric) in enumerate(zip(axes[0], table)):
        ax.hlines(places, 0, table[metric], color='.8', lw=1)
        ax.scatter(table[metric], places, color=shade(1), marker=marker(0), s=22, zorder=3)
        if real and metric in real:
            ax.axvline(real[metric], color='k', lw=0.8, ls=':')
        ax.set(xlabel=metric)
    axes[0, 0].set_yticks(places, table.index)
    said = (
        f'{way} {listed(f"{metric} {value:.2f}" for metric, value in row.items())}'
        for way, row in table.iterrows()
    )
    fig.alt = f'Ways of asking for a lesion, judged by {listed(table.columns)}: {"; ".join(said)}.'
    return fig
