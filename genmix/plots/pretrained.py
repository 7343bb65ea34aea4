"""Figures of the base model: training images, losses, what its autoencoder retains, samples by prompt."""

import textwrap

import numpy as np

from genmix.data.images import montage
from genmix.plots.style import (
    join_words,
    line_style,
    series_colour,
    show_image,
    single_axes,
    styled,
    subplots,
)


@styled
def captioned_images(images, captions, columns=8, letters=24):
    """Images uint8 (n, H, W), each above its caption."""
    rows = -(-len(images) // columns)
    fig, axes = subplots(1.25 * columns, 1.95 * rows, rows, columns)
    for ax, image, caption in zip(axes.flat, images, captions):
        show_image(ax, image)
        ax.set_xlabel('\n'.join(textwrap.wrap(caption, letters)), fontsize=6)
    for ax in axes.flat[len(images) :]:
        ax.axis('off')
    such = join_words(map(repr, captions[:3]))
    fig.alt = f'{len(images)} gray images, each above its caption, such as {such}.'
    return fig


@styled
def base_curves(logs):
    """Training losses, one panel each: {title: table with columns step and loss}."""
    fig, axes = subplots(3.2 * len(logs), 2.6, 1, len(logs))
    for i, (ax, (title, log)) in enumerate(zip(axes[0], logs.items())):
        ax.plot(log.step, log.loss, color=series_colour(i + 1), lw=1.2)
        ylabel = 'reconstruction loss' if title == 'autoencoder' else 'loss'
        ax.set(title=title, xlabel='training step', ylabel=ylabel)
        ax.set_ylim(0, np.nanquantile(log.loss, 0.97) * 1.05)
    ends = (
        f'{title} from {log.loss.iloc[0]:.3f} to {log.loss.iloc[-1]:.3f} in {int(log.step.iloc[-1])} steps'
        for title, log in logs.items()
    )
    fig.alt = f'Training losses: {join_words(ends)}.'
    return fig


@styled
def reconstructions(pairs, n=12):
    """Reconstructions of the autoencoder: {title: (originals, reconstructions)}, both uint8 (n, H, W)."""
    fig, axes = subplots(0.85 * n, 2.0 * len(pairs), len(pairs))
    for ax, (title, (before, after)) in zip(axes[:, 0], pairs.items()):
        show_image(ax, montage(np.concatenate([before[:n], after[:n]]), min(n, len(before))))
        ax.set_title(f'{title}: originals above, reconstructions below', loc='left')
    errors = (f'{title} {np.abs(b.astype(float) - a).mean():.1f}' for title, (b, a) in pairs.items())
    fig.alt = (
        'Images above, their reconstructions below. Mean difference in gray levels of 255: '
        f'{join_words(errors)}.'
    )
    return fig


def radial_power(images):
    """Mean power spectrum of images uint8 (n, H, H) over spatial frequency, under a Hann window.

    Returns the centres of 12 bands in cycles per pixel and their power in gray levels squared, float (12,).
    """
    x = images.astype(float)
    size = x.shape[-1]
    window = np.hanning(size)[:, None] * np.hanning(size)
    spectra = np.abs(np.fft.fft2((x - x.mean((1, 2), keepdims=True)) * window)) ** 2
    spectrum = spectra.mean(0) / (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    edges = np.linspace(1.5 / size, 0.5, 13)
    bands = [spectrum[(radius >= a) & (radius < b)] for a, b in zip(edges, edges[1:])]
    return (edges[1:] + edges[:-1]) / 2, np.array([band.mean() if band.size else np.nan for band in bands])


@styled
def power_ratio(pairs):
    """Ratio of power after / before the autoencoder: {title: (originals, reconstructions)}."""
    fig, ax = single_axes(5.5, 2.8)
    found = []
    for i, (title, (before, after)) in enumerate(pairs.items()):
        frequency, original = radial_power(before)
        ratio = radial_power(after)[1] / original
        ax.plot(frequency, ratio, color=series_colour(i + 1), ls=line_style(i), label=title)
        low, high = np.nanmean(ratio[frequency < 0.1]), np.nanmean(ratio[frequency > 0.25])
        found.append(f'{low:.0%} below 0.1 and {high:.0%} above 0.25 for {title}')
    ax.axhline(1, color='k', lw=0.8, ls=':')
    ax.set(xlabel='spatial frequency [cycles per pixel]', ylabel='power after / before', ylim=(0, None))
    fig.legend(loc='outside upper center', ncols=len(pairs))
    fig.alt = (
        'Ratio of the power after the autoencoder to the power before, by spatial frequency in cycles per '
        f'pixel: {join_words(found)}.'
    )
    return fig


@styled
def prompt_sheet(images, prompts, guidances, title=''):
    """Samples uint8 (prompts, guidances, n, H, W): one row per prompt, one block per guidance scale."""
    size = 2.2 + 0.62 * images.shape[1] * images.shape[2], 0.68 * len(prompts) + 0.4
    fig, axes = subplots(*size, len(prompts), len(guidances))
    for line, prompt, blocks in zip(axes, prompts, images):
        for ax, block in zip(line, blocks):
            show_image(ax, montage(block, len(block)))
        text = '\n'.join(textwrap.wrap(prompt, 34))
        line[0].set_ylabel(text, rotation=0, ha='right', va='center', fontsize=7)
    for ax, guidance in zip(axes[0], guidances):
        ax.set_title(f'guidance {guidance:g}')
    fig.suptitle(title, size=10)
    fig.alt = (
        f'{title or "Samples"} for {len(prompts)} prompts at guidance '
        f'{join_words(f"{g:g}" for g in guidances)}, {images.shape[2]} images each. Prompts, from top to '
        f'bottom: {join_words(map(repr, prompts))}.'
    )
    return fig


@styled
def gray_by_word(table):
    """Mean gray level of samples by the word of brightness in the prompt: columns variant, word, gray."""
    fig, ax = single_axes(5.5, 2.8)
    words, found = list(dict.fromkeys(table.word)), []
    for i, (variant, rows) in enumerate(table.groupby('variant', sort=False)):
        shift, tone = 0.14 * (i - 0.5), series_colour(i + 1)
        ax.scatter(rows.word.map(words.index) + shift, rows.gray, s=9, color=tone, alpha=0.5, lw=0)
        means = rows.groupby('word').gray.mean()[words]
        ax.plot(np.arange(len(words)) + shift, means, color=tone, ls=line_style(i), label=variant)
        found.append(f'{variant} {join_words(f"{m:.0f}" for m in means)}')
    ax.set(xlabel='word in the prompt', ylabel='mean gray level (0 to 255)', ylim=(0, 255))
    ax.set_xticks(range(len(words)), words)
    fig.legend(loc='outside upper center', ncols=2)
    fig.alt = f'Mean gray level of images for the words {join_words(words)}: {"; ".join(found)}.'
    return fig
