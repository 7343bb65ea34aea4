"""Sums over tables of the audit: of one run, whose rows have intervals, or of many cohorts."""

import numpy as np
import pandas as pd

from genmix.audit import findings
from genmix.results.intervals import over_units


def shares_of_real(card):
    """A card whose diversity, as the other shares, is one of that of real lesions."""
    shares = card.metric.isin(findings.SHARES)
    columns = ['value', 'low', 'high']
    base = card.reference.where(shares & (card.reference != 0), 1.0)
    return card.assign(**{name: card[name] / base for name in columns})


def over_tables(tables, weights, metric):
    """The sum over generators of weight times value, over all classes: of one table with the half-widths of
    its intervals added in squares (Newcombe 1998), of several by Student's t over them; None where missing.
    """
    rows = [t[(t.label == 'all') & (t.metric == metric)].set_index('generator') for t in tables]
    rows = [own for own in rows if set(weights) <= set(own.index)]
    if not rows:
        return None
    w = pd.Series(weights)
    values = [float((own.value[w.index] * w).sum()) for own in rows]
    if len(rows) > 1:
        return over_units(values)
    own = rows[0].loc[w.index]
    down, up = own.value - own.low, own.high - own.value
    below, above = np.where(w > 0, down, up), np.where(w > 0, up, down)
    low, high = (float(np.hypot.reduce(w.abs().to_numpy() * side)) for side in (below, above))
    return {'mean': values[0], 'low': values[0] - low, 'high': values[0] + high}
