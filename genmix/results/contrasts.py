"""Which arm is better, and can it be told: intervals, p values, families of comparisons.

Works on the bootstrap draws of `genmix.evaluate.Replicates`, and with several folds on the differences of the folds.
"""

import pandas as pd

from genmix.results.intervals import holm, verdict
from genmix.results.metrics import PRIMARY


def family(replicates, pairs, test_set, metric=PRIMARY):
    """results/contrasts.csv: a, b, metric, mean, low, high, p, detectable, n, verdict, test_set, for a family of (a, b) pairs.

    p is Holm-adjusted over the family; n is the number of paired classifier runs; `detectable` is the smallest true difference that this
    design would find four times in five, before the correction for the family.
    """
    rows = [
        {
            'a': a if isinstance(a, str) else f'mean of {" ".join(a)}',
            'b': b if isinstance(b, str) else f'mean of {" ".join(b)}',
            'metric': metric,
            **replicates.contrast(a, b, metric),
        }
        for a, b in pairs
    ]
    if not rows:
        return pd.DataFrame(
            columns=['a', 'b', 'metric', 'mean', 'low', 'high', 'p', 'detectable', 'n', 'verdict', 'test_set']
        )
    table = pd.DataFrame(rows)
    table['p'] = holm(table.p)
    table['n'] = replicates.n_seeds
    table['verdict'] = [verdict(r.low, r.high, r.p) for r in table.itertuples()]
    return table.assign(test_set=test_set)


def primary(replicates, learned, test_set):
    """The contrast declared before looking: the mean over the learned generators of GenMix(g) - g, then each g (Holm over these)."""
    each = family(replicates, [(f'genmix-{g}', g) for g in learned], test_set)
    if len(learned) < 2:
        return each
    mean = family(replicates, [([f'genmix-{g}' for g in learned], list(learned))], test_set)
    return pd.concat([mean, each], ignore_index=True)


def format_p(p):
    """'p = 0.021', or 'p < 0.001'."""
    return f'p = {p:.3f}' if p >= 0.0005 else 'p < 0.001'


def summarise_contrasts(table, test_set):
    """One sentence for each contrast of a test set, computed: what is higher, lower or undecided."""
    names = {'higher': 'is higher than', 'lower': 'is lower than', 'undecided': 'cannot be told from'}
    return [
        f'{r.a} {names[r.verdict]} {r.b}: {100 * r.mean:+.1f} points [{100 * r.low:+.1f}, {100 * r.high:+.1f}], '
        f'Holm {format_p(r.p)}, {r.n} runs each, {test_set}'
        for r in table[table.test_set == test_set].itertuples()
    ]
