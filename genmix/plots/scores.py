"""Figures of classifiers: training loss, scores, contrasts, confusion matrices."""

import numpy as np

from genmix.audit.intervals import t_quantile
from genmix.plots.style import (
    NAMED,
    displayed,
    generator_style,
    join_words,
    line_style,
    marker,
    shorten,
    single_axes,
    styled,
    subplots,
)


def count_range(counts):
    """'5', or '3 to 5' where the counts differ."""
    low, high = min(counts), max(counts)
    return f'{low:g}' if low == high else f'{low:g} to {high:g}'


@styled
def regime_curves(table, chosen_steps):
    """Balanced accuracy on dev against training steps; the chosen length is marked.

    table   columns arm, steps, seed, balanced_accuracy
    Bars are 95 % intervals of the mean over seeds (Student's t), shifted so that they do not overlap.  Arms
    without a generator are black, with markers of their own.
    """
    fig, ax = single_axes(6.4, 3)
    arms, found = list(table.arm.unique()), []
    for i, arm in enumerate(arms):
        part = table[table.arm == arm].groupby('steps').balanced_accuracy
        n, mean = part.size(), 100 * part.mean()
        half_width = 100 * part.std(ddof=1) / n**0.5 * t_quantile(0.975, n - 1)
        x = mean.index * 1.035 ** (i - (len(arms) - 1) / 2)
        own = NAMED.search(arm)
        style = generator_style(own[1] if own else '')
        line, sign = (style.line, style.marker) if own else (line_style(i), marker(i))
        look = {'color': style.colour, 'ls': line, 'marker': sign, 'ms': 4, 'capsize': 2}
        ax.errorbar(x, mean, half_width, label=displayed(arm), **look)
        found.append(f'{displayed(arm)} {mean.iloc[0]:.1f} and {mean.get(chosen_steps, mean.iloc[-1]):.1f} %')
    ax.axvline(chosen_steps, color='k', lw=0.8, ls=':', label='chosen length', zorder=0)
    seeds = count_range(table.groupby(['arm', 'steps']).size())
    ax.set(xlabel='optimiser steps', ylabel='balanced accuracy on dev [%]\n(higher is better)', xscale='log')
    ax.set_xticks(sorted(table.steps.unique()), sorted(table.steps.unique()))
    ax.minorticks_off()
    title = f'mean and 95 % interval\n(t, n = {seeds} classifiers)'
    ax.legend(loc='upper left', bbox_to_anchor=(1, 1), title=title)
    fig.alt = (
        f'Balanced accuracy on dev phantoms against {table.steps.min()} to {table.steps.max()} optimiser '
        f'steps, mean of {seeds} classifiers with 95 % intervals. At the fewest steps and at the chosen '
        f'{chosen_steps}: {join_words(found)}.'
    )
    return fig


@styled
def loss_curve(loss, floor, arm, window=25):
    """Training loss of one arm (steps,), its running mean, and `floor`, the entropy of its labels [nats]."""
    fig, ax = single_axes(7, 2.8)
    window = min(window, len(loss))
    smooth = np.convolve(loss, np.ones(window) / window, 'valid')
    ax.plot(np.arange(1, len(loss) + 1), loss, color='#bbbbbb', lw=0.7, label='each step')
    ax.plot(np.arange(len(smooth)) + window, smooth, color='k', lw=1.5, label=f'mean of the last {window}')
    ax.axhline(floor, color='k', lw=0.8, ls=':', label='entropy of the labels')
    ax.set(
        xlabel='training step', ylabel='soft-label cross entropy\n[nats] (lower is better)', ylim=(0, None)
    )
    ax.set_title(displayed(arm))
    ax.legend(loc='upper right')
    fig.alt = (
        f'Training loss of {displayed(arm)} over {len(loss)} steps, soft-label cross entropy in nats: '
        f'{loss[0]:.2f} at first, {smooth[-1]:.2f} on average over the last {window}; the entropy of the '
        f'labels is {floor:.2f}.'
    )
    return fig


@styled
def arm_points(metrics, order, metric='balanced_accuracy', rule='prior'):
    """Every classifier of the arms in `order` on each test set, a bar at their mean; from metrics.csv.

    In the colour and with the marker of its generator.
    """
    chosen = (metrics.metric == metric) & (metrics.label == 'all') & (metrics.rule == rule)
    table = metrics[chosen & metrics.arm.isin(order)]
    sets, name, found = list(table.test_set.unique()), metric.replace('_', ' '), []
    of = dict(zip(table.arm, table.generator)) if 'generator' in table else {}
    n = count_range(table.groupby(['arm', 'test_set']).size())
    fig, axes = subplots(4.6 * len(sets), 0.3 * len(order) + 1.1, 1, len(sets), sharey=True, sharex=True)
    for ax, test_set in zip(axes[0], sets):
        own = table[table.test_set == test_set]
        by_arm = {arm: 100 * part.value.to_numpy() for arm, part in own.groupby('arm')}
        for i, arm in enumerate(order):
            values = by_arm.get(arm, np.empty(0))
            y, mean = i + 0.12 * (np.arange(len(values)) % 3 - 1), values.mean() if len(values) else np.nan
            style = generator_style(of.get(arm, ''))
            ax.plot(values, y, style.marker, ms=4.5, color=style.colour, alpha=0.7, mew=0)
            ax.plot(mean, i, '|', ms=15, mew=2.2, color=style.colour)
        ax.set(xlabel=f'{name} [%] (higher is better)', title=test_set, ylim=(len(order) - 0.5, -0.5))
        ax.set_yticks(range(len(order)), [displayed(arm) for arm in order])
        ax.grid(axis='x', lw=0.4, color='#dddddd')
        means = {arm: values.mean() for arm, values in by_arm.items()}
        ends = (
            f'{means[pick(means, key=means.get)]:.1f} % ({pick(means, key=means.get)})' for pick in (min, max)
        )
        found.append(f'{test_set} from {" to ".join(ends)}')
    fig.supxlabel(f'one point per classifier (n = {n} per arm), bar: their mean', size=8.5)
    fig.alt = (
        f'{name.capitalize()} of {len(order)} arms, one point per classifier (n = {n} per arm), a bar at the '
        f'mean. Means: {"; ".join(found)}.'
    )
    return fig


@styled
def confusion(matrices, class_names):
    """Row-normalised confusion matrices, one panel per arm.

    matrices   {arm: counts (K, K)}; n is the number of predictions, lesions times classifiers
    """
    import seaborn as sns  # slow to import, and few figures need it

    side, names = max(2.3, 0.38 * len(class_names) + 0.3), shorten(class_names)  # a cell holds '100%'
    columns = min(int(10 // side), len(matrices)) or 1
    rows = -(-len(matrices) // columns)
    fig, axes = subplots(side * columns + 1.1, side * rows + 1.0, rows, columns, sharex=True, sharey=True)
    fig.get_layout_engine().set(h_pad=0.1)
    totals = [
        count_range(n) for n in np.stack([np.asarray(c).sum(1) for c in matrices.values()]).T
    ]  # per class
    rates = {arm: counts / np.maximum(counts.sum(1, keepdims=True), 1) for arm, counts in matrices.items()}
    look = {'vmin': 0, 'vmax': 1, 'cmap': 'Blues', 'annot': True, 'fmt': '.0%', 'cbar': False, 'square': True}
    labels = {'xticklabels': names, 'yticklabels': [f'{name}\nn = {n}' for name, n in zip(names, totals)]}
    for ax in axes.flat[len(matrices) :]:
        ax.axis('off')
    for ax, (arm, rate) in zip(axes.flat, rates.items()):
        sns.heatmap(rate, ax=ax, **look, **labels)
        ax.set_title(f'{displayed(arm)}\n({np.diag(rate).mean():.0%})', size=9)
        ax.tick_params('x', rotation=30 if len(names) < 5 else 90)
        ax.tick_params('y', rotation=0)
        ax.tick_params(length=0)
    fig.supylabel('true class (n predictions)', size=9)
    below = 'cells: share of the true class; in brackets: mean of the diagonal, the balanced accuracy'
    fig.supxlabel(f'predicted class; {below}', size=9)
    found = join_words(f'{arm} {np.diag(rate).mean():.0%}' for arm, rate in rates.items())
    fig.alt = (
        f'Confusion of {join_words(class_names)}, one panel per arm, shares of each true class '
        f'(n = {join_words(totals)} predictions). Mean of the diagonal: {found}.'
    )
    return fig
