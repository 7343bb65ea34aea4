from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from conftest import blobs, config_of

from genmix import StudyError
from genmix.generators.gan import checkpoint, stylegan2_layers, stylegan2_training
from genmix.generators.gan.checkpoint import load_checkpoint, save_checkpoint
from genmix.generators.gan.config import GROUP
from genmix.generators.gan.stylegan2 import StyleGAN
from genmix.generators.gan.stylegan2_networks import Discriminator, Generator
from genmix.generators.gan.stylegan2_training import StyleGANTraining, path_lengths
from genmix.generators.gan.training import SNAPSHOTS, TrainingRecord
from genmix.run.device import bf16_pays
from genmix.run.imports import closure, module_file

MAPPING = {'z_dim': 8, 'w_dim': 8}
CHANNELS = {'width': 4, 'max_channels': 16}
NETWORK = {'n_classes': 3, 'size': 32, 'mapping_layers': 2, **MAPPING, **CHANNELS}


def small(**changes):
    return config_of(StyleGAN, **{**MAPPING, **CHANNELS, 'batch_size': 16} | changes)


def by_hand(x, weight, style, demodulate, up):
    """Equations 1 and 3, image by image; upsampling as zeros between the pixels, convolution, FIR filter."""
    out, taps = [], torch.tensor([1.0, 3, 3, 1]) / 8
    for image, s in zip(x, style):
        own = weight * s[None, :, None, None]
        if demodulate:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            sparse = torch.zeros(1, len(image), 2 * image.shape[1], 2 * image.shape[2])
            sparse[:, :, ::2, ::2] = image
            y = F.conv2d(F.pad(sparse, [2] * 4), own.flip(2, 3))[0][:, None]
            out.append(F.conv2d(y, (4 * taps[:, None] * taps)[None, None], padding=1)[:, 0, :-1, :-1])
        else:
            out.append(F.conv2d(image[None], own, padding=weight.shape[-1] // 2)[0])
    return torch.stack(out)


@pytest.mark.parametrize('form', [stylegan2_layers.modulated_conv, stylegan2_layers.modulated_conv_grouped])
@pytest.mark.parametrize('demodulate', [True, False])
@pytest.mark.parametrize('up', [True, False])
def test_modulated_convolution_is_a_loop_over_images(form, demodulate, up):
    torch.manual_seed(0)
    x, weight, style = torch.randn(4, 6, 8, 8), torch.randn(5, 6, 3, 3), torch.randn(4, 6)
    y, want = form(x, weight, style, demodulate, up), by_hand(x, weight, style, demodulate, up)
    assert y.shape == want.shape and (y - want).abs().max() <= 1e-5 * want.abs().max()


def test_demodulated_weights_have_unit_norm():
    weight, style = torch.randn(5, 6, 3, 3), torch.randn(4, 6)
    factors = stylegan2_layers.demodulation(weight, style)
    own = weight[None] * style[:, None, :, None, None] * factors[:, :, None, None, None]
    assert torch.allclose(own.square().sum((2, 3, 4)), torch.ones(4, 5), atol=1e-5)


def test_demodulated_output_has_unit_variance():
    x, weight, style = torch.randn(8, 16, 32, 32), torch.randn(12, 16, 3, 3), 5 * torch.rand(8, 16)
    y = stylegan2_layers.modulated_conv(x, weight, style)
    assert y[:, :, 2:-2, 2:-2].var().item() == pytest.approx(1, abs=0.05)


def test_image_weights_of_the_gray_layer_are_a_modulated_convolution():
    layer, x, w = stylegan2_layers.ToGray(6, 4), torch.randn(3, 6, 8, 8), torch.randn(3, 4)
    weight = (layer.weight * layer.scale).view(1, 6, 1, 1)
    want = stylegan2_layers.modulated_conv(x, weight, layer.style(w), demodulate=False)
    assert torch.allclose(layer(x, w), want, atol=1e-5)


@pytest.mark.parametrize('padding', [1, 2])
def test_the_filter_of_a_gpu_has_the_derivatives_of_the_plain_one(padding):
    """Values, first and second derivatives, as path lengths take them."""

    def derivatives(form, dtype):
        torch.manual_seed(0)
        x = torch.randn(2, 3, 7, 6, dtype=dtype, requires_grad=True)
        y = form(x * x, 4.0, padding)
        (first,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return y, first, second

    ours, plain = (
        derivatives(form, torch.float32)
        for form in (stylegan2_layers.FIRFilter.apply, stylegan2_layers.depthwise)
    )
    for a, b in zip(ours, plain):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: stylegan2_layers.FIRFilter.apply(v, 4.0, padding), x)


def test_a_gpu_filters_in_its_precision(monkeypatch):
    """Where blur takes the filter of a GPU, autocast decides the type, as of any convolution."""
    x = torch.ones(1, 1, 4, 4)
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda kind: True)
    monkeypatch.setattr(torch, 'get_autocast_dtype', lambda kind: torch.bfloat16)
    monkeypatch.setattr(stylegan2_layers.FIRFilter, 'apply', lambda *given: given)
    given = stylegan2_layers.blur(SimpleNamespace(device=SimpleNamespace(type='cuda'), to=x.to), 4, 2)
    assert given[0].dtype == torch.bfloat16 and given[1:] == (4, 2)


@pytest.mark.parametrize('kernel', [1, 3])
def test_downsampling_blurs_first(kernel):
    """A checkerboard, all of it above the new Nyquist frequency, leaves nothing; a constant passes."""
    layer = stylegan2_layers.EqualConv(1, 1, kernel, down=True, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1 / layer.scale / kernel**2)
    board = (-1.0) ** (torch.arange(16)[:, None] + torch.arange(16))[None, None]
    assert layer(board).shape == (1, 1, 8, 8) and layer(board)[..., 2:-2, 2:-2].abs().max() < 1e-6
    assert torch.allclose(layer(torch.ones(1, 1, 16, 16))[..., 2:-2, 2:-2], torch.ones(()))


def test_equalised_rate_keeps_variance():
    x = torch.randn(4096, 64)
    for rate in (1.0, 0.01):
        layer = stylegan2_layers.EqualLinear(64, 64, rate=rate, gain=stylegan2_layers.SQRT2)
        power = F.leaky_relu(layer(x), 0.2).square().mean().item()
        assert power == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize('size', [32, 64, 256])
@pytest.mark.parametrize('pack, space_to_depth', [(1, False), (2, True)])
def test_shapes(size, pack, space_to_depth):
    y = (torch.arange(2) % 3).repeat_interleave(GROUP)
    image = Generator(3, size, 8, 8, 2, 2, 8)(torch.randn(16, 8), y)
    assert image.shape == (16, 1, size, size)
    assert Discriminator(3, size, 2, 8, pack, space_to_depth)(image, y).shape == (16 // pack,)


def test_styles_act_on_their_own_layers_and_images_can_share_noise():
    torch.manual_seed(0)
    generator = Generator(**NETWORK).eval()
    w = torch.randn(1, len(generator.layers) + 1, 8).expand(4, -1, -1).clone()

    def largest_difference(same_noise):
        return np.ptp(generator.synthesis(w, same_noise).detach().numpy(), axis=0).max()

    assert largest_difference(True) < 1e-5 < largest_difference(False)
    w[1, 0], w[2, -1] = 3.0, 3.0
    base, first, last, _ = generator.synthesis(w, same_noise=True).detach()
    assert (first - base).abs().max() > 1e-3 and (last - base).abs().max() > 1e-3


def test_truncation_to_nothing_is_the_centre_of_the_class():
    generator, y = Generator(**NETWORK), torch.tensor([0, 2])
    generator.centre.normal_()
    w = torch.randn(2, 8)
    assert torch.equal(generator.truncated(w, y, 0.0), generator.centre[y])
    assert torch.equal(generator.truncated(w, y, 1.0), w)
    assert torch.allclose(generator.truncated(w, y, 0.5), (w + generator.centre[y]) / 2)


def test_discriminator_sees_repetition():
    """The minibatch channel: a group of one repeated image has standard deviation 0, a varied one has not."""
    torch.manual_seed(0)
    net, seen = Discriminator(2, 32, 4, 16, 2, False), []
    net.last.register_forward_pre_hook(lambda layer, x: seen.append(x[0][:, -1]))
    y = torch.zeros(8, dtype=torch.long)
    net(torch.randn(1, 1, 32, 32).expand(8, 1, 32, 32), y)
    net(torch.randn(8, 1, 32, 32), y)
    assert seen[0].abs().max() < 1e-3 < seen[1].min()


def test_path_length_of_a_linear_generator():
    """Image = a w: |J^T noise| is a |noise| with one pixel."""
    torch.manual_seed(0)
    w = torch.randn(2000, 1, 1, requires_grad=True)
    lengths = path_lengths(3 * w[:, :, :, None], w)
    assert lengths.square().mean().sqrt().item() == pytest.approx(3, rel=0.05)


@pytest.mark.skipif(not bf16_pays(), reason='bfloat16 is emulated here')
def test_bf16_gives_the_same_images_and_gradients():
    torch.manual_seed(0)
    generator, y = Generator(3, 64, 16, 16, 2, 8, 64), torch.zeros(16, dtype=torch.long)
    discriminator, z, found = Discriminator(3, 64, 8, 64, 2, True), torch.randn(16, 16), []
    for on in (False, True):
        torch.manual_seed(1)
        with torch.autocast('cpu', torch.bfloat16, enabled=on):
            image = generator(z, y)
            gradient = torch.autograd.grad(discriminator(image, y).sum(), generator.start)
            found.append((image.detach().flatten(), torch.cat([g.flatten() for g in gradient])))
    for exact, fast in zip(*found):
        assert F.cosine_similarity(exact, fast, dim=0) >= 0.99


def test_the_cache_key_covers_every_module_it_uses():
    names = {file.stem for file in closure([module_file(StyleGAN.__module__)])}
    own = {'stylegan2', 'stylegan2_layers', 'stylegan2_networks', 'stylegan2_training', 'checkpoint'}
    assert own | {'ada', 'diffaugment', 'sampling', 'training'} <= names
    assert not {'dcgan', 'dcgan_networks'} & names


def test_fit_save_load_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(stylegan2_training, 'R1_EVERY', 2)
    monkeypatch.setattr(stylegan2_training, 'PATH_EVERY', 2)
    model = StyleGAN.fit(blobs(), tmp_path, small(steps=SNAPSHOTS, psi=0.7, path_length=1.0))
    images = model.sample(2, 5, seed=1)
    assert images.dtype == np.uint8 and images.shape == (5, 32, 32)
    again = StyleGAN.load(tmp_path)
    assert np.array_equal(images, again.sample(2, 5, seed=1))
    assert not np.array_equal(images, model.sample(2, 5, seed=2))
    assert again.config['psi'] == 0.7 and not np.array_equal(images, again.sample(2, 5, seed=1, psi=1.0))
    assert again.generator.centre.abs().sum(1).min() > 0
    assert np.load(tmp_path / 'samples.npy').shape == (SNAPSHOTS, 3, 8, 32, 32)
    log = pd.read_csv(tmp_path / 'train_log.csv')
    assert np.isfinite(log).all().all() and {'p', 'r_t', 'within_class_sd_0'} <= set(log)
    files = {'generator.safetensors', 'config.json', 'train_log.csv', 'samples.npy', 'checkpoint.safetensors'}
    assert {p.name for p in tmp_path.iterdir()} == files


PUBLISHED = {'augmentation': 'none', 'pack': 1, 'space_to_depth': False, 'style_mixing': 0.0}


@pytest.mark.parametrize('changes', [{'augmentation': 'diffaugment'}, PUBLISHED])
def test_alternatives_train(tmp_path, changes):
    StyleGAN.fit(blobs(), tmp_path, small(steps=2, **changes))
    assert (pd.read_csv(tmp_path / 'train_log.csv').p == 0).all()


class Killed(BaseException):
    pass


@pytest.mark.parametrize('at', [3, 5])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch, at):
    def fit(name, seed=0):
        return StyleGAN.fit(blobs(), tmp_path / name, small(steps=6, ada_images=200, seed=seed))

    monkeypatch.setattr(stylegan2_training, 'R1_EVERY', 2)
    monkeypatch.setattr(checkpoint, 'CHECKPOINT_EVERY', 2)
    for name in ('whole', 'broken', 'other'):
        (tmp_path / name).mkdir()
    fit('whole'), fit('other', seed=1)
    step = StyleGANTraining.step
    with monkeypatch.context() as patch:

        def dies(self, number):
            if number == at:
                raise Killed
            return step(self, number)

        patch.setattr(StyleGANTraining, 'step', dies)
        with pytest.raises(Killed):
            fit('broken')
    assert (tmp_path / 'broken' / 'checkpoint.safetensors').exists()
    steps = []
    monkeypatch.setattr(
        StyleGANTraining, 'step', lambda self, number: steps.append(number) or step(self, number)
    )
    fit('broken')
    assert steps == list(range(at, 7))  # a checkpoint lay just before
    for file in ('generator.safetensors', 'samples.npy'):
        whole, broken, other = [(tmp_path / n / file).read_bytes() for n in ('whole', 'broken', 'other')]
        assert whole == broken != other, file
    whole, broken = [pd.read_csv(tmp_path / name / 'train_log.csv') for name in ('whole', 'broken')]
    speed = ['seconds', 'images_per_second']
    assert (whole.images_per_second > 0).all() and (whole.seconds.diff()[1:] >= 0).all()
    pd.testing.assert_frame_equal(*(t.drop(columns=speed) for t in (whole, broken)))


def test_a_checkpoint_of_another_config_is_not_used(tmp_path):
    def resumed(config):
        done, record = load_checkpoint(tmp_path / 'checkpoint.safetensors', StyleGANTraining(blobs(), config))
        return done, record.rows, record.samples

    config = small()
    record = TrainingRecord(config.steps, [{'step': 1}])
    save_checkpoint(tmp_path / 'checkpoint.safetensors', StyleGANTraining(blobs(), config), 7, record)
    assert resumed(config) == (7, [{'step': 1}], [])
    assert resumed(small(lr=1e-4)) == (0, [], [])


def test_sampling_leaves_no_trace_in_the_global_generator(tmp_path):
    model = StyleGAN.fit(blobs(), tmp_path, small(steps=1))
    torch.manual_seed(5)
    want = torch.rand(1)
    torch.manual_seed(5)
    model.sample(0, 2, seed=0), model.synthesise(torch.zeros(2, 8))
    assert torch.equal(torch.rand(1), want)


def test_training_moves_samples_towards_the_data(tmp_path):
    """After some dozens of steps the mean image of a class is nearer to the real one than at the start."""
    cohort, distance = blobs((24, 24)), []
    for steps in (1, 100):
        model = StyleGAN.fit(cohort, tmp_path, small(steps=steps, width=8, max_channels=32))
        real = np.stack([cohort.images[cohort.labels == k].mean(0) for k in (0, 1)])
        distance.append(np.abs(np.stack([model.sample(k, 32, 0).mean(0) for k in (0, 1)]) - real).mean())
    assert distance[1] < 0.7 * distance[0]


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({'batch_size': 12}, 'multiple of 8'),
        ({'pack': 3}, 'pack is 3'),
        ({'augmentation': 'mixup'}, 'augmentation is "mixup"'),
        ({'psi': -1.0}, 'psi is -1'),
        ({'style_mixing': 2.0}, 'style_mixing is 2'),
    ],
)
def test_values_that_cannot_be_are_named(wrong, message):
    with pytest.raises(StudyError, match=message):
        small(**wrong)
