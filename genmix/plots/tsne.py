"""Figures of feature space: t-SNE panels (Figure 4 of the paper), a lesion's neighbours, their statistics."""

from textwrap import fill

import numpy as np
from matplotlib.lines import Line2D

from genmix.plots.mixing import mixed_colours
from genmix.plots.style import (
    class_colour,
    displayed,
    join_words,
    legend_columns,
    shorten,
    show_image,
    styled,
    subplots,
)

MARKERS = {'synthetic': '^', 'mixed': 'o', 'real': 'o'}  # in the order in which they are drawn
KINDS = {'synthetic': 'synthetic', 'mixed': 'GenMix'}


@styled
def tsne_panels(points, class_names, notes=None, side=2.3, kind='real lesion'):
    """One t-SNE panel per title, each with its own axes.

    points   {title: table with tsne_1, tsne_2, kind (real, synthetic, mixed), soft label y_<class>...}
    notes    {title: text below the panel}      kind   what the lesions of no generator are called
    Class colours as in the paper: dots real, triangles synthetic, open circles GenMix in blended colours.
    """
    fig, axes = _panels(len(points), notes, side, columns=2)  # a generator, and mixed with it, side by side
    for ax, (title, table) in zip(axes.flat, points.items()):
        for drawn in (drawn for drawn in MARKERS if drawn in set(table.kind)):
            _scatter(ax, table[table.kind == drawn], drawn)
        _frame(ax, title, (notes or {}).get(title, ''))
    _add_legend(fig, class_names, set().union(*(table.kind for table in points.values())), kind)
    fig.alt = (
        f't-SNE of classifier features in {len(points)} panels: {displayed(join_words(points))}. Each point '
        f'is a lesion, coloured by class ({join_words(class_names)}); dots are {kind}s, triangles synthetic, '
        'open circles GenMix.'
    )
    return fig


@styled
def tsne_sources(points, class_names, notes=None, side=1.5, kind='real lesion'):
    """One common t-SNE, one panel per source: its points in class colours, all others in gray behind.

    Arguments as in `tsne_panels`, but `points` is one table with a column source.
    """
    sources = list(dict.fromkeys(points.source))
    fig, axes = _panels(len(sources), notes, side)
    for ax, source in zip(axes.flat, sources):
        own = points[points.source == source]
        ax.scatter(points.tsne_1, points.tsne_2, s=5, color='#dddddd', linewidths=0)
        _scatter(ax, own, own.kind.iloc[0])
        _frame(ax, fill(displayed(source), 20), (notes or {}).get(source, ''))
    _add_legend(fig, class_names, set(points.kind), kind)
    fig.alt = (
        f'One t-SNE of all images in the features of one network, {len(sources)} panels, each with one '
        f'source in class colours before the others in gray: {displayed(join_words(sources))}.'
    )
    return fig


def _panels(n, notes, side, columns=0):
    """A figure for n panels, in so many columns; 0: in 3 or 4, whichever leaves fewer places empty."""
    columns = min(n, columns or min((4, 3), key=lambda c: -n % c))
    rows, lines = -(-n // columns), max([text.count('\n') + 1 for text in (notes or {}).values()], default=0)
    fig, axes = subplots(side * columns, (side + 0.17 * lines) * rows + 0.35, rows, columns)
    for ax in axes.flat[n:]:
        ax.axis('off')
    return fig, axes


def _scatter(ax, table, kind):
    tones = mixed_colours(table.filter(like='y_').to_numpy())
    look = {
        'real': {'s': 13, 'linewidths': 0},
        'synthetic': {'s': 30, 'linewidths': 0.4, 'edgecolors': 'white', 'alpha': 0.9},
        'mixed': {'s': 22, 'linewidths': 0.9, 'alpha': 0.9},
    }[kind]
    fill = {'facecolors': 'none', 'edgecolors': tones} if kind == 'mixed' else {'c': tones}
    ax.scatter(table.tsne_1, table.tsne_2, marker=MARKERS[kind], **fill, **look)


def _frame(ax, title, note):
    ax.set(xticks=[], yticks=[], title=displayed(title))
    ax.set_xlabel(note, fontsize=8)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color('#bbbbbb')


def _add_legend(fig, class_names, kinds, real):
    names, gray = shorten(class_names), '#555555'
    classes = {name: {'marker': 's', 'ms': 6, 'color': class_colour(k)} for k, name in enumerate(names)}
    handles = [Line2D([], [], ls='', label=name, **look) for name, look in classes.items()]
    for kind in (kind for kind in ('real', *KINDS) if kind in kinds):
        look = {'marker': MARKERS[kind], 'ms': 4 if kind == 'real' else 6, 'color': gray}
        fill = 'none' if kind == 'mixed' else gray
        handles.append(Line2D([], [], ls='', label=KINDS.get(kind, real), mfc=fill, **look))
    columns = legend_columns([handle.get_label() for handle in handles], fig.get_figwidth())
    fig.set_figheight(fig.get_figheight() + 0.19 * ((len(handles) - 1) // columns))
    space = {'columnspacing': 1.2, 'handletextpad': 0.2}
    fig.legend(handles=handles, loc='outside lower center', ncols=columns, **space)


@styled
def nearest_lesions(cohort, rows, order, class_names, found=None):
    """Lesions of a cohort and, to the right, their nearest neighbours, framed in the colour of their class.

    rows    numbers of the lesions (m,)
    order   numbers of their neighbours (m, k), nearest first
    found   bool (m, k), from `results.neighbours.nearest`: false where there is no lesion of another patient,
            a place that is left empty; None: all are shown
    """
    found = np.ones(order.shape, bool) if found is None else found
    k = order.shape[1]
    fig, axes = subplots(1.0 * (k + 1), 1.12 * len(rows) + 0.2, len(rows), k + 1)
    for line, row, near, known in zip(axes, rows, order, found):
        for ax, j, shown in zip(line, (row, *near), (True, *known)):
            show_image(ax, cohort.images[j] if shown else np.full_like(cohort.images[j], 255))
            if shown:
                ax.spines[:].set(visible=True, color=class_colour(cohort.labels[j]), linewidth=2.5)
        line[0].set_ylabel(shorten(class_names)[cohort.labels[row]])
        same = int((cohort.labels[near] == cohort.labels[row])[known].sum())
        line[-1].set_ylabel(f'{same} of {known.sum()}', rotation=0, ha='left', va='center')
        line[-1].yaxis.set_label_position('right')
    axes[0, 0].set_title('lesion')
    axes[0, 1].set_title('nearest')
    fig.alt = (
        f'{len(rows)} lesions, each with its nearest neighbours of other patients ({k} at most), framed in '
        'the colour of their class.'
    )
    return fig
