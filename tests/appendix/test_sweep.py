import numpy as np
import pandas as pd
import pytest

from genmix.appendix import regime, sweep, sweep_summary

ALONE = {'alpha': [0.1], 'vgg_width': [0.0625]}


@pytest.fixture
def tiny(monkeypatch):
    """(default setting, function of the number of cohorts that gives a small plan)."""
    for name in ('TEST_LESIONS', 'ORACLE_LESIONS'):
        monkeypatch.setattr(regime, name, (9, 9, 9))
    monkeypatch.setattr(regime, 'TRAIN_LESIONS', (40, 20, 32))
    monkeypatch.setattr(sweep, 'STORED', 12)
    default = sweep.default_setting(3, steps=1, batch_size=4, lr=1e-3)
    return default, lambda cohorts: sweep.planned(
        default, range(cohorts), [0.25], ['0', '1', 'oracle'], ALONE
    )


def test_the_plan_is_full_factorial_then_one_at_a_time():
    default = sweep.default_setting(200)
    plan = sweep.planned(default, range(2), [0.1, 0.25], ['50', 'oracle'], ALONE)

    def of(**about):
        return [s for s in plan if all(getattr(s, k) == v for k, v in about.items())]

    assert len(of(question='map')) == 2 * 2 * (2 + 2 * 2)
    alone, mixed = of(question='alpha', cohort=0)
    assert (alone.arm, mixed.arm) == ('alone', 'genmix') and alone.quality == mixed.quality == '50'
    assert alone.rule.alpha == mixed.rule.alpha == 0.1 and alone.regime == mixed.regime == default.regime
    assert (default.regime.steps, default.batches.mixed_share, default.rule.alpha) == (350, 0.25, 0.4)
    assert {s.arm for s in of(question='vgg_width')} == {'classical', 'oversample', 'alone', 'genmix'} and {
        s.regime.vgg_width for s in of(question='vgg_width')
    } == {0.0625}
    (same,) = of(question='map', arm='alone', cohort=0, train_fraction=0.25, quality='50')
    assert (
        alone.less(default) == same.less(default) and alone.row['alpha'] == 0.1
    )  # it knows no alpha: trained once
    assert mixed.less(default) != same.less(default)


def test_a_map_is_made_once_and_goes_on_where_it_was(study, tiny):
    default, plan = tiny
    scores, sets = sweep.run(study, plan(1), default, steps=1, workers=1)
    assert (
        set(scores.arm) == {'classical', 'oversample', 'alone', 'genmix'}
        and scores.balanced_accuracy.between(0, 1).all()
        and len(sets) == 3
    )
    assert sets.set_index('quality').kid['oracle'] < sets.set_index('quality').kid[['0', '1']].min()
    files = {p: p.stat().st_mtime_ns for p in (study.folder / 'units').rglob('result.json')}
    assert len(files) == len({s.less(default) for s in plan(1)}) < len(plan(1))
    next(iter(files)).parent.joinpath('provenance.json').unlink()  # one unit is lost
    more, _ = sweep.run(study, plan(2), default, steps=1, workers=1)
    pd.testing.assert_frame_equal(more[more.cohort == 0], scores)
    assert [p for p, t in files.items() if p.stat().st_mtime_ns != t] == [next(iter(files))]
    assert len(more) == 2 * len(scores)


def scored(gap, cohorts=4, noise=0.0, seed=0):
    """A table as `sweep.run` gives:

    GenMix better by `gap` points at quality 50 and worse by it with the oracle.
    """
    rng, rows = np.random.default_rng(seed), []
    default = sweep.default_setting(200)
    for s in sweep.planned(default, range(cohorts), [0.25], ['50', 'oracle'], {'alpha': [0.1]}):
        lift = {'genmix': gap * (1 if s.quality == '50' else -1)}.get(s.arm, 0) / 100
        rows.append(s.row | {'balanced_accuracy': 0.7 + lift + rng.normal(0, noise / 100)})
    return pd.DataFrame(rows)


def test_differences_pair_by_cohort_and_pool_their_spread():
    table = scored(5, noise=1).set_index('arm')
    found = sweep_summary.differences(table.reset_index())
    own = found[found.question == 'map'].set_index('quality')
    assert own.verdict.to_dict() == {'50': 'higher', 'oracle': 'lower'} and set(own.n) == {4}
    assert np.allclose(found.high - found.low, (found.high - found.low).iloc[0])  # one spread for all cells
    wide = table[(table.question == 'map') & (table.quality == '50')]
    by_hand = (
        wide.loc['genmix'].set_index('cohort').balanced_accuracy
        - wide.loc['alone'].set_index('cohort').balanced_accuracy
    )
    assert own.loc['50', 'mean'] == pytest.approx(by_hand.mean())
    against = sweep_summary.differences(table.reset_index(), b='classical')
    assert len(against) == 3 and (against.n == 4).all()


def test_one_cell_in_twenty_is_decided_where_there_is_no_difference():
    decided = np.concatenate(
        [
            sweep_summary.differences(scored(0, noise=2, seed=seed)).verdict != 'undecided'
            for seed in range(120)
        ]
    )
    assert len(decided) == 360 and 0.02 < decided.mean() < 0.09


def test_pooled_interval_by_hand():
    gaps = pd.Series(
        [1.0, 3, 10, 14], index=pd.MultiIndex.from_tuples([('x',), ('x',), ('y',), ('y',)], names=['cell'])
    )
    table = sweep_summary.pooled(gaps, ['cell']).set_index('cell')
    half = 4.30265 * np.sqrt((1 + 1 + 4 + 4) / 2) / np.sqrt(2)  # t(.975, 2), two degrees of freedom
    assert table.loc['x', 'mean'] == 2 and table.loc['y', 'high'] == pytest.approx(12 + half, rel=1e-4)


def test_words_count_the_cells():
    lines = sweep_summary.summarise_sweep(scored(5, noise=1))
    assert (
        'higher in 1, lower in 1, undecided in 0' in lines[0]
        and len(lines) == 4
        and 'alpha = 0.1' in lines[3]
    )
