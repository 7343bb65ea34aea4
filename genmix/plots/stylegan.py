"""Figures of StyleGAN: feature maps under a style, grids of images that share something, augmentation through training."""

import numpy as np

from genmix.data.images import montage
from genmix.plots.style import dashes, listed, new, shade, show


def feature_maps(maps, styles):
    """What a modulated convolution does: one row a style, its factors as bars beside the feature maps that come out.

    maps    {title: float (channels, H, W)}, on one gray scale      styles  {title: float (inputs,)}
    """
    high = np.percentile(np.abs(np.stack(list(maps.values()))), 99)
    fig, axes = new(10.5, 1.85 * len(maps), len(maps), 2, width_ratios=[1, 3.2])
    top, low = max(1, *(s.max() for s in styles.values())), min(0, *(s.min() for s in styles.values()))
    for (bars, ax), (title, features) in zip(axes, maps.items()):
        bars.bar(range(len(styles[title])), styles[title], color=shade(0), width=0.9)
        bars.axhline(1, color='k', lw=0.8, ls=':')
        bars.set(ylabel='style factor', title=title, ylim=(1.05 * low, 1.05 * top))
        show(
            ax,
            montage(
                (127.5 + 127.5 * features / high).clip(0, 255).astype(np.uint8), -(-len(features) // 2), gap=1
            ),
        )
        ax.set_title(f'the first {len(features)} output channels', loc='left')
    axes[-1, 0].set_xlabel('input channel')
    fig.alt = (
        'Left, bars: the factors by which a style multiplies the input channels of one layer, '
        + listed(f'from {s.min():.1f} to {s.max():.1f} for {t}' for t, s in styles.items())
        + f'. Right, the feature maps that come out, {len(features)} of them in gray on one scale.'
    )
    return fig


def grid(images, rows, columns, parents=None):
    """Images uint8 (R, C, H, W) in a grid with names of rows and columns.

    parents  (one image a row (R, H, W), one a column (C, H, W)), shown at the left and above
    """
    shared = listed(name for name in (*rows, *columns) if name)
    alt = (
        f'A grid of gray images, {images.shape[0]} rows of {images.shape[1]}, mean gray level {images.mean():.0f} of 255; '
        f'rows and columns are named {shared}.'
    )
    if parents is not None:
        blank = np.full((1, *images.shape[2:]), 255, np.uint8)
        images = np.concatenate(
            [np.concatenate([blank, parents[1]])[None], np.concatenate([parents[0][:, None], images], 1)]
        )
        rows, columns, alt = (
            ['', *rows],
            ['', *columns],
            alt + ' The parents of a row and of a column stand at its head.',
        )
    fig, axes = new(0.78 * len(columns) + 1.1, 0.78 * len(rows) + 0.3, alt=alt)
    h, w = images.shape[2] + 2, images.shape[3] + 2
    show(axes[0, 0], montage(images.reshape(-1, *images.shape[2:]), len(columns)))
    axes[0, 0].set_yticks([h * i + h / 2 for i in range(len(rows))], rows)
    axes[0, 0].set_xticks([w * i + w / 2 for i in range(len(columns))], columns)
    axes[0, 0].tick_params(length=0, labeltop=True, labelbottom=False)
    return fig


def augmentation_curves(log, target):
    """ADA through training, from train_log: r_t and its target with the probability p; the critic's mean scores."""
    fig, axes = new(9, 3, 1, 2)
    axes[0, 0].axhline(target, color='k', lw=0.8, ls=':')
    for i, (column, label) in enumerate((('r_t', f'$r_t$ (target {target:g})'), ('p', 'p'))):
        axes[0, 0].plot(log.step, log[column], color=shade(2 * i), ls=dashes(i), label=label)
    axes[0, 0].set(xlabel='training step', ylabel='share', ylim=(-0.5, 1.05))
    for i, (column, label) in enumerate((('real_score', 'real'), ('fake_score', 'painted'))):
        axes[0, 1].plot(log.step, log[column], color=shade(1 + 2 * i), ls=dashes(i), label=label)
    axes[0, 1].set(xlabel='training step', ylabel="critic's mean score")
    for ax in axes[0]:
        ax.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=2)
    fig.alt = (
        f'Left, the certainty r_t of the critic about real images, {log.r_t.mean():.2f} on average with a target of {target:g}, '
        f'and the probability p of every augmentation, {log.p.iloc[-1]:.2f} at the end. Right, the mean scores of real and painted images: at the end '
        f'{log.real_score.iloc[-1]:.2f} and {log.fake_score.iloc[-1]:.2f}.'
    )
    return fig
