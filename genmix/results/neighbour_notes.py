"""The numbers of `neighbours` in words: notes below the t-SNE panels, and sentences.

`numbers` is the table embedding/neighbours.csv: arm, metric, value, low, high, n, label, source, expected.
"""

from textwrap import fill

from scipy.special import ndtri

from genmix.data.names import in_markdown
from genmix.mixing.arms import Arm

WIDTH = 24  # characters of a line below a small panel


def _with_interval(row, form):
    interval = '' if row.low != row.low else f' [{row.low:{form}}, {row.high:{form}}]'
    return f'{row.value:{form}}{interval}' if row.n else 'not measurable'


def note(numbers, arm: Arm) -> str:
    """The numbers of one arm in short lines, to stand below its panel."""
    sources = ['held-out', arm.generator]
    own = numbers[(numbers.arm == arm.name) & (numbers.label == 'all') & numbers.source.isin(sources)]
    return '\n'.join(
        f'neighbours {_with_interval(row, ".0%")}'
        if row.source == 'held-out'
        else f'mixing rate {_with_interval(row, ".2f")}'
        for row in own.itertuples()
    )


def source_notes(numbers, arm: Arm) -> dict[str, str]:
    """{source: its mixing rate with held-out lesions, overall and per class} in the features of an arm."""
    notes = {'held-out': note(numbers, arm)}
    own = numbers[(numbers.arm == arm.name) & (numbers.metric != 'neighbour_agreement')]
    for source, part in own.groupby('source', sort=False):
        whole, *classes = part.itertuples()
        per_class = fill(', '.join(f'{row.label} {row.value:.2f}' for row in classes), WIDTH)
        notes[source] = f'mixing rate\n{_with_interval(whole, ".2f")}\n{per_class}'
    return notes


def summarise_neighbours(numbers, arms: dict[str, Arm]) -> list[str]:
    """The numbers of all panels in Markdown; arms {name: Arm}, those of the numbers among them."""
    known = numbers[numbers.n > 0]
    agreement = known[(known.metric == 'neighbour_agreement') & (known.label == 'all')].sort_values('value')
    if not len(agreement):
        return ['Too few held-out lesions: no class has lesions of two patients, so nothing can be measured.']
    lines = [_summarise_agreement(agreement.iloc[0], agreement.iloc[-1])]
    rates = known[known.metric == 'mixing_rate']
    comparisons = max((rates.label != 'all').sum(), 1)
    lines += [_summarise_rate(row, known, comparisons) for row in rates[rates.label == 'all'].itertuples()]
    unseen = [name for name in rates[rates.source == 'oracle'].arm.unique() if not arms[name].generator]
    if unseen:  # the other networks were trained on its images
        lines.append(
            f'The oracle draws from the very distribution of the real lesions, and `{unseen[0]}` was '
            'trained on none of its images: how far its rates lie from 1 in these features is chance, '
            'overall and in a class of few lesions.'
        )
    return lines


def _summarise_rate(row, known, comparisons):
    """One sentence on the mixing rate of a source in the features of an arm: overall, and the lowest class.

    The lowest of many rates is below 1 by chance: its interval is widened after Bonferroni.
    """
    own = known[known.arm == row.arm]
    training = own[(own.source == 'training') & (own.label == 'all')].value.iloc[0]
    lowest = own[(own.source == row.source) & (own.label != 'all')].sort_values('value').iloc[0]
    wider = ndtri(1 - 0.025 / comparisons) / ndtri(0.975)
    separate = lowest.value + wider * (lowest.high - lowest.value) < 1
    return (
        f'In the features of `{row.arm}`, synthetic lesions of {row.source} have a mixing rate of '
        f'{_with_interval(row, ".2f")} (training lesions {training:.2f}); '
        f'lowest for {in_markdown(lowest.label)}, {_with_interval(lowest, ".2f")}'
        + (f', distinguishable (corrected for {comparisons} comparisons).' if separate else '.')
    )


def _summarise_agreement(least, most):
    if least.arm == most.arm:
        return (
            f'Under `{most.arm}`, {_with_interval(most, ".0%")} of the neighbours of a held-out lesion have '
            f'its class; chance is {most.expected:.0%}.'
        )
    apart = 'The intervals do not overlap.' if least.high < most.low else 'The intervals overlap.'
    return (
        f'The neighbours of a held-out lesion have its class most often under `{most.arm}`, '
        f'{_with_interval(most, ".0%")}, and least often under `{least.arm}`, '
        f'{_with_interval(least, ".0%")}; chance is {most.expected:.0%}. {apart}'
    )
