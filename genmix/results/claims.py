"""The claims of the paper, each with the number that tests it, and what this study says of it: supported, contradicted or undecided.

A claim is a list of parts, each a difference and the way it should go.  It is *supported* when every part goes that way and its interval leaves out
zero, *contradicted* when the interval of some part lies wholly on the other side, and *undecided* otherwise.  Nothing here is typed: all is computed.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genmix.audit.fidelity import BETTER
from genmix.mixing.arms import generator_of
from genmix.results import contrasts, intervals
from genmix.results import metrics as metrics_module

GANS, HEADLINE = ('dcgan', 'stylegan'), 'textual_inversion'
COPIES = 0.05  # a set of which fewer are as near to a training lesion as the nearest 1 % of real ones counts as new
COLUMNS = ['claim', 'of', 'part', 'metric', 'expected', 'mean', 'low', 'high', 'p', 'n', 'verdict']


@dataclass(frozen=True)
class Sources:
    """What claims are tested on: replicates (`evaluate.Replicates` of one test set), class_counts (Series of the training lesions, in the order of
    the classes), learned generators, and the tables of 06 and 07 (generator_card.csv, gains.csv), None where a run has none."""

    replicates: object
    class_counts: pd.Series
    learned: tuple
    card: pd.DataFrame = None
    gains: pd.DataFrame = None

    @property
    def major(self):
        return int(np.argmax(self.class_counts))

    @property
    def rare(self):
        return int(np.argmin(self.class_counts))

    def scores(self, pairs, metric, expected):
        """Parts from classifiers: (a, b) pairs of arms or lists of arms, p corrected over them."""
        known = [
            pair
            for pair in pairs
            if all(set([x] if isinstance(x, str) else x) <= set(self.replicates.point) and x for x in pair)
        ]
        table = contrasts.family(self.replicates, known, '', metric)

        def name(side):
            return side if isinstance(side, str) else f'mean of {shared(side)}'

        return [
            {
                'part': f'{name(a)} − {name(b)}',
                'metric': self.named(metric),
                'expected': expected,
                'mean': r.mean,
                'low': r.low,
                'high': r.high,
                'p': r.p,
                'n': r.n,
                'went': r.verdict,
            }
            for (a, b), r in zip(known, table.itertuples())
        ]

    def named(self, metric):
        kind, label = metric if isinstance(metric, tuple) else (metric, None)
        return (
            kind.replace('_', ' ')
            if label is None
            else f'{kind} of {self.class_counts.index[label]}'.replace('share', 'share of answers')
        )

    def carded(self, generators, metric, expected, against=None):
        """Parts from the generator card: each generator against real lesions (`reference`), or against the number `against`.  Diversity is a share of that of real lesions."""
        found = []
        for g in generators if self.card is not None else ():
            for r in self.card[
                (self.card.generator == g) & (self.card.label == 'all') & (self.card.metric == metric)
            ].itertuples():
                base, base_low, base_high = (
                    (r.reference, r.reference_low, r.reference_high) if against is None else (against,) * 3
                )
                low = (
                    r.value - base - np.hypot(r.value - r.low, base_high - base)
                )  # Newcombe 1998: half-widths in squares
                high = r.value - base + np.hypot(r.high - r.value, base - base_low)
                unit = base if metric == 'diversity' else 1
                found.append(
                    judged(
                        f'{g} − {"real lesions" if against is None else against}',
                        metric.replace('_', ' '),
                        expected,
                        (r.value - base) / unit,
                        low / unit,
                        high / unit,
                        r.n,
                    )
                )
        return found

    def gained(self, metric, step='mixing'):
        """Parts from what mixing did to each synthetic set."""
        if self.gains is None:
            return []
        rows = self.gains[
            (self.gains.label == 'all')
            & (self.gains.metric == metric)
            & (self.gains.step == step)
            & self.gains.generator.isin(self.learned)
        ]
        return [
            judged(
                f'GenMix set of {r.generator} − its synthetic set',
                metric,
                BETTER[metric],
                r.value,
                r.low,
                r.high,
                r.n,
            )
            for r in rows.itertuples()
        ]

    def all_of(self, kind):
        return [f'{kind}{g}' for g in self.learned if f'{kind}{g}' in self.replicates.point]


def shared(arms):
    """'genmix-<g>' for a list of arms that differ in the generator only."""
    kinds = {arm.removesuffix(generator_of(arm)) for arm in arms}
    return f'{kinds.pop()}<g>' if len(kinds) == 1 else ' '.join(arms)


def judged(part, metric, expected, mean, low, high, n):
    return {
        'part': part,
        'metric': metric,
        'expected': expected,
        'mean': mean,
        'low': low,
        'high': high,
        'p': np.nan,
        'n': n,
        'went': intervals.verdict(low, high, 0.0),
    }


def claims(s):
    """[(claim, whose: 'paper' or 'control', parts)] from Sources `s`."""
    mixed, plain, unions, best = s.all_of('genmix-'), s.all_of(''), s.all_of('mixup-'), f'genmix-{HEADLINE}'
    others = [a for a in (*mixed, *(g for g in plain if g != HEADLINE), 'classical', 'mixup') if a != best]
    pairs = [(f'genmix-{g}', g) for g in plain]
    return [
        ('GenMix improves every generator', 'paper', s.scores(pairs, metrics_module.PRIMARY, 'higher')),
        (
            'GenMix with Textual Inversion beats the others',
            'paper',
            s.scores([(best, a) for a in others], metrics_module.PRIMARY, 'higher'),
        ),
        (
            'generators learn new patterns: they do not copy',
            'paper',
            s.carded(s.learned, 'copy_ratio', 'lower', COPIES),
        ),
        (
            'GANs collapse: they are less varied than real lesions',
            'paper',
            s.carded([g for g in s.learned if g in GANS], 'diversity', 'lower'),
        ),
        (
            'diffusion is hard on little data: it leaves real lesions uncovered',
            'paper',
            s.carded([g for g in s.learned if g == 'diffusion'], 'coverage', 'lower'),
        ),
        (
            'mixup sharpens class borders: classes are told apart better',
            'paper',
            s.scores([('mixup', 'classical')], 'macro_auc', 'higher'),
        ),
        (
            'mixup favours the major class',
            'paper',
            s.scores([('mixup', 'classical')], ('share', s.major), 'higher')
            + s.scores([('mixup', 'classical')], ('sensitivity', s.rare), 'lower'),
        ),
        (
            'GenMix mends that',
            'paper',
            s.scores([(mixed, 'mixup')], ('share', s.major), 'lower')
            + s.scores([(mixed, 'mixup')], ('sensitivity', s.rare), 'higher'),
        ),
        ('mixing improves the quality of the synthetic set', 'paper', s.gained('kid')),
        (
            'mixing improves the diversity of the synthetic set',
            'paper',
            s.gained('diversity') + s.gained('coverage'),
        ),
        (
            'blending itself does so, not the real lesions that come with it',
            'control',
            s.gained('kid', 'blending')
            + s.gained('diversity', 'blending')
            + s.gained('coverage', 'blending'),
        ),
        (
            'GenMix is more than mixup on the same images',
            'control',
            s.scores([(mixed, unions)], metrics_module.PRIMARY, 'higher'),
        ),
        (
            'GenMix is more than class balance',
            'control',
            s.scores([(mixed, 'oversample'), (mixed, 'oversample-mixup')], metrics_module.PRIMARY, 'higher'),
        ),
        (
            'GenMix is more than no generator at all',
            'control',
            s.scores([(mixed, 'classical')], metrics_module.PRIMARY, 'higher'),
        ),
    ]


def claims_table(s):
    """Every part of every claim that this run can test: a DataFrame of COLUMNS; `verdict` is that of the part."""
    rows = []
    for claim, of, parts in claims(s):
        for part in parts:
            went = part.pop('went')
            verdict = (
                'undecided'
                if went == 'undecided'
                else 'supported'
                if went == part['expected']
                else 'contradicted'
            )
            rows.append({'claim': claim, 'of': of, **part, 'verdict': verdict})
    return pd.DataFrame(rows, columns=COLUMNS)


def verdicts(parts):
    """{claim: verdict} from the parts."""
    of = {claim: set(own.verdict) for claim, own in parts.groupby('claim', sort=False)}
    return {
        claim: 'contradicted'
        if 'contradicted' in found
        else 'supported'
        if found == {'supported'}
        else 'undecided'
        for claim, found in of.items()
    }


PERCENT = ('balanced accuracy', 'share', 'sensitivity', 'macro auc', 'copy ratio', 'coverage', 'diversity')


def number(r):
    """'+1.2 [0.3, 2.1]' of a part, in points where the metric is a share, with what it is a difference of."""
    points = r.metric.startswith(PERCENT)
    scale, form, unit = (
        (100, '{:+.1f} [{:+.1f}, {:+.1f}]', ' points') if points else (1, '{:+.2f} [{:+.2f}, {:+.2f}]', '')
    )
    return form.format(*(scale * v for v in (r.mean, r.low, r.high))) + unit


def overview(parts):
    """One row a claim, to be read: claim, what is measured, what was found, verdict."""
    rows, verdict = [], verdicts(parts)
    for claim, own in parts.groupby('claim', sort=False):
        metrics = list(dict.fromkeys(own.metric))
        found = (
            '; '.join(
                f'{r.part}, {r.metric}: {number(r)}' if len(metrics) > 1 else f'{r.part}: {number(r)}'
                for r in own.itertuples()
            )
            if len(own) < 5
            else f'{(own.verdict == "supported").sum()} of {len(own)} differences as claimed, {(own.verdict == "contradicted").sum()} the other way'
        )
        rows.append(
            {
                'claim': claim + (' *(control)*' if own.of.iloc[0] == 'control' else ''),
                'measured by': ', '.join(metrics),
                'found': found,
                'verdict': verdict[claim],
            }
        )
    return pd.DataFrame(rows, columns=['claim', 'measured by', 'found', 'verdict'])


def summarise_claims(parts):
    """One sentence that counts: how many claims are supported, contradicted, undecided, and which."""
    found = verdicts(parts[parts.of == 'paper'])
    lists = {
        v: [c for c, own in found.items() if own == v] for v in ('supported', 'contradicted', 'undecided')
    }
    return [
        f'{len(names)} of {len(found)} claims {"is" if len(names) == 1 else "are"} {v}'
        + (f': {"; ".join(names)}' if names else '')
        for v, names in lists.items()
    ]
