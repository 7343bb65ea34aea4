"""Figures of feature space: t-SNE panels (Figure 4 of the paper), a lesion's neighbours, and the numbers beside them."""

import numpy as np
from matplotlib.lines import Line2D

from genmix.plots.mixing import mixed_colours
from genmix.plots.style import abreast, colour, listed, marker, new, shade, short, show

MARKERS = {'synthetic': '^', 'mixed': 'o', 'real': 'o'}  # in the order in which they are drawn
KINDS = {'real': 'real', 'synthetic': 'synthetic', 'mixed': 'GenMix'}


def tsne_panels(points, class_names, notes=None, side=2.7):
    """One t-SNE panel a title: {title: points}, each with its own axes; `notes` {title: text} are put below.

    points   table with tsne_1, tsne_2, kind (real, synthetic, mixed) and the soft label y_<class>...
    Class colours; dots real, triangles synthetic, open circles GenMix in the blended colours of their label, as in the paper.
    """
    alt = (
        f't-SNE of classifier features in {len(points)} panels: {listed(points)}. Each point is a lesion, coloured by class '
        f'({listed(class_names)}); dots are real, triangles synthetic, open circles GenMix.'
    )
    fig, axes = _grid(len(points), notes, side, alt)
    for ax, (title, table) in zip(axes.flat, points.items()):
        for kind in (kind for kind in MARKERS if kind in set(table.kind)):
            _scatter(ax, table[table.kind == kind], kind)
        _frame(ax, title, (notes or {}).get(title, ''))
    _legend(fig, class_names, set().union(*(table.kind for table in points.values())))
    return fig


def tsne_sources(points, class_names, notes=None, side=2.7):
    """One fit, one panel a source: the points of the source in class colours, all others in gray behind; arguments as in `tsne_panels`."""
    sources = list(dict.fromkeys(points.source))
    fig, axes = _grid(
        len(sources),
        notes,
        side,
        f'One t-SNE of all images in the features of one network, {len(sources)} panels, each with one source '
        f'in class colours before the others in gray: {listed(sources)}.',
    )
    for ax, source in zip(axes.flat, sources):
        part = points[points.source == source]
        ax.scatter(points.tsne_1, points.tsne_2, s=5, color='#dddddd', linewidths=0)
        _scatter(ax, part, part.kind.iloc[0])
        _frame(ax, source, (notes or {}).get(source, ''))
    _legend(fig, class_names, set(points.kind))
    return fig


def _grid(n, notes, side, alt):
    """A figure for n panels, in 3 or 4 columns, whichever leaves fewer places empty."""
    columns = min(n, min((4, 3), key=lambda c: -n % c))
    rows, lines = -(-n // columns), max([text.count('\n') + 1 for text in (notes or {}).values()], default=0)
    fig, axes = new(side * columns, (side + 0.17 * lines) * rows + 0.35, rows, columns, alt=alt)
    for ax in axes.flat[n:]:
        ax.axis('off')
    return fig, axes


def _scatter(ax, table, kind):
    shades = mixed_colours(table.filter(like='y_').to_numpy())
    size, looks = {
        'real': (11, {'linewidths': 0}),
        'synthetic': (17, {'linewidths': 0, 'alpha': 0.55}),
        'mixed': (17, {'linewidths': 0.8, 'alpha': 0.9}),
    }[kind]
    fill = {'facecolors': 'none', 'edgecolors': shades} if kind == 'mixed' else {'c': shades}
    ax.scatter(table.tsne_1, table.tsne_2, s=size, marker=MARKERS[kind], **fill, **looks)


def _frame(ax, title, note):
    ax.set(xticks=[], yticks=[], title=title)
    ax.set_xlabel(note, fontsize=8)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color('#bbbbbb')


def _legend(fig, class_names, kinds):
    handles = [
        Line2D([], [], ls='', marker='s', ms=6, color=colour(k), label=name)
        for k, name in enumerate(short(class_names))
    ]
    for kind in (kind for kind in KINDS if kind in kinds):
        handles.append(
            Line2D(
                [],
                [],
                ls='',
                marker=MARKERS[kind],
                ms=4 if kind == 'real' else 5,
                color='#555555',
                label=KINDS[kind],
                markerfacecolor='none' if kind == 'mixed' else '#555555',
            )
        )
    columns = abreast([handle.get_label() for handle in handles], fig.get_figwidth())
    fig.set_figheight(fig.get_figheight() + 0.19 * ((len(handles) - 1) // columns))
    fig.legend(
        handles=handles, loc='outside lower center', ncols=columns, columnspacing=1.2, handletextpad=0.2
    )


def nearest_lesions(cohort, rows, order, class_names, there=None):
    """Lesions `rows` (m,) of a cohort and, to the right, their neighbours `order` (m, k), nearest first, framed in the colour of the class.

    there   bool (m, k), from `neighbours.nearest`: places without a lesion of another patient stay empty; None: all are taken
    """
    there = np.ones(order.shape, bool) if there is None else there
    fig, axes = new(
        1.0 * (order.shape[1] + 1),
        1.12 * len(rows) + 0.2,
        len(rows),
        order.shape[1] + 1,
        alt=f'{len(rows)} lesions, each with its nearest neighbours of other patients ({order.shape[1]} at most), framed in the colour of their class.',
    )
    for i, (row, near) in enumerate(zip(rows, order)):
        for ax, j, known in zip(axes[i], (row, *near), (True, *there[i])):
            show(ax, cohort.images[j] if known else np.full_like(cohort.images[j], 255))
            if known:
                ax.spines[:].set(visible=True, color=colour(cohort.labels[j]), linewidth=2.5)
        axes[i, 0].set_ylabel(short(class_names)[cohort.labels[row]])
        same = int((cohort.labels[near] == cohort.labels[row])[there[i]].sum())
        axes[i, -1].set_ylabel(f'{same} of {there[i].sum()}', rotation=0, ha='left', va='center')
        axes[i, -1].yaxis.set_label_position('right')
    axes[0, 0].set_title('lesion')
    axes[0, 1].set_title('nearest')
    return fig


def neighbour_numbers(numbers, class_names):
    """Neighbour agreement and mixing rate of every arm: the mean over classes with a 95 % interval, each class as a small dot behind.

    Columns arm, metric, value, low, high, n, label, source, expected.
    """
    order, whole = list(dict.fromkeys(numbers.arm)), numbers[numbers.label == 'all']
    agreement = whole[whole.metric == 'neighbour_agreement']
    mixing = {source: part for source, part in numbers.groupby('source', sort=False) if source != 'held-out'}
    most = int(whole.groupby('arm').size().max()) - 1
    height = max(max(0.42, 0.2 * most) * len(order) + 1.4, 0.19 * (len(mixing) + len(class_names)) + 1.2)
    fig, axes = new(9.8, height, 1, 2, sharey=True)
    _dots(axes[0, 0], numbers[numbers.metric == 'neighbour_agreement'], order, class_names, 0, 0, 100)
    for i, (source, part) in enumerate(mixing.items()):
        _dots(axes[0, 1], part, order, class_names, 0.7 * ((i + 0.5) / len(mixing) - 0.5), i, 1, source)
    for ax, expected, text in (
        (axes[0, 0], 100 * agreement.expected.mean(), 'neighbour agreement [%]\ndotted: chance'),
        (axes[0, 1], 1, 'mixing rate with held-out lesions\ndotted: cannot be told apart'),
    ):
        ax.axvline(expected, color='k', lw=0.8, ls=':', zorder=0)
        ax.set(
            yticks=range(len(order)),
            yticklabels=order,
            xlabel=text,
            ylim=(len(order) - 0.5, -0.5),
            xlim=(0, None),
        )
    fig.supxlabel(
        'open marks: mean over classes with a 95 % interval over patients; small dots: classes', fontsize=8.5
    )
    for k, name in enumerate(short(class_names)):
        axes[0, 1].plot([], [], 'o', ms=4, color=colour(k), mew=0, label=name)
    axes[0, 1].legend(loc='upper left', bbox_to_anchor=(1, 1), title='mixed with; class')
    fig.alt = (
        f'Numbers of {len(order)} networks on {agreement.n.max()} held-out lesions, with 95 % intervals. Neighbour agreement: '
        + listed(f'{r.arm} {r.value:.0%}' for r in agreement.itertuples())
        + f' (chance {agreement.expected.mean():.0%}). Beside it mixing rates with '
        + listed(mixing)
        + ' lesions: '
        + listed(
            f'{r.source} in {r.arm} {r.value:.2f}' for r in whole[whole.metric == 'mixing_rate'].itertuples()
        )
        + '.'
    )
    return fig


def _dots(ax, table, order, class_names, shift, i, factor, label=None):
    at = np.array([order.index(arm) for arm in table.arm]) + shift
    whole = (table.label == 'all').to_numpy()
    value, ends = factor * table.value.to_numpy(), factor * table[['low', 'high']].to_numpy().T
    ax.scatter(
        value[~whole],
        at[~whole],
        s=13,
        linewidths=0,
        color=[colour(class_names.index(name)) for name in table.label[~whole]],
        zorder=2,
    )
    ax.errorbar(
        value[whole],
        at[whole],
        xerr=np.abs(ends - value)[:, whole],
        fmt=marker(i),
        ms=5,
        color=shade(i),
        mfc='white',
        lw=1.3,
        label=label,
        zorder=3,
    )
