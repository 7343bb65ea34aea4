"""The test lesions that the classifiers of an arm get wrong with the highest confidence."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from genmix.results.metrics import class_names, probabilities


def failures(predictions: pd.DataFrame, test_set: str, arm: str, n=12) -> pd.DataFrame:
    """Columns id, label, predicted (numbers of classes), share, runs, confidence; at most n lesions.

    share        of the classifiers, `runs` in all, that name this wrong class
    confidence   their mean probability of it, at the class mass of the decision: p / mass, which sum to 1

    First those that most classifiers get wrong, of these the most confident.
    """
    own = predictions[(predictions.test_set == test_set) & (predictions.arm == arm)]
    names = class_names(own)
    p, mass = probabilities(own, names), own[[f'mass_{k}' for k in names]].to_numpy()
    p = np.divide(p, mass, out=np.zeros_like(p), where=mass > 0)  # the primary rule names the largest
    own = own.assign(predicted=p.argmax(1), confidence=p.max(1) / p.sum(1))
    wrong = own[own.predicted != own.label].groupby(['id', 'label', 'predicted'])
    found = wrong.confidence.agg(['size', 'mean']).reset_index()
    found['runs'] = found.id.map(own.groupby('id').size())
    found['share'] = found['size'] / found.runs
    found = found.rename(columns={'mean': 'confidence'}).sort_values(
        ['share', 'confidence', 'id'], ascending=[False, False, True]
    )
    columns = ['id', 'label', 'predicted', 'share', 'runs', 'confidence']
    return found.drop_duplicates('id')[columns].head(n).reset_index(drop=True)


def sizes(lesions: pd.DataFrame, ids: Iterable[str]) -> list[str]:
    """'13 mm, slice 5 mm' of lesions by their id, from a manifest; without what it does not know."""
    known = {'diameter_mm': '{:.0f} mm', 'slice_mm': 'slice {:g} mm'}
    rows = lesions.set_index('id').reindex(columns=list(known)).loc[list(ids)]
    said = zip(*(rows[name].map(text.format, na_action='ignore').fillna('') for name, text in known.items()))
    return [', '.join(filter(None, both)) for both in said]
