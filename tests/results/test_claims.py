import numpy as np
import pandas as pd
import pytest
from test_cohorts import made_up
from test_metrics import predictions

from genmix.generators import PAPER
from genmix.mixing.arms import arms_for
from genmix.results import claims, data_size_parts, measured, metrics
from genmix.results.bootstrap import bootstrap
from genmix.results.claim_parts import Sources, failing_line, shared
from genmix.results.claim_tables import over_tables
from genmix.results.claims import NOT_MEASURED, NOT_TESTABLE, part_verdicts, verdicts
from genmix.results.cohorts import compact_card
from genmix.results.intervals import over_units

COUNTS = pd.Series({'a': 50, 'b': 10, 'c': 40})
COPYING = ('copy_ratio', 'blend_ratio', 'c_t', 'authenticity')
REAL = {'tstr': 0.9, 'coverage': 0.9, 'diversity': 1.0, 'c_t': 0.0, 'authenticity': 0.7}
EVERY = 'GenMix improves every generator, at the same dose'
COPIES, COLLAPSE, HARD = (
    'generators learn new patterns: they do not copy',
    'GANs collapse: they are less varied than the diffusion generators',
    'diffusion is hard on little data: more lesions help it, and more than the GANs',
)


def card(changes=(), generators=PAPER):
    """A card of generators that are like real lesions, but for {(generator, metric): value}."""
    changes = dict(changes)
    rows = []
    for g in generators:
        for metric in ('tstr', 'coverage', 'diversity', *COPYING):
            real = REAL.get(metric, 0.01)
            value = changes.get((g, metric), real)
            ends = value - 0.02, value + 0.02, real, real - 0.01, real + 0.01
            rows.append((g, 'all', metric, value, *ends, 450))
    columns = ['generator', 'label', 'metric', 'value', 'low', 'high', 'reference']
    return pd.DataFrame(rows, columns=[*columns, 'reference_low', 'reference_high', 'n'])


def gains(kid=0.0, generators=PAPER):
    rows = [
        (g, 'all', m, step, v, v - 0.1, v + 0.1, 30)
        for g in generators
        for step in ('mixing', 'blending', 'blending_same')
        for m, v in (('kid', kid), ('diversity', 0.2), ('coverage', 0.05))
    ]
    return pd.DataFrame(rows, columns=['generator', 'label', 'metric', 'step', 'value', 'low', 'high', 'n'])


def rate(arm):
    """GenMix is worth five points with every generator, class balance ten."""
    return 0.6 + 0.05 * (arm.kind == 'genmix') + 0.1 * (arm.balance == 'balanced' and not arm.generator)


@pytest.fixture(scope='module')
def long():
    """Eight cohorts with cards and gains."""
    cohorts = made_up(rate)
    for i, cohort in enumerate(cohorts.found):
        shift = {(g, m): v + 0.01 * (i % 3) for (g, m), v in VARIED.items()}
        cohort.about['card'] = compact_card(card(shift))
        cohort.about['gains'] = compact_card(gains(0.1 * (-1) ** i))
    return cohorts


VARIED = {('dcgan', 'diversity'): 0.6, ('stylegan', 'diversity'): 0.7}
VARIED |= {('dcgan', 'coverage'): 0.3, ('stylegan', 'coverage'): 0.3}


def found(sources):
    return verdicts(claims.claims_table(sources))


def test_verdicts_come_from_cohorts(long):
    said = found(Sources.of_cohorts(long))
    assert said[EVERY] == 'supported' and said[COLLAPSE] == 'supported' and said[COPIES] == 'supported'
    assert said['GenMix is more than class balance'] == 'contradicted'
    assert said['GenMix is more than no generator at all'] == 'supported'
    assert said['mixing improves quality: blends within a class are nearer to real lesions'] == 'undecided'
    assert said[HARD] == NOT_MEASURED


def test_one_cohort_has_numbers_and_no_verdict():
    arms = arms_for(PAPER)
    right = {name: rate(arm) for name, arm in arms.items()}
    replicates = bootstrap(predictions(right, runs=2, n=300, patients=100), 'holdout', 200)
    table = claims.claims_table(Sources(replicates, COUNTS, arms, [card(VARIED)], [gains()]))
    assert set(table.verdict) == {'', NOT_MEASURED} and set(verdicts(table).values()) == {'', NOT_MEASURED}
    rows = table[table.claim == EVERY]
    assert (rows['mean'] > 0).all() and len(rows) == 4 and set(rows.n) == {2}
    expected = replicates.contrast(['genmix-dcgan@1/8', 'genmix-dcgan@1/2'], ['dcgan@1/8', 'dcgan@1/2'])
    assert (rows['mean'].iloc[0], rows.low.iloc[0]) == (expected['mean'], expected['low'])
    (best,) = table[table.metric == 'P(best) − 1/2'].itertuples()
    assert -0.5 <= best.mean <= 0.5 and np.isnan(best.low) and '[' not in claims.format_part(best)
    assert claims.summarise_claims(table) == [f'the generators: {NOT_MEASURED}: “{HARD}”']


@pytest.mark.parametrize(
    'mean, p_equivalent, said',
    [
        (0.02, 1.0, 'supported'),
        (-0.02, 1.0, 'contradicted'),
        (0.001, 0.001, 'contradicted'),
        (0.005, 0.3, 'undecided'),
    ],
)
def test_a_claim_of_one_part_can_turn_out_either_way(mean, p_equivalent, said):
    part = over_units(mean + 0.01 * np.array([-1, 0, 1, 0.5, -0.5])) | {'p_equivalent': p_equivalent}
    assert part_verdicts([part | {'expected': 'higher', 'testable': True}]) == [said]


def test_all_parts_support_without_correction_and_one_contradicts_with_it():
    close = over_units([0.002, 0.02, 0.012, 0.015]) | {
        'expected': 'higher',
        'testable': True,
        'p_equivalent': 1.0,
    }
    assert 0.025 < close['p'] < 0.05
    assert part_verdicts([close] * 4) == ['supported'] * 4
    away = close | {name: -close[name] for name in ('mean',)} | {'low': -close['high'], 'high': -close['low']}
    assert part_verdicts([away]) == ['contradicted'] and part_verdicts([away] * 4) == ['undecided'] * 4
    frame = pd.DataFrame({'claim': 'x', 'verdict': ['supported', 'contradicted', 'undecided']})
    assert verdicts(frame) == {'x': 'contradicted'} and verdicts(frame[::2]) == {'x': 'undecided'}


@pytest.mark.parametrize(
    'changes, claim, said',
    [
        ({}, COLLAPSE, 'undecided'),
        ({('dcgan', 'diversity'): 1.4}, COLLAPSE, 'contradicted'),
        ({('dcgan', 'copy_ratio'): 0.3}, COPIES, 'contradicted'),
        ({('diffusion', 'blend_ratio'): 0.3}, COPIES, 'contradicted'),
        ({('diffusion', 'c_t'): -5.0}, COPIES, 'undecided'),
        ({('diffusion', 'authenticity'): 0.3}, COPIES, 'undecided'),
    ],
)
def test_the_card_decides_on_the_generators(long, changes, claim, said):
    sources = Sources(long, COUNTS, long.arms, [card(changes)])
    assert found(sources)[claim] == said


def test_a_generator_that_fails_its_card_is_not_testable(long):
    """It is named, does not count, and is in no mean; where all fail, nothing is said of GenMix."""
    poor = card({('dcgan', 'tstr'): 0.5, ('stylegan', 'coverage'): 0.01})
    sources = Sources(long, COUNTS, long.arms, [poor])
    assert (
        set(sources.failing) == {'dcgan', 'stylegan'} and 'TSTR is 0.556 of real' in sources.failing['dcgan']
    )
    table = claims.claims_table(sources)
    rows = table[table.claim == EVERY]
    assert rows.verdict.tolist() == [NOT_TESTABLE, NOT_TESTABLE, 'supported', 'supported']
    assert verdicts(table)[EVERY] == 'supported'
    (more,) = table[table.claim == 'GenMix is more than no generator at all'].itertuples()
    names = ['genmix-textual_inversion@1/8', 'genmix-diffusion@1/8']
    assert more.mean == pytest.approx(long.contrast(names, ['classical'])['mean'])
    assert more.part == 'mean of genmix-g@1/8 without dcgan, stylegan − classical'
    said = claims.overview(table).set_index('claim').found[EVERY]
    assert said.count('(not testable here)') == 2 and 'without' not in said
    none = Sources(long, COUNTS, long.arms, [card({(g, 'tstr'): 0.1 for g in PAPER})])
    said = found(none)
    assert said[EVERY] == said['GenMix is more than class balance'] == NOT_TESTABLE
    assert said['mixup sharpens class borders'] == 'undecided' and said[COPIES] == 'supported'


def sizes(diffusion, gan, cohorts=6):
    """data_size.csv: what TSTR gains from a tenth to all of the patients."""
    rows = [
        (g, f, 100 * f, 9000 + c, 0.5 + gain * (f == 1) + 0.01 * np.sin(c + f), 0.4, 0.6)
        for g, gain in (('dcgan', gan), ('stylegan', gan), ('diffusion', diffusion))
        for f in (0.1, 1.0)
        for c in range(cohorts)
    ]
    columns = ['generator', 'train_fraction', 'lesions', 'cohort', 'tstr', 'coverage', 'kid']
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    'diffusion, gan, said', [(0.2, 0.05, 'supported'), (0.05, 0.2, 'contradicted'), (0.1, 0.1, 'undecided')]
)
def test_hard_on_little_data_is_read_from_curves(long, diffusion, gan, said):
    assert found(Sources.of_cohorts(long, sizes(diffusion, gan)))[HARD] == said


def test_changes_are_paired_by_cohort():
    table = sizes(0.2, 0.05)
    rows = pd.DataFrame(data_size_parts.changes(table)).set_index(['generator', 'metric'])
    own = table[table.generator == 'diffusion'].pivot(index='cohort', columns='train_fraction', values='tstr')
    expected = over_units((own[1.0] - own[0.1]).to_numpy())
    assert rows.loc[('diffusion', 'tstr'), 'low'] == pytest.approx(expected['low'])
    assert rows.loc[('diffusion - GANs', 'tstr'), 'mean'] == pytest.approx(0.15)
    assert rows.loc[('diffusion', 'kid'), 'mean'] == 0 and rows.n.eq(6).all()


def test_p_best_is_the_share_of_cohorts(long):
    arms = arms_for(PAPER)
    names = [n for n in arms if n.startswith('genmix') and n.endswith('@1/8')]
    key = metrics.full_key('balanced_accuracy')
    sources = Sources.of_cohorts(long)
    (part,) = sources.best(names[0], names[1:])
    wins = sum(own[names[0]][key] >= max(own[n][key] for n in names) for own in long.outcomes)
    assert part['mean'] == pytest.approx(wins / 8 - 0.5) and part['low'] < part['mean'] < part['high']
    sure = made_up(lambda arm: 0.9 if arm.name == names[0] else 0.5, range(300, 312))
    (part,) = Sources.of_cohorts(sure).best(names[0], names[1:])
    assert part_verdicts([part]) == ['supported']
    (part,) = Sources.of_cohorts(sure).best(names[1], names)
    assert part_verdicts([part]) == ['contradicted'] and sources.best('', names) == []


def test_numbers_of_several_cards_are_students_of_one_newcombes():
    cards = [card({('dcgan', 'diversity'): v}) for v in (0.5, 0.6, 0.8)]
    weights = {'dcgan': 1.0, 'diffusion': -1.0}
    assert over_tables(cards, weights, 'diversity') == pytest.approx(over_units([-0.5, -0.4, -0.2]))
    one = over_tables(cards[:1], weights, 'diversity')
    assert one['mean'] == -0.5 and one['high'] - one['mean'] == pytest.approx(np.hypot(0.02, 0.02))
    assert over_tables(cards, {'unknown': 1.0}, 'diversity') is None


def test_major_and_rare_classes_come_from_the_counts(long):
    parts = claims.claims_table(Sources(long, COUNTS, long.arms)).set_index('claim')
    favours = parts.loc['mixup favours the major class']
    assert list(favours.metric) == ['predicted prevalence of a', 'sensitivity of b']


def test_sensitivities_of_cohorts_are_those_of_their_predictions(long):
    own = long.found[0].predictions()
    part = own[(own.arm == 'mixup') & (own.label == 1)]
    hits = (part[['p_a', 'p_b', 'p_c']].to_numpy().argmax(1) == 1).mean()
    assert long.point['mixup']['sensitivity', 1, 'argmax'] == pytest.approx(hits, abs=0.01)
    assert long.point['mixup']['predicted_prevalence', 0, 'argmax'] > 0


def test_lists_of_arms_have_a_short_name():
    arms = arms_for(['a', 'b'])

    def of(*names):
        return shared([arms[name] for name in names])

    assert of('genmix-a@1/8', 'genmix-b@1/8') == 'genmix-g@1/8' and of('a@1/8', 'b@1/8') == 'g@1/8'
    assert of('mixup-a@1/8', 'genmix-a@1/8') == 'mixup-a@1/8 genmix-a@1/8'


def test_generators_of_plugins_are_not_in_claims():
    arms = arms_for(['dcgan', 'toy'])
    right = {n: 0.9 if a.generator == 'toy' else 0.5 for n, a in arms.items()}
    replicates = bootstrap(predictions(right, runs=2, n=300, patients=100), 'holdout', 50)
    tables = [card(generators=['dcgan', 'toy'])], [gains(generators=['dcgan', 'toy'])]
    parts = claims.claims_table(Sources(replicates, COUNTS, arms, *tables))
    assert not parts.part.str.contains('toy').any() and parts.part.str.contains('dcgan').any()


def test_claims_are_said_by_name_and_by_what_they_concern(long):
    parts = claims.claims_table(Sources.of_cohorts(long))
    lines = claims.summarise_claims(parts)
    assert [line.split(':')[0] for line in lines] == [
        claims.GENERATORS, claims.SETS, claims.CLASSIFICATION, claims.CONTROL
    ]  # fmt: skip
    assert all(f'“{claim}”' in ' '.join(lines) for claim in parts.claim.unique())
    shown = claims.overview(parts)
    assert list(shown.verdict) == list(verdicts(parts).values()) and 'points' in shown.found.iloc[-1]


def test_a_table_that_was_written_and_read_says_the_same(long, tmp_path):
    parts = claims.claims_table(Sources.of_cohorts(long))
    parts.to_csv(tmp_path / 'claims.csv', index=False)
    again = measured.read_rows(tmp_path / 'claims.csv')
    assert verdicts(again) == verdicts(parts)
    pd.testing.assert_frame_equal(claims.overview(again), claims.overview(parts))


def test_a_run_that_can_test_nothing_says_so():
    replicates = bootstrap(predictions({'none': 0.5}, runs=2), 'holdout', 20)
    nothing = claims.claims_table(Sources(replicates, COUNTS, arms_for()))
    assert set(nothing.verdict) == {NOT_MEASURED} and set(claims.overview(nothing).found) == {''}


def test_other_data_stand_beside_nothing():
    parts = pd.DataFrame({'claim': ['unheard of'], 'verdict': ''})
    assert measured.long_run_verdicts(parts, None) == [NOT_MEASURED]
    judged = parts.assign(verdict='supported')
    assert measured.long_run_verdicts(parts, judged) == ['supported']


def test_failing_generators_are_named_in_one_sentence():
    assert failing_line([], PAPER) == failing_line(['oracle'], PAPER) == ''
    assert failing_line(['dcgan'], PAPER).startswith('dcgan fails the gate')
    said = failing_line({'diffusion': 'why', 'dcgan': 'why'}, PAPER)
    assert said.startswith('dcgan and diffusion fail the gate') and NOT_TESTABLE in said
