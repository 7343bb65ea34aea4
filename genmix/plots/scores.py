"""Figures of classifiers: how they learned, how they score, what differs."""

import textwrap

import numpy as np
import seaborn as sns
from scipy import stats

from genmix.plots.style import dashes, listed, marker, new, shade, short
from genmix.results.contrasts import format_p


def unbroken(text):
    return text.replace(' ', '\u00a0')


def of(counts):
    """'5', or '3 to 5' where the counts differ."""
    low, high = min(counts), max(counts)
    return f'{low:g}' if low == high else f'{low:g} to {high:g}'


def regime_curves(table, chosen_steps):
    """Balanced accuracy on dev against training steps: columns arm, steps, seed, balanced_accuracy; the chosen length is marked.

    Bars are 95 % intervals of the mean over seeds (Student's t); arms stand a little apart so that bars do not hide each other.
    """
    fig, axes = new(6.4, 3)
    ax, arms, said = axes[0, 0], list(table.arm.unique()), []
    for i, arm in enumerate(arms):
        part = table[table.arm == arm].groupby('steps').balanced_accuracy
        n, mean = part.size(), 100 * part.mean()
        half = 100 * part.std(ddof=1) / n**0.5 * stats.t.ppf(0.975, n - 1)
        ax.errorbar(
            mean.index * 1.035 ** (i - (len(arms) - 1) / 2),
            mean,
            half,
            marker=marker(i),
            ms=4,
            capsize=2,
            label=arm,
            color=shade(i),
            ls=dashes(i),
        )
        said.append(f'{arm} {mean.iloc[0]:.1f} and {mean.get(chosen_steps, mean.iloc[-1]):.1f} %')
    ax.axvline(chosen_steps, color='k', lw=0.8, ls=':', label='chosen length', zorder=0)
    seeds = of(table.groupby(['arm', 'steps']).size())
    ax.set(xlabel='optimiser steps', ylabel='balanced accuracy on dev [%]', xscale='log')
    ax.set_xticks(sorted(table.steps.unique()), sorted(table.steps.unique()))
    ax.minorticks_off()
    ax.legend(
        loc='upper left', bbox_to_anchor=(1, 1), title=f'mean and 95 % interval\n(t, n = {seeds} classifiers)'
    )
    fig.alt = (
        f'Balanced accuracy on dev phantoms against {table.steps.min()} to {table.steps.max()} optimiser steps, '
        f'mean of {seeds} classifiers with 95 % intervals. At the fewest steps and at the chosen {chosen_steps}: {listed(said)}.'
    )
    return fig


def loss_curves(losses, window=25):
    """Training loss of each arm, {arm: loss (steps,)}, as a running mean: one panel a kind of mixing, since losses compare within a kind only."""

    def kind(arm):
        return 2 if arm.startswith('genmix-') else 1 if 'mixup' in arm else 0

    def source(arm):
        return {'mixup': 'classical', 'oversample-mixup': 'oversample'}.get(
            arm, arm.removeprefix('genmix-').removeprefix('mixup-')
        )

    kinds, sources = sorted({kind(a) for a in losses}), list(dict.fromkeys(map(source, losses)))
    lines = max(sum(kind(a) == one for a in losses) for one in kinds)
    fig, axes = new(3.1 * len(kinds) + 0.6, 2.6 + 0.2 * lines, 1, len(kinds), sharey=True)
    for ax, one in zip(axes[0], kinds):
        for arm in (a for a in losses if kind(a) == one):
            smooth, i = (
                np.convolve(losses[arm], np.ones(window) / window, 'valid'),
                sources.index(source(arm)),
            )
            ax.plot(np.arange(len(smooth)) + window, smooth, label=arm, color=shade(i), ls=dashes(i), lw=1.2)
        ax.set(
            xlabel=f'training step (mean of the last {window})',
            title=('images as they are', 'mixup', 'GenMix')[one],
        )
        ax.legend(loc='upper center', bbox_to_anchor=(0.5, -0.25))
    axes[0, 0].set(ylabel='soft-label cross entropy [nats]', ylim=(0, None))
    fig.alt = (
        f'Training loss of {len(losses)} arms, soft-label cross entropy in nats, one panel for each kind of mixing. Mean over the last {window} steps: '
        + listed(f'{arm} {np.mean(loss[-window:]):.2f}' for arm, loss in losses.items())
        + '.'
    )
    return fig


def arm_points(metrics, order, metric='balanced_accuracy'):
    """Every run of the arms in `order` on each test set: one point a classifier, a bar at the mean; from metrics.csv."""
    table = metrics[(metrics.metric == metric) & (metrics.label == 'all') & metrics.arm.isin(order)].assign(
        value=lambda t: 100 * t.value
    )
    sets, name, said = list(table.test_set.unique()), metric.replace('_', ' '), []
    runs = of(table.groupby(['arm', 'test_set']).size())
    fig, axes = new(4.6 * len(sets), 0.3 * len(order) + 1.1, 1, len(sets), sharey=True, sharex=True)
    for ax, test_set in zip(axes[0], sets):
        by_arm = {
            arm: part.value.to_numpy() for arm, part in table[table.test_set == test_set].groupby('arm')
        }
        for i, arm in enumerate(order):
            values = by_arm.get(arm, np.empty(0))
            ax.plot(
                values,
                i + 0.12 * (np.arange(len(values)) % 3 - 1),
                'o',
                ms=4,
                color='#777777',
                alpha=0.7,
                mew=0,
            )
            ax.plot(values.mean() if len(values) else np.nan, i, '|', ms=15, mew=2.2, color='#000000')
        ax.set(
            xlabel=f'{name} [%]',
            title=test_set,
            yticks=range(len(order)),
            yticklabels=order,
            ylim=(len(order) - 0.5, -0.5),
        )
        ax.grid(axis='x', lw=0.4, color='#dddddd')
        means = {arm: v.mean() for arm, v in by_arm.items()}
        said.append(
            f'{test_set} from {min(means.values()):.1f} % ({min(means, key=means.get)}) to {max(means.values()):.1f} % ({max(means, key=means.get)})'
        )
    fig.supxlabel(f'one point a classifier (n = {runs} an arm), bar: their mean', size=8.5)
    fig.alt = f'{name.capitalize()} of {len(order)} arms, one point a trained classifier (n = {runs} an arm), a bar at the mean. Means: {"; ".join(said)}.'
    return fig


def forest(table, title=''):
    """Contrasts as a forest plot: rows of contrasts.csv; differences in percentage points with 95 % intervals.

    A filled point is decided, an open one is not.
    """
    name, n = table.metric.iloc[0].replace('_', ' '), of(table.n)
    labels = [
        textwrap.fill(f'{r.a} − {r.b} ({r.verdict}, {unbroken(format_p(r.p))})', 56, break_on_hyphens=False)
        for r in table.itertuples()
    ]
    fig, axes = new(7.8, 0.3 * sum(label.count('\n') + 1.2 for label in labels) + 1.2)
    ax = axes[0, 0]
    for i, row in enumerate(table.itertuples()):
        decided = row.verdict != 'undecided'
        tone = '#000000' if decided else '#6b6b6b'
        ax.plot([100 * row.low, 100 * row.high], [i, i], color=tone, lw=2.2 if decided else 1.3, zorder=2)
        ax.plot(
            100 * row.mean, i, 'o', ms=6.5, color=tone, mfc=tone if decided else 'white', mew=1.3, zorder=3
        )
    ax.axvline(0, color='k', lw=0.8, ls=':')
    ax.set(
        yticks=range(len(table)),
        yticklabels=labels,
        title=title,
        xlabel=f'difference in {name} [percentage points]\n95 % interval (n = {n} classifiers an arm);\n'
        'decided (filled): the interval leaves out zero, and p after Holm < 0.05',
        ylim=(len(table) - 0.4, -0.6),
    )
    largest = sorted(table.itertuples(), key=lambda r: -abs(r.mean))[:3]
    fig.alt = (
        f'Forest plot{f", {title}" if title else ""}: differences in {name} with 95 % intervals, in percentage points, '
        f'{(table.verdict != "undecided").sum()} of {len(table)} decided. {"The largest" if len(table) > 3 else "They are"}: '
        + listed(
            f'{r.a} minus {r.b} {100 * r.mean:+.1f} [{100 * r.low:+.1f}, {100 * r.high:+.1f}] ({r.verdict})'
            for r in largest
        )
        + '.'
    )
    return fig


def confusion(matrices, class_names):
    """Row-normalised confusion matrices, one panel an arm: {arm: counts (K, K)}; n is the number of answers, lesions times classifiers."""
    side, names = max(2.3, 0.38 * len(class_names) + 0.3), short(class_names)  # a cell holds '100%'
    columns = min(int(10 // side), len(matrices)) or 1
    rows = -(-len(matrices) // columns)
    fig, axes = new(side * columns + 1.1, side * rows + 0.9, rows, columns, sharex=True, sharey=True)
    fig.get_layout_engine().set(h_pad=0.1)
    totals = np.stack([np.asarray(c).sum(1) for c in matrices.values()])  # (arms, K)
    for ax in axes.flat[len(matrices) :]:
        ax.axis('off')
    for ax, (arm, counts) in zip(axes.flat, matrices.items()):
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        sns.heatmap(
            share,
            ax=ax,
            vmin=0,
            vmax=1,
            cmap='Blues',
            annot=True,
            fmt='.0%',
            cbar=False,
            square=True,
            xticklabels=names,
            yticklabels=[f'{name}\nn = {of(n)}' for name, n in zip(names, totals.T)],
        )
        ax.set_title(f'{arm} ({np.diag(share).mean():.0%})')
        ax.tick_params('x', rotation=30 if len(names) < 5 else 90)
        ax.tick_params('y', rotation=0)
        ax.tick_params(length=0)
    fig.supylabel('true class (n answers)', size=9)
    fig.supxlabel(
        'predicted class; cells: share of the true class; in brackets: mean of the diagonal, the balanced accuracy',
        size=9,
    )
    fig.alt = (
        f'Confusion of {listed(class_names)}, one panel an arm, shares of each true class (n = {listed(of(n) for n in totals.T)} answers). '
        'Mean of the diagonal: '
        + listed(f'{arm} {np.mean(np.diag(c) / np.maximum(c.sum(1), 1)):.0%}' for arm, c in matrices.items())
        + '.'
    )
    return fig
