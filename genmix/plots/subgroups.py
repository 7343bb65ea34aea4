"""Figures of what reviewers ask for: performance in groups of lesions, failures, and more noise."""

import numpy as np

from genmix.plots.style import (
    class_colour,
    displayed,
    generator_style,
    join_words,
    marker,
    series_colour,
    shorten,
    show_image,
    single_axes,
    styled,
    subplots,
)
from genmix.results.metrics import PRIMARY


@styled
def subgroup_scores(table, arms, title=''):
    """Balanced accuracy of some arms in each group of lesions, a panel a column of the manifest.

    table   rows of `results.subgroups`, of which the primary metric is shown; bars are 95 % intervals
    arms    mixing.arms.Arm each: in the style of its generator, hollow where images are mixed
    """
    names = [arm.name for arm in arms]
    own = table[(table.metric == PRIMARY) & table.arm.isin(names)]
    panels = {by: list(dict.fromkeys(part.group)) for by, part in own.groupby('by', sort=False)}
    counts = [len(groups) for groups in panels.values()]
    fig, axes = subplots(
        8.4, 0.36 * sum(counts) + 0.34 * len(counts) + 0.9, len(counts), 1, height_ratios=counts, sharex=True
    )
    for ax, (by, groups) in zip(axes[:, 0], panels.items()):
        part, sizes = own[own.by == by], []
        for i, arm in enumerate(arms):
            rows = part[part.arm == arm.name].set_index('group').loc[groups]
            y = np.arange(len(groups)) + min(0.2, 0.7 / len(arms)) * (i - (len(arms) - 1) / 2)
            mean, ends = 100 * rows['mean'].to_numpy(), 100 * rows[['low', 'high']].clip(0, 1).to_numpy().T
            style = generator_style(arm.generator)
            look = {'color': style.colour, 'marker': style.marker, 'ms': 4.5, 'ls': '', 'elinewidth': 1.2}
            look |= {'mfc': 'white'} if arm.rule else {}
            ax.errorbar(mean, y, xerr=np.nan_to_num(np.abs(ends - mean)), label=displayed(arm.name), **look)
            sizes = rows.lesions
        ax.set_yticks(range(len(groups)), [f'{g} (n = {n})' for g, n in zip(groups, sizes)])
        ax.set(ylim=(len(groups) - 0.5, -0.5))
        ax.grid(axis='x', lw=0.4, color='#dddddd')
        if by not in groups:
            ax.set_title(f'by {by}', loc='left', size=9)
    axes[-1, 0].set_xlabel('balanced accuracy; sensitivity in a group of one class [%], 95 % interval')
    handles = axes[0, 0].get_legend_handles_labels()
    fig.legend(*handles, loc='outside right upper', title=title or None)
    last = own[own.arm == names[-1]].itertuples()
    found = join_words(f'{r.group} {100 * r.mean:.0f}' for r in last)
    fig.alt = (
        f'Balanced accuracy in per cent of {join_words(map(displayed, names))} in {sum(counts)} groups of '
        f'lesions. {displayed(names[-1])}: {found}.'
    )
    return fig


@styled
def failure_gallery(images, failures, class_names, notes, columns=6):
    """Lesions that classifiers get wrong, framed in the colour of their true class; texts above and below.

    images     uint8 (n, H, W)      failures   n rows of `results.failures.failures`
    notes      n texts, such as size and slice thickness; '' where unknown
    """
    rows, names = max(-(-len(images) // columns), 1), shorten(class_names)
    fig, axes = subplots(1.6 * columns, 2.2 * rows, rows, columns)
    for ax in axes.flat[len(images) :]:
        ax.axis('off')
    if not len(images):
        axes[0, 0].set_title('no lesion that a classifier gets wrong', loc='left')
    for ax, image, r, note in zip(axes.flat, images, failures.itertuples(), notes):
        show_image(ax, image)
        ax.spines[:].set(visible=True, color=class_colour(r.label), linewidth=2.5)
        ax.set_title(f'{names[r.label]}\n→ {names[r.predicted]}', size=8.5)
        runs = round(r.share * r.runs)
        ax.set_xlabel(f'{note}\n{runs} of {r.runs}, {r.confidence:.0%}'.strip(), size=8)
    pairs = failures.groupby(['label', 'predicted']).size().sort_values(ascending=False)
    found = join_words(f'{n} {class_names[a]} named {class_names[b]}' for (a, b), n in pairs.items())
    fig.alt = (
        f'{len(images)} lesions that classifiers get wrong most confidently, each with its true and its '
        f'predicted class: {found}.'
    )
    return fig


@styled
def noise_scores(table):
    """Balanced accuracy of each arm at each noise of the scanner: points are dev cohorts, bars their means.

    table   measured/noise.csv
    """
    arms, noises, found = list(dict.fromkeys(table.arm)), sorted(table.noise.unique()), []
    fig, ax = single_axes(6.8, 0.42 * len(arms) + 1.2)
    for k, noise in enumerate(noises):
        own = table[table.noise == noise]
        for i, arm in enumerate(arms):
            values = 100 * own[own.arm == arm].balanced_accuracy.to_numpy()
            y, label = i + 0.3 * (k - (len(noises) - 1) / 2), None if i else f'noise x {noise:g}'
            look = {'color': series_colour(k + 1), 'alpha': 0.7, 'ms': 4, 'ls': ''}
            ax.plot(values, np.full(len(values), y), marker(k), label=label, **look)
            ax.plot(values.mean(), y, '|', ms=13, mew=2, color=series_colour(k + 1))
        means = own.groupby('arm', sort=False).balanced_accuracy.mean()
        found.append(f'noise x {noise:g}, {join_words(f"{a} {100 * m:.1f}" for a, m in means.items())}')
    ax.set_yticks(range(len(arms)), [displayed(arm) for arm in arms])
    ax.set(ylim=(len(arms) - 0.5, -0.5), xlabel='balanced accuracy on dev [%], one point per cohort')
    ax.grid(axis='x', lw=0.4, color='#dddddd')
    ax.legend(loc='upper left', bbox_to_anchor=(1, 1))
    fig.alt = (
        f'Balanced accuracy in {table.cohort.nunique()} dev cohorts, means in per cent: {"; ".join(found)}.'
    )
    return fig
