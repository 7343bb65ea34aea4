"""Which generator illustrates the study: the best by the generator card, never the first by name."""

import pandas as pd

from genmix.run.study import Study

IDEAL = 'oracle'  # draws fresh phantoms: no generator that was trained


def best_generator(study: Study, names) -> str:
    """The one among `names` whose set teaches most: highest TSTR over all classes on the generator card.

    The oracle only where it is alone; where none has a TSTR, the first of `names`.  StudyError when
    06_generator_audit has not run.
    """
    card = pd.read_csv(study.need('audit', '06_generator_audit') / 'generator_card.csv')
    trained = [name for name in names if name != IDEAL] or list(names)
    tstr = card[(card.metric == 'tstr') & (card.label == 'all')].set_index('generator').value
    known = tstr.reindex(trained).dropna()
    return str(known.idxmax()) if len(known) else trained[0]
