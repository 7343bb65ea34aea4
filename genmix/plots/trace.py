"""Figures of the overview: images beside their class probabilities, and the minutes of each notebook."""

import numpy as np

from genmix.data.sampling import one_hot
from genmix.mixing.rules import blend
from genmix.plots.style import (
    class_colour,
    join_words,
    series_colour,
    shorten,
    show_image,
    single_axes,
    styled,
    subplots,
)


def _draw_class_bars(ax, label, probabilities, class_names):
    """Probabilities (K,) as bars and the label (K,), where it is not 0, as black ticks."""
    at = np.arange(len(label))
    ax.barh(at, probabilities, color=[class_colour(k) for k in at], height=0.7)
    some = np.flatnonzero(label)
    ax.vlines(label[some], some - 0.45, some + 0.45, color='k', lw=1.5, zorder=3)
    ax.set(xlim=(-0.02, 1.04), ylim=(len(at) - 0.4, -0.6), xticks=[0, 0.5, 1])
    ax.set_yticks(at, shorten(class_names, 11))
    ax.tick_params(labelsize=7, length=2)


@styled
def traced_lesion(rows, class_names):
    """One lesion through the pipeline: one row per generator, each image beside the predicted probabilities.

    rows    {title: [(step, image uint8 (H, W), label (K,), probabilities (K,)), ...]}, as many steps each
    """
    steps, found = len(next(iter(rows.values()))), []
    size = 3.4 * steps, max(1.1, 0.16 * len(class_names) + 0.35) * len(rows) + 0.5
    fig, axes = subplots(*size, len(rows), 2 * steps, width_ratios=[1, 1.15] * steps)
    for line, (title, row) in zip(axes, rows.items()):
        line[0].set_ylabel(title, rotation=0, ha='right', va='center')
        for (step, image, label, probabilities), ax, bars in zip(row, line[::2], line[1::2]):
            show_image(ax, image)
            ax.set_title(step, fontsize=8)
            _draw_class_bars(bars, label, probabilities, class_names)
        likeliest = join_words(f'{p.max():.0%} {class_names[int(p.argmax())]}' for *_, p in row)
        found.append(f'{" ".join(title.split())} {likeliest}')
    for bars in axes[:-1, 1::2].flat:
        bars.set_xticklabels([])
    for bars in axes[-1, 1::2]:
        bars.set_xlabel('probability', fontsize=8)
    fig.alt = (
        f'A grid of lesions, one row per generator, {steps} steps across, beside each image bars of class '
        f'probabilities and black ticks at its label. The likeliest class at each step: {"; ".join(found)}.'
    )
    return fig


@styled
def mixture_labels(first, second, labels, lams, class_names):
    """Mixtures of two lesions for several λ, below each its soft label.

    first, second   images uint8 (H, W)      labels   class numbers of the two
    """
    size = max(1.7 * len(lams), 2.6), 2.5 + 0.12 * len(class_names)
    fig, axes = subplots(*size, 2, len(lams), height_ratios=[1.55, 0.35 + 0.15 * len(class_names)])
    a, b = one_hot(list(labels), len(class_names))
    for (ax, bars), lam in zip(axes.T, lams):
        weight = np.array([lam])
        show_image(ax, blend(first[None], second[None], weight)[0])
        ax.set_title(f'λ = {lam:g}')
        soft = blend(a[None], b[None], weight)[0]
        _draw_class_bars(bars, soft, soft, class_names)
        bars.set_xlabel('label', fontsize=8)
    for bars in axes[1, 1:]:
        bars.set_yticklabels([])
    one, other = (class_names[k] for k in labels)
    fig.alt = (
        f'Mixtures of a {one} (mean gray level {first.mean():.0f}) with a {other} ({second.mean():.0f}) at λ '
        f'= {join_words(f"{lam:g}" for lam in lams)}, with the soft label as bars below: λ of the first '
        'class, 1 − λ of the second.'
    )
    return fig


@styled
def run_times(seconds):
    """Bars of the run time of each notebook: Series of seconds by notebook."""
    fig, ax = single_axes(6.5, 0.24 * len(seconds) + 0.7)
    minutes = seconds.to_numpy() / 60
    bars = ax.barh(range(len(minutes)), minutes, color=series_colour(1), height=0.7)
    ax.bar_label(bars, [f'{m:.0f}' if m >= 1 else 'under 1' for m in minutes], padding=3)
    ax.set(xlabel='minutes in this run', xlim=(0, max(minutes.max() * 1.15, 1)))
    ax.set_yticks(range(len(minutes)), list(seconds.index))
    ax.invert_yaxis()
    fig.alt = (
        f'Bars of minutes by notebook, {minutes.sum():.0f} in all; '
        f'the longest is {seconds.index[minutes.argmax()]} with {minutes.max():.0f}.'
    )
    return fig
