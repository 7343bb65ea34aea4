"""Figures of the overview: images beside their class probabilities, and the minutes of each notebook."""

import numpy as np

from genmix.data.sampling import one_hot
from genmix.mixing.rules import blend
from genmix.plots.style import colour, listed, new, shade, short, show


def class_bars(ax, label, guess, class_names):
    """Probabilities `guess` (K,) as bars, one a class from top to bottom, and the label (K,), where it is not 0, as black ticks across them."""
    at = np.arange(len(label))
    ax.barh(at, guess, color=[colour(k) for k in at], height=0.7)
    some = np.flatnonzero(label)
    ax.vlines(label[some], some - 0.45, some + 0.45, color='k', lw=1.5, zorder=3)
    ax.set(
        xlim=(-0.02, 1.04),
        ylim=(len(at) - 0.4, -0.6),
        xticks=[0, 0.5, 1],
        yticks=at,
        yticklabels=short(class_names, 11),
    )
    ax.tick_params(labelsize=7, length=2)


def traced_lesion(rows, class_names):
    """One lesion through the pipeline: one row a generator, in each the images of a step and beside it what the row's network says.

    rows    {title: [(step, image uint8 (H, W), label (K,), probabilities (K,)), ...]}, equally many steps a row
    """
    steps, numbers = len(next(iter(rows.values()))), []
    fig, axes = new(
        3.4 * steps,
        max(1.1, 0.16 * len(class_names) + 0.35) * len(rows) + 0.5,
        len(rows),
        2 * steps,
        width_ratios=[1, 1.15] * steps,
    )
    for i, (line, (title, row)) in enumerate(zip(axes, rows.items()), 1):
        line[0].set_ylabel(title, rotation=0, ha='right', va='center')
        for (step, image, label, guess), picture, bars in zip(row, line[::2], line[1::2]):
            show(picture, image)
            picture.set_title(step, fontsize=8)
            class_bars(bars, label, guess, class_names)
            if i < len(rows):
                bars.set_xticklabels([])
        numbers.append(
            f'{" ".join(title.split())} {listed(f"{guess.max():.0%} {class_names[int(guess.argmax())]}" for *_, guess in row)}'
        )
    for bars in axes[-1, 1::2]:
        bars.set_xlabel('probability', fontsize=8)
    fig.alt = (
        f'A grid of lesions, one row a generator, {steps} steps across, beside each image bars of class probabilities and black ticks at its label. '
        f'The likeliest class at each step: {"; ".join(numbers)}.'
    )
    return fig


def mixture_labels(first, second, labels, lams, class_names):
    """Mixtures of two lesions for some lambda, under each its soft label.

    first, second   images uint8 (H, W)      labels   class numbers of the two
    """
    fig, axes = new(
        max(1.7 * len(lams), 2.6),
        2.5 + 0.12 * len(class_names),
        2,
        len(lams),
        height_ratios=[1.55, 0.35 + 0.15 * len(class_names)],
    )
    a, b = one_hot(list(labels), len(class_names))
    for (picture, bars), lam in zip(axes.T, lams):
        weight = np.array([lam])
        show(picture, blend(first[None], second[None], weight)[0])
        picture.set_title(f'λ = {lam:g}')
        soft = blend(a[None], b[None], weight)[0]
        class_bars(bars, soft, soft, class_names)
        bars.set_xlabel('label', fontsize=8)
        if picture is not axes[0, 0]:
            bars.set_yticklabels([])
    fig.alt = (
        f'Mixtures of a {class_names[labels[0]]} (mean gray level {first.mean():.0f}) with a {class_names[labels[1]]} ({second.mean():.0f}) at λ = {listed(f"{lam:g}" for lam in lams)}, '
        f'with the soft label as bars below: λ of the first class, 1 − λ of the second.'
    )
    return fig


def minutes(seconds):
    """Bars of how long each notebook took: Series of seconds by notebook."""
    fig, axes = new(6.5, 0.24 * len(seconds) + 0.7)
    ax, took = axes[0, 0], seconds.to_numpy() / 60
    bars = ax.barh(range(len(took)), took, color=shade(1), height=0.7)
    ax.bar_label(bars, [f'{m:.0f}' if m >= 1 else 'under 1' for m in took], padding=3)
    ax.set(
        yticks=range(len(took)),
        yticklabels=list(seconds.index),
        xlabel='minutes in this run',
        xlim=(0, max(took.max() * 1.15, 1)),
    )
    ax.invert_yaxis()
    fig.alt = f'Bars of minutes by notebook, {took.sum():.0f} in all; the longest is {seconds.index[took.argmax()]} with {took.max():.0f}.'
    return fig
