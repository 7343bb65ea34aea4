"""Grids of images: sheets of groups, named rows and columns, snapshots through training."""

import numpy as np

from genmix.data.images import montage
from genmix.plots.style import join_words, shorten, show_image, single_axes, styled, subplots


@styled
def sheet(groups, columns=12, scale=0.76):
    """A contact sheet: {title: images uint8 (n, H, W)} below each other, `scale` inches per image."""
    groups = {title: np.asarray(images) for title, images in groups.items() if len(images)}
    rows = [-(-len(images) // columns) for images in groups.values()]
    height = sum(rows) * scale + 0.25 * len(groups)
    fig, axes = subplots(columns * scale, height, len(groups), height_ratios=rows)
    for ax, (title, images) in zip(axes[:, 0], groups.items()):
        show_image(ax, montage(images, columns))
        ax.set_title(title, loc='left')
    found = (f'{t} ({len(x)} images, mean gray level {x.mean():.0f} of 255)' for t, x in groups.items())
    fig.alt = f'A sheet of gray images, in groups from top to bottom: {join_words(found)}.'
    return fig


@styled
def image_grid(images, rows, columns, parents=None, notes=None):
    """Images uint8 (R, C, H, W) in a grid with names of rows and columns.

    parents  (one image per row (R, H, W), one per column (C, H, W)), shown at the left and above
    notes    text in the corner of each image, (R, C)
    """
    named = join_words(name for name in (*rows, *columns) if name)
    alt = (
        f'A grid of gray images, {images.shape[0]} rows of {images.shape[1]}, '
        f'mean gray level {images.mean():.0f} of 255; rows and columns are named {named}.'
    )
    if parents is not None:
        left, above = parents
        corner = np.full((1, *images.shape[2:]), 255, np.uint8)
        images = np.concatenate([left[:, None], images], 1)
        images = np.concatenate([np.concatenate([corner, above])[None], images])
        rows, columns = ['', *rows], ['', *columns]
        alt += ' The parents of each row and column are at its head.'
    beside = max(1.1, 0.085 * max(map(len, rows)))  # inches that the names of rows take
    fig, ax = single_axes(0.78 * len(columns) + beside, 0.78 * len(rows) + 0.3)
    fig.alt = alt
    height, width = images.shape[2] + 2, images.shape[3] + 2
    show_image(ax, montage(images.reshape(-1, *images.shape[2:]), len(columns)))
    ax.set_yticks([height * i + height / 2 for i in range(len(rows))], rows)
    ax.set_xticks([width * i + width / 2 for i in range(len(columns))], columns)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    box = {'fc': 'white', 'ec': 'none', 'pad': 0.8, 'alpha': 0.8}
    for i, line in enumerate(notes or []):
        for j, text in enumerate(line):
            ax.text(width * j + 3, height * (i + 1) - 3, text, fontsize=6.5, va='bottom', bbox=box)
    if max(map(len, columns)) > 9:  # a tile is as wide as ten letters
        ax.tick_params('x', labelsize=7)
    return fig


@styled
def class_blocks(images, class_names, rows):
    """Images uint8 (R, K, n, H, W): one row per name in `rows`, one block of n images per class."""
    images = np.asarray(images)
    across = len(class_names) * images.shape[2]
    tile = min(0.76, 10.2 / across)
    width = tile * across + 0.4 + 0.07 * max(map(len, rows))
    fig, axes = subplots(width, tile * len(images) + 0.3, len(images), len(class_names))
    for line, samples, name in zip(axes, images, rows):
        for ax, block in zip(line, samples):
            show_image(ax, montage(block, len(block)))
        line[0].set_ylabel(name, rotation=0, ha='right', va='center')
    for ax, name in zip(axes[0], shorten(class_names)):
        ax.set_title(name)
    fig.alt = (
        f'{images.shape[2]} images of each of {join_words(class_names)}, one row each for '
        f'{join_words(rows)}; mean gray level {images.mean():.0f} of 255.'
    )
    return fig


@styled
def snapshot_grid(snapshots, class_names, steps, rows=3, n=4):
    """Samples of fixed z through training, uint8 (T, K, m, H, W): a row per snapshot, a block per class.

    Shown are `rows` of the snapshots, the first and the last among them, and the first `n` samples.
    """
    snapshots, chosen = np.asarray(snapshots), np.linspace(0, len(snapshots) - 1, rows).round().astype(int)
    chosen = sorted({*chosen})
    snapshots, steps = snapshots[chosen, :, :n], [steps[i] for i in chosen]
    fig = class_blocks(snapshots, class_names, [f'step {step:,}' for step in steps])
    sd = snapshots.astype(np.float32).std(2).mean((-1, -2))  # (T, K), gray levels
    ranges = join_words(f'from {a:.0f} to {b:.0f} for {n}' for a, b, n in zip(sd[0], sd[-1], class_names))
    fig.alt = (
        f'{len(snapshots[0][0])} samples per class at training steps {join_words(steps)}, one row per '
        f'snapshot, from the same noise each time. The within-class standard deviation goes {ranges} gray '
        'levels.'
    )
    return fig
