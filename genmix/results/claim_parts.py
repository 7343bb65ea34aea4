"""What claims are tested with: differences of arms, of generator cards, and of synthetic sets by mixing."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from genmix.audit.fidelity import BETTER
from genmix.audit.findings import EXCESS, METRICS, SINGLE, copying_evidence
from genmix.generators import PAPER
from genmix.mixing.arms import DOSES, Arm, arms_for
from genmix.results.bootstrap import Replicates
from genmix.results.intervals import holm, verdict

REAL = (
    'reference',
    'reference_low',
    'reference_high',
)  # columns of the card: the same metric of real lesions


def family(replicates: Replicates, pairs, metric) -> pd.DataFrame:
    """A family of contrasts a - b, one row per pair: mean, low, high, p (Holm-adjusted over the family),
    n (paired classifier runs), verdict.

    pairs   (a, b) of names of arms, or of lists of names whose means are compared
    """
    table = pd.DataFrame([replicates.contrast(a, b, metric) for a, b in pairs])
    if not len(table):
        return table
    table = table.assign(p=holm(table.p), n=replicates.n_seeds)
    return table.assign(verdict=[verdict(r.low, r.high, r.p) for r in table.itertuples()])


def by_generator(arms: dict[str, Arm], replicates: Replicates) -> dict[tuple, str]:
    """{(kind, generator): name} of the trained arms that have a generator, in the order of the replicates.

    Of several arms of a kind those of the smaller dose: it is equal in all of them.
    """
    trained = [arms[name] for name in replicates.point if name in arms]
    low = [arm for arm in trained if arm.dose == DOSES[0] and arm.balance == 'natural' and not arm.stored]
    return {(arm.kind, arm.generator): arm.name for arm in low}


def compared_generators(found: dict[tuple, str]) -> list[str]:
    """Generators of the paper that have an unmixed and a GenMix arm."""
    return [g for kind, g in found if kind == 'genmix' and ('synthetic', g) in found and g in PAPER]


@dataclass(frozen=True)
class Sources:
    """What claims are tested on.

    replicates     of one test set
    class_counts   Series of the training lesions, in the order of the classes
    arms           {name: Arm} of the run
    card, gains    audit/generator_card.csv and audit/mixing/gains.csv, None where a run has none

    Methods return parts: dicts of part, metric, expected ('higher' or 'lower'), mean, low, high, p, n and
    direction, the verdict of `intervals.verdict`.
    """

    replicates: Replicates
    class_counts: pd.Series
    arms: dict[str, Arm]
    card: pd.DataFrame | None = None
    gains: pd.DataFrame | None = None

    @property
    def major(self) -> int:
        """Number of the most frequent class."""
        return int(np.argmax(self.class_counts))

    @property
    def rare(self) -> int:
        """Number of the least frequent class."""
        return int(np.argmin(self.class_counts))

    @cached_property
    def by_generator(self) -> dict[tuple, str]:
        return by_generator(self.arms, self.replicates)

    @property
    def learned(self) -> list[str]:
        """Generators of the paper that this run compares."""
        return compared_generators(self.by_generator)

    def arm(self, kind: str, generator: str) -> str:
        """Name of a trained arm, '' where there is none."""
        return self.by_generator.get((kind, generator), '')

    def all_of(self, kind: str) -> list[str]:
        """Names of the trained arms of a kind, those of the learned generators."""
        return [name for g in self.learned if (name := self.arm(kind, g))]

    def scores(self, pairs, metric, expected) -> list[dict]:
        """Parts from classifiers: (a, b) pairs of arms or lists of arms, p corrected over them.

        Pairs of arms that were not trained are left out.
        """
        trained = self.replicates.point
        sides = [[[x] if isinstance(x, str) else x for x in pair] for pair in pairs]
        known = [p for p, both in zip(pairs, sides) if all(s and set(s) <= set(trained) for s in both)]
        table = family(self.replicates, known, metric)
        return [
            {
                'part': f'{self._name(a)} − {self._name(b)}',
                'metric': self._metric_name(metric),
                'expected': expected,
                **{column: getattr(r, column) for column in ('mean', 'low', 'high', 'p', 'n')},
                'direction': r.verdict,
            }
            for (a, b), r in zip(known, table.itertuples())
        ]

    def _name(self, side):
        return side if isinstance(side, str) else f'mean of {shared([self.arms[name] for name in side])}'

    def _metric_name(self, metric):
        if isinstance(metric, str):
            return metric.replace('_', ' ')
        name, label = metric
        return f'{name.replace("_", " ")} of {self.class_counts.index[label]}'

    def carded(self, generators, metric, expected, against=None) -> list[dict]:
        """Parts from the generator card: each generator against real lesions, or the number `against`.

        Diversity is a share of that of real lesions.  The interval of a difference adds the half-widths of
        both in squares (Newcombe 1998, Statistics in Medicine 17:873).
        """
        if self.card is None:
            return []
        rows = self.card[(self.card.label == 'all') & (self.card.metric == metric)]
        parts = []
        for r in (r for g in generators for r in rows[rows.generator == g].itertuples()):
            base, base_low, base_high = [getattr(r, c) for c in REAL] if against is None else [against] * 3
            low = r.value - base - np.hypot(r.value - r.low, base_high - base)
            high = r.value - base + np.hypot(r.high - r.value, base - base_low)
            unit = base if metric == 'diversity' else 1
            interval = [v / unit for v in (r.value - base, low, high)]
            part = f'{r.generator} − {"real lesions" if against is None else against}'
            parts.append(_part(part, metric.replace('_', ' '), expected, interval, r.n))
        return parts

    def copying(self, generators) -> list[dict]:
        """Parts from the search for copies: all evidence of `audit.findings.copying_evidence`.

        Shares of copies and of blends are expected below those of real lesions plus EXCESS.  C_T and
        authenticity cannot say of any image that it is a copy: where the set is nearer to its training
        lesions than real lesions are, by one of them, that part is undecided, and so is the claim.
        """
        if self.card is None:
            return []
        table = copying_evidence(self.card[self.card.generator.isin(generators)])
        parts = []
        for r in table.itertuples():
            name, of_set = METRICS[r.metric], r.metric not in SINGLE
            if of_set:
                interval = -r.excess, -r.high, -r.low
                part = _part(f'{r.generator} − real lesions', name, 'higher', interval, r.n)
                part['direction'] = 'undecided' if r.finding == 'nearer' else 'higher'
            else:
                interval = [v - EXCESS for v in (r.excess, r.low, r.high)]
                part = _part(f'{r.generator} − (real lesions + {EXCESS})', name, 'lower', interval, r.n)
            parts.append(part)
        return parts

    def gained(self, metric, step='mixing') -> list[dict]:
        """Parts from what mixing did to each synthetic set."""
        if self.gains is None:
            return []
        table = self.gains[self.gains.generator.isin(self.learned)]
        rows = table[(table.label == 'all') & (table.metric == metric) & (table.step == step)]
        return [
            _part(
                f'GenMix set of {r.generator} − its synthetic set',
                metric,
                BETTER[metric],
                (r.value, r.low, r.high),
                r.n,
            )
            for r in rows.itertuples()
        ]


def shared(arms: list[Arm]) -> str:
    """'genmix-<g>' for arms that differ in the generator only, else their names."""
    patterns = {replace(arm, name=''): arm.name for arm in arms_for(['<g>']).values()}
    alike = {replace(arm, name='', generator='<g>') for arm in arms}
    names = [name for about, name in patterns.items() if about in alike]
    return names[0] if len(alike) == len(names) == 1 else ' '.join(arm.name for arm in arms)


def _part(part, metric, expected, interval, n):
    mean, low, high = interval
    return {
        'part': part,
        'metric': metric,
        'expected': expected,
        'mean': mean,
        'low': low,
        'high': high,
        'p': np.nan,
        'n': n,
        'direction': verdict(low, high, 0.0),
    }
