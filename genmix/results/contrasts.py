"""Contrasts between arms: those that PROTOCOL.md declares, in gate order, and the exploratory ones.

A contrast is a weighted sum over arms, found by their fields, never by their names.  So one definition serves
one run (crossed interval) and many cohorts (Student's t, `results.cohorts`).
"""

import re
from dataclasses import dataclass

import pandas as pd

from genmix.generators import PAPER
from genmix.mixing.arms import DOSES, KINDS, Arm, dose_in_words
from genmix.results.bootstrap import difference
from genmix.run.log import log

CEILING = 'oracle'  # the generator that draws from the true distribution
SETTING = ['method', 'dose', 'balance', 'steps']  # of a method in measured/tuning.csv
METHODS = {
    'genmix': ('genmix',),
    'synthetic': ('synthetic',),
    'none': ('real', 'mixup'),
}  # their kinds of arms
PRACTICAL, MIXING, SYNTHESIS, EACH, BALANCE = range(1, 6)  # the gates of the protocol


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """The sum over arms of weight times outcome; positive: `a` is higher than `b`.

    name       what it asks
    gate       its place in the protocol, 1 to 5; 0 for exploratory ones
    a, b       what is compared, in names of arms
    weights    {arm: weight}, which sum to 0
    generator  the only one that it is about, '' for several or none
    """

    name: str
    gate: int
    a: str
    b: str
    weights: dict[str, float]
    generator: str = ''


def contrast(name: str, gate: int, a: str | list, b: str | list, generator='') -> Contrast:
    """a - b, of names of arms or of means over lists of them."""
    weights = difference(a, b)
    return Contrast(name=name, gate=gate, a=_side(a), b=_side(b), weights=weights, generator=generator)


def _side(arms):
    arms = [arms] if isinstance(arms, str) else list(dict.fromkeys(arms))
    return arms[0] if len(arms) == 1 else f'mean of {" ".join(arms)}'


def with_g(side: str, generators) -> str:
    """Names of arms with *g* for each of the generators: 'mean of genmix-g@1/8 genmix-g@1/2'."""
    named = '|'.join(map(re.escape, generators))
    return ' '.join(dict.fromkeys(re.sub(rf'(?<![a-z_])({named})(?![a-z_])', 'g', side).split()))


def brief(side: str) -> str:
    """A side of a contrast, with *g* where it is about several generators of the paper."""
    several = sum(re.search(rf'(?<![a-z_]){g}(?![a-z_])', side) is not None for g in PAPER) > 1
    return re.sub(r'(@\S+) (?=\S+@)', r'\1 and ', with_g(side, PAPER) if several else side)


class Finder:
    """Names of arms by their fields, '' where there is no such arm.

    Where no steps are asked, it is an arm of the factorial, which has those of the run: one that was tuned
    never stands for it.
    """

    def __init__(self, arms: dict[str, Arm]):
        self.arms = [arm for arm in arms.values() if arm.classical]
        self.generators = list(dict.fromkeys(arm.generator for arm in self.arms if arm.generator))

    def __call__(self, kind, generator='', dose=0.0, balance='natural', stored=False, steps=0) -> str:
        wanted = kind, generator, dose, balance, stored
        for arm in self.arms:
            same = (arm.kind, arm.generator, arm.dose, arm.balance, arm.stored) == wanted
            if same and (arm.steps == steps if steps else not arm.tuned):
                return arm.name
        return ''

    def pairs(self, generator, kind='genmix', doses=DOSES) -> list[tuple[str, str]]:
        """[(mixed, unmixed)] of a generator at each dose that has both: equal synthetic and label mass."""
        both = [(self(kind, generator, q), self('synthetic', generator, q)) for q in doses]
        return [pair for pair in both if all(pair)]

    def all_of(self, kind, generators, dose=DOSES[0], balance='natural', steps=0) -> list[str]:
        """Arms of the generators that have one."""
        return [name for g in generators if (name := self(kind, g, dose, balance, steps=steps))]


def declared(arms: dict[str, Arm], tuning: pd.DataFrame | None = None) -> list[Contrast]:
    """The contrasts of PROTOCOL.md that these arms allow, in gate order.

    tuning   measured/tuning.csv (`tuned`); without it the first is left out, with a line

    Generators are the four of `generators.PAPER`, as far as they are trained; those of plugins are
    exploratory.
    """
    find = Finder(arms)
    paper = [g for g in PAPER if g in find.generators]
    pairs = {g: own for g in paper if (own := find.pairs(g))}
    found = practical(find, paper, tuning)
    if pairs:
        found.append(_mean_of('mixing at matched dose and mass', MIXING, sum(pairs.values(), [])))
    low, mixup = find.all_of('genmix', paper), find('mixup')
    if low and mixup:
        found.append(contrast('synthesis given mixing', SYNTHESIS, low, mixup))
    if len(pairs) > 1:
        found += [_mean_of(f'mixing, {g}', EACH, own, g) for g, own in pairs.items()]
    return found + interaction(find, paper)


def _mean_of(name, gate, pairs, generator=''):
    return contrast(name, gate, *map(list, zip(*pairs)), generator)


def mixing_at_doses(arms: dict[str, Arm]) -> list[Contrast]:
    """What mixing adds at each dose, mean over the generators of the paper: exploratory, parts of the second
    declared contrast."""
    find, found = Finder(arms), []
    for q in DOSES:
        if pairs := [pair for g in PAPER for pair in find.pairs(g, doses=[q])]:
            found.append(_mean_of(f'mixing at dose {dose_in_words(q)}', 0, pairs))
    return found


def practical(find: Finder, generators, tuning: pd.DataFrame | None) -> list[Contrast]:
    """Tuned GenMix - the best of the tuned generator alone and the tuned arm without a generator.

    Which of both is best was decided by the dev cohorts of the tuning, not by the cohorts that are tested:
    the largest of several noisy values would be too high.
    """
    if tuning is None:
        log.info('The practical contrast is left out: there is no measured/tuning.csv yet')
        return []
    sides = []
    for chosen in (tuned(tuning, 'genmix'), best_other(tuning)):
        owners = [''] if chosen.method in METHODS['none'] else generators
        sides.append(find.all_of(chosen.method, owners, chosen.dose, chosen.balance, int(chosen.steps)))
    if not all(sides) or len(sides[0]) < len(generators) or len(sides[1]) not in (1, len(generators)):
        log.info('The practical contrast is left out: not every tuned arm of measured/tuning.csv is trained')
        return []
    return [contrast('practical: tuned GenMix against the best other', PRACTICAL, *sides)]


def tuned(table: pd.DataFrame, method: str) -> pd.Series:
    """The setting of a method with the highest mean balanced accuracy over dev cohorts and generators.

    table    measured/tuning.csv: method (kind of an arm, `mixing.arms.KINDS`), dose, balance, steps, cohort,
             balanced_accuracy; one row for each classifier
    method   one of METHODS, `none` for the arms without a generator

    A Series of SETTING and the mean.  Of equal settings the first of the table counts.
    """
    own = table[table.method.isin(METHODS[method])]
    means = own.groupby(SETTING, sort=False).balanced_accuracy.mean().reset_index()
    return means.loc[means.balanced_accuracy.idxmax()]


def best_other(table: pd.DataFrame) -> pd.Series:
    """What GenMix is compared with: the better of the tuned generator alone and the tuned arm without one."""
    known = [m for m in ('synthetic', 'none') if table.method.isin(METHODS[m]).any()]
    return max((tuned(table, m) for m in known), key=lambda setting: setting.balanced_accuracy)


def interaction(find: Finder, generators) -> list[Contrast]:
    """What GenMix adds to natural classes - what it adds to balanced ones: positive, it mends imbalance.

    (GenMix@1/8 - classical) with natural real classes - (GenMix@1/8 - oversample) with balanced ones.
    """
    both = [[find('genmix', g, DOSES[0], balance) for balance in ('natural', 'balanced')] for g in generators]
    both, plain = (
        [pair for pair in both if all(pair)],
        [find('real', balance=b) for b in ('natural', 'balanced')],
    )
    if not both or not all(plain):
        return []
    natural, balanced = map(list, zip(*both))
    first, second = difference(natural, plain[0]), difference(balanced, plain[1])
    weights = {name: first.get(name, 0) - second.get(name, 0) for name in first | second}
    sides = (f'{_side(x)} - {base}' for x, base in zip((natural, balanced), plain))
    return [
        Contrast(**dict(zip('ab', sides)), name='interaction with balance', gate=BALANCE, weights=weights)
    ]


def exploratory(arms: dict[str, Arm]) -> list[Contrast]:
    """Pairs of arms that are not declared: what dose, balance, mixing and plugins do, one by one.

    Those that ask the same of several generators have one name.
    """
    find = Finder(arms)
    plain, balanced, mixup = find('real'), find('real', balance='balanced'), find('mixup')
    both = find('mixup', balance='balanced')
    wanted = [('oversampling', balanced, plain, ''), ('mixup', mixup, plain, '')]
    wanted.append(('mixup of balanced classes', both, balanced, ''))
    for g in find.generators:
        low, high = (find('synthetic', g, q) for q in DOSES)
        genmix, union = find('genmix', g, DOSES[0]), find('mixup-union', g, DOSES[0])
        even, stored = (find('genmix', g, DOSES[0], 'balanced'), find('genmix', g, DOSES[0], stored=True))
        own = [('synthetic images', low, plain), ('more synthetic images', high, low)]
        own += [] if g in PAPER else [('mixing', *pair) for pair in find.pairs(g)]
        own += [('GenMix against no generator', genmix, plain)]
        own += [('GenMix against oversampling', genmix, balanced), ('GenMix against mixup', genmix, mixup)]
        own += [('GenMix against mixup of the same images', genmix, union)]
        own += [('class balance, with GenMix', even, genmix), ('stored mixtures', stored, genmix)]
        wanted += [(*one, g) for one in own + _of_rules(find, g)]
    pairs = {(a, b): (name, g) for name, a, b, g in wanted if a and b}
    return [contrast(name, 0, a, b, g) for (a, b), (name, g) in pairs.items()]


def _of_rules(find, generator):
    """Pairs of the mixing rules of plugins with the generator alone and with GenMix, at each dose."""
    rules = dict.fromkeys(arm.kind for arm in find.arms if arm.kind not in KINDS)
    each = [(rule, find(rule, generator, q), q) for rule in rules for q in DOSES]
    others = {'synthetic': 'the generator alone', 'genmix': 'GenMix'}
    return [
        (f'{rule} against {other}', name, find(kind, generator, q))
        for rule, name, q in each
        for kind, other in others.items()
    ]
