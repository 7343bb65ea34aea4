"""Figures of the generator card: each generator at a glance, all of them side by side, the nearest pairs."""

import numpy as np

from genmix.audit.card import relative
from genmix.data.images import montage
from genmix.plots.style import abreast, blank, colour, listed, marker, new, shade, short, show

# Metrics read as a share of real lesions: 1 is as good as real.
RATIOS = {
    'class_agreement': 'right class',
    'tstr': 'teaches',
    'diversity': 'diversity',
    'coverage': 'coverage',
    'recall': 'recall',
    'density': 'density',
    'precision': 'precision',
}
COPIES = {'copy_ratio': 'copies, by pixels', 'copy_ratio_features': 'copies, by features'}


def glance(card, real, synthetic, generator, title=''):
    """One generator on one page: its lesions under real ones, every number of its card beside real lesions.

    card   rows of one generator in the columns of genmix.card.CARD      real, synthetic   {class name: images uint8 (n, H, W)}
    """
    names, tall = list(real), 2.9 + 0.3 * max(len(real) - 3, 0)
    fig = blank(11, 1.05 * len(names) + tall, layout='constrained')
    pictures, numbers = fig.subfigures(2, 1, height_ratios=[1.05 * len(names), tall])
    axes = pictures.subplots(len(names), 2, squeeze=False)
    for row, name, label in zip(axes, names, short(names)):
        for ax, kind, images in zip(row, ('real', generator), (real, synthetic)):
            show(ax, montage(images[name], len(images[name])))
            ax.set_title(kind if name == names[0] else '')
        row[0].set_ylabel(label, rotation=0, ha='right', va='center')
    rows = card.set_index(['metric', 'label'])
    left, middle, right = numbers.subplots(1, 3, width_ratios=[4.6, 1.5, 2])
    _ratios(left, rows, names)
    _kid(middle, rows, names)
    _copies(right, rows, names)
    whole = rows.xs('all', level='label')
    share = relative(whole).value.reindex(list(RATIOS))
    fig.suptitle(title or generator)
    fig.alt = (
        f'{generator}: a row of real and a row of synthetic lesions of each class, and the card. As a share of real lesions: '
        f'{listed(f"{RATIOS[m]} {share[m]:.2f}" for m in RATIOS)}. KID {whole.value["kid"]:.3g} against {whole.reference["kid"]:.2g} of real lesions; '
        f'copies {whole.value["copy_ratio"]:.1%} against {whole.reference["copy_ratio"]:.1%}.'
    )
    return fig


def _aside(k, n):
    """How far the k-th of n classes stands from the middle of its metric, whose neighbours are 1 away."""
    return min(0.22, 0.8 / n) * (k - (n - 1) / 2)


def _ratios(ax, rows, names):
    """Value over the value of real lesions, a point a class; the gray bar is what real lesions' own interval allows."""
    metrics, share, labels = (
        [m for m in RATIOS if m in rows.index.get_level_values('metric')],
        relative(rows),
        short(names),
    )
    for y, metric in enumerate(metrics):
        for k, name in enumerate(names):
            r, at = share.loc[metric, name], y + _aside(k, len(names))
            ax.plot(
                [r.reference_low, r.reference_high],
                [at, at],
                color='#cccccc',
                lw=6,
                solid_capstyle='butt',
                zorder=1,
            )
            ax.plot([r.low, r.high], [at, at], color=colour(k), lw=1.2)
            ax.plot(r.value, at, marker(k), color=colour(k), ms=5, label=labels[k] if y == 0 else None)
    ax.axvline(1, color='k', lw=0.8, ls=':')
    ax.set(
        yticks=range(len(metrics)),
        yticklabels=[RATIOS[m] for m in metrics],
        xlabel='share of what real lesions reach (1: like real)',
        xlim=(-0.04, None),
    )
    ax.invert_yaxis()
    ax.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=abreast(labels, 5))


def _kid(ax, rows, names):
    for k, name in enumerate(names):
        r = rows.loc['kid', name]
        ax.plot([k, k], [r.low, r.high], color=colour(k), lw=1.2)
        ax.plot(k, r.value, marker(k), color=colour(k), ms=5)
        ax.plot([k - 0.3, k + 0.3], [r.reference] * 2, color='#999999', lw=3, zorder=1)
    ax.set(xlim=(-0.6, len(names) - 0.4), ylabel='KID (gray: real)', title='distance')
    ax.set_xticks(range(len(names)), short(names), rotation=45, ha='right', rotation_mode='anchor')


def _copies(ax, rows, names):
    metrics = [m for m in COPIES if m in rows.index.get_level_values('metric')]
    for y, metric in enumerate(metrics):
        for k, name in enumerate(names):
            r, at = rows.loc[metric, name], y + _aside(k, len(names))
            ax.plot([100 * r.low, 100 * r.high], [at, at], color=colour(k), lw=1.2)
            ax.plot(100 * r.value, at, marker(k), color=colour(k), ms=5)
            ax.plot([100 * r.reference] * 2, [at - 0.11, at + 0.11], color='#777777', lw=3, zorder=1)
    highest = 100 * max(rows.loc[m].high.max() for m in metrics)
    ax.set(
        yticks=range(len(metrics)),
        yticklabels=[COPIES[m] for m in metrics],
        xlabel='% of images (gray: held-out real)',
        title='memorisation',
        xlim=(-0.02 * max(5, highest), max(5, 1.05 * highest)),
    )
    ax.invert_yaxis()


def generators_compared(card):
    """All generators of a card, each metric over the classes as a share of real lesions: one panel, one marker a generator."""
    whole = card[card.label == 'all']
    generators, metrics = list(whole.generator.unique()), [m for m in RATIOS if m in set(whole.metric)]
    fig, axes = new(7.5, 0.42 * len(metrics) + 1)
    ax, said = axes[0, 0], []
    for i, g in enumerate(generators):
        share = relative(whole[whole.generator == g].set_index('metric').loc[metrics])
        at = np.arange(len(metrics)) + 0.6 / len(generators) * (i - (len(generators) - 1) / 2)
        ax.hlines(at, share.low, share.high, color=shade(i), lw=1.2)
        ax.plot(share.value, at, marker(i), color=shade(i), ms=5, label=g)
        said.append(f'{g} {listed(f"{RATIOS[m]} {v:.2f}" for m, v in share.value.items())}')
    ax.axvline(1, color='k', lw=0.8, ls=':')
    ax.set(
        yticks=range(len(metrics)),
        yticklabels=[RATIOS[m] for m in metrics],
        xlabel='share of what real lesions reach, mean over classes, 95 %',
        xlim=(-0.04, None),
    )
    ax.invert_yaxis()
    ax.legend(loc='upper left', bbox_to_anchor=(1, 1))
    fig.alt = f'Every generator as a share of real lesions (1: like real): {"; ".join(said)}.'
    return fig


def copies_shown(groups):
    """{title: [(synthetic, training), ...]} of image pairs uint8 (H, W): synthetic above, the training lesion it comes nearest to below."""
    groups = {title: pairs for title, pairs in groups.items() if len(pairs)}
    fig, axes = new(9.5, 2.05 * len(groups), len(groups))
    for ax, (title, pairs) in zip(axes[:, 0], groups.items()):
        show(ax, montage(np.stack([image for row in zip(*pairs) for image in row]), len(pairs)))
        ax.set_title(title, loc='left')
    counts = listed(f'{title} ({len(pairs)})' for title, pairs in groups.items())
    fig.alt = f'The synthetic lesions most like a copy, each above the training lesion that it comes nearest to: {counts}.'
    return fig
