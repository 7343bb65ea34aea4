import json

import numpy as np
import pandas as pd
import pytest
from test_arms import configured
from test_generators import Toy

from genmix import StudyError
from genmix.classifier.config import Regime
from genmix.classifier.training import predict
from genmix.classifier.trials import Trial, load_classifier, run_all
from genmix.data import build
from genmix.data.cohort import Cohort
from genmix.generators import synthetic
from genmix.mixing.arms import arms_for, load_arms

REGIME = Regime(
    steps=3, batch_size=8, lr=2e-3, weight_decay=0.02, input_size=32, vgg_width=0.0625, weights=''
)


def some(*names, seeds=1, regime=REGIME, **changes):
    """Trials of arms by name; `changes` of what test_arms.configured gives."""
    batches, rules = configured(**changes)
    arms = arms_for(['toy'], batches.mixed_share)
    return [
        Trial(
            arm=arm, seed=seed, regime=regime, batches=batches, rule=vars(rules[arm.rule]) if arm.rule else {}
        )
        for arm in map(arms.get, names)
        for seed in range(seeds)
    ]


def stamps(study):
    return {p.name: p.stat().st_mtime_ns for p in (study.folder / 'predictions').glob('*.csv.gz')}


def test_a_toy_generator_runs_through_every_arm(ready):
    run_all(ready, some(*arms_for(['toy'])), workers=1)
    assert load_arms(ready) == arms_for(['toy'])
    about = json.loads((ready.folder / 'predictions' / 'genmix-toy-s0-f0.json').read_text())
    assert (about['arm'], about['seed'], about['fold']) == ('genmix-toy', 0, 0)
    table = pd.read_csv(ready.folder / 'predictions' / 'genmix-toy-s0-f0.csv.gz')
    assert list(table.columns) == [
        'id',
        'patient',
        'label',
        'p_cyst',
        'p_hemangioma',
        'p_metastasis',
        'test_set',
    ]
    assert table.test_set.value_counts().to_dict() == {
        'population': 25,
        'holdout': len(build.part(ready, 'test')),
    }
    train, other = build.part(ready), set(table.patient)
    assert not set(train.patients) & other
    assert len(stamps(ready)) == 8


def test_only_what_changed_runs_again(ready):
    wanted = some('classical', 'toy', 'genmix-toy', seeds=2)
    run_all(ready, wanted, workers=1)
    before = stamps(ready)
    run_all(ready, wanted, workers=1)
    assert stamps(ready) == before
    (ready.folder / 'predictions' / 'toy-s1-f0.csv.gz').unlink()  # one prediction is lost
    run_all(ready, wanted, workers=1)
    assert {n for n, t in stamps(ready).items() if before[n] != t} == {'toy-s1-f0.csv.gz'}
    before = stamps(ready)
    run_all(ready, some('classical', 'toy', 'genmix-toy', seeds=2, mixup_off=0.5), workers=1)
    assert {n for n, t in stamps(ready).items() if before[n] != t} == {
        'genmix-toy-s0-f0.csv.gz',
        'genmix-toy-s1-f0.csv.gz',
    }


def test_an_arm_that_does_not_mix_knows_no_alpha(ready):
    """Keys follow what an arm uses:

    alpha reaches the mixing arms, the balance of synthetic images their arms.
    """
    names = list(arms_for(['toy']))

    def keys(**changes):
        return {t.arm.name: t.key(ready) for t in some(*names, mix='online', **changes)}

    before = keys()
    moved = {name for name, key in keys(alpha=0.9).items() if key != before[name]}
    assert moved == {'mixup', 'oversample-mixup', 'mixup-toy', 'genmix-toy'}
    moved = {name for name, key in keys(pairing='any').items() if key != before[name]}
    assert moved == {'genmix-toy'}
    moved = {name for name, key in keys(synthetic_balance='natural').items() if key != before[name]}
    assert moved >= {'toy', 'mixup-toy', 'genmix-toy'} and not moved & {'none', 'classical', 'oversample'}


def test_a_new_synthetic_set_runs_its_arms_again(ready):
    wanted = some('classical', 'toy')
    run_all(ready, wanted, workers=1)
    before = stamps(ready)
    synthetic.synthetic_set(ready, Toy, build.part(ready), 7, Toy.Config())
    run_all(ready, wanted, workers=1)
    assert {n for n, t in stamps(ready).items() if before[n] != t} == {'toy-s0-f0.csv.gz'}


def test_arms_no_longer_asked_for_leave(ready):
    run_all(ready, some('classical', 'none'), workers=1)
    run_all(ready, some('classical'), workers=1)
    assert sorted(stamps(ready)) == ['classical-s0-f0.csv.gz']


def test_side_by_side_gives_the_same_bytes(ready):
    """Same seed, machine and threads: identical predictions, one after the other or in two processes."""
    run_all(ready, some('mixup-toy', seeds=2), workers=1)

    def read():
        return {p.name: p.read_bytes() for p in (ready.folder / 'predictions').glob('*.csv.gz')}

    first = read()
    for p in (ready.folder / 'predictions').iterdir():
        p.unlink()
    run_all(ready, some('mixup-toy', seeds=2), workers=2)
    assert read() == first and first['mixup-toy-s0-f0.csv.gz'] != first['mixup-toy-s1-f0.csv.gz']


def test_kept_weights_give_the_stored_predictions(ready):
    run_all(ready, some('classical'), workers=1)
    model, config = load_classifier(ready, 'classical')
    test = build.part(ready, 'test')
    table = pd.read_csv(ready.folder / 'predictions' / 'classical-s0-f0.csv.gz', dtype={'id': str})
    p = predict(model, test.images, config['input_size'])
    assert list(table.id[: len(test)]) == list(test.ids)
    assert np.allclose(p, table[['p_cyst', 'p_hemangioma', 'p_metastasis']][: len(test)], atol=1e-5)
    assert len(pd.read_csv(ready.folder / 'classifiers' / 'classical' / 'train_log.csv')) == 3


def test_a_set_from_another_split_is_refused(ready):
    toy = Cohort.load(ready.folder / 'synthetic' / 'toy')
    toy.extra['split'] = 'f' * 16
    ready.stage('synthetic/toy', toy.save, {'learned from': 'another split'})
    with pytest.raises(StudyError, match='another training split'):
        run_all(ready, some('toy'), workers=1)


def test_mixing_that_07_did_not_do_is_refused(ready):
    with pytest.raises(StudyError, match='08 asks for alpha=0.9'):
        run_all(ready, some('genmix-toy', alpha=0.9), workers=1)


def test_half_a_trial_is_not_cached(ready):
    """Killed between the predictions and their key: the trial runs again."""
    (trial,) = some('none')
    run_all(ready, [trial], workers=1)
    assert trial.is_cached(ready)
    trial.about(ready).unlink()
    assert not trial.is_cached(ready)
    trial.about(ready).write_text(json.dumps({'key': 'old'}))
    assert not trial.is_cached(ready)


DAMAGES = {
    'predictions/none-s0-f0.csv.gz': lambda content: content[:-20],
    'classifiers/none/model.safetensors': lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    'predictions/none-s0-f0.json': lambda content: b'[]',
}


def test_damaged_predictions_and_weights_are_named_and_trained_again(ready, capsys):
    (trial,) = some('none')
    run_all(ready, [trial], workers=1)
    table = pd.read_csv(trial.file(ready))
    for file, damage in DAMAGES.items():
        path = ready.folder / file
        before = path.read_bytes()
        path.write_bytes(damage(before))
        if path.suffix != '.json':
            with pytest.raises(StudyError, match=f'{file} is not as it was written: run `make 08_cl'):
                ready.need('predictions', '08_classification')
        run_all(ready, [trial], workers=1)
        assert path.suffix == '.json' or path.read_bytes() == before
        assert path.suffix == '.json' or f'{file} is gone or not as it was' in capsys.readouterr().out
    assert not ready.damaged('predictions')
    swapped = table.rename(columns={'p_cyst': 'p_metastasis', 'p_metastasis': 'p_cyst'})
    swapped.to_csv(trial.file(ready), index=False)
    assert not trial.is_cached(ready)
