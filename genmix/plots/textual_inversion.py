"""Figure of Textual Inversion: the words nearest to the learned vectors."""

import numpy as np

from genmix.plots.style import single_axes, styled


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
