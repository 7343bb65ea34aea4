"""Figures of mixing: the weight, mixtures of two lesions, soft labels, Figures 1 and 3 of the paper."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from genmix.data.images import montage
from genmix.mixing.rules import blend
from genmix.plots.style import (
    class_colour,
    empty_figure,
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
def mixing_strip(first, second, lams, names=('real', 'synthetic')):
    """Two lesions and their mixtures for several λ; images uint8 (H, W)."""
    fig, axes = subplots(1.25 * len(lams), 1.6, 1, len(lams))
    for ax, lam in zip(axes[0], lams):
        show_image(ax, blend(first[None], second[None], np.array([lam]))[0])
        ax.set_title({1: f'{names[0]}\nλ = 1', 0: f'{names[1]}\nλ = 0'}.get(lam, f'λ = {lam:g}'))
    fig.alt = (
        f'A strip of images: {names[0]} on the left (mean gray level {first.mean():.0f}) turns into '
        f'{names[1]} on the right ({second.mean():.0f}) as its weight λ takes the values '
        f'{join_words(f"{x:g}" for x in lams)}.'
    )
    return fig


@styled
def simplex(soft, class_names, title=''):
    """Soft labels (n, 3) in the triangle of three classes; for other class counts, bars of the mean label."""
    fig, ax = single_axes(3.6, 3.3)
    mass = soft.mean(0)
    fig.alt = (
        f'{title or "Soft labels"}: label mass '
        f'{join_words(f"{m:.0%} {name}" for m, name in zip(mass, class_names))}; '
        f'{(soft.max(1) > 0.99).mean():.0%} of {len(soft)} labels are of one class alone.'
    )
    if soft.shape[1] != 3:
        ax.bar(range(len(mass)), 100 * mass, color=[class_colour(k) for k in range(len(mass))])
        ax.set_xticks(range(len(mass)), shorten(class_names), rotation=0 if len(mass) < 3 else 90)
        ax.set(ylabel=f'mean label mass [%], n = {len(soft)}', title=title)
        return fig
    fig.alt += ' Each is a point in a triangle whose corners are the classes.'
    corners = np.array([[0, 0], [1, 0], [0.5, 3**0.5 / 2]])
    ax.plot(*corners[[0, 1, 2, 0]].T, color='#bbbbbb', lw=0.8)
    tones = [tuple(tone) for tone in mixed_colours(soft)]
    ax.scatter(*(soft @ corners).T, s=18, alpha=0.5, color=tones, linewidths=0, zorder=2)
    for k, ((x, y), name) in enumerate(zip(corners, shorten(class_names))):
        ax.plot(x, y, marker(k), color=class_colour(k), ms=7, zorder=3)
        text, at = f'{name}\n{mass[k]:.0%} of the mass', (x, y + (0.11 if y else -0.12))
        ax.text(*at, text, ha='center', va='center')
    ax.set(title=title, aspect='equal', xlim=(-0.25, 1.25), ylim=(-0.2, 1.05))
    ax.axis('off')
    return fig


def mixed_colours(soft):
    """Class colours blended by soft labels (n, K): RGB float (n, 3) in [0, 1]."""
    return np.clip(soft @ np.array([to_rgb(class_colour(k)) for k in range(soft.shape[1])]), 0, 1)


@styled
def figure1(real, synthetic, mixed, lam, class_names):
    """The method (Figure 1 of the paper, redrawn); images uint8 (n >= 3, H, W)."""
    fig = empty_figure(10.5, 3.3)
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 21), ylim=(0, 6.6))
    ax.axis('off')
    _draw_stack(ax, real, 0.5, 4.0, 'real lesions')
    _draw_stack(ax, synthetic, 6.0, 0.8, 'synthetic lesions')
    _draw_stack(ax, mixed, 14.0, 2.4, f'GenMix, λ = {lam:.2f}')
    _draw_box(ax, 3.6, 1.4, 'stage 1\ngenerative model')
    _draw_box(ax, 10.9, 3.1, 'stage 2\nx̃ = λ x + (1−λ) x′\nỹ = λ y + (1−λ) y′\nλ ~ Beta(α, α)')
    _draw_box(ax, 19.0, 3.1, 'VGG-16\n' + '\n'.join(shorten(class_names)))
    _draw_arrow(ax, (1.5, 3.3), (2.1, 1.7), 0.25)
    _draw_arrow(ax, (5.0, 1.4), (5.9, 1.4))
    _draw_arrow(ax, (8.5, 1.6), (9.6, 2.2), 0.2)
    _draw_arrow(ax, (3.0, 5.0), (10.9, 4.4), -0.2)
    _draw_arrow(ax, (12.6, 3.1), (13.8, 3.1))
    _draw_arrow(ax, (16.5, 3.1), (17.7, 3.1))
    fig.alt = (
        'The method as a flow from left to right: real lesions train a generative model (stage 1), which '
        'generates synthetic lesions; both are mixed, image and label alike, with a weight λ from Beta(α, α) '
        f'(stage 2); the GenMix images, here with λ = {lam:.2f}, train a VGG-16 that classifies '
        f'{join_words(class_names)}.'
    )
    return fig


def _draw_stack(ax, images, x, y, title):
    """Three images, one before the other."""
    for i, image in enumerate(images[:3]):
        left, low = x + 0.3 * i, y - 0.25 * i
        place = {'extent': (left, left + 1.7, low, low + 1.7), 'zorder': i + 2, 'aspect': 'auto'}
        ax.imshow(image, cmap='gray', vmin=0, vmax=255, **place)
    ax.text(x + 1.15, y + 1.9, title, ha='center', weight='bold')


def _draw_box(ax, x, y, text):
    box = {'boxstyle': 'round,pad=.5', 'fc': '#f1ede4', 'ec': '#77715f'}
    ax.text(x, y, text, ha='center', va='center', bbox=box)


def _draw_arrow(ax, start, end, bend=0.0):
    look = {'arrowstyle': '-|>', 'color': '#555555', 'lw': 1.2, 'connectionstyle': f'arc3,rad={bend}'}
    ax.annotate('', end, start, arrowprops=look)


@styled
def examples(rows, class_names, n=5):
    """Figure 3 of the paper: {kind: {class: images uint8 (m, H, W)}}, a row per kind, a column per class."""
    fig, axes = subplots(10.5, 0.74 * len(rows) + 0.25, len(rows), len(class_names))
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
    kinds = (' '.join(kind.split()) for kind in rows)
    fig.alt = (
        f'A grid of example lesions, up to {n} per cell: rows {join_words(kinds)}; '
        f'columns {join_words(class_names)}.'
    ) + (f' No image of {join_words(lacking)}.' if lacking else '')
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
    left.set_yticks(places, order)
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
