"""Families of paired contrasts between arms: the declared one, and the exploratory ones."""

import pandas as pd

from genmix.generators import PAPER
from genmix.mixing.arms import DOSES, KINDS, Arm
from genmix.results.bootstrap import Replicates
from genmix.results.intervals import holm, verdict
from genmix.results.metrics import PRIMARY

COLUMNS = [
    'a', 'b', 'metric', 'mean', 'low', 'high', 'p', 'minimum_detectable_effect', 'n', 'verdict', 'test_set',
]  # fmt: skip
CEILING = 'oracle'  # the generator that draws from the true distribution
WITHOUT_GENERATOR = ('classical', 'oversample', 'mixup', 'oversample-mixup')


def family(replicates: Replicates, pairs, test_set: str, metric=PRIMARY) -> pd.DataFrame:
    """A family of contrasts a - b, one row per pair: the COLUMNS of results/contrasts.csv.

    pairs   (a, b) of names of arms, or of lists of names whose means are compared

    p is Holm-adjusted over the family; n is the number of paired classifier runs.  minimum_detectable_effect
    is the smallest true difference that this design would find four times in five, before the correction for
    the family.
    """

    def label(arms):
        return arms if isinstance(arms, str) else f'mean of {" ".join(arms)}'

    rows = [
        {'a': label(a), 'b': label(b), 'metric': metric, **replicates.contrast(a, b, metric)}
        for a, b in pairs
    ]
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.DataFrame(rows)
    table['p'] = holm(table.p)
    table['n'] = replicates.n_seeds
    table['verdict'] = [verdict(r.low, r.high, r.p) for r in table.itertuples()]
    return table.assign(test_set=test_set)


def by_generator(arms: dict[str, Arm], replicates: Replicates) -> dict[tuple, str]:
    """{(kind, generator): name} of the trained arms that have a generator, in the order of the replicates.

    Of several arms of a kind those of the smaller dose: it is equal in all of them.
    """
    trained = [arms[name] for name in replicates.point if name in arms]
    low = [arm for arm in trained if arm.dose == DOSES[0] and arm.balance == 'natural' and not arm.stored]
    return {(arm.kind, arm.generator): arm.name for arm in low}


def compared_generators(found: dict[tuple, str]) -> tuple[list[str], list[str]]:
    """(those of the paper, those of plugins): generators that have an unmixed and a GenMix arm."""
    both = [g for kind, g in found if kind == 'genmix' and ('synthetic', g) in found and g != CEILING]
    return [g for g in both if g in PAPER], [g for g in both if g not in PAPER]


def primary(replicates: Replicates, arms: dict[str, Arm], test_set: str) -> pd.DataFrame:
    """The declared contrast, GenMix(g) - g: its mean over the generators g, then each g (Holm over these).

    g are the four of `generators.PAPER`, as far as they are trained; those of plugins are exploratory.
    """
    found = by_generator(arms, replicates)
    generators, _ = compared_generators(found)
    genmix, unmixed = ([found[kind, g] for g in generators] for kind in ('genmix', 'synthetic'))
    each = family(replicates, zip(genmix, unmixed), test_set)
    if len(generators) < 2:
        return each
    return pd.concat([family(replicates, [(genmix, unmixed)], test_set), each], ignore_index=True)


def exploratory(replicates: Replicates, arms: dict[str, Arm], test_set: str) -> pd.DataFrame:
    """Contrasts that were not declared: those of the study, then those of plugins, a family of their own."""
    found = by_generator(arms, replicates)
    paper, plugins = compared_generators(found)
    oracle, oracle_genmix = found.get(('synthetic', CEILING)), found.get(('genmix', CEILING))
    study = _against_others(found, paper) + [('mixup', 'classical'), ('oversample', 'classical')]
    study += [(oracle, 'oversample'), (oracle_genmix, oracle), (oracle_genmix, 'oversample')]
    added = [(found['genmix', g], found['synthetic', g]) for g in plugins] + _against_others(found, plugins)
    added += [
        (arm, found.get((other, g)))
        for (kind, g), arm in found.items()
        if kind not in KINDS
        for other in ('synthetic', 'mixup-union', 'genmix')
    ]
    pairs = [[p for p in own if set(p) <= set(replicates.point)] for own in (study, added)]
    tables = [family(replicates, own, test_set) for own in pairs]
    return pd.concat([t for t in tables if len(t)] or tables[:1])


def _against_others(found, generators):
    """Pairs: each generator, unmixed and with GenMix, against arms without one; GenMix against mixup."""
    pairs = [(found['synthetic', g], other) for g in generators for other in WITHOUT_GENERATOR[:2]]
    return pairs + [
        (found['genmix', g], other)
        for g in generators
        for other in (*WITHOUT_GENERATOR, found.get(('mixup-union', g)))
    ]


def format_p(p: float) -> str:
    """'p = 0.021', or 'p < 0.001'."""
    return f'p = {p:.3f}' if p >= 0.0005 else 'p < 0.001'


def summarise_contrasts(table: pd.DataFrame, test_set: str) -> list[str]:
    """One sentence per contrast of a test set: higher, lower, or undecided."""
    verbs = {'undecided': 'is not distinguishable from'}
    verbs |= {word: f'is {word} than' for word in ('higher', 'lower')}
    return [
        f'{r.a} {verbs[r.verdict]} {r.b}: '
        f'{100 * r.mean:+.1f} points [{100 * r.low:+.1f}, {100 * r.high:+.1f}], '
        f'Holm {format_p(r.p)}, {r.n} runs each, {test_set}'
        for r in table[table.test_set == test_set].itertuples()
    ]
