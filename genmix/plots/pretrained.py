"""Figures of the base model: what it was shown, what its autoencoder keeps, how it was trained, what it draws for a prompt."""

import textwrap

import numpy as np

from genmix.data.images import montage
from genmix.plots.style import dashes, listed, new, shade, show


def captioned(images, captions, columns=8, letters=24):
    """Images uint8 (n, H, W), each above its caption."""
    rows = -(-len(images) // columns)
    fig, axes = new(1.25 * columns, 1.95 * rows, rows, columns)
    for ax, image, caption in zip(axes.flat, images, captions):
        show(ax, image)
        ax.set_xlabel('\n'.join(textwrap.wrap(caption, letters)), fontsize=6)
    for ax in axes.flat[len(images) :]:
        ax.axis('off')
    fig.alt = (
        f'{len(images)} gray images, each above its caption, such as {listed(repr(c) for c in captions[:3])}.'
    )
    return fig


def base_curves(logs):
    """Training losses, one panel each: {title: table with columns step and loss}."""
    fig, axes = new(3.2 * len(logs), 2.6, 1, len(logs))
    for i, (ax, (title, log)) in enumerate(zip(axes[0], logs.items())):
        ax.plot(log.step, log.loss, color=shade(i + 1), lw=1.2)
        ax.set(
            title=title,
            xlabel='training step',
            ylabel='loss of reconstruction' if title == 'autoencoder' else 'loss',
        )
        ax.set_ylim(np.nanmin(log.loss) * 0.95, np.nanquantile(log.loss, 0.97) * 1.05)
    ends = (
        f'{title} from {log.loss.iloc[0]:.3f} to {log.loss.iloc[-1]:.3f} in {int(log.step.iloc[-1])} steps'
        for title, log in logs.items()
    )
    fig.alt = f'Training losses: {listed(ends)}.'
    return fig


def reconstructions(pairs, n=12):
    """What comes back from the autoencoder: {title: (originals, reconstructions)}, both uint8 (n, H, W), originals above."""
    fig, axes = new(0.85 * n, 2.0 * len(pairs), len(pairs))
    for ax, (title, (before, after)) in zip(axes[:, 0], pairs.items()):
        show(ax, montage(np.concatenate([before[:n], after[:n]]), min(n, len(before))))
        ax.set_title(f'{title}: above as it was, below as it came back', loc='left')
    errors = (f'{title} {np.abs(b.astype(float) - a).mean():.1f}' for title, (b, a) in pairs.items())
    fig.alt = (
        f'Images above, their reconstructions below. Mean difference in gray levels of 255: {listed(errors)}.'
    )
    return fig


def power(images):
    """Mean power spectrum of images uint8 (n, H, W) by spatial frequency: centres of the bands in cycles per pixel, power in gray levels squared."""
    x = images.astype(float)
    size = x.shape[-1]
    window = np.hanning(size)[:, None] * np.hanning(size)
    spectrum = (np.abs(np.fft.fft2((x - x.mean((1, 2), keepdims=True)) * window)) ** 2).mean(0) / (
        window**2
    ).sum()
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    edges = np.linspace(1.5 / size, 0.5, 13)
    inside = [spectrum[(radius >= a) & (radius < b)] for a, b in zip(edges, edges[1:])]
    return (edges[1:] + edges[:-1]) / 2, np.array([band.mean() if band.size else np.nan for band in inside])


def kept_power(pairs):
    """Share of the power that a reconstruction keeps, by spatial frequency: {title: (originals, reconstructions)}."""
    fig, axes = new(5.5, 2.8)
    ax, said = axes[0, 0], []
    for i, (title, (before, after)) in enumerate(pairs.items()):
        frequency, original = power(before)
        share = power(after)[1] / original
        ax.plot(frequency, share, color=shade(i + 1), ls=dashes(i), label=title)
        said.append(
            f'{np.nanmean(share[frequency < 0.1]):.0%} below 0.1 and {np.nanmean(share[frequency > 0.25]):.0%} above 0.25 for {title}'
        )
    ax.axhline(1, color='k', lw=0.8, ls=':')
    ax.set(xlabel='spatial frequency [cycles per pixel]', ylabel='power after / before', ylim=(0, None))
    fig.legend(loc='outside upper center', ncols=len(pairs))
    fig.alt = f'Share of the power that comes back from the autoencoder, by spatial frequency in cycles per pixel: {listed(said)}.'
    return fig


def prompt_sheet(images, prompts, guidances, title=''):
    """What prompts give: images uint8 (prompts, guidances, n, H, W); one row a prompt, one block a guidance value."""
    fig, axes = new(
        2.2 + 0.62 * images.shape[1] * images.shape[2],
        0.68 * len(prompts) + 0.4,
        len(prompts),
        len(guidances),
    )
    for i, prompt in enumerate(prompts):
        for j, guidance in enumerate(guidances):
            show(axes[i, j], montage(images[i, j], images.shape[2]))
            if i == 0:
                axes[i, j].set_title(f'guidance {guidance:g}')
        axes[i, 0].set_ylabel(
            '\n'.join(textwrap.wrap(prompt, 34)), rotation=0, ha='right', va='center', fontsize=7
        )
    fig.suptitle(title, size=10)
    fig.alt = (
        f'{title or "Samples"} for {len(prompts)} prompts at guidance {listed(f"{g:g}" for g in guidances)}, {images.shape[2]} images each. '
        f'Prompts, from top to bottom: {listed(map(repr, prompts))}.'
    )
    return fig


def tones_drawn(table):
    """Does a word of tone do what it says? A table with columns variant, word, gray (mean gray level of one image)."""
    fig, axes = new(5.5, 2.8)
    ax, words, said = axes[0, 0], list(dict.fromkeys(table.word)), []
    for i, (variant, rows) in enumerate(table.groupby('variant', sort=False)):
        x = rows.word.map(words.index) + 0.14 * (i - 0.5)
        ax.scatter(x, rows.gray, s=9, color=shade(i + 1), alpha=0.5, lw=0)
        means = rows.groupby('word').gray.mean()[words]
        ax.plot(
            np.arange(len(words)) + 0.14 * (i - 0.5), means, color=shade(i + 1), ls=dashes(i), label=variant
        )
        said.append(f'{variant} {listed(f"{m:.0f}" for m in means)}')
    ax.set(
        xticks=range(len(words)),
        xticklabels=words,
        ylabel='mean gray level (0 to 255)',
        ylim=(0, 255),
        xlabel='word asked for',
    )
    fig.legend(loc='outside upper center', ncols=2)
    fig.alt = f'Mean gray level of images for the words {listed(words)}: {"; ".join(said)}.'
    return fig
