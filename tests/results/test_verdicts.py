import numpy as np
import pandas as pd
import pytest
from test_metrics import predictions

from genmix.generators import PAPER
from genmix.mixing.arms import arms_for
from genmix.results import calibration, verdicts
from genmix.results.bootstrap import bootstrap
from genmix.results.contrasts import EACH, MIXING, Contrast, declared, exploratory
from genmix.results.intervals import holm, student
from genmix.results.verdicts import EVERY, OUTCOMES, contradicts, contrasts_table, judge, of_replicates

ERROR = 0.002  # standard error of every made-up difference


def replicates(right, folds=1, **about):
    """Replicates of classifiers that are right so often, with scaled probabilities."""
    parts = [predictions(right, n=90, patients=45, seed=f).assign(fold=f) for f in range(folds)]
    table = calibration.scale(pd.concat(parts, ignore_index=True), list('abc'))
    return bootstrap(table, 'holdout', 30, **about)


def made_up(means, error=ERROR):
    """A table of contrasts {name: (gate, mean)}, or {name: (gate, mean, AUC, log loss)}."""
    values = {name: (*own, *(0, 0)[: 4 - len(own)]) for name, own in means.items()}

    def estimate(weights, metric, rule):
        gate, mean, auc, loss = values[next(iter(weights))]
        return student({'macro_auc': auc, 'nll_scaled': loss}.get(metric, mean), error, 23)

    every = [Contrast(name=n, gate=v[0], a=n, b='0', weights={n: 1}) for n, v in values.items()]
    return contrasts_table(every, estimate, 24, 24, 'population')


def words(table):
    rows = verdicts.primary(table)
    return dict(zip(rows.contrast, rows.verdict))


def test_each_contrast_has_a_row_for_every_outcome():
    arms = arms_for(PAPER)
    r, own = replicates(dict.fromkeys(arms, 0.7)), declared(arms)
    table = of_replicates(own, r, 'holdout')
    assert list(table.columns) == verdicts.COLUMNS and set(table.verdict) == {''}  # one cohort has none
    mixing = table[table.gate == MIXING]
    assert list(zip(mixing.metric, mixing.rule)) == list(OUTCOMES)
    for row, (metric, rule) in zip(mixing.itertuples(), OUTCOMES):
        expected = r.combine(own[0].weights, metric, rule)
        assert (row.mean, row.low, row.p, row.n, row.cohorts) == (
            *[expected[c] for c in ('mean', 'low', 'p')],
            4,
            1,
        )
    assert mixing.p_equivalent.notna().tolist() == [True, True, False, False]


def test_folds_of_real_images_have_verdicts():
    arms = arms_for(['dcgan'])
    right = {n: 0.9 if a.kind == 'genmix' else 0.5 for n, a in arms.items()}
    table = of_replicates(declared(arms), replicates(right, 5, ratio=0.25), 'holdout')
    assert words(table)['mixing at matched dose and mass'] == 'higher' and set(table.n) == {5}
    assert set(of_replicates(exploratory(arms), replicates(right), 'holdout').verdict) == {''}


def test_words_follow_numbers():
    found = words(judge(made_up({'a': (2, 0.03), 'b': (3, 0.001), 'c': (5, -0.03)})))
    assert found == {'a': 'higher', 'b': 'equivalent', 'c': 'lower'}


def test_the_level_of_a_decided_gate_passes_on():
    """p of .03, below .05 and above .01: found only where all gates before passed their level on."""
    close = {'e': (5, 0.0231)}
    assert 0.02 < student(0.0231, 0.01, 23)['p'] < 0.04
    table = judge(made_up({name: (i + 1, 0.05) for i, name in enumerate('abcd')} | close, error=0.01))
    rows = verdicts.primary(table).set_index('contrast')
    assert rows.level[list('abcde')].tolist() == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
    assert rows.verdict['e'] == 'higher' and rows.level[EVERY] == rows.level['d']
    assert words(judge(made_up(close, error=0.01)))['e'] == 'undecided'
    broken = judge(made_up({'a': (1, 0.05), 'b': (2, 0.001), **close}, error=0.01))
    assert words(broken) == {'a': 'higher', 'b': 'undecided', 'e': 'undecided'}
    assert verdicts.primary(broken).level.tolist() == pytest.approx([0.01, 0.02, 0.01])


def test_equivalence_passes_on_its_own_level_only():
    """It says nothing against 'no difference', and does not raise the level of that test."""
    near = {'error': 0.0039}
    assert 0.01 < student(0.001, **near, freedom=23)['p_equivalent'] < 0.02
    assert words(judge(made_up({'b': (2, 0.001)}, **near))) == {'b': 'undecided'}
    after = judge(made_up({'a': (1, 0), 'b': (2, 0.001)}, **near))
    assert words(after) == {'a': 'equivalent', 'b': 'equivalent'}
    assert verdicts.primary(after).level.tolist() == [0.01, 0.01]


def test_auc_and_log_loss_can_take_a_word_away_but_not_give_one():
    found = words(judge(made_up({'a': (1, 0.03, -0.02, 0)})))
    assert found == {'a': 'undecided'}
    assert words(judge(made_up({'a': (1, 0.03, 0, 0.02)}))) == {'a': 'undecided'}  # a larger loss is worse
    assert words(judge(made_up({'a': (1, 0.03, 0.02, -0.02)}))) == {'a': 'higher'}
    assert words(judge(made_up({'a': (1, -0.03, 0.02, 0)}))) == {'a': 'undecided'}
    assert words(judge(made_up({'a': (1, 0.011, 0.02, -0.02)}, error=0.01))) == {'a': 'undecided'}
    for own, said in (((1, 0.03, -0.002, 0), False), ((1, 0, -0.1, 0.1), False), ((1, 0.03, -0.1, 0), True)):
        table = made_up({'a': own})
        assert contradicts(verdicts.primary(table).iloc[0], table) == said


def test_every_generator_is_an_intersection_union_test():
    """One word for all of them when each has it without adjustment; Holm is for the single ones."""
    each = {f'mixing, {g}': (EACH, m) for g, m in zip(PAPER, (0.03, 0.02, 0.025, 0.02))}
    table = judge(made_up(each))
    assert words(table)[EVERY] == 'higher' and set(words(table).values()) == {'higher'}
    weak = made_up(each | {f'mixing, {PAPER[0]}': (EACH, 0.0045)}, error=0.004)
    assert words(judge(weak))[EVERY] == 'undecided'
    rows = verdicts.primary(weak)
    own, every = rows[rows.contrast != EVERY], rows[rows.contrast == EVERY].iloc[0]
    raw = [student(mean, 0.004, 23)['p'] for mean in (0.0045, 0.02, 0.025, 0.02)]
    assert own.p.tolist() == pytest.approx(list(holm(raw))) and every.p == max(raw)
    assert (every.low, every.high) == (own.low.min(), own.high.max()) and every['mean'] == 0.0045
    both = made_up(each | {f'mixing, {PAPER[0]}': (EACH, -0.03)})
    assert words(judge(both))[EVERY] == 'undecided' and words(judge(both))[f'mixing, {PAPER[0]}'] == 'lower'
    harmed = {name: (*own, -0.03, 0) for name, own in each.items()}
    assert words(judge(made_up(harmed)))[EVERY] == 'undecided'
    shown = verdicts.overview(weak).set_index('contrast')['balanced accuracy, prior']
    assert shown[EVERY] == f'all within [{100 * own.low.min():+.1f}, {100 * own.high.max():+.1f}]'
    later = judge(made_up(each | {'balance': (5, 0.05)}))
    assert words(later)['balance'] == 'higher'


def test_a_null_study_gives_false_verdicts_in_at_most_its_alpha():
    """Simulated: arms that are all alike, 24 cohorts with a sd of 1.6 points, every contrast of the protocol
    at its gate: some word other than equivalent or undecided in at most 5 % of studies."""
    arms, rng, wrong = arms_for(PAPER), np.random.default_rng(0), 0
    own, names = declared(arms), list(arms)
    for _ in range(120):
        value = {m: rng.normal(0, 0.016, (24, len(names))) for m, _ in OUTCOMES}

        def estimate(weights, metric, rule, value=value):
            x = sum(w * value[metric][:, names.index(arm)] for arm, w in weights.items())
            return student(x.mean(), x.std(ddof=1) / 24**0.5, 23)

        found = judge(contrasts_table(own, estimate, 24, 24, 'population')).verdict
        wrong += found.isin(['higher', 'lower']).any()
    assert wrong <= 120 * 0.05 + 2.33 * (120 * 0.05 * 0.95) ** 0.5  # 1 % of true 5 % would be beyond


def test_sentences_and_overview_follow_the_numbers():
    table = judge(made_up({'a': (2, 0.03, 0.01, -0.02), 'b': (3, 0.005)}, error=0.003))
    (first, second), shown = verdicts.summarise_contrasts(table, 'population'), verdicts.overview(table)
    low, high = (100 * v for v in (table.low[0], table.high[0]))
    assert first == (
        f'a (a − 0): +3.0 [{low:+.1f}, {high:+.1f}] points; at argmax +3.0, AUC +1.0, log loss -0.020 nats, '
        'higher (24 cohorts, population)'
    )
    assert second.endswith('undecided (24 cohorts, population)')
    assert shown.verdict.tolist() == ['higher', 'undecided'] and shown['macro AUC'][0].startswith('+1.0 [')
    bare = verdicts.overview(made_up({'a': (2, 0.03)}))
    assert 'verdict' not in bare and len(bare) == 1


def test_nothing_to_compare_is_an_empty_table():
    table = of_replicates([], replicates({'none': 0.7}), 'holdout')
    assert list(table.columns) == verdicts.COLUMNS and len(judge(table)) == 0
    assert verdicts.summarise_contrasts(table, 'holdout') == []


def test_no_p_is_said_to_be_zero():
    said = [verdicts.format_p(p) for p in (0.0213, 0.0005, 1e-9)]
    assert said == ['p = 0.021', 'p = 0.001', 'p < 0.001']
