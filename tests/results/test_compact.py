import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from test_metrics import predictions

from genmix import StudyError
from genmix.mixing.arms import arms_for
from genmix.results import calibration, compact, metrics
from genmix.results.compact import Compact, decode, encode, pack

NAMES = ['cyst', 'hemangioma', 'metastasis']
MASS = np.array([0.52, 0.1, 0.38])


def network(rng, y, sharpness):
    """Probabilities (n, 3) as saved, of a network that is right in about three of four lesions."""
    logits = rng.normal(size=(len(y), 3)) * 1.2 + 1.9 * np.eye(3)[y] + np.log(MASS)
    return calibration.rescale(np.exp(logits), 1 / sharpness).round(6)


def population(arms, n=900, seed=0, classes=3):
    """(predictions of one run with `dev`, {name: fields}): a table like that of a run of the long study."""
    rng, tables = np.random.default_rng(seed), []
    y, dev = np.repeat(range(3), n // 3), np.repeat(range(3), 100)
    who = rng.integers(0, n // 2, n)
    for i, arm in enumerate(arms):
        for name, labels in (('population', y), ('dev', dev)):
            p = network(rng, labels, 1 + (i % 5) / 2)
            table = pd.DataFrame(p, columns=[f'p_{c}' for c in NAMES])
            ids = [f'{name}{j}' for j in range(len(labels))]
            patients = [f'P{w}' for w in (who if name == 'population' else range(len(labels)))]
            table = table.assign(
                id=ids, patient=patients, label=labels, test_set=name, arm=arm, seed=0, fold=0
            )
            tables.append(table.assign(**{f'mass_{c}': m for c, m in zip(NAMES, MASS)}))
    return pd.concat(tables, ignore_index=True)


def about(arms):
    return {'cohort': 107, 'class_counts': [676, 130, 484], 'arms': {n: vars(a) for n, a in arms.items()}}


@pytest.fixture(scope='module')
def long():
    """(scaled predictions, Compact) of 36 arms on 2,700 lesions, the size of the long run."""
    arms = dict(
        list(arms_for(['dcgan', 'stylegan', 'textual_inversion', 'diffusion', 'oracle']).items())[:36]
    )
    table = metrics.reweigh(population(arms, n=2700), pd.Series([676, 130, 484]))
    scaled = calibration.scale(table, NAMES)
    return scaled, pack(scaled, about(arms))


def test_a_cohort_of_the_long_run_is_small(long, tmp_path):
    scaled, found = long
    found.save(tmp_path / 'cohort-107.npz')
    assert scaled.arm.nunique() == 36 and scaled.id.nunique() == 2700
    assert (tmp_path / 'cohort-107.npz').stat().st_size <= 250_000


def test_every_number_is_that_of_the_exact_probabilities(long):
    """Log loss to 1e-3 nats, balanced accuracy by both rules and AUC to .05 points, arm by arm."""
    scaled, found = long
    again = found.predictions()
    tables = [
        metrics.metrics_table(t, {n: arms_for(['x'])['none'] for n in found.about['arms']})
        for t in (scaled, again)
    ]
    keys = ['arm', 'rule', 'label', 'metric']
    exact, rounded = (t.set_index(keys).value for t in tables)
    gap = (exact - rounded.reindex(exact.index)).abs().groupby('metric').max()
    assert gap.nll < 1e-3 and gap.nll_scaled < 1e-3
    assert gap.balanced_accuracy < 5e-4 and gap.macro_auc < 5e-4
    assert np.isfinite(exact).all() and set(exact.index) - set(rounded.index) == {
        key for key in exact.index if key[3] == 'temperature'
    }


def test_a_file_comes_back_as_it_was_written(tmp_path):
    arms = arms_for(['dcgan'])
    table = calibration.scale(population(arms, n=90), NAMES)
    found = pack(table, about(arms) | {'git': 'abc'})
    paths = [tmp_path / f'{name}.npz' for name in ('one', 'two')]
    for path in paths:
        found.save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    again = Compact.load(paths[0])
    assert again.about == json.loads(json.dumps(found.about)) and again.about['git'] == 'abc'
    assert again.trials == [(arm, 0, 0) for arm in arms] and again.about['class_names'] == NAMES
    assert (again.codes == found.codes).all() and again.codes.dtype == np.uint8
    one = again.predictions().query('arm == "classical"')
    exact = table[table.arm == 'classical']
    assert one.label.tolist() == exact.label.tolist()
    assert pd.factorize(one.patient)[0].tolist() == pd.factorize(exact.patient)[0].tolist()
    columns = [f'{mark}_{c}' for mark in 'pq' for c in NAMES]
    assert np.abs(one[columns].to_numpy() - exact[columns].to_numpy()).max() < 0.02
    assert one[[f'mass_{c}' for c in NAMES]].iloc[0].tolist() == pytest.approx(MASS)


def test_decisions_survive_rounding():
    """Lesions on the border: both rules name the class that the exact probabilities name."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet([30, 30, 30], 3000)  # all nearly tied
    mass = np.array([0.4, 0.25, 0.35])
    codes, scale = encode(p, mass)
    again = decode(codes, scale)
    for weight in (None, mass):
        same = metrics.decide(again, weight) == metrics.decide(p, weight)
        assert same.all() if weight is not None else same.mean() > 0.999
    assert np.abs(np.log(again / p)).max() < 0.05


def test_probabilities_of_two_classes_and_of_nothing_left_fit():
    p = np.array([[1, 0], [0, 1], [0.5, 0.5], [0.999999, 1e-6]])
    again = decode(*encode(p, np.array([0.5, 0.5])))
    assert again.shape == p.shape and np.abs(again - p).max() < 1e-3
    assert sk.log_loss([0, 1, 0, 0], again) == pytest.approx(sk.log_loss([0, 1, 0, 0], p), abs=1e-3)


def test_without_dev_probabilities_are_scaled_as_in_the_run():
    """Nothing to fit on beforehand: cross-fitted on the test set again."""
    table = calibration.scale(predictions({'none': 0.7}, runs=1).assign(test_set='population'), list('abc'))
    found = pack(table, about({}) | {'class_counts': [1, 1, 1]})
    assert np.isnan(found.temperature).all()
    again = found.scaled(0)
    y = found.labels.astype(int)
    assert calibration.measures(y, again)['nll'] < calibration.measures(y, found.probabilities(0))['nll']


def test_what_is_no_cohort_is_refused(tmp_path):
    path = tmp_path / 'cohort-100.npz'
    path.write_bytes(b'none')
    with pytest.raises(StudyError, match='cohort-100.npz is no cohort'):
        Compact.load(path)
    table = population(arms_for(), n=90)
    found = pack(calibration.scale(table, NAMES), about(arms_for()))
    Compact(found.about | {'format': 0}, *[getattr(found, n) for n in list(vars(found))[1:]]).save(path)
    with pytest.raises(StudyError, match='cohort-100.npz is no cohort'):
        Compact.load(path)
    with pytest.raises(StudyError, match='no predictions of the population'):
        pack(table[table.test_set == 'dev'], {})
    mixed = table.copy()
    mixed.loc[mixed.arm == 'none', 'id'] += 'x'
    with pytest.raises(StudyError, match='tested on other lesions'):
        pack(mixed, {})
    assert compact.FORMAT == 1
