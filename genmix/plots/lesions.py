"""Figures of lesions: sheets, counts, gray levels, training of a generator."""

import numpy as np

from genmix.data.images import montage
from genmix.plots.style import colour, dashes, listed, marker, new, shade, short, show


def pick(cohort, n, seed=0):
    """{class name: n random images} of a cohort, for a sheet."""
    rng = np.random.default_rng(seed)
    rows = {name: np.flatnonzero(cohort.labels == k) for k, name in enumerate(cohort.class_names)}
    return {name: cohort.images[rng.choice(r, min(n, len(r)), replace=False)] for name, r in rows.items()}


def sheet(groups, columns=14, scale=0.72):
    """A contact sheet: {title: images uint8 (n, H, W)} stacked below each other."""
    groups = {t: np.asarray(x) for t, x in groups.items() if len(x)}
    height = sum(-(-len(x) // columns) for x in groups.values()) * scale + 0.25 * len(groups)
    fig, axes = new(
        columns * scale, height, len(groups), height_ratios=[-(-len(x) // columns) for x in groups.values()]
    )
    for ax, (title, images) in zip(axes[:, 0], groups.items()):
        show(ax, montage(images, columns))
        ax.set_title(title, loc='left')
    fig.alt = (
        'A sheet of gray images, in groups from top to bottom: '
        + listed(f'{t} ({len(x)} images, mean gray level {x.mean():.0f} of 255)' for t, x in groups.items())
        + '.'
    )
    return fig


def pairs(cohort, rows):
    """Pairs of images that are most alike: rows (i, j, correlation) of a cohort, from `audit.nearest_pairs`, with class and correlation above."""
    fig, axes = new(max(1.75 * len(rows), 3), 1.35, 1, max(len(rows), 1))
    for ax, row in zip(axes[0], rows or [None]):
        if row is None:
            ax.set_axis_off()
            ax.set_title('no pair of different patients to show')
            continue
        i, j, value = row
        show(ax, montage(np.stack([cohort.images[i], cohort.images[j]]), 2))
        names = [short(cohort.class_names)[cohort.labels[k]] for k in (i, j)]
        ax.set_title(
            f'{value:.3f}\n' + (names[0] if names[0] == names[1] else f'{names[0]} | {names[1]}'), fontsize=8
        )
    alike = [f'{value:.3f}' for *_, value in rows]
    fig.alt = (
        f'The {len(rows)} pairs of images of different patients that are most alike, side by side; correlations {listed(alike)}.'
        if rows
        else 'No pair of images of different patients to show: there are 0.'
    )
    return fig


def class_counts(tables):
    """Bars of lesions per class: {title: Series by class}, one panel each."""
    fig, axes = new(2.9 * len(tables), 2.4, 1, len(tables))
    for ax, (title, counts) in zip(axes[0], tables.items()):
        bars = ax.barh(range(len(counts)), counts.to_numpy(), color=[colour(k) for k in range(len(counts))])
        ax.bar_label(bars, [f'{int(n)} ({n / max(counts.sum(), 1):.0%})' for n in counts], padding=3)
        ax.set(
            yticks=range(len(counts)),
            yticklabels=short(list(counts.index)),
            title=f'{title} (n = {int(counts.sum())})',
            xlabel='number of lesions',
            xlim=(0, max(counts.max(), 1) * 1.4),
        )
        ax.invert_yaxis()
    fig.alt = (
        'Bars of lesions per class. '
        + '; '.join(
            f'{title}: {listed(f"{int(n)} {name}" for name, n in counts.items())}'
            for title, counts in tables.items()
        )
        + '.'
    )
    return fig


def histograms(cohort, sizes=None):
    """Gray levels by class, and lesion diameters where they are known (Series by lesion, mm)."""
    fig, axes = new(9, 2.8, 1, 1 if sizes is None else 2)
    grays, below = [], []
    for k, (name, label) in enumerate(zip(cohort.class_names, short(cohort.class_names))):
        mine = cohort.labels == k
        look = {
            'color': colour(k),
            'ls': dashes(k),
            'lw': 1.4,
            'label': f'{label} (n = {mine.sum()} lesions)',
        }
        gray = cohort.images[mine].ravel()
        axes[0, 0].hist(gray, 64, (0, 256), density=True, histtype='step', **look)
        if len(gray):
            grays.append(f'{np.median(gray):.0f} for {name}')
        if sizes is not None and len(known := np.asarray(sizes, float)[mine & np.isfinite(sizes)]):
            axes[0, 1].ecdf(known, **look)
            below.append(f'{np.median(known):.0f} mm for {name}')
    axes[0, 0].set(xlabel='gray level (0 black, 255 white)', ylabel='density of pixels\n[per gray level]')
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc='outside upper center', ncols=3)
    fig.alt = f'Density of gray levels, one line a class, from 0 to 255: medians {listed(grays)}.'
    if sizes is not None:
        axes[0, 1].set(
            xlabel='diameter [mm]', ylabel='share of lesions\nof at most this diameter', xscale='log'
        )
        axes[0, 1].set_xticks([6, 10, 20, 40, 70], [6, 10, 20, 40, 70])
        axes[0, 1].minorticks_off()
        fig.alt += f' Beside it the cumulative share of lesions by diameter: medians {listed(below)}.'
    return fig


def holdout_precision(n_small, n_large, name, truth=0.7):
    """How far a measured sensitivity may lie from the true one: exact binomial 95 % ranges for two test set sizes."""
    from scipy.stats import binom

    fig, axes = new(6, 2.8)
    ax, ranges = axes[0, 0], []
    for i, n in enumerate((n_small, n_large)):
        share, density = np.arange(n + 1) / n, binom.pmf(np.arange(n + 1), n, truth) * n
        low, high = binom.ppf([0.025, 0.975], n, truth) / n
        ranges.append(f'[{low:.2f}, {high:.2f}] with {n}')
        ax.plot(
            share,
            density,
            color=shade(i + 1),
            ls=dashes(i),
            drawstyle='steps-mid',
            label=f'n = {n} lesions ({name}): 95 % within [{low:.2f}, {high:.2f}]',
        )
        ax.fill_between(
            share,
            density,
            where=(share >= low) & (share <= high),
            step='mid',
            color=shade(i + 1),
            alpha=0.2,
            lw=0,
        )
    ax.axvline(truth, color='k', lw=0.8, ls=':')
    ax.set(
        xlabel=f'measured sensitivity when the true one is {truth:.2f}',
        ylabel='density (each area is 1)',
        yticks=[],
        ylim=(0, None),
    )
    fig.legend(loc='outside upper center')
    fig.alt = (
        f'Where a measured sensitivity for {name} may lie when the true one is {truth:.2f}: two binomial densities over 0 to 1, '
        f'95 % of studies within {listed(f"{r} lesions" for r in ranges)}.'
    )
    return fig


def training_curves(log, class_names, title=''):
    """Losses and the collapse measure through training, from a generator's train_log."""
    fig, axes = new(9, 3, 1, 2)
    for i, (column, name) in enumerate((('critic_loss', 'critic'), ('generator_loss', 'generator'))):
        axes[0, 0].plot(log.step, log[column], color=shade(2 * i), ls=dashes(i), label=name)
    axes[0, 0].set(xlabel='training step', ylabel='loss')
    ends = []
    for k, (name, label) in enumerate(zip(class_names, short(class_names))):
        if f'spread_{k}' in log:
            spread = log[f'spread_{k}']
            axes[0, 1].plot(
                log.step,
                spread,
                color=colour(k),
                ls=dashes(k),
                marker=marker(k),
                ms=3.5,
                markevery=max(len(log) // 10, 1),
                label=label,
            )
            ends.append(f'{spread.iloc[-1]:.2f} for {name}')
    axes[0, 1].axhline(1, color='k', lw=0.8, ls=':')
    axes[0, 1].set(
        xlabel='training step', ylabel='spread within class\n(1 = as varied as real)', ylim=(0, 1.3)
    )
    for ax in axes[0]:
        ax.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=3)
    fig.suptitle(title, size=10)
    fig.alt = (
        f'Training curves{f" of {title}" if title else ""}, up to step {int(log.step.iloc[-1])}. '
        f'Left, the losses: {log.critic_loss.mean():.2f} for the critic and {log.generator_loss.mean():.2f} for the generator on average. '
        f'Right, the spread of images within a class, 1 being as varied as real: '
        f'at the end {listed(ends)}.'
    )
    return fig


def filmstrip(sheets, class_names, steps):
    """Samples of fixed z through training: uint8 (T, K, n, H, W); one row a moment, one block a class."""
    fig, axes = new(10.5, 0.46 * len(sheets) + 0.3, len(sheets), len(class_names))
    for t, row in enumerate(axes):
        for k, ax in enumerate(row):
            show(ax, montage(sheets[t, k], len(sheets[t, k])))
            if t == 0:
                ax.set_title(short(class_names)[k])
            if k == 0:
                ax.set_ylabel(f'step {steps[t]}', rotation=0, ha='right', va='center')
    differ = (
        np.asarray(sheets, np.float32).std(2).mean((-1, -2))
    )  # (T, K): how much the images of a block differ, in gray levels
    fig.alt = (
        f'{len(sheets[0][0])} samples a class at training steps {listed(steps)}, one row a moment, from the same noise each time. '
        f'The images of a class differ among themselves by a standard deviation that goes '
        + listed(f'from {a:.0f} to {b:.0f} for {n}' for a, b, n in zip(differ[0], differ[-1], class_names))
        + ' gray levels.'
    )
    return fig
