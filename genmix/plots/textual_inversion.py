"""Figures of Textual Inversion: the words nearest to the learned vectors, kinds of prompt side by side."""

import numpy as np

from genmix.plots.style import join_words, marker, series_colour, single_axes, styled, subplots


@styled
def nearest_words(found, starts, tokens):
    """The words most similar to each learned vector: one row per token, one column per vector.

    found    (tokens, vectors, n) of (word, cosine), nearest first
    starts   (tokens, vectors) words that the vectors were initialised with, '' for none
    """
    rows, columns = len(found), len(found[0])
    fig, ax = single_axes(max(4, 1.25 * columns + 1.2), 0.95 * rows + 0.5)
    best = np.array([[vector[0][1] for vector in token] for token in found])
    ax.imshow(best, cmap='Blues', vmin=0, vmax=2, aspect='auto')
    centre = {'ha': 'center', 'va': 'center'}
    for i, j in np.ndindex(rows, columns):
        start = f'from {starts[i][j]}' if starts[i][j] else ''
        ax.text(j, i - 0.3, start, size=6, style='italic', **centre)
        ax.text(
            j, i + 0.1, '\n'.join(f'{word} {cosine:.2f}' for word, cosine in found[i][j]), size=7, **centre
        )
    ax.set_yticks(range(rows), tokens)
    ax.set_xticks(range(columns), [f'vector {j + 1}' for j in range(columns)])
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    nearest = (
        f'{token} {", ".join(vector[0][0] for vector in vectors)}' for token, vectors in zip(tokens, found)
    )
    fig.alt = (
        f'The words of the vocabulary most similar to each of {columns} learned vectors, with their cosines, '
        f'{best.min():.2f} to {best.max():.2f} for the nearest. Nearest, vector by vector: '
        f'{"; ".join(nearest)}.'
    )
    return fig


@styled
def prompt_comparison(table, real=None):
    """Metrics of samples by kind of prompt: one panel per metric, one line per kind.

    table   index: kinds of prompt; columns: metrics
    real    {metric: value of as many real lesions}, dotted
    """
    fig, axes = subplots(2.0 + 2.0 * table.shape[1], 0.3 * len(table) + 1.0, 1, table.shape[1], sharey=True)
    places = np.arange(len(table))[::-1]
    for ax, metric in zip(axes[0], table):
        ax.hlines(places, 0, table[metric], color='.8', lw=1)
        ax.scatter(table[metric], places, color=series_colour(1), marker=marker(0), s=22, zorder=3)
        if real and metric in real:
            ax.axvline(real[metric], color='k', lw=0.8, ls=':')
        ax.set_xlabel(metric)
    axes[0, 0].set_yticks(places, table.index)
    found = (
        f'{kind} {join_words(f"{metric} {value:.2f}" for metric, value in row.items())}'
        for kind, row in table.iterrows()
    )
    fig.alt = f'Samples by kind of prompt, evaluated by {join_words(table.columns)}: {"; ".join(found)}.'
    return fig
