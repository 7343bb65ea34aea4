"""What claims are tested with: differences of arms, of generator cards, and of synthetic sets by mixing.

They come from one run, whose intervals hold for its cohort, or from many cohorts, by Student's t over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import ndtr

from genmix.audit import findings
from genmix.audit.fidelity import BETTER
from genmix.audit.intervals import wilson
from genmix.generators import PAPER
from genmix.mixing.arms import DOSES, Arm, arms_for
from genmix.results import data_size_parts
from genmix.results.bootstrap import Replicates
from genmix.results.claim_tables import over_tables, shares_of_real
from genmix.results.cohorts import Cohorts
from genmix.results.contrasts import Finder
from genmix.results.metrics import PRIMARY, full_key

NOT_TESTABLE = 'not testable here'
NUMBERS = ('mean', 'low', 'high', 'p', 'p_equivalent')
LABELS = ['generator', 'label', 'metric']


def failing_of(cards: Sequence[pd.DataFrame]) -> dict[str, str]:
    """{generator: why its card fails the gate} of those that fail it, from the mean over the cards."""
    if not len(cards):
        return {}
    mean = pd.concat(cards).groupby(LABELS, sort=False).mean(numeric_only=True).reset_index()
    return {g: why for g, why in findings.not_testable(mean).items() if why}


def failing_line(failing: Sequence[str], generators: Sequence[str]) -> str:
    """Which of the generators (identifiers) fail the gate, in a sentence; '' where none does."""
    names = [g for g in generators if g in failing]
    if not names:
        return ''
    verb, them = ('fails', 'it') if len(names) == 1 else ('fail', 'them')
    return (
        f'{" and ".join(names)} {verb} the gate of the audit (`06_generator_audit`): claims about {them} are '
        f'*{NOT_TESTABLE}*. The declared contrasts are means over the generators that include {them}.'
    )


def compared_generators(arms: dict[str, Arm]) -> list[str]:
    """Generators of the paper that have an unmixed and a GenMix arm at a dose."""
    find = Finder(arms)
    return [g for g in find.generators if g in PAPER and find.pairs(g)]


BEST = 'P(best) − 1/2'  # the probability of being best, as a difference
STEPS = {'blending_same': 'blending within a class'}  # of mixing, as readers are told


@dataclass(frozen=True)
class Sources:
    """What claims are tested on.

    outcomes       Replicates of one test set of one run, or Cohorts
    class_counts   Series of lesions, in the order of the classes
    arms           {name: Arm}
    cards, gains   audit/generator_card.csv and audit/mixing/gains.csv of the run, or of each cohort
    data_size      measured/data_size.csv, None where it is not measured

    Methods return parts: dicts of part, metric, expected ('higher' or 'lower'), the NUMBERS, n, and
    `testable`, False for a generator whose card fails `findings.GATE`.
    """

    outcomes: Replicates | Cohorts
    class_counts: pd.Series
    arms: dict[str, Arm]
    cards: Sequence[pd.DataFrame] = field(default_factory=list)
    gains: Sequence[pd.DataFrame] = field(default_factory=list)
    data_size: pd.DataFrame | None = None

    @classmethod
    def of_cohorts(cls, cohorts: Cohorts, data_size: pd.DataFrame | None = None) -> 'Sources':
        """The sources of the long run."""
        about = cohorts.found[0].about
        counts = pd.Series(about['class_counts'], about['class_names'])
        tables = [
            [pd.DataFrame(c.about[name]) for c in cohorts.found if c.about.get(name)]
            for name in ('card', 'gains')
        ]
        return cls(cohorts, counts, cohorts.arms, *tables, data_size)

    @property
    def judged(self) -> bool:
        """Whether verdicts are given: one cohort has none of its own."""
        return isinstance(self.outcomes, Cohorts) or self.outcomes.corrected

    @property
    def units(self) -> int:
        """Number of cohorts, of folds where these decide, or of runs."""
        if isinstance(self.outcomes, Cohorts):
            return len(self.outcomes)
        return self.outcomes.n_folds if self.outcomes.corrected else self.outcomes.n_seeds

    @property
    def major(self) -> int:
        """Number of the most frequent class."""
        return int(np.argmax(self.class_counts))

    @property
    def rare(self) -> int:
        """Number of the least frequent class."""
        return int(np.argmin(self.class_counts))

    @cached_property
    def trained(self) -> dict[str, Arm]:
        """The arms that have outcomes."""
        return {name: self.arms[name] for name in self.outcomes.point if name in self.arms}

    @cached_property
    def find(self) -> Finder:
        return Finder(self.trained)

    @cached_property
    def learned(self) -> list[str]:
        """Generators of the paper that this run compares."""
        return compared_generators(self.trained)

    @cached_property
    def failing(self) -> dict[str, str]:
        """{generator: why its card fails the gate} of those that fail it, from the mean over the cards."""
        return failing_of(self.cards)

    @property
    def testable(self) -> list[str]:
        """Those of `learned` whose card passes the gate."""
        return [g for g in self.learned if g not in self.failing]

    def arm(self, kind: str, generator: str) -> str:
        """Name of a trained arm at the smaller dose, '' where there is none."""
        return self.find(kind, generator, DOSES[0])

    def all_of(self, kind: str) -> list[str]:
        """Names of the trained arms of a kind at the smaller dose, those of the testable generators."""
        return self.find.all_of(kind, self.testable)

    def scores(self, pairs, metric, expected) -> list[dict]:
        """Parts from classifiers: (a, b) pairs of arms or of lists of arms, whose means are compared.

        Pairs of arms that were not trained are left out.
        """
        parts = []
        for pair in pairs:
            a, b = ([x] if isinstance(x, str) else x for x in pair)
            if a and b and {*a, *b} <= set(self.trained):
                part = f'{self._name(a)} − {self._name(b)}'
                found = self.outcomes.contrast(a, b, metric)
                used = {self.trained[name].generator for name in (*a, *b)}
                parts.append(_part(part, self._metric_name(metric), expected, found, self.units))
                parts[-1]['testable'] = not used & set(self.failing)
        return parts

    def best(self, arm: str, others: list[str]) -> list[dict]:
        """One part: P(best) - 1/2, the probability that an arm has the highest score of all in a new cohort.

        Over cohorts it is a share with Wilson's interval; in one run the share of draws of its patients,
        without an interval.
        """
        names = [arm, *(name for name in others if name != arm)]
        if len(names) < 2 or not set(names) <= set(self.trained):
            return []
        key = full_key(PRIMARY)
        if isinstance(self.outcomes, Cohorts):
            each = np.array([[own[name][key] for name in names] for own in self.outcomes.outcomes])
            wins = (each.argmax(1) == 0).sum()
            share, (low, high) = wins / len(each), wilson(wins / len(each), len(each))
        else:
            draws = np.stack([self.outcomes.draws[name][key].mean(1) for name in names])
            share, low, high = (draws.argmax(0) == 0).mean(), np.nan, np.nan
        about = dict(zip(('mean', 'low', 'high'), (float(share) - 0.5, low - 0.5, high - 0.5)))
        part = _part(f'{arm} among {len(names)} arms', BEST, 'higher', about, self.units)
        return [part | {'testable': self.trained[arm].generator not in self.failing}]

    def _name(self, side):
        if len(side) == 1:
            return side[0]
        arms = [self.arms[name] for name in side]
        generators = {arm.generator for arm in arms}
        without = ', '.join(g for g in self.failing if g not in generators) if len(generators) > 1 else ''
        return f'mean of {shared(arms)}' + (f' without {without}' if without else '')

    def _metric_name(self, metric):
        if isinstance(metric, str):
            return metric.replace('_', ' ')
        name, label = metric
        return f'{name.replace("_", " ")} of {self.class_counts.index[label]}'

    def between(self, generators, others, metric, expected) -> list[dict]:
        """Parts from the card: each of the generators against the mean of others, shares of real lesions."""
        known = set(self.cards[0].generator) if len(self.cards) else set()
        others, parts = [g for g in others if g in known], []
        for g in (g for g in generators if g in known and others):
            weights = {g: 1.0} | {other: -1 / len(others) for other in others}
            name = others[0] if len(others) == 1 else f'mean of {", ".join(others)}'
            part = f'{g} − {name}'
            found = over_tables([shares_of_real(card) for card in self.cards], weights, metric)
            if found:
                parts.append(_part(part, metric.replace('_', ' '), expected, found, len(self.cards)))
        return parts

    def copying(self) -> list[dict]:
        """Parts from all evidence of copying (`findings.copying_evidence`), each expected not to be there.

        Copies and blends are told beyond EXCESS, how near the set as a whole is beyond held-out lesions.
        """
        tables = [findings.copying_evidence(card).rename(columns={'excess': 'value'}) for card in self.cards]
        parts = []
        for g in self.learned:
            for metric in findings.COPYING:
                found = over_tables([t.assign(label='all') for t in tables], {g: 1.0}, metric)
                if found:
                    allowed = findings.EXCESS if metric in findings.SINGLE else 0.0
                    moved = {k: found[k] - allowed for k in ('mean', 'low', 'high')}
                    name = findings.METRICS[metric]
                    parts.append(_part(f'{g}, beyond real lesions', name, 'lower', moved, len(tables)))
                    parts[-1]['absent'] = allowed == 0.0
        return parts

    def gained(self, metric, step='mixing') -> list[dict]:
        """Parts from what mixing did to each synthetic set."""
        parts = []
        for g in self.learned:
            tables = [table[table.step == step] for table in self.gains]
            found = over_tables(tables, {g: 1.0}, metric) if tables else None
            if found:
                parts.append(
                    _part(f'{g}, {STEPS.get(step, step)}', metric, BETTER[metric], found, len(tables))
                )
        return parts

    def sized(self, metric='tstr') -> list[dict]:
        """Parts from the data-size curves: diffusion gains by more lesions, and more than the GANs do."""
        if self.data_size is None:
            return []
        wanted = (data_size_parts.DIFFUSION, f'{data_size_parts.DIFFUSION} - GANs')
        rows = [r for r in data_size_parts.changes(self.data_size) if r['metric'] == metric]
        found = [r for r in rows if r['generator'] in wanted]
        return [_part(r['part'], findings.METRICS[metric], 'higher', r, r['n']) for r in found]


def shared(arms: list[Arm]) -> str:
    """'genmix-g@1/8' for arms that differ in the generator only, else their names."""
    patterns = {replace(arm, name=''): arm.name for arm in arms_for(['g']).values()}
    alike = {replace(arm, name='', generator='g', steps=0, tuned=False) for arm in arms}
    names = [name for about, name in patterns.items() if about in alike]
    return names[0] if len(alike) == len(names) == 1 else ' '.join(arm.name for arm in arms)


def _part(part, metric, expected, found, n):
    """A part; p from its interval, taken as normal, where there is no p; without any spread it is sure."""
    numbers = {name: found.get(name, np.nan) for name in NUMBERS}
    half = (numbers['high'] - numbers['low']) / 2
    if half < 1e-12:
        numbers['p'] = float(abs(numbers['mean']) < 1e-12)
    elif not np.isfinite(numbers['p']):
        numbers['p'] = float(2 * ndtr(-1.96 * abs(numbers['mean']) / half))
    if metric != PRIMARY.replace('_', ' '):
        numbers['p_equivalent'] = np.nan  # its margin is in points of balanced accuracy
    return {'part': part, 'metric': metric, 'expected': expected, **numbers, 'n': n, 'testable': True}
