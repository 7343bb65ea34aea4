"""Figures of the audit: generator card, generators side by side, possible copies, effect of mixing."""

import numpy as np

from genmix.audit.card import relative
from genmix.data.images import montage
from genmix.plots.style import (
    class_colour,
    empty_figure,
    generator_style,
    in_order,
    join_words,
    legend_columns,
    marker,
    shorten,
    show_image,
    single_axes,
    styled,
    subplots,
)

# Metrics read as a ratio to real lesions: 1 is as good as real.
RATIOS = {
    'class_agreement': 'class agreement',
    'tstr': 'TSTR',
    'diversity': 'diversity',
    'coverage': 'coverage',
    'recall': 'recall',
    'density': 'density',
    'precision': 'precision',
}
COPIES = {'copy_ratio': 'copies, by pixels', 'copy_ratio_features': 'copies, by features'}


@styled
def generator_card(card, real, synthetic, generator, title=''):
    """One generator on one page: its lesions beside real ones, and its card beside that of real lesions.

    card              rows of one generator in the columns of `audit.card.CARD`
    real, synthetic   {class name: images uint8 (n, H, W)}
    """
    names, tall = list(real), 2.9 + 0.3 * max(len(real) - 3, 0)
    fig = empty_figure(11, 1.05 * len(names) + tall, layout='constrained')
    images, numbers = fig.subfigures(2, 1, height_ratios=[1.05 * len(names), tall])
    axes = images.subplots(len(names), 2, squeeze=False)
    for row, name, label in zip(axes, names, shorten(names)):
        for ax, kind, by_class in zip(row, ('real', generator), (real, synthetic)):
            show_image(ax, montage(by_class[name], len(by_class[name])))
            ax.set_title(kind if name == names[0] else '')
        row[0].set_ylabel(label, rotation=0, ha='right', va='center')
    rows = card.set_index(['metric', 'label'])
    left, middle, right = numbers.subplots(1, 3, width_ratios=[4.6, 1.5, 2])
    _draw_ratios(left, rows, names)
    _draw_kid(middle, rows, names)
    _draw_copies(right, rows, names)
    overall = rows.xs('all', level='label')
    ratio = relative(overall).value.reindex(list(RATIOS))
    fig.suptitle(title or generator)
    fig.alt = (
        f'{generator}: a row of real and a row of synthetic lesions of each class, and the card. As a ratio '
        f'to real lesions: {join_words(f"{RATIOS[m]} {ratio[m]:.2f}" for m in RATIOS)}. KID '
        f'{overall.value["kid"]:.3g} against {overall.reference["kid"]:.2g} of real lesions; copies '
        f'{overall.value["copy_ratio"]:.1%} against {overall.reference["copy_ratio"]:.1%}.'
    )
    return fig


def _offset(k, n):
    """Distance of the k-th of n classes from the line of its metric; lines are 1 apart."""
    return min(0.22, 0.8 / n) * (k - (n - 1) / 2)


def _of_card(names, rows):
    """The metrics of a {metric: label} that a card has."""
    return [metric for metric in names if metric in rows.index.get_level_values('metric')]


def _draw_ratios(ax, rows, names):
    """Ratio to real lesions, one point per class; the gray bar is the interval of real lesions themselves."""
    metrics, ratios, labels = _of_card(RATIOS, rows), relative(rows), shorten(names)
    for y, metric in enumerate(metrics):
        for k, name in enumerate(names):
            r, at, tone = ratios.loc[metric, name], y + _offset(k, len(names)), class_colour(k)
            bar = {'color': '#cccccc', 'lw': 6, 'solid_capstyle': 'butt', 'zorder': 1}
            ax.plot([r.reference_low, r.reference_high], [at, at], **bar)
            ax.plot([r.low, r.high], [at, at], color=tone, lw=1.2)
            ax.plot(r.value, at, marker(k), color=tone, ms=5, label=None if y else labels[k])
    _ratio_axis(ax, metrics, 'ratio to real lesions (1: like real)')
    ax.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=legend_columns(labels, 5))


def _ratio_axis(ax, metrics, xlabel):
    ax.axvline(1, color='k', lw=0.8, ls=':')
    ax.set(xlabel=xlabel, xlim=(-0.04, None))
    ax.set_yticks(range(len(metrics)), [RATIOS[m] for m in metrics])
    ax.invert_yaxis()


def _draw_kid(ax, rows, names):
    for k, name in enumerate(names):
        r = rows.loc['kid', name]
        ax.plot([k, k], [r.low, r.high], color=class_colour(k), lw=1.2)
        ax.plot(k, r.value, marker(k), color=class_colour(k), ms=5)
        ax.plot([k - 0.3, k + 0.3], [r.reference] * 2, color='#999999', lw=3, zorder=1)
    ax.set(xlim=(-0.6, len(names) - 0.4), ylabel='KID (gray: real)', title='distance')
    ax.set_xticks(range(len(names)), shorten(names), rotation=45, ha='right', rotation_mode='anchor')


def _draw_copies(ax, rows, names):
    metrics = _of_card(COPIES, rows)
    for y, metric in enumerate(metrics):
        for k, name in enumerate(names):
            r, at = rows.loc[metric, name], y + _offset(k, len(names))
            ax.plot([100 * r.low, 100 * r.high], [at, at], color=class_colour(k), lw=1.2)
            ax.plot(100 * r.value, at, marker(k), color=class_colour(k), ms=5)
            ax.plot([100 * r.reference] * 2, [at - 0.11, at + 0.11], color='#777777', lw=3, zorder=1)
    highest = 100 * max(rows.loc[m].high.max() for m in metrics)
    limits = (-0.02 * max(5, highest), max(5, 1.05 * highest))
    ax.set(xlabel='% of images (gray: held-out real)', title='memorisation', xlim=limits)
    ax.set_yticks(range(len(metrics)), [COPIES[m] for m in metrics])
    ax.invert_yaxis()


@styled
def generator_comparison(card):
    """All generators of a card in one panel: each metric, over all classes, as a ratio to real lesions."""
    overall = card[card.label == 'all']
    generators, metrics = (
        in_order(overall.generator.unique()),
        [m for m in RATIOS if m in set(overall.metric)],
    )
    fig, ax = single_axes(7.5, 0.42 * len(metrics) + 1)
    found = []
    for i, g in enumerate(generators):
        ratio = relative(overall[overall.generator == g].set_index('metric').loc[metrics])
        at = np.arange(len(metrics)) + 0.6 / len(generators) * (i - (len(generators) - 1) / 2)
        look = generator_style(g)
        ax.hlines(at, ratio.low, ratio.high, color=look.colour, lw=1.2)
        ax.plot(ratio.value, at, look.marker, color=look.colour, ms=5, label=look.name)
        found.append(f'{look.name} {join_words(f"{RATIOS[m]} {v:.2f}" for m, v in ratio.value.items())}')
    _ratio_axis(ax, metrics, 'ratio to real lesions, mean over classes, 95 % (higher is better)')
    ax.legend(loc='upper left', bbox_to_anchor=(1, 1))
    fig.alt = f'Every generator as a ratio to real lesions (1: like real): {"; ".join(found)}.'
    return fig


@styled
def copy_pairs(groups):
    """Synthetic lesions most like a copy, each above its nearest training lesion.

    groups   {title: [(synthetic, training), ...]}, images uint8 (H, W)
    """
    groups = {title: pairs for title, pairs in groups.items() if len(pairs)}
    fig, axes = subplots(9.5, 2.05 * len(groups), len(groups))
    for ax, (title, pairs) in zip(axes[:, 0], groups.items()):
        show_image(ax, montage(np.stack([image for row in zip(*pairs) for image in row]), len(pairs)))
        ax.set_title(title, loc='left')
    counts = join_words(f'{title} ({len(pairs)})' for title, pairs in groups.items())
    fig.alt = f'The synthetic lesions most like a copy, each above its nearest training lesion: {counts}.'
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
