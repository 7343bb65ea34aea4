"""Figures of what was found: claims, the map, and what luck does to a hold-out."""

import textwrap

import numpy as np

from genmix.plots.style import listed, marker, new, shade

TONES = {'supported': '#0173b2', 'contradicted': '#d55e00', 'undecided': '#8a8a8a'}
HELP = {
    'higher': ('GenMix helps', '#0173b2', 'o'),
    'lower': ('GenMix hurts', '#d55e00', 's'),
    'undecided': ('nobody can tell', '#8a8a8a', 'o'),
}


def claim_strip(parts, most=6):
    """Every part of every claim (`claims.table`) on one axis: its difference in half-widths of its 95 % interval, to the right as claimed.

    Beyond one half-width it is decided.  Points farther out than `most` stand at the edge.
    """
    names = list(dict.fromkeys(parts.claim))
    labels = [
        textwrap.fill(name, 44)
        + ('\n(control)' if parts[parts.claim == name].of.iloc[0] == 'control' else '')
        for name in names
    ]
    fig, axes = new(8.2, 0.17 * sum(label.count('\n') + 1.7 for label in labels) + 0.9)
    ax, said = axes[0, 0], []
    for i, name in enumerate(names):
        own = parts[parts.claim == name]
        half = ((own.high - own.low) / 2).clip(lower=1e-12)
        x = (own['mean'] / half * np.where(own.expected == 'higher', 1, -1)).clip(-most, most)
        for j, (value, verdict) in enumerate(zip(x, own.verdict)):
            ax.plot(
                value,
                i + 0.3 * (j - (len(x) - 1) / 2) / max(len(x) - 1, 1),
                {'supported': 'o', 'contradicted': 's', 'undecided': 'o'}[verdict],
                ms=5.5,
                color=TONES[verdict],
                mfc='white' if verdict == 'undecided' else TONES[verdict],
                mew=1.2,
            )
        counts = own.verdict.value_counts()
        said.append(f'{name}: ' + listed(f'{n} {v}' for v, n in counts.items()))
    ax.axvspan(-1, 1, color='#eeeeee', zorder=0, lw=0)
    ax.axvline(0, color='k', lw=0.8, ls=':')
    for verdict, tone in TONES.items():
        ax.plot(
            [],
            [],
            's' if verdict == 'contradicted' else 'o',
            color=tone,
            mfc='white' if verdict == 'undecided' else tone,
            label=verdict,
        )
    ax.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=3)
    ax.set(
        yticks=range(len(names)),
        yticklabels=labels,
        ylim=(len(names) - 0.4, -0.6),
        xlim=(-most - 0.4, most + 0.4),
        xlabel='← against the claim      difference in half-widths of its 95 % interval      as claimed →',
    )
    fig.alt = f'Parts of {len(names)} claims, one point a difference, to the right as claimed, decided beyond one half-width of its interval. {"; ".join(said)}.'
    return fig


def two_runs(quick, long, order, test_set, metric='balanced_accuracy'):
    """A quick run beside the long one, arm by arm, with 95 % intervals: both arms.csv; arms in `order`."""
    fig, axes = new(7.6, 0.3 * len(order) + 1.3)
    ax, said = axes[0, 0], []
    for k, (name, table) in enumerate((('this run', quick), ('long run', long))):
        own = (
            table[
                (table.metric == metric) & (table.label.astype(str) == 'all') & (table.test_set == test_set)
            ]
            .set_index('arm')
            .reindex(order)
        )
        at = np.arange(len(order)) + (-0.16, 0.16)[k]
        ax.hlines(at, 100 * own.low, 100 * own.high, color=shade(k + 1), lw=1.6)
        ax.plot(100 * own['mean'], at, marker(k), ms=5, color=shade(k + 1), ls='', label=name)
        said.append(
            f'{name} {100 * own["mean"].min():.1f} to {100 * own["mean"].max():.1f} %, mean width of an interval {100 * (own.high - own.low).mean():.1f} points'
        )
    ax.set(
        yticks=range(len(order)),
        yticklabels=order,
        ylim=(len(order) - 0.5, -0.5),
        xlabel=f'{metric.replace("_", " ")} on the {test_set} [%], 95 % intervals over seeds and patients',
    )
    ax.grid(axis='x', lw=0.4, color='#dddddd')
    ax.legend(loc='upper left', bbox_to_anchor=(1, 1))
    fig.alt = (
        f'{metric.replace("_", " ").capitalize()} of {len(order)} arms on the {test_set}: {listed(said)}.'
    )
    return fig


def mixing_effects(table):
    """What mixing does to each synthetic set (`gain.gains`): KID, diversity, coverage of the set, of the heavier parents, of the mixtures."""
    own, metrics = table[table.label == 'all'], list(dict.fromkeys(table.metric))
    steps, generators = ('synthetic', 'unmixed', 'mixed'), list(dict.fromkeys(table.generator))
    fig, axes = new(3.3 * len(metrics), 3.1, 1, len(metrics))
    for ax, metric in zip(axes[0], metrics):
        for i, g in enumerate(generators):
            part = own[(own.generator == g) & (own.metric == metric)].set_index('step').loc[list(steps)]
            x = np.arange(len(steps)) + 0.07 * (i - (len(generators) - 1) / 2)
            ax.errorbar(
                x,
                part.value,
                [part.value - part.low, part.high - part.value],
                fmt=marker(i),
                ls='-',
                color=shade(i + 1),
                lw=1.2,
                ms=5,
                label=g,
            )
        ax.set(
            xticks=range(len(steps)),
            xticklabels=steps,
            ylabel={'kid': 'KID (0: like real)', 'diversity': 'diversity [share of real]'}.get(
                metric, metric
            ),
            ylim=(min(0, ax.get_ylim()[0]), None),
        )
    axes[0, -1].legend(loc='upper left', bbox_to_anchor=(1, 1), title=f'n = {own.n.min()} images a set')
    fig.alt = (
        'Sets before and after mixing, with 95 % intervals: '
        + listed(
            f'{g}, {metric} '
            + ' to '.join(
                f'{own[(own.generator == g) & (own.metric == metric) & (own.step == s)].value.iloc[0]:.2f}'
                for s in steps
            )
            for g in generators
            for metric in metrics
        )
        + '.'
    )
    return fig


def selection_error(table, patients=None):
    """What a single hold-out would have concluded, from `luck.holdouts`, against its size; a dotted line at a real hold-out of `patients`."""
    fig, axes = new(8.6, 3, 1, 2)
    shares = {'wrong_winner': 'names the wrong best arm', 'wrong_sign': 'reverses the order of two arms'}
    points = {
        'worst_gap': 'error of a difference, 90th percentile',
        'lost': 'lost by picking the wrong arm, mean',
    }
    for ax, (kinds, scale, ylabel) in zip(
        axes[0], ((shares, 100, 'share of studies [%]'), (points, 1, 'balanced accuracy [points]'))
    ):
        for i, (column, label) in enumerate(kinds.items()):
            ax.plot(
                table.patients,
                scale * table[column],
                marker(i),
                ls='-',
                color=shade(i + 1),
                label=label,
                lw=1.3,
            )
        if patients:
            ax.axvline(patients, color='k', lw=0.8, ls=':')
        ax.set(xscale='log', xlabel='patients in the hold-out', ylabel=ylabel, ylim=(0, None))
        ax.set_xticks(table.patients, table.patients)
        ax.minorticks_off()
        ax.legend(loc='upper center', bbox_to_anchor=(0.5, -0.24))
    fig.alt = (
        'What a single study would have concluded, against the number of patients in its hold-out: '
        + listed(
            f'{r.patients} patients, wrong winner in {r.wrong_winner:.0%}, order of two arms reversed in {r.wrong_sign:.0%}, {r.lost:.1f} points lost'
            for r in table.itertuples()
        )
        + '.'
    )
    return fig


def benefit_map(grids, choices, sets):
    """Where GenMix helps: GenMix - generator alone, and GenMix - classical, by scarcity and quality; then one choice at a time.

    grids    {title: table of `sweep.differences` over the question `map`}      choices   the same for the default and the others, with a column choice
    sets     sweep_sets.csv: what KID each quality reached
    """
    fractions = sorted({f for t in grids.values() for f in t.train_fraction})
    fig, axes = new(
        10.5,
        2.6 * len(grids) + 0.26 * len(choices) + 1.6,
        len(grids) + 1,
        len(fractions),
        sharey='row',
        gridspec_kw={'height_ratios': [2.6] * len(grids) + [0.26 * len(choices) + 0.9]},
    )
    kid = sets.groupby(['train_fraction', 'quality']).kid.mean()
    for i, (row, (title, table)) in enumerate(zip(axes, grids.items())):
        for ax, fraction in zip(row, fractions):
            own = table[table.train_fraction == fraction]
            x = np.arange(len(own))
            _points(ax, x, own, vertical=True)
            ax.set_xticks(x, [f'{q}\n{kid.get((fraction, q), np.nan):.1f}' for q in own.quality])
            ax.set_title(f'{fraction:.0%} of the training patients' if i == 0 else '', fontsize=9)
            if i == len(grids) - 1:
                ax.set_xlabel('generator: steps of fine-tuning, KID below')
        row[0].set_ylabel(f'{title}\n[points]')
    for ax in axes[-1, 1:]:
        ax.remove()
    axes[-1, 0].remove()
    ax = fig.add_subplot(axes[-1, 0].get_gridspec()[-1, :])
    _points(ax, np.arange(len(choices)), choices, vertical=False)
    ax.set(
        yticks=np.arange(len(choices)),
        yticklabels=choices.choice,
        ylim=(len(choices) - 0.4, -0.6),
        xlabel=f'{next(iter(grids))} [points], around the default one choice at a time',
    )
    handles = [
        ax.plot([], [], m, color=tone, mfc='white' if verdict == 'undecided' else tone, label=label)[0]
        for verdict, (label, tone, m) in HELP.items()
    ]
    fig.legend(handles=handles, loc='outside upper center', ncols=3)
    every = [
        (f'{title}, {r.train_fraction:.0%}, {r.quality}', r)
        for title, t in grids.items()
        for r in t.itertuples()
    ]
    counts = {v: sum(r.verdict == v for _, r in every) for v in HELP}
    best, worst = (pick(every, key=lambda item: item[1].mean) for pick in (max, min))
    fig.alt = (
        f'Differences in balanced accuracy on dev with 95 % intervals, {len(every)} cells of scarcity and quality: {counts["higher"]} where GenMix helps, {counts["lower"]} where it hurts, '
        f'{counts["undecided"]} where nobody can tell. Most: {best[0]} {100 * best[1].mean:+.1f}; least: {worst[0]} {100 * worst[1].mean:+.1f}. Below, {len(choices)} choices one at a time.'
    )
    return fig


def _points(ax, at, table, vertical):
    """Differences in points with intervals: filled where decided."""
    for i, r in zip(at, table.itertuples()):
        _, tone, m = HELP[r.verdict]
        bar, point = ([i, i], [100 * r.low, 100 * r.high]), ([i], [100 * r.mean])
        for xy, style in (
            (bar, {'ls': '-', 'lw': 1.5}),
            (
                point,
                {
                    'marker': m,
                    'ms': 6,
                    'mfc': 'white' if r.verdict == 'undecided' else tone,
                    'mew': 1.2,
                    'ls': '',
                },
            ),
        ):
            ax.plot(*(xy if vertical else xy[::-1]), color=tone, **style)
    (ax.axhline if vertical else ax.axvline)(0, color='k', lw=0.8, ls=':')
