"""Figure of neighbour statistics: neighbour agreement and mixing rate of every network, beside Figure 4."""

import numpy as np

from genmix.plots.style import class_colour, displayed, generator_style, join_words, shorten, styled, subplots


@styled
def neighbour_statistics(numbers, class_names):
    """Neighbour agreement and mixing rate of every arm: mean over classes with 95 % interval, and each class.

    numbers   columns arm, metric, value, low, high, n, label, source, expected
    """
    order, overall = list(dict.fromkeys(numbers.arm)), numbers[numbers.label == 'all']
    mixing = {source: part for source, part in numbers.groupby('source', sort=False) if source != 'held-out'}
    lines = {
        arm: [source for source in mixing if source in set(own.source)] for arm, own in overall.groupby('arm')
    }
    heights = np.array([max(1.7, len(lines[arm])) for arm in order])
    places = dict(zip(order, heights.cumsum() - heights / 2))
    height = max(0.17 * heights.sum() + 1.4, 0.19 * (len(mixing) + len(class_names)) + 1.2)
    fig, ((left, right),) = subplots(9.8, height, 1, 2, sharey=True)
    agreement = numbers[numbers.metric == 'neighbour_agreement'].copy()
    agreement[['value', 'low', 'high', 'expected']] *= 100
    _draw_points(left, agreement, [places[arm] for arm in agreement.arm], class_names, generator_style(''))
    for source, part in mixing.items():
        look = generator_style('' if source == 'training' else source)
        label = source if source == 'training' else look.name
        at = [places[arm] + 0.8 * (lines[arm].index(source) - (len(lines[arm]) - 1) / 2) for arm in part.arm]
        _draw_points(right, part, at, class_names, look, label)
    left.axvline(agreement[agreement.label == 'all'].expected.mean(), color='k', lw=0.8, ls=':', zorder=0)
    left.set_xlabel('neighbour agreement [%] (higher is better)\ndotted: chance')
    right.axvline(1, color='k', lw=0.8, ls=':', zorder=0)
    right.set_xlabel('mixing rate with held-out lesions\ndotted, 1: as many as by chance')
    for ax in (left, right):
        ax.set_yticks(list(places.values()), [displayed(arm) for arm in order])
        ax.set(ylim=(heights.sum() + 0.2, -0.2), xlim=(0, None))
    below = 'open marks: mean over classes with a 95 % interval over patients; small dots: classes'
    fig.supxlabel(below, fontsize=8.5)
    for k, name in enumerate(shorten(class_names)):
        right.plot([], [], 'o', ms=4, color=class_colour(k), mew=0, label=name)
    right.legend(loc='upper left', bbox_to_anchor=(1, 1), title='mixed with; class')
    fig.alt = _describe(overall, mixing)
    return fig


def _draw_points(ax, table, at, class_names, drawn, label=None):
    """One metric and source at the heights `at`: open marks with intervals for means, dots for classes."""
    at = np.array(at)
    overall = (table.label == 'all').to_numpy()
    value, ends = table.value.to_numpy(), table[['low', 'high']].to_numpy().T
    tones = [class_colour(class_names.index(name)) for name in table.label[~overall]]
    ax.scatter(value[~overall], at[~overall], s=13, linewidths=0, color=tones, zorder=2)
    look = {'fmt': drawn.marker, 'ms': 5, 'color': drawn.colour, 'mfc': 'white', 'lw': 1.3, 'zorder': 3}
    ax.errorbar(value[overall], at[overall], xerr=np.abs(ends - value)[:, overall], label=label, **look)


def _describe(overall, mixing):
    """Alt text from the rows over all classes."""
    agreement = overall[overall.metric == 'neighbour_agreement']
    rates = overall[overall.metric == 'mixing_rate']
    return (
        f'Numbers of {overall.arm.nunique()} networks on {agreement.n.max()} held-out lesions, with 95 % '
        'intervals. Neighbour agreement: '
        f'{join_words(f"{displayed(r.arm)} {r.value:.0%}" for r in agreement.itertuples())} (chance '
        f'{agreement.expected.mean():.0%}). Beside it mixing rates with {join_words(mixing)} lesions: '
        f'{join_words(f"{r.source} in {r.arm} {r.value:.2f}" for r in rates.itertuples())}.'
    )
