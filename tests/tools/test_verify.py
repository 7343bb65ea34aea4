import copy
import json

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import blobs

from genmix import StudyError
from genmix.data.splits import make_splits, select
from tools import verify

ARMS = {'classical': 0.74, 'dcgan': 0.70, 'genmix-dcgan': 0.75}


@pytest.fixture
def run(study):
    """A run with what `verify` reads, made by hand."""
    cohort = blobs((40, 30, 30))
    splits = make_splits(cohort, seed=1)
    for name in ('cohort', 'population', 'results', 'audit'):
        study.sign(name)
    cohort.save(study.folder / 'cohort')
    cohort[:50].save(study.folder / 'population')
    splits.to_csv(study.folder / 'cohort' / 'splits.csv', index=False)
    rows = [
        {'arm': arm, 'test_set': test, 'label': label, 'metric': metric, 'rule': rule}
        | {'mean': mean + off, 'low': mean + off - 0.02, 'high': mean + off + 0.02}
        for arm, mean in ARMS.items()
        for test in ('holdout', 'population')
        for rule, off in (('prior', 0), ('argmax', 0.1))
        for label, metric in (('all', 'balanced_accuracy'), ('all', 'accuracy'), ('small', 'sensitivity'))
    ]
    pd.DataFrame(rows).to_csv(study.folder / 'results' / 'arms.csv', index=False)
    contrasts = [
        {'a': 'mean of genmix', 'test_set': test, 'mean': 0.02, 'low': 0.01, 'high': 0.03}
        for test in ('holdout', 'population')
    ]
    pd.DataFrame(contrasts + [{**contrasts[0], 'a': 'genmix-dcgan', 'mean': 0.5}]).to_csv(
        study.folder / 'results' / 'contrasts.csv', index=False
    )
    pd.DataFrame([{'arm': arm, 'seed': seed, 'fold': 0} for arm in ARMS for seed in range(5)]).to_csv(
        study.folder / 'results' / 'metrics.csv', index=False
    )
    card = [
        {'generator': 'dcgan', 'label': label, 'metric': metric, 'value': value}
        for label in ('all', 'small')
        for metric, value in {'class_agreement': 0.8, 'diversity': 25.0, 'coverage': 0.05, 'kid': 3.0}.items()
    ]
    ranges = ('low', 'high', 'reference', 'reference_low', 'reference_high')
    card = [row | dict.fromkeys(ranges, 2 * row['value']) for row in card]
    pd.DataFrame(card).to_csv(study.folder / 'audit' / 'generator_card.csv', index=False)
    study.path('params.yaml').write_text(yaml.safe_dump({'profile': 'cpu', 'set': {}}))
    return study


def changed(numbers, path, value):
    found = copy.deepcopy(numbers)
    *way, last = path
    below = found
    for key in way:
        below = below[key]
    below[last] = value
    return found


def test_the_numbers_are_those_of_the_run(run):
    found = verify.numbers(run)
    cohort, splits = blobs((40, 30, 30)), pd.read_csv(run.folder / 'cohort' / 'splits.csv', dtype=str)
    train = select(cohort, splits, 0, 'train')
    assert found['exact']['cohort'] == {'lesions': {'small': 40, 'middle': 30, 'large': 30}, 'patients': 50}
    fold = found['exact']['splits']['fold0']
    assert fold['fingerprint'] == train.fingerprint and fold['train'] == {
        **train.counts.to_dict(),
        'patients': len(set(train.patients)),
    }
    assert sum(fold[role]['patients'] for role in ('train', 'test', 'unused')) == 50
    assert (
        found['exact']['classifiers'] == {'arms': 3, 'seeds': 5, 'folds': 1}
        and sum(found['exact']['population'].values()) == 50
    )
    assert found['scores']['population']['dcgan'] == [0.70, 0.68, 0.72] and found['contrast'] == {
        'holdout': [0.02, 0.01, 0.03],
        'population': [0.02, 0.01, 0.03],
    }
    assert found['cards'] == {'dcgan': {'class_agreement': 0.8, 'diversity': 25.0, 'coverage': 0.05}}
    assert found['failing'] == []


def test_a_run_agrees_with_itself_also_when_written(run):
    found = verify.numbers(run)
    text = verify.as_text(found)
    assert json.loads(text) == found and verify.moved(json.loads(text), found) == []
    assert '"dcgan": [0.7, 0.68, 0.72]' in text and max(map(len, text.splitlines())) < 160, (
        'an interval a line'
    )


@pytest.mark.parametrize(
    'path, within, beyond',
    [
        (('exact', 'cohort', 'patients'), 50, 51),
        (('exact', 'splits', 'fold0', 'train', 'small'), None, 1),
        (('exact', 'splits', 'fold0', 'fingerprint'), None, '0' * 16),
        (('exact', 'classifiers', 'seeds'), 5, 4),
        (('scores', 'population', 'dcgan'), [0.73, 0.71, 0.75], [0.75, 0.73, 0.77]),
        (('scores', 'holdout', 'genmix-dcgan'), [0.76, 0.71, 0.81], [0.80, 0.78, 0.82]),
        (('scores', 'holdout', 'classical'), [0.74, 0.70, 0.78], [0.74, 0.60, 0.88]),
        (('contrast', 'population'), [0.005, -0.005, 0.015], [-0.01, -0.02, 0.0]),
        (('cards', 'dcgan', 'class_agreement'), 0.71, 0.65),
        (('cards', 'dcgan', 'diversity'), 22.0, 20.0),
        (('cards', 'dcgan', 'coverage'), 0.14, 0.2),
    ],
)
def test_each_number_may_move_only_so_far(run, path, within, beyond):
    now = verify.numbers(run)
    for before, after in ((changed(now, path, beyond), now), (now, changed(now, path, beyond))):
        said = verify.moved(before, after)
        assert len(said) == 1 and said[0].startswith(', '.join(path) + ': ') and ' now: ' in said[0], said
    if within is not None:
        assert (
            verify.moved(changed(now, path, within), now)
            == []
            == verify.moved(now, changed(now, path, within))
        )


def test_one_number_of_an_interval_is_enough(run):
    """A mean that was changed alone, its interval left as it was, is found as well."""
    now = verify.numbers(run)
    assert 'too far apart' in verify.moved(changed(now, ('scores', 'holdout', 'dcgan', 0), 0.8), now)[0]
    assert 'times as wide' in verify.moved(changed(now, ('scores', 'holdout', 'dcgan', 1), 0.2), now)[0]


def test_what_only_one_has_is_named(run):
    now = verify.numbers(run)
    less = copy.deepcopy(now)
    del less['scores']['population']['dcgan'], less['cards']['dcgan']['coverage'], less['exact']['population']
    for before, after in ((now, less), (less, now)):
        said = verify.moved(before, after)
        assert [line.split(': ')[0] for line in said] == [
            'exact, population, small',
            'exact, population, middle',
            'exact, population, large',
            'scores, population, dcgan',
            'cards, dcgan, coverage',
        ]
        assert all('nothing' in line for line in said)


def test_what_could_not_be_measured(run):
    assert verify.short(np.nan) is None and verify.short(0.1234567) == 0.123457
    assert verify.interval_moved([None] * 3, [None] * 3) == '' and verify.interval_moved(
        [0.7, 0.6, 0.8], [None] * 3
    )
    assert verify.card_moved(None, 0.8, 'coverage') and not verify.card_moved(None, None, 'coverage')


def test_honest_repetitions_rarely_fail():
    """Five classifiers per arm drawn anew, 95 % Student intervals: at most 1 % are called a move.

    Shifts of six points are found.
    """
    rng = np.random.default_rng(0)

    def draw(shift):
        return (lambda x: (x.mean(), 2.776 * x.std(ddof=1) / 5**0.5))(0.75 + shift + rng.normal(0, 0.01, 5))

    def interval(mean, half):
        half = (half**2 + 0.01**2) ** 0.5  # patients add their part
        return [mean, mean - half, mean + half]

    def rate(shift):
        return np.mean(
            [verify.interval_moved(interval(*draw(0)), interval(*draw(shift))) != '' for _ in range(2000)]
        )

    assert rate(0) < 0.01 and rate(0.06) > 0.9


def test_main_passes_on_committed_numbers_and_fails_on_a_changed_one(run, monkeypatch, capsys):
    monkeypatch.chdir(run.home)
    assert verify.main(['--run', 'test']) == 1 and 'make publish' in capsys.readouterr().err
    (run.home / 'measured').mkdir()
    path, now = run.home / verify.COMMITTED, verify.numbers(run)
    path.write_text(verify.as_text(now))
    assert verify.main(['--run', 'test']) == 0
    said = capsys.readouterr().out
    assert (
        said.count('\n') == 1
        and f'all {len(verify.leaves(now))} values, {len(verify.leaves(now))} of them to the last digit'
        in said
    )
    path.write_text(verify.as_text(changed(now, ('scores', 'holdout', 'dcgan'), [0.5, 0.45, 0.55])))
    assert verify.main(['--run', 'test']) == 1
    assert capsys.readouterr().out == (
        'scores, holdout, dcgan: 50.0 [45.0, 55.0] committed, 70.0 [68.0, 72.0] now: '
        'too far apart for their intervals\n'
    )
    path.write_text('{')
    assert verify.main(['--run', 'test']) == 1 and 'git checkout' in capsys.readouterr().err


def test_only_the_default_is_compared_and_what_is_missing_is_named(run):
    run.path('params.yaml').write_text('{profile: cpu, set: {seeds: 16}}')
    with pytest.raises(StudyError, match='SET of seeds=16'):
        verify.need_default(run)
    (run.folder / 'results' / 'provenance.json').unlink()
    with pytest.raises(StudyError, match='make 09_results'):
        verify.numbers(run)
