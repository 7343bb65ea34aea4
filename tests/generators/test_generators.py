from dataclasses import dataclass

import numpy as np
import pytest
from conftest import ROOT, blobs

from genmix import StudyError, generators
from genmix.data import splits
from genmix.data.phantom import plan
from genmix.generators import synthetic


class Toy:
    """The smallest generator: each class's mean image, a little brighter or darker."""

    name = 'toy'

    @dataclass(frozen=True, kw_only=True)
    class Config:
        sd: float = 10.0

    def __init__(self, means, sd):
        self.means, self.sd = means, sd

    @classmethod
    def fit(cls, cohort, out_dir, config):
        means = np.stack([cohort.images[cohort.labels == k].mean(0) for k in range(len(cohort.class_names))])
        np.savez(out_dir / 'toy.npz', means=means, sd=config.sd)
        return cls(means, config.sd)

    @classmethod
    def load(cls, folder):
        return cls(**np.load(folder / 'toy.npz'))

    def sample(self, label, n, seed):
        shift = np.random.default_rng(seed).normal(0, self.sd, (n, 1, 1))
        return (self.means[label] + shift).clip(0, 255).astype(np.uint8)


TOY = Toy.Config()


def test_synthetic_set_knows_what_it_was_learned_from(study):
    train = blobs()
    made = synthetic.synthetic_set(study, Toy, train, 7, TOY, seed=3)
    assert made.counts.tolist() == [7, 7, 7] and made.source == 'toy' and made.images.shape == (21, 32, 32)
    assert set(made.extra['split']) == {train.fingerprint} and set(made.extra['generator']) == {'toy'}
    splits.check_split(made, train)
    with pytest.raises(StudyError, match='another training split'):
        splits.check_split(made, train[:-1])


def test_sets_are_cached_by_split_params_and_count(study):
    train, stamp = blobs(), lambda kind: study.key(f'{kind}/toy')
    synthetic.synthetic_set(study, Toy, train, 5, TOY)
    first = stamp('generators'), stamp('synthetic')
    synthetic.synthetic_set(study, Toy, train, 6, TOY)
    assert stamp('generators') == first[0] and stamp('synthetic') != first[1]
    synthetic.synthetic_set(study, Toy, train, 5, Toy.Config(sd=2.0))
    assert stamp('generators') != first[0]
    again = stamp('generators')
    synthetic.synthetic_set(study, Toy, train[:-2], 5, Toy.Config(sd=2.0))
    assert stamp('generators') != again


def test_sets_are_made_of_what_has_no_notebook_and_asks_for_the_rest(study):
    class Elsewhere(Toy):
        name, notebook = 'elsewhere', '99_elsewhere'

    train = blobs()

    def toys(cohort):
        return synthetic.synthetic_sets(study, {'toy': Toy}, cohort, 4, plugin_params={'toy': {'sd': 10.0}})

    assert len(toys(train)['toy']) == 12
    assert set(toys(train[:-1])['toy'].extra['split']) == {train[:-1].fingerprint}  # follows the split
    with pytest.raises(StudyError, match='make 99_elsewhere'):
        synthetic.synthetic_sets(study, {'elsewhere': Elsewhere}, train, 4)


def test_a_generator_that_breaks_the_contract_is_named(study):
    class Floats(Toy):
        name = 'floats'

        def sample(self, label, n, seed):
            return np.zeros((n, 32, 32))

    with pytest.raises(StudyError, match='floats.sample returned float64'):
        synthetic.synthetic_set(study, Floats, blobs(), 2, TOY)


PLUGIN = """
from dataclasses import dataclass
import numpy as np
from genmix.generators import register
@register
class Mine:
    name = "mine"
    @dataclass(frozen=True, kw_only=True)
    class Config:
        level: int
    @classmethod
    def fit(cls, cohort, out_dir, config): np.save(out_dir / "level.npy", config.level)
    @classmethod
    def load(cls, folder): model = cls(); model.level = np.load(folder / "level.npy"); return model
    def sample(self, label, n, seed): return np.full((n, 32, 32), self.level, np.uint8)
"""


def test_registry_and_plugins(study, tmp_path, capsys):
    assert {'dcgan', 'oracle'} <= set(generators.known()) and list(generators.known())[-1] == 'oracle'
    assert 'oracle' not in generators.choose(['all'], 'folder')
    assert 'oracle is dropped' in capsys.readouterr().out
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
        for level in (7, 8):
            made = synthetic.synthetic_sets(
                study, taking, blobs(), 2, plugin_params={'mine': {'level': level}}
            )
            assert made['mine'].images.max() == level
        for wrong, message in (({}, "missing .* 'level'.*are level"), ({'levels': 7}, "'levels'.*are level")):
            with pytest.raises(StudyError, match=message):
                synthetic.synthetic_sets(study, taking, blobs(), 2, plugin_params={'mine': wrong})
    finally:
        generators.REGISTRY.pop('mine')


def test_the_example_learns_samples_and_comes_back(study):
    train = blobs((60, 50, 40))
    try:
        taking = generators.choose(['my_generator'], 'folder', [ROOT / 'examples' / 'my_generator.py'])
        params = {'my_generator': {'components': 6}}
        made = synthetic.synthetic_sets(study, taking, train, 40, plugin_params=params)['my_generator']
        with pytest.raises(StudyError, match='components is 0, but it must be at least 1'):
            synthetic.synthetic_sets(
                study, taking, train, 40, plugin_params={'my_generator': {'components': 0}}
            )
    finally:
        generators.REGISTRY.pop('my_generator')
    assert made.images.shape == (120, 32, 32) and made.images.dtype == np.uint8
    model = taking['my_generator'].load(study.folder / 'generators' / 'my_generator')
    images = model.sample(2, 40, seed=2)
    assert np.array_equal(images, made.images[made.labels == 2])
    assert not np.array_equal(images, model.sample(2, 40, seed=3))
    for k in range(3):  # mean image and variety of a class
        real, own = (c.images[c.labels == k].astype(float) for c in (train, made))
        assert np.abs(own.mean(0) - real.mean(0)).mean() < 5
        assert own.std(0).mean() == pytest.approx(real.std(0).mean(), rel=0.2)


def test_oracle_draws_fresh_phantoms_of_one_class(study):
    cohort = plan.draw('cohort', (4, 4, 4), image_size=32)
    kind = generators.known()['oracle']
    oracle = kind.fit(cohort, study.path('o', 'x').parent, kind.Config())
    images = oracle.sample(1, 5, 9)
    assert images.shape == (5, 32, 32)
    assert np.array_equal(images, oracle.load(study.folder / 'o').sample(1, 5, 9))
    assert not np.array_equal(images, oracle.sample(1, 5, 10))
    assert not np.array_equal(images, oracle.sample(0, 5, 9))
    assert np.array_equal(images, plan.draw('oracle', (0, 5, 0), image_size=32, seed=9).images)


def test_the_oracle_is_as_noisy_as_the_cohort(study):
    cohort = plan.draw('dev', (4, 4, 4), image_size=32, noise=2)
    kind = generators.known()['oracle']
    kind.fit(cohort, study.path('o', 'x').parent, kind.Config())
    images = kind.load(study.folder / 'o').sample(1, 5, 9)
    assert np.array_equal(images, plan.draw('oracle', (0, 5, 0), image_size=32, seed=9, noise=2).images)


def test_within_class_sd_by_hand():
    flat = np.zeros((4, 32, 32), np.uint8)
    steps = np.arange(0, 80, 20, dtype=np.uint8)[:, None, None] + flat  # 0, 20, 40, 60: sd sqrt(500)
    noise = np.random.default_rng(0).integers(0, 256, (400, 64, 64)).astype(np.uint8)
    labels = np.repeat([0, 1], 4)
    found = synthetic.within_class_sd(np.concatenate([flat, steps]), labels)
    assert found[0] == 0 and found[1] == pytest.approx(500**0.5)
    single = synthetic.within_class_sd(steps, np.array([0, 1, 1, 1]))
    assert np.isnan(single[0]) and np.isnan(1 / single[0])  # one image has no variety to compare with
    found = synthetic.within_class_sd(noise, np.zeros(400, int))
    assert found[0] == pytest.approx(73.9 / 4, rel=0.02)  # noise averages out
