"""Figures of GANs: losses and collapse, ADA through training, feature maps under a style."""

import matplotlib.pyplot as plt
import numpy as np

from genmix.data.images import montage
from genmix.plots.style import (
    class_colour,
    join_words,
    line_style,
    marker,
    series_colour,
    shorten,
    show_image,
    styled,
    subplots,
)


@styled
def training_curves(log, class_names, title=''):
    """Losses and within-class standard deviation (a measure of collapse), from a GAN's train_log."""
    fig, ((left, right),) = subplots(9, 3, 1, 2)
    for i, name in enumerate(('discriminator', 'generator')):
        left.plot(log.step, log[f'{name}_loss'], color=series_colour(2 * i), ls=line_style(i), label=name)
    left.set(xlabel='training step', ylabel='loss')
    ends = []
    for k, (name, label) in enumerate(zip(class_names, shorten(class_names))):
        if f'within_class_sd_{k}' in log:
            sd, every = log[f'within_class_sd_{k}'], max(len(log) // 10, 1)
            look = {'color': class_colour(k), 'ls': line_style(k), 'marker': marker(k), 'ms': 3.5}
            right.plot(log.step, sd, markevery=every, label=label, **look)
            ends.append(f'{sd.iloc[-1]:.2f} for {name}')
    right.axhline(1, color='k', lw=0.8, ls=':')
    right.set(xlabel='training step', ylabel='within-class sd\n(1: as varied as real)', ylim=(0, 1.3))
    for ax in (left, right):
        ax.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=3)
    fig.suptitle(title, size=10)
    fig.alt = (
        f'Training curves{f" of {title}" if title else ""}, up to step {int(log.step.iloc[-1])}. Left, the '
        f'losses: {log.discriminator_loss.mean():.2f} for the discriminator and '
        f'{log.generator_loss.mean():.2f} for the generator on average. Right, the within-class standard '
        f'deviation of samples, 1 being as varied as real: at the end {join_words(ends)}.'
    )
    return fig


@styled
def augmentation_curves(log, target):
    """ADA through training, from train_log: r_t with its target, probability p, discriminator scores."""
    fig, ((left, right),) = subplots(9, 3, 1, 2)
    left.axhline(target, color='k', lw=0.8, ls=':')
    for i, (column, label) in enumerate((('r_t', f'$r_t$ (target {target:g})'), ('p', 'p'))):
        left.plot(log.step, log[column], color=series_colour(2 * i), ls=line_style(i), label=label)
    left.set(xlabel='training step', ylim=(-0.5, 1.05))
    left.set_ylabel('$r_t$ and probability', parse_math=True)
    for i, (column, label) in enumerate((('real_score', 'real'), ('fake_score', 'synthetic'))):
        right.plot(log.step, log[column], color=series_colour(1 + 2 * i), ls=line_style(i), label=label)
    right.set(xlabel='training step', ylabel="discriminator's mean score")
    for ax in (left, right):
        legend = ax.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=2)
        plt.setp(legend.get_texts(), parse_math=True)
    fig.alt = (
        f'Left, the overfitting measure r_t of the discriminator, {log.r_t.mean():.2f} on average with a '
        f'target of {target:g}, and the probability p of every augmentation, {log.p.iloc[-1]:.2f} at the '
        f'end. Right, its mean scores of real and synthetic images: at the end {log.real_score.iloc[-1]:.2f} '
        f'and {log.fake_score.iloc[-1]:.2f}.'
    )
    return fig


@styled
def feature_maps(maps, styles):
    """Effect of a modulated convolution: one row per style, its factors as bars beside the feature maps.

    maps    {title: float (channels, H, W)}, on one gray scale
    styles  {title: float (inputs,)}
    """
    high = np.percentile(np.abs(np.stack(list(maps.values()))), 99)
    top, low = max(1, *(s.max() for s in styles.values())), min(0, *(s.min() for s in styles.values()))
    fig, axes = subplots(10.5, 1.85 * len(maps), len(maps), 2, width_ratios=[1, 3.2])
    for (bars, ax), (title, features) in zip(axes, maps.items()):
        bars.bar(range(len(styles[title])), styles[title], color=series_colour(0), width=0.9)
        bars.axhline(1, color='k', lw=0.8, ls=':')
        bars.set(ylabel='style factor', title=title, ylim=(1.05 * low, 1.05 * top))
        gray = (127.5 + 127.5 * features / high).clip(0, 255).astype(np.uint8)
        show_image(ax, montage(gray, -(-len(features) // 2), gap=1))
        ax.set_title(f'the first {len(features)} output channels', loc='left')
    axes[-1, 0].set_xlabel('input channel')
    ranges = join_words(f'from {s.min():.1f} to {s.max():.1f} for {t}' for t, s in styles.items())
    fig.alt = (
        f'Left, bars: the factors by which a style multiplies the input channels of one layer, {ranges}. '
        f'Right, the feature maps that come out, {len(features)} of them in gray on one scale.'
    )
    return fig
