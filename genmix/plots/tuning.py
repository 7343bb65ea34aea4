"""Figures of the dev cohorts: how each method was tuned, and what more lesions do for each generator."""

import pandas as pd

from genmix.mixing.arms import dose_in_words
from genmix.plots.style import join_words, line_style, marker, series_colour, styled, subplots
from genmix.results.contrasts import METHODS, SETTING

TITLES = {'genmix': 'GenMix', 'synthetic': 'generator alone', 'none': 'no generator'}
CURVES = {
    'tstr': 'TSTR: balanced accuracy',
    'coverage': 'coverage',
    'kid': 'KID (lower is better)',
    'diversity': 'diversity, share of real',
}


@styled
def tuning_curves(table):
    """Balanced accuracy of every setting of each method, a panel a method, a line a length of training.

    table   measured/tuning.csv; points are dev cohorts, means over generators, lines their means
    """
    shown = [name for name, kinds in METHODS.items() if table.method.isin(kinds).any()]
    fig, axes = subplots(3.1 * len(shown) + 0.4, 3.3, 1, len(shown), sharey=True)
    found, lengths = [], sorted(table.steps.unique())
    for ax, name in zip(axes[0], shown):
        own = table[table.method.isin(METHODS[name])]
        cohorts = (
            own.groupby([*SETTING, 'cohort'], sort=False).balanced_accuracy.mean().mul(100).reset_index()
        )
        places = {setting: x for x, setting in enumerate(dict.fromkeys(map(_place, cohorts.itertuples())))}
        for i, steps in enumerate(lengths):
            rows = [r for r in cohorts.itertuples() if r.steps == steps]
            colour, x = series_colour(i), [places[_place(r)] + 0.1 * (2 * i - 1) for r in rows]
            ax.plot(x, [r.balanced_accuracy for r in rows], marker(i), ms=3.5, color=colour, alpha=0.5)
            means = cohorts[cohorts.steps == steps].groupby(SETTING, sort=False).balanced_accuracy.mean()
            at = [places[_place(r)] for r in means.reset_index().itertuples()]
            ax.plot(at, means, ls=line_style(i), color=colour, lw=1.4, label=f'{steps} steps')
        best = cohorts.groupby(SETTING, sort=False).balanced_accuracy.mean()
        first = pd.Series(best.idxmax(), SETTING)
        found.append(f'{TITLES[name]} {best.max():.1f} ({_place(first)}, {first.steps} steps)')
        ax.set_xticks(range(len(places)), places, rotation=35, ha='right')
        ax.set_title(TITLES[name])
    axes[0, 0].set_ylabel('balanced accuracy on dev [%]')
    axes[0, -1].legend(loc='upper left', bbox_to_anchor=(1, 1))
    fig.alt = (
        f'Balanced accuracy on dev of every setting of {len(shown)} methods, {table.cohort.nunique()} '
        f'cohorts each. Highest means: {join_words(found)}.'
    )
    return fig


def _place(row):
    """Where a setting stands on the axis: what is tuned beside the length."""
    first = f'dose {dose_in_words(row.dose)}' if row.dose else row.method
    return f'{first}, {row.balance}'


@styled
def data_size_curves(table):
    """What each generator makes of more training lesions: a panel a metric, a line a generator.

    table   measured/data_size.csv; points are dev cohorts, lines their means
    """
    shown = [name for name in CURVES if name in table]
    fig, axes = subplots(2.6 * len(shown) + 1.2, 2.9, 1, len(shown))
    for ax, metric in zip(axes[0], shown):
        for i, (name, own) in enumerate(table.groupby('generator', sort=False)):
            means = own.groupby('train_fraction')[['lesions', metric]].mean()
            ax.plot(own.lesions, own[metric], marker(i), ms=3.5, color=series_colour(i), alpha=0.5)
            ax.plot(means.lesions, means[metric], ls=line_style(i), color=series_colour(i), label=name)
        ax.set(xscale='log', xlabel='training lesions', title=CURVES[metric])
        ticks = table.groupby('train_fraction').lesions.mean().round().astype(int)
        ax.set_xticks(ticks, ticks)
        ax.minorticks_off()
    axes[0, -1].legend(loc='upper left', bbox_to_anchor=(1, 1))
    ends = table.groupby(['generator', 'train_fraction'], sort=False)[shown[0]].mean()
    found = (
        f'{name} {own.iloc[0]:.2f} to {own.iloc[-1]:.2f}'
        for name, own in ends.sort_index().groupby(level=0, sort=False)
    )
    fig.alt = (
        f'Metrics of synthetic sets by the number of training lesions, {table.cohort.nunique()} cohorts. '
        f'{CURVES[shown[0]]} from the fewest to the most lesions: {join_words(found)}.'
    )
    return fig
