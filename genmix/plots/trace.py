"""Figures of the overview: Figure 1, images beside their class probabilities, minutes of each notebook."""

import numpy as np
from matplotlib.lines import Line2D

from genmix.data.sampling import one_hot
from genmix.mixing.rules import blend
from genmix.plots.style import (
    displayed,
    draw_class_bars,
    empty_figure,
    join_words,
    series_colour,
    show_image,
    single_axes,
    styled,
    subplots,
)


@styled
def figure1(stack, steps, lam, class_names, names):
    """The method (Figure 1 of the paper, redrawn), image and label alike.

    stack   training lesions uint8 (n >= 3, H, W)
    steps   of a real lesion, a synthetic one, their mixture: (image uint8 (H, W), label (K,), probabilities
            (K,) that a network trained on mixtures predicts)
    lam     weight of the real lesion      names   (kind of the lesions, the generator)
    """
    fig, kind, generator = empty_figure(10.4, 4.1), *names
    canvas = fig.add_axes((0, 0, 1, 1))
    canvas.set(xlim=(0, 1), ylim=(0, 1))
    canvas.axis('off')
    for i, image in enumerate(stack[:3]):
        show_image(fig.add_axes((0.015 + 0.012 * i, 0.6 - 0.03 * i, 0.1, 0.1 * 10.4 / 4.1)), image)
    canvas.text(0.077, 0.9, f'training {kind}s', ha='center', weight='bold')
    _draw_step(fig, (0.2, 0.56), f'{kind}, and its label', *steps[0][:2], class_names)
    _draw_step(fig, (0.2, 0.1), f'synthetic ({generator}), and its label', *steps[1][:2], class_names)
    _draw_step(fig, (0.68, 0.56), f'GenMix, λ = {lam:.2f}, and its label', *steps[2][:2], class_names)
    _, label, probabilities = steps[2]
    bars = fig.add_axes((0.885, 0.13, 0.09, 0.2))
    draw_class_bars(bars, np.zeros_like(label), probabilities, class_names)
    bars.set_title('predicted', size=9)
    _draw_flow(canvas, kind)
    parts = join_words(f'{share:.0%} {name}' for share, name in zip(label, class_names) if share > 0)
    fig.alt = (
        f'The method as a flow from left to right: {kind}s train a generative model (stage 1), here '
        f'{generator}, which generates synthetic lesions; both are mixed, image and label alike, with a '
        f'weight λ from Beta(α, α) (stage 2). At λ = {lam:.2f} the label of the mixture is {parts}. Mixtures '
        'train a VGG-16.'
    )
    return fig


def _draw_step(fig, place, title, image, label, class_names):
    """A lesion at `place` (left, low) of the figure, and beside it its label as bars."""
    left, low = place
    width, height = fig.get_size_inches()
    show_image(fig.add_axes((left, low, 0.105, 0.105 * width / height)), image)
    fig.text(left, low + 0.105 * width / height + 0.03, title, size=9, weight='bold')
    bars = fig.add_axes((left + 0.195, low + 0.02, 0.055, 0.2))
    draw_class_bars(bars, np.zeros_like(label), label, class_names)
    bars.set(xticks=[0, 1])


def _draw_flow(canvas, kind):
    """Boxes and arrows of Figure 1."""
    _draw_box(canvas, 0.077, 0.22, 'stage 1\ntrain a\ngenerative\nmodel')
    _draw_box(canvas, 0.56, 0.45, f'stage 2: mix\nλ · {kind}\n+ (1 − λ) · synthetic\nλ ~ Beta(α, α)')
    _draw_box(canvas, 0.73, 0.22, 'VGG-16')
    arrows = [((0.145, 0.7), (0.19, 0.7)), ((0.077, 0.52), (0.077, 0.36)), ((0.125, 0.22), (0.19, 0.22))]
    arrows += [((0.455, 0.66), (0.51, 0.56)), ((0.455, 0.24), (0.51, 0.34)), ((0.62, 0.56), (0.67, 0.64))]
    arrows += [((0.73, 0.54), (0.73, 0.28)), ((0.765, 0.22), (0.8, 0.22))]
    for start, end in arrows:
        _draw_arrow(canvas, start, end)


def _draw_box(ax, x, y, text):
    box = {'boxstyle': 'round,pad=.5', 'fc': '#f1ede4', 'ec': '#77715f'}
    ax.text(x, y, text, ha='center', va='center', bbox=box)


def _draw_arrow(ax, start, end):
    ax.annotate('', end, start, arrowprops={'arrowstyle': '-|>', 'color': '#555555', 'lw': 1.4})


@styled
def traced_lesion(rows, class_names):
    """One lesion through the pipeline: one row per generator, each image beside the predicted probabilities.

    rows    {title: [(step, image uint8 (H, W), label (K,), probabilities (K,)), ...]}, as many steps each
    """
    steps, found = len(next(iter(rows.values()))), []
    size = 3.1 * steps + 1, max(1.1, 0.16 * len(class_names) + 0.35) * len(rows) + 0.6
    fig, axes = subplots(*size, len(rows), 2 * steps, width_ratios=[1, 1.15] * steps)
    for line, (title, row) in zip(axes, rows.items()):
        line[0].set_ylabel(displayed(title), rotation=0, ha='right', va='center')
        for (step, image, label, probabilities), ax, bars in zip(row, line[::2], line[1::2]):
            show_image(ax, image)
            ax.set_title(step, fontsize=8)
            draw_class_bars(bars, label, probabilities, class_names)
        likeliest = join_words(f'{p.max():.0%} {class_names[int(p.argmax())]}' for *_, p in row)
        found.append(f'{displayed(" ".join(title.split()))} {likeliest}')
    for bars in axes[:-1, 1::2].flat:
        bars.set_xticklabels([])
    for bars in axes[-1, 1::2]:
        bars.set_xlabel('probability', fontsize=8)
    key = [Line2D([], [], marker='s', ls='', color='#777777', label='bar: predicted by the network')]
    key += [Line2D([], [], marker='|', ms=10, mew=1.5, ls='', color='k', label='black tick: label')]
    fig.legend(handles=key, loc='outside upper center', ncols=2)
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
        draw_class_bars(bars, np.zeros_like(soft), soft, class_names)
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
