"""Figures of diffusion: Figure 2 as an animation, KID through training, what the sampling settings do."""

import numpy as np
from matplotlib.ticker import LogFormatter
from PIL import Image

from genmix.data.images import montage
from genmix.plots.style import join_words, line_style, marker, series_colour, single_axes, styled, subplots

GRAY_LEVELS = 64  # of an animation: half the bytes of 256, no visible difference


def write_animation(snapshots, columns, path, seconds=6.0):
    """Write snapshots uint8 (T, K, n, H, W) as an animated GIF, one row per class, in GRAY_LEVELS levels.

    The last snapshot is shown for as long as all others together.
    """
    nearest_level = np.rint(np.arange(256) / 255 * (GRAY_LEVELS - 1)) * 255 / (GRAY_LEVELS - 1)
    levels = np.rint(nearest_level).astype(np.uint8)
    frames = [montage(images.reshape(-1, *images.shape[2:]), columns) for images in snapshots]
    frames = [Image.fromarray(levels[frame]) for frame in frames]
    each = 1000 * seconds / (2 * len(frames))
    durations = [each] * (len(frames) - 1) + [each * len(frames)]
    frames[0].save(path, 'gif', save_all=True, append_images=frames[1:], duration=durations, loop=0)


@styled
def kid_through_training(tables, floor):
    """KID of samples against training step, one line per training.

    tables  {title: table with columns step, kid, sd}; bars are one standard deviation over subsets
    floor   KID of as many real lesions
    """
    fig, ax = single_axes(5.5, 3.2)
    found = []
    for i, (title, t) in enumerate(tables.items()):
        steps = t.step.clip(lower=t.step[t.step > 0].min() / 2)
        look = {
            'color': series_colour(i + 1),
            'ls': line_style(i),
            'marker': marker(i),
            'ms': 4,
            'capsize': 2,
        }
        ax.errorbar(steps, t.kid, t.sd, label=title, **look)
        found.append(f'{title} from {t.kid.iloc[0]:.1f} to {t.kid.iloc[-1]:.1f} in {t.step.iloc[-1]} steps')
    ax.axhline(floor, color='k', lw=0.8, ls=':', label='real lesions')
    ax.set(xlabel='training step (the first point: before training)', ylabel='KID, 0 is best')
    ax.set(xscale='log', yscale='symlog', ylim=(min(-0.2, floor - 0.2), None))
    for axis in (ax.xaxis, ax.yaxis):  # plain numbers: powers of ten would be mathematics
        axis.set_major_formatter(LogFormatter())
    ax.xaxis.set_minor_formatter(LogFormatter())
    ax.legend()
    fig.alt = (
        f'KID against training steps, both on logarithmic axes: {join_words(found)}; '
        f'as many real lesions have {floor:.2f}.'
    )
    return fig


@styled
def sampling_sweep(tables, used):
    """Effect of sampling settings: one column per setting, one row per metric.

    tables   {setting: table with the setting as index and metrics as columns}
    used     {setting: value that the study uses}, marked
    """
    metrics = list(next(iter(tables.values())).columns)
    size = 3.3 * len(tables), 1.55 * len(metrics) + 0.4
    fig, axes = subplots(*size, len(metrics), len(tables), sharey='row', sharex='col')
    for column, (setting, table) in zip(axes.T, tables.items()):
        for ax, metric in zip(column, metrics):
            ax.plot(table.index, table[metric], color=series_colour(1), marker=marker(0), ms=4)
            ax.axvline(used[setting], color='k', lw=0.8, ls=':')
        column[-1].set_xlabel(setting)
    for ax, metric in zip(axes[:, 0], metrics):
        ax.set_ylabel(metric)
    ranges = (
        f'{metric} goes from {t[metric].iloc[0]:.2f} to {t[metric].iloc[-1]:.2f} as {setting} goes '
        f'from {t.index[0]:g} to {t.index[-1]:g}'
        for setting, t in tables.items()
        for metric in metrics
    )
    fig.alt = (
        f'Metrics of samples against settings of sampling: {join_words(ranges)}. Dotted lines mark '
        f'{join_words(f"{setting} {value:g}" for setting, value in used.items())}, which the study uses.'
    )
    return fig
