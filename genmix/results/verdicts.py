"""The table of contrasts, the words of a verdict, and the gates of PROTOCOL.md."""

from collections.abc import Callable

import pandas as pd

from genmix.results.bootstrap import Replicates
from genmix.results.contrasts import BALANCE, EACH, Contrast, brief
from genmix.results.intervals import holm, verdict
from genmix.results.metrics import PRIMARY

# What each contrast is read on, the primary outcome first; lower is better for the log loss.
AUC, LOSS = 'macro_auc', 'nll_scaled'
OUTCOMES = ((PRIMARY, 'prior'), (PRIMARY, 'argmax'), (AUC, ''), (LOSS, ''))
COLUMNS = [
    *('contrast', 'gate', 'generator', 'a', 'b', 'metric', 'rule', 'mean', 'low', 'high'),
    *('p', 'p_equivalent', 'minimum_detectable_effect', 'n', 'cohorts', 'level', 'verdict', 'test_set'),
]
ALPHA = 0.05  # chance of any false 'higher' or 'lower', and again of any false 'equivalent', over all gates
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
        {'contrast': c.name, 'gate': c.gate, 'generator': c.generator, 'a': c.a, 'b': c.b}
        | {'metric': metric, 'rule': rule}
        | estimate(c.weights, metric, rule)
        for c in contrasts
        for metric, rule in OUTCOMES
    ]
    table = pd.DataFrame(rows, columns=COLUMNS).assign(
        n=n, cohorts=cohorts, level=float('nan'), verdict='', test_set=test_set
    )
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
    row['contrast'], row['generator'] = EVERY, ''
    row['a'], row['b'] = 'each GenMix', 'its generator'
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
    """The table with a verdict, one of `intervals.WORDS`, in each declared row of the primary outcome, and
    the level that it was tested at.

    Gates share ALPHA alike and are tested in order; the level of one whose null hypothesis is rejected passes
    on to the next (fallback procedure: Wiens and Dmitrienko 2005, Journal of Biopharmaceutical Statistics
    15:929).  There are two such chains: no difference, and a difference of SMALLEST or more.  For the gate of
    the single generators the row EVERY decides, an intersection-union test: each generator must have the word
    without adjustment (Berger 1982, Technometrics 24:295).  A difference that AUC or log loss `contradicts`
    does not count as found.
    """
    table = table.copy()
    share, passed, passed_equivalent = ALPHA / BALANCE, 0.0, 0.0
    for gate in range(1, BALANCE + 1):
        level, equivalent = share + passed, share + passed_equivalent
        passed = passed_equivalent = 0.0
        own = primary(table[table.gate == gate])
        for i, row in own.iterrows():
            names = own.contrast if row.contrast == EVERY else [row.contrast]
            rows = table[table.contrast.isin(names)]
            p = 1.0 if contradicts(row, rows) else row.p
            word = verdict(row.low, row.high, p, row.p_equivalent, level, equivalent)
            table.loc[i, ['verdict', 'level']] = word, level
            if gate != EACH or row.contrast == EVERY:
                passed = level if p < level else 0.0
                passed_equivalent = equivalent if row.p_equivalent < equivalent else 0.0
    return table


def contradicts(row, rows: pd.DataFrame) -> bool:
    """Whether AUC or log loss, in `rows`, point clearly the other way than the primary outcome, `row`.

    Clearly: their 95 % interval lies wholly on the other side of 0.
    """
    for metric, better in ((AUC, 1), (LOSS, -1)):
        for other in rows[rows.metric == metric].itertuples():
            ends = better * other.low, better * other.high
            if (row.low > 0 and max(ends) < 0) or (row.high < 0 and min(ends) > 0):
                return True
    return False


def format_p(p: float) -> str:
    """'p = 0.021', or 'p < 0.001'."""
    return f'p = {p:.3f}' if p >= 0.0005 else 'p < 0.001'


def points(row, signs='+') -> str:
    """'+1.2 [+0.3, +2.1]' of a row of contrasts, in percentage points; the log loss in nats."""
    scale, digits = (1, 3) if row.metric == LOSS else (100, 1)
    mean, low, high = (f'{scale * v:{signs}.{digits}f}' for v in (row.mean, row.low, row.high))
    return f'{mean} [{low}, {high}]'


def within(row) -> str:
    """`points` of a row; of the row EVERY, which has no mean of its own, what all its intervals lie in."""
    return f'all within {points(row).partition(" ")[2]}' if row.contrast == EVERY else points(row)


def overview(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each contrast, one column for each outcome, to be read; verdicts where there are any."""
    titles = dict(
        zip(
            OUTCOMES,
            ('balanced accuracy, prior', 'balanced accuracy, argmax', 'macro AUC', 'log loss [nats]'),
        )
    )
    cells = [
        (r.contrast, f'{brief(r.a)} − {brief(r.b)}', titles[r.metric, r.rule], within(r))
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
        said = f'{row.contrast} ({brief(row.a)} − {brief(row.b)}): {points(row)} points'
        if (AUC, '') in beside:
            said += (
                f'; at argmax {beside[OUTCOMES[1]]}, AUC {beside[AUC, ""]}, log loss {beside[LOSS, ""]} nats'
            )
        verdict = f', {row.verdict}' if row.verdict else ''
        lines.append(f'{said}{verdict} ({row.n} {unit}, {test_set})')
    return lines
