"""A made-up map: the table that measuring gives, with effects that are known."""

import numpy as np
import pandas as pd

from genmix.results.map_space import design, unit_places

ARMS = ('classical', 'mixup', 'g@1/8', 'g@1/2', 'genmix-g@1/8', 'genmix-g@1/2')


def made_up(points=40, sd=0.01, seed=0):
    """measured/map.csv of so many points.  In points of balanced accuracy: mixing at dose 1/8 is -1, at dose
    1/2 from -6 (5 lesions) to -2 (100); synthesis without mixing falls by 3 from no to most wrong labels.
    """
    rng, places = np.random.default_rng(seed), design(points)
    lesions, _, wrong, _ = unit_places(places).T
    rows = []
    for i, place in enumerate(places.to_dict('records')):
        base = rng.normal(0.7, 0.04)
        lift = {'g@1/8': -1.5 * wrong[i], 'g@1/2': -3 * wrong[i]}
        lift |= {'genmix-g@1/8': lift['g@1/8'] - 1, 'genmix-g@1/2': lift['g@1/2'] - 4 + 2 * lesions[i]}
        for arm in ARMS:
            score = base + lift.get(arm, 0) / 100 + rng.normal(0, sd / 2**0.5)
            scores = {'balanced_accuracy': score, 'argmax': score - 0.03, 'macro_auc': score + 0.1}
            rows.append({'cohort': 9100 + i, **place, 'arm': arm, **scores})
    return pd.DataFrame(rows)
