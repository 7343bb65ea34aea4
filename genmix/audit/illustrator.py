"""Which generator illustrates the study: the best by the generator card, never the first by name."""

import pandas as pd

from genmix.run.study import Study

IDEAL = 'oracle'  # draws fresh phantoms: no generator that was trained


def best_generator(study: Study, names) -> str:
    """The one among `names` whose set teaches most: highest TSTR over all classes on the generator card.

    The oracle only where it is alone; the first of `names` where none has a TSTR, or where the audit ended
    early for lack of lesions.  StudyError when 06_generator_audit has not run.
    """
    trained = [name for name in names if name != IDEAL] or list(names)
    if (study.folder / 'audit' / 'provenance.json').exists() and not study.key('audit'):
        return trained[0]
    card = pd.read_csv(study.need('audit', '06_generator_audit') / 'generator_card.csv')
    tstr = card[(card.metric == 'tstr') & (card.label == 'all')].set_index('generator').value
    known = tstr.reindex(trained).dropna()
    return str(known.idxmax()) if len(known) else trained[0]
