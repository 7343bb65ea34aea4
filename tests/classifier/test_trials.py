import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from test_arms import configured
from test_generators import Toy

from genmix import StudyError
from genmix.classifier.config import Regime
from genmix.classifier.training import predict
from genmix.classifier.trials import Trial, load_classifier, pool_for, run_all
from genmix.data import build
from genmix.data.cohort import Cohort
from genmix.generators import synthetic
from genmix.mixing.arms import arms_for, load_arms
from genmix.mixing.batches import Batches

OPTIMISATION = {'steps': 3, 'batch_size': 8, 'lr': 2e-3, 'weight_decay': 0.02, 'augmentation_strength': 1.0}
REGIME = Regime(**OPTIMISATION, input_size=32, vgg_width=0.0625, weights='')


def some(*names, seeds=1, regime=REGIME, **changes):
    """Trials of arms by name; `changes` of what test_arms.configured gives."""
    (batches, rules), arms = configured(**changes), arms_for(['toy'])
    shared = {'regime': regime, 'batches': batches}
    return [
        Trial(arm=arm, seed=seed, kept=seed == 0, rule=vars(rules[arm.rule]) if arm.rule else {}, **shared)
        for arm in map(arms.get, names)
        for seed in range(seeds)
    ]


def stamps(study):
    return {p.name: p.stat().st_mtime_ns for p in (study.folder / 'predictions').glob('*.csv.gz')}


def test_a_toy_generator_runs_through_every_arm(ready):
    run_all(ready, some(*arms_for(['toy'])), workers=1)
    steps = some('classical')[0].regime.steps
    assert load_arms(ready) == {n: replace(a, steps=steps) for n, a in arms_for(['toy']).items()}
    about = json.loads((ready.folder / 'predictions' / 'genmix-toy@1of8-s0-f0.json').read_text())
    assert (about['arm'], about['seed'], about['fold']) == ('genmix-toy@1/8', 0, 0)
    table = pd.read_csv(ready.folder / 'predictions' / 'genmix-toy@1of8-s0-f0.csv.gz')
    about = ['id', 'patient', 'label', 'p_cyst', 'p_hemangioma', 'p_metastasis', 'test_set']
    assert list(table.columns) == about
    assert table.test_set.value_counts().to_dict() == {
        'population': 30,
        'holdout': len(build.part(ready, 'test')),
        'dev': 12,
    }
    train, other = build.part(ready), set(table.patient)
    assert not set(train.patients) & other
    assert len(stamps(ready)) == 12


def test_the_three_test_sets_share_no_patient_and_two_have_classes_alike(ready):
    run_all(ready, some('none'), workers=1)
    table = pd.read_csv(ready.folder / 'predictions' / 'none-s0-f0.csv.gz')
    patients = [set(own.patient) for _, own in table.groupby('test_set')]
    assert sum(map(len, patients)) == len(set.union(*patients))
    counts = table.groupby(['test_set', 'label']).size().unstack()
    assert counts.loc['population'].tolist() == [10] * 3 and counts.loc['dev'].tolist() == [4] * 3


def test_a_trial_says_what_its_batches_carried(ready):
    """The very batches of its training: counted by hand over the three of them."""
    trials = some('toy@1/2', 'genmix-toy@1/8', 'genmix-toy-offline', 'none')
    run_all(ready, trials, workers=1)
    for trial in trials:
        about = json.loads(trial.about(ready).read_text())
        pool, _ = pool_for(ready, trial)
        batches = Batches(trial.arm, pool, 3, 8, 0, trial.batches, trial.make_rule())
        labels = [lam[:, None] * pool.soft[a] + (1 - lam[:, None]) * pool.soft[b] for a, b, lam in batches]
        assert np.allclose(about['mass'], torch.cat(labels).mean(0), atol=1e-6)
        assert sum(about['mass']) == pytest.approx(1)
        if trial.arm.name in ('toy@1/2', 'none'):  # no lambda: exactly half of eight images, or none
            assert about['synthetic'] == trial.arm.dose


def test_only_what_changed_runs_again(ready):
    wanted = some('classical', 'toy@1/8', 'genmix-toy@1/8', seeds=2)
    run_all(ready, wanted, workers=1)
    before = stamps(ready)
    run_all(ready, wanted, workers=1)
    assert stamps(ready) == before
    (ready.folder / 'predictions' / 'toy@1of8-s1-f0.csv.gz').unlink()  # one prediction is lost
    run_all(ready, wanted, workers=1)
    assert {n for n, t in stamps(ready).items() if before[n] != t} == {'toy@1of8-s1-f0.csv.gz'}
    before = stamps(ready)
    run_all(ready, some('classical', 'toy@1/8', 'genmix-toy@1/8', seeds=2, mixup_off=0.5), workers=1)
    assert {n for n, t in stamps(ready).items() if before[n] != t} == {
        'genmix-toy@1of8-s0-f0.csv.gz',
        'genmix-toy@1of8-s1-f0.csv.gz',
    }


def test_keys_follow_what_an_arm_uses(ready):
    """alpha reaches the mixing arms, pairing those with synthetic images, the mixed share mixup alone."""
    names = list(arms_for(['toy']))

    def keys(**changes):
        return {t.arm.name: t.key(ready) for t in some(*names, **changes)}

    before = keys()

    def moved(**changes):
        return {name for name, key in keys(**changes).items() if key != before[name]}

    own = {a.name for a in arms_for(['toy']).values() if a.kind == 'genmix'}
    assert len(own) == 4
    assert moved(alpha=0.9) == {'mixup', 'oversample-mixup', 'mixup-toy@1/8'} | own
    assert moved(mixup_off=0.5) == moved(alpha=0.9)
    assert moved(pairing='any') == {'toy@1/8', 'toy@1/2', 'mixup-toy@1/8'} | own
    assert moved(mixed_share=0.75) == {'mixup', 'oversample-mixup', 'mixup-toy@1/8'}
    assert moved(regime=replace(REGIME, steps=4)) == set(names)


def test_a_new_synthetic_set_runs_its_arms_again(ready):
    wanted = some('classical', 'toy@1/8')
    run_all(ready, wanted, workers=1)
    before = stamps(ready)
    synthetic.synthetic_set(ready, Toy, build.part(ready), 7, Toy.Config())
    run_all(ready, wanted, workers=1)
    assert {n for n, t in stamps(ready).items() if before[n] != t} == {'toy@1of8-s0-f0.csv.gz'}


def test_arms_no_longer_asked_for_leave(ready):
    run_all(ready, some('classical', 'none'), workers=1)
    run_all(ready, some('classical'), workers=1)
    assert sorted(stamps(ready)) == ['classical-s0-f0.csv.gz']


def test_side_by_side_gives_the_same_bytes(ready):
    """Same seed, machine and threads: identical predictions, one after the other or in two processes."""
    run_all(ready, some('genmix-toy@1/2', seeds=2), workers=1)

    def read():
        return {p.name: p.read_bytes() for p in (ready.folder / 'predictions').glob('*.csv.gz')}

    first = read()
    for p in (ready.folder / 'predictions').iterdir():
        p.unlink()
    run_all(ready, some('genmix-toy@1/2', seeds=2), workers=2)
    name = 'genmix-toy@1of2-s{}-f0.csv.gz'.format
    assert read() == first and first[name(0)] != first[name(1)]


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
        run_all(ready, some('toy@1/8'), workers=1)


def test_mixing_that_07_did_not_do_is_refused(ready):
    with pytest.raises(StudyError, match='08 asks for alpha=0.9'):
        run_all(ready, some('genmix-toy-offline', alpha=0.9), workers=1)


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
