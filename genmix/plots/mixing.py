"""Figures of mixing: the weight, soft labels, a batch, its masses, Figure 3 of the paper."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from genmix.data.images import montage
from genmix.plots.style import (
    class_colour,
    displayed,
    draw_class_bars,
    join_words,
    line_style,
    marker,
    shorten,
    show_image,
    single_axes,
    styled,
    subplots,
)


@styled
def beta_densities(alphas):
    """Density of the mixing weight λ ~ Beta(α, α) for several α."""
    from scipy.stats import beta

    fig, ax = single_axes(6, 2.4)
    x, mixed = np.linspace(0.002, 0.998, 500), []
    tones = colormaps['viridis'](np.linspace(0, 1, len(alphas) + 3)[1:-2])  # the last is too pale
    for i, (alpha, tone) in enumerate(zip(alphas, tones)):
        ax.plot(x, beta.pdf(x, alpha, alpha), color=tone, ls=line_style(i), label=f'α = {alpha:g}')
        mixed.append(f'{beta.cdf(0.9, alpha, alpha) - beta.cdf(0.1, alpha, alpha):.0%} for α = {alpha:g}')
    ax.set(xlabel='λ, the weight of the real image', ylabel='density (each area is 1)', ylim=(0, 4))
    ax.legend(loc='upper left', bbox_to_anchor=(1, 1))
    fig.alt = (
        'Densities of the mixing weight λ between 0 and 1, distributed as Beta(α, α). The share of images '
        f'really mixed, with λ between 0.1 and 0.9, is {join_words(mixed)}.'
    )
    return fig


@styled
def simplices(sets, class_names):
    """Soft labels in the triangle of three classes, one panel each: {title: labels (n, 3)}.

    Labels of one class alone lie on its corner and are counted there.  For other class counts a panel has
    bars of the mean label.
    """
    fig, axes = subplots(3.5 * len(sets), 3.4, 1, len(sets))
    found = []
    for ax, (title, soft) in zip(axes[0], sets.items()):
        mass = soft.mean(0)
        shares = join_words(f'{m:.0%} {name}' for m, name in zip(mass, class_names))
        found.append(f'{title}: {shares}, {(soft.max(1) < 0.99).mean():.0%} between classes')
        ax.set_title(title)
        (_draw_simplex if soft.shape[1] == 3 else _draw_mean_label)(ax, soft, class_names)
    triangle = ' Each label is a point in a triangle whose corners are the classes.'
    size = len(next(iter(sets.values())))
    fig.alt = f'Soft labels of {size} mixtures. Label mass: {"; ".join(found)}.' + triangle * (
        len(class_names) == 3
    )
    return fig


def _draw_mean_label(ax, soft, class_names):
    """Bars of the mean label, for any number of classes."""
    places = range(soft.shape[1])
    ax.bar(places, 100 * soft.mean(0), color=[class_colour(k) for k in places])
    ax.set_xticks(places, shorten(class_names), rotation=0 if len(places) < 3 else 90)
    ax.set(ylabel=f'mean label mass [%], n = {len(soft)}')


def _draw_simplex(ax, soft, class_names):
    """The labels of one panel, and at each corner how many lie on it."""
    corners = np.array([[0, 0], [1, 0], [0.5, 3**0.5 / 2]])
    ax.plot(*corners[[0, 1, 2, 0]].T, color='#bbbbbb', lw=0.8)
    between = soft[soft.max(1) <= 0.99]
    tones = [tuple(tone) for tone in mixed_colours(between)]
    ax.scatter(*(between @ corners).T, s=22, alpha=0.6, color=tones, linewidths=0, zorder=2)
    for k, ((x, y), name) in enumerate(zip(corners, shorten(class_names))):
        ax.plot(x, y, marker(k), color=class_colour(k), ms=7, zorder=3)
        on_it, at = int((soft[:, k] > 0.99).sum()), (x, y + (0.15 if y else -0.16))
        text = f'{name}\n{soft[:, k].mean():.0%} of the label mass\n{on_it} labels on the corner'
        ax.text(*at, text, ha='center', va='center', size=8)
    ax.set(aspect='equal', xlim=(-0.35, 1.35), ylim=(-0.32, 1.12))
    ax.axis('off')


def mixed_colours(soft):
    """Class colours blended by soft labels (n, K): RGB float (n, 3) in [0, 1]."""
    return np.clip(soft @ np.array([to_rgb(class_colour(k)) for k in range(soft.shape[1])]), 0, 1)


@styled
def examples(rows, class_names, n=4, lams=None):
    """Figure 3 of the paper: {kind: {class: images uint8 (m, H, W)}}, a row per kind, a column per class.

    lams   {class: weights of the real parent, one per image of the last row}, written below it
    """
    tile = min(0.79, 9.6 / (n * len(class_names)))
    size = tile * n * len(class_names) + 1.2, (tile + 0.06) * len(rows) + 0.55
    fig, axes = subplots(*size, len(rows), len(class_names))
    lacking = []
    for line, (kind, by_class) in zip(axes, rows.items()):
        for ax, name in zip(line, class_names):
            if len(images := by_class[name][:n]):
                show_image(ax, montage(images, n))
            else:
                ax.axis('off')
                lacking.append(f'{name} ({" ".join(kind.split())})')
        line[0].set_ylabel(kind, rotation=0, ha='right', va='center')
    for ax, name in zip(axes[0], shorten(class_names)):
        ax.set_title(name)
    for ax, name in zip(axes[-1] if lams else (), class_names):
        width = (ax.images[0].get_array().shape[1] + 2) / n if ax.images else 1
        weights = lams[name][:n]
        ax.set_xticks([width * (i + 0.5) for i in range(len(weights))], [f'λ = {w:.2f}' for w in weights])
        ax.tick_params(length=0)
    kinds = (' '.join(kind.split()) for kind in rows)
    fig.alt = (
        f'A grid of example lesions, up to {n} per cell: rows {join_words(kinds)}; '
        f'columns {join_words(class_names)}.'
    ) + (f' No image of {join_words(lacking)}.' if lacking else '')
    return fig


@styled
def labelled_batch(images, soft, titles, class_names, columns=6):
    """Images uint8 (n, H, W) of a batch, and to the right of each its soft label (n, K) as bars."""
    rows = -(-len(images) // columns)
    size = 1.62 * columns, max(1.18, 0.16 * len(class_names) + 0.6) * rows + 0.2
    fig, axes = subplots(*size, rows, 2 * columns, width_ratios=[1, 0.62] * columns)
    pairs = axes.reshape(-1, 2)
    for ax in pairs[len(images) :].flat:
        ax.axis('off')
    for (ax, bars), image, label, title in zip(pairs, images, soft, titles):
        show_image(ax, image)
        ax.set_title(title, fontsize=8)
        draw_class_bars(bars, np.zeros_like(label), label, class_names)
        bars.axvline(0, color='#bbbbbb', lw=0.8)
        bars.set(xticks=[])
        bars.set_yticks([])
        bars.spines[:].set_visible(False)
    handles = [Patch(color=class_colour(k), label=name) for k, name in enumerate(shorten(class_names))]
    fig.legend(handles=handles, loc='outside upper center', ncols=len(class_names))
    pure = int((soft.max(1) > 0.99).sum())
    mass = join_words(f'{m:.0%} {name}' for m, name in zip(soft.mean(0), class_names))
    fig.alt = (
        f'{len(images)} images of a batch with their labels as bars; {pure} labels are of one class alone. '
        f'Label mass: {mass}.'
    )
    return fig


@styled
def batch_mass(mass, arms, class_names):
    """What a batch of each arm carries: synthetic mass, label mass of each class; pairs stand together.

    mass   {name: dict of `mixing.batches.batch_mass`}      arms   {name: Arm}
    """
    groups: dict = {}
    for name in mass:
        groups.setdefault((arms[name].generator, arms[name].dose, arms[name].balance), []).append(name)
    order = [name for own in groups.values() for name in own]
    table = 100 * np.array([[mass[name]['synthetic'], *mass[name]['labels']] for name in order])
    group = np.repeat(range(len(groups)), [len(own) for own in groups.values()])
    places = np.arange(len(order)) + 0.7 * group
    fig, axes = subplots(8.4, 0.2 * places.max() + 1.4, 1, 2, sharey=True, width_ratios=(1, 2))
    left, right = axes[0]
    left.barh(places, table[:, 0], color='#777777')
    ends = table[:, 1:].cumsum(1)
    for k, (name, share) in enumerate(zip(shorten(class_names), table[:, 1:].T)):
        look = {'color': class_colour(k), 'label': name, 'edgecolor': 'white'}
        right.barh(places, share, left=ends[:, k] - share, **look)
    left.set(xlabel='synthetic mass [%]', ylim=(places.max() + 0.7, -0.7))
    left.set_yticks(places, [displayed(name) for name in order])
    right.set(xlabel='label mass [%]', xlim=(0, 100))
    right.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=len(class_names))
    apart = max(np.ptp(table[group == g], axis=0).max() for g in range(len(groups)))
    fig.alt = (
        f'What a batch carries in {len(order)} arms, as horizontal bars: on the left the synthetic share of '
        f'the image mass, from {table[:, 0].min():.0f} to {table[:, 0].max():.0f} %, on the right the label '
        f'mass of {join_words(class_names)}. Arms of one generator, dose and class balance stand together; '
        f'within these groups no mass differs by more than {apart:.1f} points.'
    )
    return fig
