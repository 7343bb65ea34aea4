import re

import pandas as pd

from genmix.mixing.arms import PLAIN as WITHOUT
from genmix.mixing.arms import generator_of
from genmix.results.metrics import PRIMARY

CALIBRATION = {
    'ece': 'ECE',
    'brier': 'Brier',
    'nll': 'NLL',
    'ece_scaled': 'ECE scaled',
    'brier_scaled': 'Brier scaled',
    'nll_scaled': 'NLL scaled',
}
PLAIN = ('brier', 'nll', 'brier_scaled', 'nll_scaled')  # not per cent


def results_table(replicates, names):
    """One row an arm, one column a metric, each 'mean [low, high]' in per cent (AUC and ECE too; Brier and NLL plain): a DataFrame of text."""
    columns = {
        PRIMARY: 'balanced accuracy',
        'macro_f1': 'macro F1',
        'macro_auc': 'macro AUC',
        'accuracy': 'accuracy',
    }
    columns |= {('sensitivity', k): f'sensitivity {n}' for k, n in enumerate(names)}
    columns |= {('specificity', k): f'specificity {n}' for k, n in enumerate(names)}
    columns |= {
        m: title
        for m, title in CALIBRATION.items()
        if all(m in values for values in replicates.point.values())
    }

    def within(m, v):
        return (
            max(v, 0) if m in PLAIN else min(max(v, 0), 1)
        )  # two seeds, widened, may point beyond what can be

    def form(m):
        return '{:.3f} [{:.3f}, {:.3f}]' if m in PLAIN else '{:.1%} [{:.1%}, {:.1%}]'

    def cell(arm, m):
        return form(m).format(*(within(m, v) for v in replicates.interval(arm, m))).replace('%', '')

    return pd.DataFrame(
        {title: [cell(arm, m) for arm in replicates.point] for m, title in columns.items()},
        index=pd.Index(replicates.point, name='arm'),
    )


def in_order(names):
    """Arms in the order of the results table: the plain ones, then each generator's three."""
    generators = dict.fromkeys(g for g in map(generator_of, names) if g)
    return [
        a
        for a in (*WITHOUT, *(f'{kind}{g}' for g in generators for kind in ('', 'mixup-', 'genmix-')))
        if a in set(names)
    ]


def summary(replicates):
    """results/arms.csv, the table in numbers: arm, test_set, label (a class number or `all`), metric, mean, low, high; `replicates` {test set: Replicates}."""
    rows = [
        (arm, test_set, *((m[1], m[0]) if isinstance(m, tuple) else ('all', m)), *r.interval(arm, m))
        for test_set, r in replicates.items()
        for arm in in_order(r.point)
        for m in r.point[arm]
    ]
    return pd.DataFrame(rows, columns=['arm', 'test_set', 'label', 'metric', 'mean', 'low', 'high'])


def caption(replicates, source, train):
    """What the intervals of a results table mean, in one sentence.  `source` of the cohort says whether its patients are known, or clusters of like images stand for them."""
    one, owners = next(iter(replicates.values())), 'clusters' if 'patients unknown' in source else 'patients'
    sets = ', '.join(f'{name} of {r.n_patients} {owners}' for name, r in replicates.items())
    scope = (
        f'over {one.n_folds} folds with generators trained in each'
        if one.n_folds > 1
        else 'conditional on one split and one training of each generator'
    )
    scope += (
        f'; contrasts by the corrected resampled t of Nadeau and Bengio (n_test / n_train = {one.ratio:.2f})'
        if one.corrected
        else ''
    )
    return (
        f'Per cent (Brier and NLL plain), mean over {one.n_seeds} classifier runs with 95 % bootstrap intervals over runs and {owners} ({sets}); {scope}; '
        f'trained on {len(train)} images of {len(set(train.patients))} {owners}. Data: {source}.'
    )


def write_tables(tables, caption, folder):
    """results/table.{csv,md,tex} from {test set: table}."""
    whole = pd.concat(tables, names=['test set'])
    whole.to_csv(folder / 'table.csv')
    text = '\n\n'.join(f'## {name}\n\n{table.to_markdown()}' for name, table in tables.items())
    (folder / 'table.md').write_text(f'# Results\n\n{text}\n\n{caption}\n')
    escaped = re.sub(r'([%&#_])', r'\\\1', caption)
    style = whole.iloc[:, :4].style.format_index(escape='latex', axis=0).format_index(escape='latex', axis=1)
    (folder / 'table.tex').write_text(style.to_latex(hrules=True, caption=escaped, label='tab:genmix'))
