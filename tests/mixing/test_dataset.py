import numpy as np
import pandas as pd
import pytest
from conftest import blobs
from test_arms import configured
from test_generators import Toy

from genmix import StudyError
from genmix.generators.synthetic import synthetic_set
from genmix.mixing import dataset


def rule(**changes):
    return configured(**changes)[1]['genmix']


@pytest.fixture
def parts(study):
    train = blobs()
    return study, train, synthetic_set(study, Toy, train, 10, Toy.Config())


def test_mixtures_follow_from_their_parents(parts):
    study, train, synthetic = parts
    made = dataset.make_set(
        study, train, synthetic, 100, rule(alpha=0.4, pairing='balanced', larger='either'), seed=1
    )
    lam = made.lam[:, None, None].astype(np.float32)
    assert made.x.dtype == np.uint8 and np.array_equal(
        made.x, np.rint(lam * train.images[made.a] + (1 - lam) * synthetic.images[made.b]).astype(np.uint8)
    )
    hot = np.eye(3)
    assert np.allclose(
        made.y,
        made.lam[:, None] * hot[train.labels[made.a]]
        + (1 - made.lam[:, None]) * hot[synthetic.labels[made.b]],
        atol=1e-6,
    )
    assert set(np.bincount(made.a, minlength=len(train))) <= {
        2,
        3,
    }  # 100 mixtures of 45 real lesions: each two or three times


def test_manifest_names_parents_and_split(parts):
    study, train, synthetic = parts
    dataset.make_set(study, train, synthetic, 9, rule(alpha=0.4, pairing='same', larger='real'))
    table = pd.read_csv(study.folder / 'mixed' / 'toy' / 'manifest.csv')
    assert list(table.columns) == [
        'id',
        'lam',
        'real',
        'synthetic',
        'y_small',
        'y_middle',
        'y_large',
        'split',
    ]
    assert (
        set(table.split) == {train.fingerprint}
        and set(table.real) <= set(train.ids)
        and (table.lam >= 0.5).all()
    )
    assert np.allclose(table[['y_small', 'y_middle', 'y_large']].max(axis=1), 1)


def test_another_split_is_refused(parts):
    study, train, synthetic = parts
    with pytest.raises(StudyError, match='another training split'):
        dataset.make_set(study, train[:-1], synthetic, 9, rule(alpha=0.4, pairing='any', larger='either'))


def test_a_set_of_other_parents_is_refused(parts):
    study, train, synthetic = parts
    dataset.make_set(study, train, synthetic, 9, rule(alpha=0.4, pairing='any', larger='either'))
    again = synthetic_set(study, Toy, train, 10, Toy.Config(), seed=5)  # same ids, other images
    with pytest.raises(StudyError, match='make 07_genmix'):
        dataset.load_set(study, train, again)


def test_cached_by_what_it_is_made_of(parts):
    study, train, synthetic = parts
    keys = []
    for alpha, seed in ((0.4, 0), (0.4, 0), (0.5, 0), (0.5, 1)):
        dataset.make_set(study, train, synthetic, 9, rule(alpha=alpha, pairing='any', larger='either'), seed)
        keys.append(study.key('mixed/toy'))
    assert keys[0] == keys[1] and len(set(keys)) == 3
