"""Figures of diffusion: Figure 2 as an animation, KID through training."""

import numpy as np
from PIL import Image

from genmix.data.images import montage
from genmix.plots.style import join_words, line_style, marker, series_colour, single_axes, styled

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
    ax.set(xlabel='training step', ylabel='KID, 0 is best', xscale='log', ylim=(min(-0.1, floor - 0.1), None))
    shown = t.step.tolist()  # those of the last table; 0 stands at half of the first step
    ax.set_xticks(np.where(np.array(shown) > 0, shown, min(filter(None, shown)) / 2), shown)
    ax.minorticks_off()
    ax.legend()
    fig.alt = (
        f'KID against training steps, which are on a logarithmic axis: {join_words(found)}; '
        f'as many real lesions have {floor:.2f}.'
    )
    return fig
