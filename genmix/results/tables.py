"""The results table, one row per arm and one column per metric: as text, as numbers, and its caption."""

from pathlib import Path

import pandas as pd

from genmix.data.cohort import Cohort
from genmix.data.names import in_latex, in_markdown
from genmix.generators import PAPER
from genmix.mixing.arms import DOSES, KINDS, Arm
from genmix.results.bootstrap import FEW_RUNS, Replicates
from genmix.results.contrasts import CEILING, Finder
from genmix.results.metrics import DESIGN, PRIMARY, design, full_key

MAIN = {
    full_key(PRIMARY): 'balanced accuracy',
    full_key('macro_auc'): 'macro AUC',
    full_key(PRIMARY, 'argmax'): 'balanced accuracy (argmax)',
    full_key('macro_f1', 'argmax'): 'macro F1 (argmax)',
    full_key('accuracy', 'argmax'): 'accuracy (argmax)',
}
CALIBRATION = {
    'ece': 'ECE',
    'brier': 'Brier',
    'nll': 'NLL',
    'ece_scaled': 'ECE scaled',
    'brier_scaled': 'Brier scaled',
    'nll_scaled': 'NLL scaled',
}
PLAIN = ('brier', 'nll', 'brier_scaled', 'nll_scaled')  # not per cent


def results_table(replicates: Replicates, names) -> pd.DataFrame:
    """One row per arm, one column per metric: text 'mean [low, high]' in per cent, Brier and NLL plain.

    By the prior rule where nothing else is said.
    """
    columns = MAIN | {
        full_key((metric, k)): f'{metric} {n}'
        for metric in ('sensitivity', 'specificity')
        for k, n in enumerate(names)
    }
    everywhere = set.intersection(*(set(values) for values in replicates.point.values()))
    columns |= {full_key(m): title for m, title in CALIBRATION.items() if full_key(m) in everywhere}
    cells = {
        title: [_cell(metric, replicates.interval(arm, (metric, label), rule)) for arm in replicates.point]
        for (metric, label, rule), title in columns.items()
    }
    return pd.DataFrame(cells, index=pd.Index(replicates.point, name='arm'))


def _cell(metric, values):
    """'mean [low, high]', cut at the range of the metric: the interval of few seeds may reach beyond."""
    if metric in PLAIN:
        return '{:.3f} [{:.3f}, {:.3f}]'.format(*(max(v, 0) for v in values))
    return '{:.1%} [{:.1%}, {:.1%}]'.format(*(min(max(v, 0), 1) for v in values)).replace('%', '')


def in_order(names, arms: dict[str, Arm]) -> list[str]:
    """Names of arms in the order of the results table: without a generator, then generator by generator.

    Generators come in the order of the paper, then others as `names` brings them, the oracle last.
    """
    given = list(dict.fromkeys(arms[name].generator for name in names))
    first = ['', *PAPER]
    generators = [*first, *(g for g in given if g not in (*first, CEILING)), CEILING]

    def place(name):
        arm = arms[name]
        kind = KINDS.index(arm.kind) if arm.kind in KINDS else len(KINDS)
        rest = arm.steps, arm.balance == 'balanced', arm.dose, arm.stored, arm.classical
        return generators.index(arm.generator), kind, *rest

    return sorted(names, key=place)


def paper_table(replicates: Replicates, arms: dict[str, Arm], dose=DOSES[0]) -> pd.DataFrame:
    """The table in the shape of the paper's: augmentation methods as rows, this study beside an empty column.

    dose   of the arms with a generator; those of the paper's generators are shown, where they are trained

    Balanced accuracy (prior rule, the highest mean bold in Markdown) and accuracy (argmax) in per cent, 95 %
    intervals.
    """
    trained = {name: arm for name, arm in arms.items() if name in replicates.point}
    find = Finder(trained)
    plain = [name for name, arm in trained.items() if arm.kind == 'real' and not arm.classical]
    rows = [*plain, find('real'), find('mixup')]
    rows += [find(kind, g, dose) for kind in ('synthetic', 'genmix') for g in PAPER]
    rows = [name for name in rows if name]
    titles = {full_key(PRIMARY): 'balanced accuracy', full_key('accuracy', 'argmax'): 'accuracy'}
    cells = {
        f'{title} [%], this study': [_cell(m, replicates.interval(name, (m, label), rule)) for name in rows]
        for (m, label, rule), title in titles.items()
    }
    table = pd.DataFrame(cells, index=pd.Index(rows, name='augmentation')).assign(**{'the paper': ''})
    scores = [replicates.point[name][full_key(PRIMARY)] for name in rows]
    if rows:
        best = scores.index(max(scores))
        table.iloc[best, 0] = f'**{table.iloc[best, 0]}**'
    return table


def arms_from(table: pd.DataFrame) -> dict[str, Arm]:
    """{name: Arm} as far as the columns DESIGN of metrics.csv or arms.csv say."""
    rows, known = table.drop_duplicates('arm').fillna({'generator': ''}), [c for c in DESIGN if c in table]
    return {r.arm: Arm(name=r.arm, **{c: getattr(r, c) for c in known}) for r in rows.itertuples()}


def summary(replicates: dict[str, Replicates], arms: dict[str, Arm]) -> pd.DataFrame:
    """results/arms.csv, the table in numbers; replicates {test set: Replicates}.

    Columns arm, the DESIGN, test_set, rule, label (a class number or `all`), metric,
    mean, low, high; arms `in_order`.
    """
    rows = [
        (arm, *design(arms[arm]), test_set, rule, label, metric, *r.interval(arm, (metric, label), rule))
        for test_set, r in replicates.items()
        for arm in in_order(r.point, arms)
        for metric, label, rule in r.point[arm]
    ]
    columns = ['arm', *DESIGN, 'test_set', 'rule', 'label', 'metric', 'mean', 'low', 'high']
    return pd.DataFrame(rows, columns=columns)


def caption(replicates: dict[str, Replicates], source: str, train: Cohort) -> str:
    """What the intervals of a results table mean, in one sentence.

    source   of the cohort: it says whether patients are known, or clusters of near-duplicates stand for them
    """
    one, owners = next(iter(replicates.values())), 'clusters' if 'patients unknown' in source else 'patients'
    sets = ', '.join(f'{name} of {r.n_patients} {owners}' for name, r in replicates.items())
    scope = 'one cohort: conditional on one split and one training of each generator'
    if one.n_folds > 1:
        scope = f'over {one.n_folds} folds with generators trained in each'
    if one.corrected:
        ratio = f'n_test / n_rest = {one.ratio:.2f}'
        scope += f'; contrasts by the corrected resampled t of Nadeau and Bengio ({ratio})'
    pooled = ', the variance between runs pooled over arms' if 1 < one.n_seeds <= FEW_RUNS else ''
    return (
        f'Per cent (Brier and NLL plain), mean over {one.n_seeds} classifier runs with 95 % intervals over '
        f'runs and {owners} ({sets}) as crossed factors{pooled}; {scope}; classes by argmax p / class mass '
        f'of the training batches where argmax is not named; trained on {len(train)} images of '
        f'{len(set(train.patients))} {owners}. Data: {source}.'
    )


def as_markdown(tables: dict[str, pd.DataFrame], caption: str, columns=None, heading='**{}**') -> str:
    """The tables of {test set: table}, up to a number of columns, and their caption, as Markdown."""
    parts = []
    for test_set, table in tables.items():
        shown = table.iloc[:, :columns].rename(in_markdown, axis=0).rename(in_markdown, axis=1)
        parts.append(f'{heading.format(test_set)}\n\n{shown.rename_axis(table.index.name).to_markdown()}')
    return '\n\n'.join([*parts, in_markdown(caption)])


def write_tables(tables: dict[str, pd.DataFrame], caption: str, folder: Path) -> None:
    """results/table.{csv,md,tex} from {test set: table}; table.md ends with the caption."""
    whole = pd.concat(tables, names=['test set'])
    whole.to_csv(folder / 'table.csv')
    (folder / 'table.md').write_text(f'# Results\n\n{as_markdown(tables, caption, heading="## {}")}\n')
    style = whole.iloc[:, :4].style.format_index(escape='latex', axis=0).format_index(escape='latex', axis=1)
    latex = style.to_latex(hrules=True, caption=in_latex(caption), label='tab:genmix')
    (folder / 'table.tex').write_text(latex)
