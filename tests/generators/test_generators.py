import numpy as np
import pytest
from conftest import blobs

from genmix import StudyError, generators
from genmix.data import splits
from genmix.data.phantom import plan
from genmix.generators import synthetic


class Toy:
    """A generator in ten lines: each class's mean image, a little brighter or darker."""

    name = 'toy'

    def __init__(self, means):
        self.means = means

    @classmethod
    def fit(cls, cohort, out_dir, gain=10):
        means = np.stack([cohort.images[cohort.labels == k].mean(0) for k in range(len(cohort.class_names))])
        np.save(out_dir / 'means.npy', means)
        return cls(means)

    @classmethod
    def load(cls, folder):
        return cls(np.load(folder / 'means.npy'))

    def sample(self, label, n, seed):
        shift = np.random.default_rng(seed).normal(0, 10, (n, 1, 1))
        return (self.means[label] + shift).clip(0, 255).astype(np.uint8)


def test_synthetic_set_knows_whom_it_was_learned_from(study):
    train = blobs()
    made = synthetic.synthetic_set(study, Toy, train, 7, seed=3)
    assert made.counts.tolist() == [7, 7, 7] and made.source == 'toy' and made.images.shape == (21, 32, 32)
    assert set(made.extra['split']) == {train.fingerprint} and set(made.extra['generator']) == {'toy'}
    splits.check_split(made, train)
    with pytest.raises(StudyError, match='another training split'):
        splits.check_split(made, train[:-1])


def test_sets_are_cached_by_split_params_and_count(study):
    train, stamp = blobs(), lambda kind: study.key(f'{kind}/toy')
    synthetic.synthetic_set(study, Toy, train, 5)
    first = stamp('generators'), stamp('synthetic')
    synthetic.synthetic_set(study, Toy, train, 6)
    assert stamp('generators') == first[0] and stamp('synthetic') != first[1]
    synthetic.synthetic_set(study, Toy, train, 5, {'gain': 2})
    assert stamp('generators') != first[0]
    again = stamp('generators')
    synthetic.synthetic_set(study, Toy, train[:-2], 5, {'gain': 2})
    assert stamp('generators') != again


def test_gathered_makes_what_has_no_notebook_and_asks_for_the_rest(study):
    class Elsewhere(Toy):
        name, notebook = 'elsewhere', '99_elsewhere'

    train = blobs()
    assert len(synthetic.synthetic_sets(study, {'toy': Toy}, train, 4)['toy']) == 12
    assert set(synthetic.synthetic_sets(study, {'toy': Toy}, train[:-1], 4)['toy'].extra['split']) == {
        train[:-1].fingerprint
    }  # follows the split
    with pytest.raises(StudyError, match='make 99_elsewhere'):
        synthetic.synthetic_sets(study, {'elsewhere': Elsewhere}, train, 4)


def test_a_generator_that_breaks_the_contract_is_named(study):
    class Floats(Toy):
        name = 'floats'

        def sample(self, label, n, seed):
            return np.zeros((n, 32, 32))

    with pytest.raises(StudyError, match='floats.sample returned float64'):
        synthetic.synthetic_set(study, Floats, blobs(), 2)


PLUGIN = """
import numpy as np
from genmix.generators import register
@register
class Mine:
    name = "mine"
    @classmethod
    def fit(cls, cohort, out_dir): return cls()
    @classmethod
    def load(cls, folder): return cls()
    def sample(self, label, n, seed): return np.full((n, 32, 32), 7, np.uint8)
"""


def test_registry_and_plugins(study, tmp_path, capsys):
    assert {'dcgan', 'oracle'} <= set(generators.known()) and list(generators.known())[-1] == 'oracle'
    assert (
        'oracle' not in generators.choose(['all'], 'folder')
        and 'oracle is dropped' in capsys.readouterr().out
    )
    with pytest.raises(StudyError, match='no generator "dcgn"'):
        generators.choose(['dcgn'], 'phantom')
    with pytest.raises(StudyError, match='plugin .* does not exist'):
        generators.known([tmp_path / 'none.py'])
    for name in ('mixup', 'genmix-x', 'Big'):
        with pytest.raises(StudyError, match='cannot be called'):
            generators.register(type('X', (), {'name': name}))
    with pytest.raises(StudyError, match='No generator is left'):
        generators.choose(['oracle'], 'folder')
    (tmp_path / 'mine.py').write_text(PLUGIN)
    try:
        taking = generators.choose(['mine'], 'folder', [tmp_path / 'mine.py'])
        assert synthetic.synthetic_sets(study, taking, blobs(), 2)['mine'].images.max() == 7
    finally:
        generators.REGISTRY.pop('mine')


def test_oracle_draws_fresh_phantoms_of_one_class(study):
    cohort = plan.draw('cohort', (4, 4, 4), image_size=32)
    oracle = generators.known()['oracle'].fit(cohort, study.path('o', 'x').parent)
    images = oracle.sample(1, 5, 9)
    assert images.shape == (5, 32, 32) and np.array_equal(
        images, oracle.load(study.folder / 'o').sample(1, 5, 9)
    )
    assert not np.array_equal(images, oracle.sample(1, 5, 10)) and not np.array_equal(
        images, oracle.sample(0, 5, 9)
    )
    assert np.array_equal(images, plan.draw('oracle', (0, 5, 0), image_size=32, seed=9).images)


def test_spread_by_hand():
    flat = np.zeros((4, 32, 32), np.uint8)
    steps = np.arange(0, 80, 20, dtype=np.uint8)[:, None, None] + flat  # 0, 20, 40, 60: sd sqrt(500)
    noise = np.random.default_rng(0).integers(0, 256, (400, 64, 64)).astype(np.uint8)
    labels = np.repeat([0, 1], 4)
    spread = synthetic.within_class_sd(np.concatenate([flat, steps]), labels)
    assert spread[0] == 0 and spread[1] == pytest.approx(500**0.5)
    assert synthetic.within_class_sd(noise, np.zeros(400, int))[0] == pytest.approx(
        73.9 / 4, rel=0.02
    )  # grain averages out
