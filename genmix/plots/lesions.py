"""Figures of a cohort: similar images, counts, gray levels and diameters, the precision of a hold-out."""

import numpy as np

from genmix.data.images import montage
from genmix.plots.style import (
    class_colour,
    join_words,
    line_style,
    series_colour,
    shorten,
    show_image,
    single_axes,
    styled,
    subplots,
)


def lesion_kind(cohort):
    """What figures call a lesion of a cohort that no generator made: 'phantom' or 'real lesion'."""
    return 'phantom' if cohort.source.startswith('phantom') else 'real lesion'


def pick(cohort, n, seed=0):
    """{class name: uint8 (n, H, W)}: n random images of each class, or all where there are fewer."""
    rng = np.random.default_rng(seed)
    rows = {name: np.flatnonzero(cohort.labels == k) for k, name in enumerate(cohort.class_names)}
    return {name: cohort.images[rng.choice(r, min(n, len(r)), replace=False)] for name, r in rows.items()}


@styled
def quiz(images, places, columns=8):
    """Lesions uint8 (n, H, W) without their classes: above each the name of its place."""
    rows = -(-len(images) // columns)
    fig, axes = subplots(1.05 * columns, 1.22 * rows, rows, columns)
    for ax in axes.flat[len(images) :]:
        ax.axis('off')
    for ax, image, place in zip(axes.flat, images, places):
        show_image(ax, image)
        ax.set_title(place)
    fig.alt = (
        f'{len(images)} gray images of lesions in {rows} rows, without their classes, named {places[0]} to '
        f'{places[-1]}; mean gray level {images.mean():.0f} of 255.'
    )
    return fig


@styled
def phantom_steps(steps):
    """How a phantom is made: {step: image (H, W)}, left to right.

    Images uint8 are shown as they are, others from their lowest to their highest value.
    """
    fig, axes = subplots(1.75 * len(steps), 2.0, 1, len(steps))
    for i, (ax, (title, image)) in enumerate(zip(axes[0], steps.items()), 1):
        if image.dtype != np.uint8:
            image = 255 * (image - np.float64(image.min())) / (np.float64(image.max()) - image.min() or 1)
        show_image(ax, image)
        ax.spines[:].set(visible=True, color='#bbbbbb')
        ax.set_title(f'{i}  {title}')
    fig.alt = (
        f'A phantom in {len(steps)} steps, from left to right {join_words(steps)}: a dark disc gets its '
        'attenuation, soft edges, noise and the gray levels of a window.'
    )
    return fig


@styled
def similar_pairs(cohort, rows):
    """The most similar pairs of images of different patients, class and correlation above.

    rows   (i, j, correlation) of a cohort, from `data.duplicates.nearest_pairs`
    """
    fig, axes = subplots(max(1.7 * len(rows), 3), 1.3, 1, max(len(rows), 1))
    if not rows:
        axes[0, 0].set_axis_off()
        axes[0, 0].set_title('no pair of different patients to show')
        fig.alt = 'No pair of images of different patients to show: there are 0.'
        return fig
    names = shorten(cohort.class_names)
    for ax, (i, j, correlation) in zip(axes[0], rows):
        show_image(ax, montage(cohort.images[[i, j]], 2))
        classes = ' | '.join(dict.fromkeys(names[cohort.labels[row]] for row in (i, j)))
        ax.set_title(f'r = {correlation:.3f}\n{classes}', fontsize=8)
    fig.alt = (
        f'The {len(rows)} pairs of images of different patients that are most alike, side by side; '
        f'correlations {join_words(f"{correlation:.3f}" for *_, correlation in rows)}.'
    )
    return fig


@styled
def histograms(cohort, sizes=None):
    """Gray levels in the centre of the patches, a quarter of their side, and lesion diameters if known.

    sizes   diameters [mm], a Series by lesion; None leaves them out
    """
    side = cohort.images.shape[1]
    centre = slice(3 * side // 8, -(-5 * side // 8))
    fig, axes = subplots(9, 2.8, 1, 1 if sizes is None else 2)
    gray_medians, size_medians = [], []
    for k, (name, label) in enumerate(zip(cohort.class_names, shorten(cohort.class_names))):
        mine = cohort.labels == k
        text = f'{label} (n = {mine.sum()} lesions)'
        look = {'color': class_colour(k), 'ls': line_style(k), 'lw': 1.4, 'label': text}
        gray = cohort.images[mine][:, centre, centre].ravel()
        axes[0, 0].hist(gray, 64, (0, 256), density=True, histtype='step', **look)
        if len(gray):
            gray_medians.append(f'{np.median(gray):.0f} for {name}')
        if sizes is not None and len(known := np.asarray(sizes, float)[mine & np.isfinite(sizes)]):
            axes[0, 1].ecdf(known, **look)
            size_medians.append(f'{np.median(known):.0f} mm for {name}')
    axes[0, 0].set(xlabel='gray level at the centre (0 black, 255 white)')
    axes[0, 0].set_ylabel('density of pixels\n[per gray level]')
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc='outside upper center', ncols=3)
    fig.alt = (
        'Density of gray levels in the centre of the patches, one line per class, from 0 to 255: medians '
        f'{join_words(gray_medians)}.'
    )
    if sizes is not None:
        ylabel = 'share of lesions\nof at most this diameter'
        axes[0, 1].set(xlabel='diameter [mm], log scale', ylabel=ylabel, xscale='log')
        axes[0, 1].set_xticks([6, 10, 20, 40, 70], [6, 10, 20, 40, 70])
        axes[0, 1].minorticks_off()
        fig.alt += (
            f' Beside it the cumulative share of lesions by diameter: medians {join_words(size_medians)}.'
        )
    return fig


@styled
def holdout_precision(n_small, n_large, name, truth=0.7):
    """Exact binomial 95 % ranges of a measured sensitivity around the true one, for two test set sizes."""
    from scipy.stats import binom

    fig, ax = single_axes(6, 2.8)
    ranges = []
    for i, n in enumerate((n_small, n_large)):
        x, density = np.arange(n + 1) / n, binom.pmf(np.arange(n + 1), n, truth) * n
        low, high = binom.ppf([0.025, 0.975], n, truth) / n
        ranges.append(f'[{low:.2f}, {high:.2f}] with {n} lesions')
        text = f'n = {n} lesions ({name}): 95 % within [{low:.2f}, {high:.2f}]'
        tone, within = series_colour(i + 1), (x >= low) & (x <= high)
        ax.plot(x, density, color=tone, ls=line_style(i), drawstyle='steps-mid', label=text)
        ax.fill_between(x, density, where=within, step='mid', color=tone, alpha=0.2, lw=0)
    ax.axvline(truth, color='k', lw=0.8, ls=':')
    ax.set(xlabel=f'measured sensitivity when the true one is {truth:.2f}', ylabel='density (each area is 1)')
    ax.set(yticks=[], ylim=(0, None))
    fig.legend(loc='outside upper center')
    fig.alt = (
        f'Where a measured sensitivity for {name} may lie when the true one is {truth:.2f}: two binomial '
        f'densities over 0 to 1, 95 % of studies within {join_words(ranges)}.'
    )
    return fig
