"""Figures of the audit: generator card, ranks in both feature spaces, nearest pairs, effect of mixing."""

import numpy as np

from genmix.audit.findings import METRICS
from genmix.data.images import montage
from genmix.plots.style import (
    generator_style,
    in_order,
    join_words,
    marker,
    shorten,
    show_image,
    single_axes,
    styled,
    subplots,
)

# How each metric of the card is read, below its axis.  Gray is what as many real lesions reach.
READ = {
    'tstr': 'higher: teaches more',
    'coverage': 'higher: better',
    'density': 'gray: as held-out',
    'precision': 'gray: as held-out',
    'recall': 'higher: better',
    'kid': 'lower: better',
    'fid': 'lower: better',
    'diversity': 'gray: as held-out',
    'class_agreement': 'gray: as held-out',
    'copy_ratio': 'above gray: copies',
    'blend_ratio': 'above gray: blends',
    'c_t': 'below gray: nearer',
    'authenticity': 'below gray: nearer',
}
SAID = ('tstr', 'coverage', 'kid', 'diversity', 'copy_ratio', 'blend_ratio')  # of the card, in its alt text
COLUMNS = 5  # panels of the card beside each other
CLASSES = '#666666'  # of single classes, told apart by marker: colours are those of generators here


@styled
def generator_card(card):
    """All of a card in one figure: a panel per metric in the order of METRICS, a line per generator.

    Large marks and bars: over all classes, 95 %; small marks: class by class; gray: the interval of as many
    held-out real lesions.  Every panel has one axis for all generators.
    """
    generators, labels = in_order(card.generator.unique()), [k for k in card.label.unique() if k != 'all']
    metrics = [metric for metric in READ if metric in set(card.metric)]
    rows = -(-(len(metrics) + 1) // COLUMNS)  # one more for the legend
    fig, axes = subplots(11, rows * (0.85 + 0.27 * len(generators)), rows, COLUMNS, sharey=True)
    for ax, metric in zip(axes.flat, metrics):
        _draw_metric(ax, card[card.metric == metric].set_index(['generator', 'label']), generators, labels)
        ax.set(title=METRICS[metric], xlabel=READ[metric])
    axes[0, 0].set_yticks(range(len(generators)), shorten([generator_style(g).name for g in generators], 18))
    axes[0, 0].set_ylim(len(generators) - 0.4, -0.6)
    for ax in axes.flat[len(metrics) :]:
        ax.set_axis_off()
    _legend(axes.flat[len(metrics)], labels)
    overall = card[card.label == 'all'].pivot_table(index='generator', columns='metric', values='value')
    said = [metric for metric in SAID if metric in overall]
    lines = (
        f'{generator_style(g).name} {", ".join(f"{overall[m][g]:.2g}" for m in said)}' for g in generators
    )
    real = card[card.label == 'all'].groupby('metric').reference.first()
    fig.alt = (
        f'The generator card, a panel per metric. Over all classes, {join_words(METRICS[m] for m in said)}: '
        f'{"; ".join(lines)}; real lesions {", ".join(f"{real[m]:.2g}" for m in said)}.'
    )
    return fig


def _draw_metric(ax, rows, generators, labels):
    """One metric: a line per generator, real lesions as a gray band."""
    for y, g in enumerate(generators):
        if (g, 'all') not in rows.index:
            continue
        r, look = rows.loc[g, 'all'], generator_style(g)
        box = {'height': 0.9, 'color': '#dddddd', 'zorder': 0}
        ax.barh(y, max(r.reference_high - r.reference_low, 1e-9), left=r.reference_low, **box)
        ax.plot([r.low, r.high], [y, y], color=look.colour, lw=2)
        ax.plot(r.value, y, look.marker, color=look.colour, ms=6)
        for k, label in enumerate(labels):
            if (g, label) in rows.index:
                at = y + 0.5 * ((k + 1) / (len(labels) + 1) - 0.5) + 0.2
                ax.plot(rows.value[g, label], at, marker(k), color=CLASSES, ms=3)


def _legend(ax, labels):
    kinds = [ax.plot([], [], 'o-', color='k', lw=2, ms=6, label='all classes, 95 %')[0]]
    for k, label in enumerate(shorten(labels)):
        kinds += ax.plot([], [], marker(k), color=CLASSES, ms=4, label=label)
    kinds += ax.plot([], [], color='#dddddd', lw=8, label='held-out lesions, 95 %')
    ax.legend(handles=kinds, loc='center')


@styled
def generator_ranks(table):
    """Ranks of the generators, 1 the best, metric by metric.

    A line joins the two feature spaces of a metric, so that lines which cross are disagreements.

    table   of `audit.findings.ranks`: a row per generator, a column per metric
    """
    fig, ax = single_axes(7.5, 0.42 * len(table) + 1.1)
    x, generators = np.arange(table.shape[1]), in_order(table.index)
    spaces = [name.split(',')[0] for name in table.columns]
    for i, g in enumerate(generators):
        own, style = table.loc[g], generator_style(g)
        y = own + 0.06 * (i - (len(table) - 1) / 2)  # equal ranks stay apart
        for metric in dict.fromkeys(spaces):
            at = np.flatnonzero([space == metric for space in spaces])
            ax.plot(at, y.iloc[at], color=style.colour, ls=style.line, marker=style.marker, ms=7, lw=1.6)
        beside = {'textcoords': 'offset points', 'va': 'center'}
        ax.annotate(style.name, (x[-1], y.iloc[-1]), (10, 0), **beside)
    ax.set_xticks(x, table.columns)
    ax.set_yticks(range(1, len(table) + 1))
    ax.set(ylabel='rank (1: best)', xlim=(-0.2, len(x) - 0.2))
    ax.invert_yaxis()
    lines = '; '.join(f'{generator_style(g).name} {", ".join(map(str, table.loc[g]))}' for g in generators)
    fig.alt = f'Ranks of the generators by {join_words(table.columns)}, 1 the best: {lines}.'
    return fig


@styled
def copy_pairs(groups):
    """Images most like a copy, each above the training lesions that it shows.

    groups   {title: images uint8 (r, n, H, W)}: images, below them one training lesion or two
    """
    groups = {title: images for title, images in groups.items() if images.shape[1]}
    rows = [len(images) for images in groups.values()]
    widest = max(images.shape[1] for images in groups.values())
    height = 8.6 / widest * sum(rows) + 0.3 * len(groups)
    fig, axes = subplots(9.5, height, len(groups), height_ratios=rows)
    for ax, (title, images) in zip(axes[:, 0], groups.items()):
        show_image(ax, montage(images.reshape(-1, *images.shape[2:]), images.shape[1]))
        ax.set_title(title, loc='left')
        tall = images.shape[2] + 2
        names = ['image', *['training'] * (len(images) - 1)]
        ax.set_yticks([tall * i + tall / 2 for i in range(len(images))], names)
        ax.tick_params(length=0)
    counts = join_words(f'{title} ({images.shape[1]})' for title, images in groups.items())
    fig.alt = f'The images most like a copy, each above the training lesions that it shows: {counts}.'
    return fig


@styled
def mixing_effects(table):
    """Effect of mixing on each synthetic set: metrics of the set, of the heavier parents and of the mixtures.

    table   from `audit.mixing_effect`: generator, label, metric, step, value, low, high, n
    """
    overall, metrics = table[table.label == 'all'], list(dict.fromkeys(table.metric))
    steps, generators = ['synthetic', 'unmixed', 'mixed'], in_order(table.generator.unique())
    ticks = ['synthetic', '+ real\nparents', '+ blended']
    names = {
        'kid': 'KID (lower is better)',
        'diversity': 'diversity, ratio to real (higher is better)',
        'coverage': 'coverage (higher is better)',
    }
    found = []
    fig, axes = subplots(3.3 * len(metrics), 3.1, 1, len(metrics))
    for i, g in enumerate(generators):
        for ax, metric in zip(axes[0], metrics):
            own = overall[(overall.generator == g) & (overall.metric == metric)].set_index('step').loc[steps]
            x = np.arange(len(steps)) + 0.07 * (i - (len(generators) - 1) / 2)
            bars = [own.value - own.low, own.high - own.value]
            as_drawn = generator_style(g)
            look = {'fmt': as_drawn.marker, 'ls': ':', 'color': as_drawn.colour, 'lw': 1.2, 'ms': 5}
            ax.errorbar(x, own.value, bars, label=as_drawn.name, **look)
            found.append(f'{as_drawn.name}, {metric} ' + ' to '.join(f'{value:.2f}' for value in own.value))
    for ax, metric in zip(axes[0], metrics):
        ax.set(ylabel=names.get(metric, metric), ylim=(min(0, ax.get_ylim()[0]), None))
        ax.set_xticks(range(len(steps)), ticks)
    axes[0, -1].legend(loc='upper left', bbox_to_anchor=(1, 1), title=f'n = {overall.n.min()} images per set')
    fig.alt = f'Sets before and after mixing, with 95 % intervals: {join_words(found)}.'
    return fig
