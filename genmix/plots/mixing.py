"""Figures of mixing: the weight, the strip between two lesions, soft labels, Figures 1 and 3 of the paper."""

import numpy as np
import seaborn as sns

from genmix.data.images import montage
from genmix.mixing.rules import blend
from genmix.plots.style import blank, colour, dashes, listed, marker, new, short, show


def beta_densities(alphas):
    """Density of the mixing weight for several alpha."""
    from scipy.stats import beta

    fig, axes = new(6, 2.4)
    x, mixed = np.linspace(0.002, 0.998, 500), []
    for i, (alpha, shade) in enumerate(
        zip(alphas, sns.color_palette('viridis', len(alphas) + 1))
    ):  # one more: the last is too pale
        axes[0, 0].plot(x, beta.pdf(x, alpha, alpha), color=shade, ls=dashes(i), label=f'α = {alpha:g}')
        mixed.append(f'{beta.cdf(0.9, alpha, alpha) - beta.cdf(0.1, alpha, alpha):.0%} for α = {alpha:g}')
    axes[0, 0].set(xlabel='λ, the weight of the real image', ylabel='density (each area is 1)', ylim=(0, 4))
    axes[0, 0].legend(loc='upper left', bbox_to_anchor=(1, 1))
    fig.alt = (
        f'Densities of the mixing weight λ between 0 and 1, distributed as Beta(α, α). The share of images really mixed, with λ between 0.1 '
        f'and 0.9, is {listed(mixed)}.'
    )
    return fig


def mixing_strip(first, second, lams, names=('real', 'synthetic')):
    """Two lesions and their mixtures for several lambda; images uint8 (H, W)."""
    fig, axes = new(1.25 * len(lams), 1.6, 1, len(lams))
    for ax, lam in zip(axes[0], lams):
        show(ax, blend(first[None], second[None], np.array([lam]))[0])
        ax.set_title({1: f'{names[0]}\nλ = 1', 0: f'{names[1]}\nλ = 0'}.get(lam, f'λ = {lam:g}'))
    fig.alt = (
        f'A strip of images: {names[0]} on the left (mean gray level {first.mean():.0f}) turns into {names[1]} on the right ({second.mean():.0f}) '
        f'as its weight λ takes the values {listed(f"{lam:g}" for lam in lams)}.'
    )
    return fig


def simplex(soft, class_names, title=''):
    """Soft labels (n, 3) in the triangle of three classes; other class counts give a bar of mean mass."""
    fig, axes = new(3.6, 3.3)
    ax, mass = axes[0, 0], soft.mean(0)
    fig.alt = (
        f'{title or "Soft labels"}: label mass {listed(f"{m:.0%} {name}" for m, name in zip(mass, class_names))}; '
        f'{(soft.max(1) > 0.99).mean():.0%} of {len(soft)} labels are of one class alone.'
    )
    if soft.shape[1] != 3:
        ax.bar(range(len(mass)), 100 * mass, color=[colour(k) for k in range(len(mass))])
        ax.set_xticks(range(len(mass)), short(class_names), rotation=0 if len(mass) < 3 else 90)
        ax.set(ylabel=f'mean label mass [%], n = {len(soft)}', title=title)
        return fig
    fig.alt += ' Each is a point in a triangle whose corners are the classes.'
    corners = np.array([[0, 0], [1, 0], [0.5, 3**0.5 / 2]])
    ax.plot(*corners[[0, 1, 2, 0]].T, color='#bbbbbb', lw=0.8)
    ax.scatter(
        *(soft @ corners).T,
        s=18,
        alpha=0.5,
        color=[tuple(c) for c in mixed_colours(soft)],
        linewidths=0,
        zorder=2,
    )
    for k, (x, y) in enumerate(corners):
        ax.plot(x, y, marker(k), color=colour(k), ms=7, zorder=3)
        ax.text(
            x,
            y + (0.11 if y else -0.12),
            f'{short(class_names)[k]}\n{mass[k]:.0%} of the mass',
            ha='center',
            va='center',
        )
    ax.set(title=title, aspect='equal', xlim=(-0.25, 1.25), ylim=(-0.2, 1.05))
    ax.axis('off')
    return fig


def mixed_colours(soft):
    """Class colours blended by soft labels: float (n, 3)."""
    from matplotlib.colors import to_rgb

    return np.clip(soft @ np.array([to_rgb(colour(k)) for k in range(soft.shape[1])]), 0, 1)


def figure1(real, synthetic, mixed, lam, class_names):
    """The method in one drawing (Figure 1 of the paper, drawn anew): learn, sample, mix, classify.  Images uint8 (n >= 3, H, W)."""
    fig = blank(10.5, 3.3)
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 21), ylim=(0, 6.6))
    ax.axis('off')

    def stack(images, x, y, title):
        for i, image in enumerate(images[:3]):
            left, low = x + 0.3 * i, y - 0.25 * i
            ax.imshow(
                image,
                cmap='gray',
                vmin=0,
                vmax=255,
                extent=(left, left + 1.7, low, low + 1.7),
                zorder=i + 2,
                aspect='auto',
            )
        ax.text(x + 1.15, y + 1.9, title, ha='center', weight='bold')

    def box(x, y, text):
        ax.text(
            x,
            y,
            text,
            ha='center',
            va='center',
            bbox={'boxstyle': 'round,pad=.5', 'fc': '#f1ede4', 'ec': '#77715f'},
        )

    def arrow(a, b, bend=0.0):
        ax.annotate(
            '',
            b,
            a,
            arrowprops={
                'arrowstyle': '-|>',
                'color': '#555555',
                'lw': 1.2,
                'connectionstyle': f'arc3,rad={bend}',
            },
        )

    stack(real, 0.5, 4.0, 'real lesions')
    stack(synthetic, 6.0, 0.8, 'synthetic lesions')
    stack(mixed, 14.0, 2.4, f'GenMix, λ = {lam:.2f}')
    box(3.6, 1.4, 'stage 1\ngenerative model')
    box(10.9, 3.1, 'stage 2\nx̃ = λ x + (1−λ) x′\nỹ = λ y + (1−λ) y′\nλ ~ Beta(α, α)')
    box(19.0, 3.1, 'VGG-16\n' + '\n'.join(short(class_names)))
    for a, b, bend in (
        ((1.5, 3.3), (2.1, 1.7), 0.25),
        ((5.0, 1.4), (5.9, 1.4), 0),
        ((8.5, 1.6), (9.6, 2.2), 0.2),
        ((3.0, 5.0), (10.9, 4.4), -0.2),
        ((12.6, 3.1), (13.8, 3.1), 0),
        ((16.5, 3.1), (17.7, 3.1), 0),
    ):
        arrow(a, b, bend)
    fig.alt = (
        f'The method as a flow from left to right: real lesions train a generative model (stage 1), which draws synthetic lesions; both are mixed, '
        f'image and label alike, with a weight λ from Beta(α, α) (stage 2); the GenMix images, here with λ = {lam:.2f}, train a VGG-16 that tells '
        f'{listed(class_names)} apart.'
    )
    return fig


def examples(rows, class_names, n=5):
    """Figure 3: {kind: {class: images}} as a grid, kinds downwards, classes across."""
    fig, axes = new(10.5, 0.74 * len(rows) + 0.25, len(rows), len(class_names))
    for i, (kind, by_class) in enumerate(rows.items()):
        for k, name in enumerate(class_names):
            images = by_class[name][:n]
            if len(images):
                show(axes[i, k], montage(images, n))
            else:
                axes[i, k].axis('off')
            if i == 0:
                axes[i, k].set_title(short(class_names)[k])
        axes[i, 0].set_ylabel(kind, rotation=0, ha='right', va='center')
    kinds = [' '.join(kind.split()) for kind in rows]
    lacking = [
        f'{name} ({kind})'
        for kind, by_class in zip(kinds, rows.values())
        for name in class_names
        if not len(by_class[name])
    ]
    fig.alt = (
        f'A grid of example lesions, up to {n} a cell: rows {listed(kinds)}; columns {listed(class_names)}.'
        + (f' No image of {listed(lacking)}.' if lacking else '')
    )
    return fig
