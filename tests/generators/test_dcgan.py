import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from conftest import blobs, config_of

from genmix.generators.gan import checkpoint, dcgan
from genmix.generators.gan.dcgan import DCGAN, DCGANTraining
from genmix.generators.gan.dcgan_networks import Discriminator, Generator, UpsampleConv
from genmix.generators.gan.training import SNAPSHOTS
from genmix.generators.synthetic import train_generator


def small(**changes):
    return config_of(DCGAN, **{'batch_size': 16, 'width': 8, 'z_dim': 8} | changes)


def test_folded_upsampling_is_nearest_upsampling_and_a_convolution():
    layer, x = UpsampleConv(3, 5), torch.randn(2, 3, 7, 6)
    plain = F.conv2d(F.interpolate(x, scale_factor=2), layer.weight.transpose(0, 1).flip(2, 3), padding=1)
    assert torch.allclose(layer(x), plain, atol=1e-6)


@pytest.mark.parametrize('size', [32, 64, 128])
def test_shapes(size):
    y = torch.arange(8) % 3
    image = Generator(3, size, 16, 8)(torch.randn(8, 16), y)
    assert image.shape == (8, 1, size, size) and image.abs().max() <= 1
    assert Discriminator(3, size, 8)(image, y).shape == (8,)


def test_both_networks_see_the_label():
    torch.manual_seed(0)
    z, x = torch.randn(4, 16), torch.randn(4, 1, 32, 32)
    generator, discriminator = Generator(2, 32, 16, 8).eval(), Discriminator(2, 32, 8).eval()
    for network, given in ((generator, z), (discriminator, x)):
        found = []
        for label in (0, 0, 1):
            torch.manual_seed(1)  # of the injected noise
            found.append(network(given, torch.full((4,), label)))
        assert torch.equal(*found[:2]) and not torch.allclose(*found[1:])


def test_fit_save_load_sample(tmp_path):
    model = DCGAN.fit(blobs(), tmp_path, small(steps=SNAPSHOTS))
    images = model.sample(2, 5, seed=1)
    assert images.dtype == np.uint8 and images.shape == (5, 32, 32)
    assert np.array_equal(images, DCGAN.load(tmp_path).sample(2, 5, seed=1))
    assert not np.array_equal(images, model.sample(2, 5, seed=2))
    assert np.load(tmp_path / 'samples.npy').shape == (SNAPSHOTS, 3, 8, 32, 32)
    log = pd.read_csv(tmp_path / 'train_log.csv')
    assert np.isfinite(log).all().all() and {'discriminator_loss', 'within_class_sd_0'} <= set(log)


class Killed(BaseException):
    pass


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, 'CHECKPOINT_EVERY', 2)
    for name in ('whole', 'broken'):
        (tmp_path / name).mkdir()
    DCGAN.fit(blobs(), tmp_path / 'whole', small(steps=6))
    step, steps = DCGANTraining.step, []

    def dies(self, number):
        steps.append(number)
        if steps.count(5) == 1 and number == 5:
            raise Killed
        return step(self, number)

    monkeypatch.setattr(DCGANTraining, 'step', dies)
    with pytest.raises(Killed):
        DCGAN.fit(blobs(), tmp_path / 'broken', small(steps=6))
    DCGAN.fit(blobs(), tmp_path / 'broken', small(steps=6))
    assert steps == [1, 2, 3, 4, 5, 5, 6]
    for file in ('generator.safetensors', 'samples.npy'):
        assert (tmp_path / 'whole' / file).read_bytes() == (tmp_path / 'broken' / file).read_bytes(), file


def test_more_steps_go_on_from_a_finished_training(study, monkeypatch):
    step, steps = DCGANTraining.step, []
    monkeypatch.setattr(
        DCGANTraining, 'step', lambda self, number: steps.append(number) or step(self, number)
    )
    for changes in ({'steps': 6}, {'steps': 9}, {'steps': 12, 'seed': 1}, {'steps': 8, 'seed': 1}):
        train_generator(study, DCGAN, blobs(), small(**changes))
    assert steps == [*range(1, 7), *range(7, 10), *range(1, 13), *range(1, 9)]
    folder = study.folder / 'generators' / 'dcgan'
    train_generator(study, DCGAN, blobs(), small(steps=12, seed=1))
    assert steps[-4:] == [9, 10, 11, 12]
    assert len(np.load(folder / 'samples.npy')) == SNAPSHOTS
    log = pd.read_csv(folder / 'train_log.csv')
    assert log.step.tolist() == list(range(1, 13))
    assert (log.seconds.diff()[1:] >= 0).all() and (log.images_per_second > 0).all()


def test_same_seed_same_generator(tmp_path):
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        (tmp_path / name).mkdir()
        DCGAN.fit(blobs(), tmp_path / name, small(steps=3, seed=seed))

    def read(name):
        return (tmp_path / name / 'generator.safetensors').read_bytes()

    assert read('a') == read('b') != read('c')


def test_sampling_leaves_no_trace_in_the_global_generator(tmp_path):
    model = DCGAN.fit(blobs(), tmp_path, small(steps=1))
    torch.manual_seed(5)
    want = torch.rand(1)
    torch.manual_seed(5)
    model.sample(0, 2, seed=0)
    assert torch.equal(torch.rand(1), want)


def test_training_moves_samples_towards_the_data(tmp_path, monkeypatch):
    """After a few dozen steps the mean image of a class is nearer to the real one than at the start."""
    monkeypatch.setattr(dcgan, 'EMA_IMAGES', 500)  # an average over so few steps, not over thousands
    cohort = blobs((24, 24))
    distance = []
    for steps in (1, 80):
        model = DCGAN.fit(cohort, tmp_path, small(steps=steps, width=16))
        real = np.stack([cohort.images[cohort.labels == k].mean(0) for k in (0, 1)])
        distance.append(np.abs(np.stack([model.sample(k, 32, 0).mean(0) for k in (0, 1)]) - real).mean())
    assert distance[1] < 0.7 * distance[0]
