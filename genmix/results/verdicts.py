"""The table of contrasts, the words of a verdict, and the gates of PROTOCOL.md."""

from collections.abc import Callable

import pandas as pd

from genmix.results.bootstrap import Replicates
from genmix.results.contrasts import EACH, Contrast
from genmix.results.intervals import holm, verdict
from genmix.results.metrics import PRIMARY

# What each contrast is read on, the primary outcome first; lower is better for the log loss.
AUC, LOSS = 'macro_auc', 'nll_scaled'
OUTCOMES = ((PRIMARY, 'prior'), (PRIMARY, 'argmax'), (AUC, ''), (LOSS, ''))
COLUMNS = [
    *('contrast', 'gate', 'a', 'b', 'metric', 'rule', 'mean', 'low', 'high', 'p', 'p_equivalent'),
    *('minimum_detectable_effect', 'n', 'cohorts', 'verdict', 'test_set'),
]
EVERY = 'mixing, every generator'


def contrasts_table(
    contrasts: list[Contrast], estimate: Callable[..., dict], n: int, cohorts: int, test_set: str
) -> pd.DataFrame:
    """A row for each contrast and each of the OUTCOMES: COLUMNS, those of results/contrasts.csv.

    estimate   (weights, metric, rule) -> the dict of `intervals.student`
    n          units of inference: runs of one cohort, folds, or cohorts

    After the single generators comes a row for every one of them, and their p are Holm-adjusted over them.
    Verdicts are empty (`judge`).
    """
    rows = [
        {'contrast': c.name, 'gate': c.gate, 'a': c.a, 'b': c.b, 'metric': metric, 'rule': rule}
        | estimate(c.weights, metric, rule)
        for c in contrasts
        for metric, rule in OUTCOMES
    ]
    table = pd.DataFrame(rows, columns=COLUMNS).assign(n=n, cohorts=cohorts, verdict='', test_set=test_set)
    table.loc[table.metric != PRIMARY, 'p_equivalent'] = float('nan')  # its margin is in points
    return _with_every(table)


def of_replicates(contrasts: list[Contrast], replicates: Replicates, test_set: str) -> pd.DataFrame:
    """`contrasts_table` of one run: of its folds where these decide (`Replicates.corrected`), with verdicts,
    else of its classifier runs, which are one cohort, and have none."""
    n = replicates.n_folds if replicates.corrected else replicates.n_seeds
    table = contrasts_table(contrasts, replicates.combine, n, 1, test_set)
    return judge(table) if replicates.corrected else table


def _with_every(table):
    """The table with the row EVERY behind the single generators, whose p are then Holm-adjusted."""
    each = table[table.gate == EACH]
    if not len(each):
        return table
    row = primary(each).iloc[primary(each).p.argmax()].copy()
    row['contrast'], row['a'], row['b'] = EVERY, 'each GenMix', 'its generator'
    row['low'], row['high'] = primary(each).low.min(), primary(each).high.max()
    for name in ('p', 'p_equivalent', 'minimum_detectable_effect'):
        row[name] = primary(each)[name].max()
    for _, own in each.groupby(['metric', 'rule']):
        table.loc[own.index, 'p'] = holm(own.p)
    last = each.index[-1] + 1
    return pd.concat([table[:last], row.to_frame().T.astype(table.dtypes), table[last:]], ignore_index=True)


def primary(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the primary outcome."""
    return table[(table.metric == OUTCOMES[0][0]) & (table.rule == OUTCOMES[0][1])]


def judge(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a verdict, one of `intervals.WORDS`, in each declared row of the primary outcome.

    Contrasts are judged in gate order, each at 5 %: behind one that is undecided, all are.  For the gate of
    the single generators the row EVERY counts, an intersection-union test: it has a word when each generator
    has that word without adjustment (Berger 1982, Technometrics 24:295).  'higher' and 'lower' become
    undecided where AUC or log loss `contradicts` them.
    """
    table, open_gate = table.copy(), True
    for gate, own in primary(table[table.gate > 0]).groupby('gate'):
        words = {}
        for i, row in own.iterrows():
            word = verdict(row.low, row.high, row.p, row.p_equivalent)
            names = own.contrast if row.contrast == EVERY else [row.contrast]
            wrong = any(contradicts(word, table[table.contrast == name]) for name in names)
            words[i] = 'undecided' if wrong or not open_gate else word
        table.loc[list(words), 'verdict'] = list(words.values())
        decisive = words[own.index[own.contrast == EVERY][0]] if gate == EACH else next(iter(words.values()))
        open_gate = open_gate and decisive != 'undecided'
    return table


def contradicts(word: str, rows: pd.DataFrame) -> bool:
    """Whether AUC or log loss, rows of one contrast, point clearly the other way than 'higher' or 'lower'.

    Clearly: their 95 % interval lies wholly on the other side of 0.
    """
    for metric, sign in ((AUC, 1), (LOSS, -1)):
        for row in rows[rows.metric == metric].itertuples():
            low, high = sorted((sign * row.low, sign * row.high))
            if (word == 'higher' and high < 0) or (word == 'lower' and low > 0):
                return True
    return False


def closed_by(table: pd.DataFrame) -> str:
    """Name of the contrast behind which the gates of a judged table are closed, '' when none is."""
    rows = primary(table[table.gate > 0])
    rows = rows[(rows.gate != EACH) | (rows.contrast == EVERY)]
    undecided = rows[rows.verdict == 'undecided']
    return '' if undecided.empty or undecided.index[0] == rows.index[-1] else undecided.contrast.iloc[0]


def format_p(p: float) -> str:
    """'p = 0.021', or 'p < 0.001'."""
    return f'p = {p:.3f}' if p >= 0.0005 else 'p < 0.001'


def points(row, signs='+') -> str:
    """'+1.2 [+0.3, +2.1]' of a row of contrasts, in percentage points; the log loss in nats."""
    scale, digits = (1, 3) if row.metric == LOSS else (100, 1)
    mean, low, high = (f'{scale * v:{signs}.{digits}f}' for v in (row.mean, row.low, row.high))
    return f'{mean} [{low}, {high}]'


def overview(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each contrast, one column for each outcome, to be read; verdicts where there are any."""
    titles = dict(
        zip(
            OUTCOMES,
            ('balanced accuracy, prior', 'balanced accuracy, argmax', 'macro AUC', 'log loss [nats]'),
        )
    )
    cells = [
        (r.contrast, f'{r.a} − {r.b}', titles[r.metric, r.rule], points(r))
        for r in table.itertuples(index=False)
    ]
    long = pd.DataFrame(cells, columns=['contrast', 'difference', 'outcome', 'found'])
    if long.empty:
        return long
    wide = long.pivot_table(
        index=['contrast', 'difference'], columns='outcome', values='found', aggfunc='first', sort=False
    )
    wide = wide.reindex(columns=titles.values()).fillna('')
    wide = wide.reset_index()
    said = primary(table)
    if said.verdict.any():
        wide['verdict'] = wide.contrast.map(dict(zip(said.contrast, said.verdict)))
    return wide


def summarise_contrasts(table: pd.DataFrame, test_set: str) -> list[str]:
    """One sentence for each contrast of a test set: the difference, other outcomes, the verdict if any."""
    lines, own = [], table[table.test_set == test_set]
    unit = 'cohorts' if len(own) and own.cohorts.max() > 1 else 'runs of one cohort'
    for row in primary(own).itertuples():
        others = own[(own.contrast == row.contrast) & (own.a == row.a) & (own.b == row.b)]
        beside = {(r.metric, r.rule): points(r).split(' ')[0] for r in others.itertuples()}
        said = f'{row.contrast} ({row.a} − {row.b}): {points(row)} points'
        if (AUC, '') in beside:
            said += (
                f'; at argmax {beside[OUTCOMES[1]]}, AUC {beside[AUC, ""]}, log loss {beside[LOSS, ""]} nats'
            )
        verdict = f', {row.verdict}' if row.verdict else ''
        lines.append(f'{said}{verdict} ({row.n} {unit}, {test_set})')
    return lines
