"""Fine-tuning on tiny models of exactly the classes that the paper profile loads, built and saved here."""

import json

import numpy as np
import pytest
import torch
from conftest import blobs

from genmix import StudyError
from genmix.data import images
from genmix.generators.latent import backbones, diffusion, loss, noise_texture
from genmix.generators.latent.diffusion import Diffusion
from genmix.generators.pretrained import captions, networks

TINY = {'steps': 4, 'batch_size': 6, 'film': 2, 'moments': 3, 'sampling_steps': 2, 'checkpoint_every': 2}


@pytest.fixture(scope='module')
def reader(tmp_path_factory):
    """A saved StableDiffusionPipeline of 16 px pictures."""
    torch.manual_seed(0)
    size = networks.Size(
        image=16,
        latent_channels=4,
        autoencoder=(8, 8, 8),
        denoiser=(8, 8, 8),
        text=8,
        text_layers=1,
        groups=4,
    )
    tokenizer = captions.make_tokenizer()
    pipeline = networks.make_pipeline(
        networks.make_autoencoder(size),
        networks.make_denoiser(size),
        networks.make_text_encoder(size, tokenizer),
        tokenizer,
    )
    folder = tmp_path_factory.mktemp('hub') / 'reader'
    pipeline.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    """A saved DiTPipeline of 32 px pictures: Stable Diffusion's kind of autoencoder, noise and variances predicted, ten labels."""
    from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    torch.manual_seed(0)
    net = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=4,
        patch_size=2,
        num_embeds_ada_norm=10,
        norm_type='ada_norm_zero',
        norm_elementwise_affine=False,
    )
    vae = AutoencoderKL(
        down_block_types=('DownEncoderBlock2D',) * 4,
        up_block_types=('UpDecoderBlock2D',) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
    )
    folder = tmp_path_factory.mktemp('hub') / 'labelled'
    DiTPipeline(net, vae, DDIMScheduler(num_train_timesteps=1000, clip_sample=False)).save_pretrained(folder)
    return str(folder)


def drawn(model, n=3):
    return np.stack([model.sample(k, n, seed=k) for k in range(3)])


@pytest.mark.parametrize('kind', ['reader', 'labelled'])
@pytest.mark.parametrize('lora_rank', [0, 2])
def test_what_is_saved_samples_the_same(kind, lora_rank, request, tmp_path, cohort):
    base = request.getfixturevalue(kind)
    model = Diffusion.fit(
        cohort, tmp_path, base=base, lora_rank=lora_rank, checkpointing=True, guidance=2.0, **TINY
    )
    x = drawn(model)
    assert x.dtype == np.uint8 and x.shape == (3, 3, 32, 32)
    assert np.array_equal(x, drawn(Diffusion.load(tmp_path)))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'config.json',
        'denoiser',
        'film.npy',
        'grain.safetensors',
        'train_log.csv',
    ]
    assert np.load(tmp_path / 'film.npy').shape == (3, 3, 2, 32, 32) and json.loads(
        (tmp_path / 'config.json').read_text()
    )['moments'] == [0, 1, 4]
    learned = 'adapters.safetensors' if lora_rank else 'diffusion_pytorch_model.safetensors'
    assert (tmp_path / 'denoiser' / learned).exists()


@pytest.mark.parametrize('kind', ['reader', 'labelled'])
def test_adapters_begin_as_the_base_and_leave_its_weights(kind, request, cohort):
    base = request.getfixturevalue(kind)
    plain, _ = backbones.open_base(base, cohort.class_names), torch.manual_seed(0)
    found, net = diffusion.open_for_training(base, None, (), cohort.class_names, False, 2)
    trained = [name for name, p in net.named_parameters() if p.requires_grad]
    assert trained and all('lora_' in name or name == 'added' for name in trained)
    x, t, labels = torch.randn(2, *found.shape), torch.tensor([10, 500]), torch.tensor([0, 2])
    with torch.no_grad():
        assert torch.allclose(net.eval()(x, t, labels), plain.net.eval()(x, t, labels), atol=1e-6)


def test_the_fast_loss_is_the_plain_one(reader, cohort, monkeypatch):
    """Cached latents and conditions, attention written out: in fp32 the same losses as encoding image and prompt in each step."""
    from diffusers import StableDiffusionPipeline
    from diffusers.models.attention_processor import AttnProcessor2_0

    def exact(enabled=None):
        return torch.autocast('cpu', enabled=False)

    for module in (loss, networks):
        monkeypatch.setattr(module, 'autocast', exact)
    base, net = diffusion.open_for_training(reader, None, (), cohort.class_names, False, 0)
    monkeypatch.setattr(torch.Tensor, 'half', lambda x: x)  # latents are kept in half precision
    loss_of = Diffusion(base, net, {}).loss(cohort, 6, 0.0, 0.0, False, None)
    plain = StableDiffusionPipeline.from_pretrained(reader)
    plain.unet.set_attn_processor(AttnProcessor2_0())
    for seed in range(4):
        ours, generator = (
            loss_of(torch.Generator().manual_seed(seed)).item(),
            torch.Generator().manual_seed(seed),
        )
        labels = torch.randint(3, (6,), generator=generator)
        of_class = [np.flatnonzero(cohort.labels == k) for k in range(3)]
        rows = [
            of_class[k][int(u * len(of_class[k]))]
            for k, u in zip(labels.tolist(), torch.rand(6, generator=generator).tolist())
        ]
        torch.rand(12, generator=generator)  # the symmetry and the dropped label
        latents = plain.vae.encode(
            networks.to_rgb_input(images.resize_uint8(cohort.images[rows], 16))
        ).latent_dist.mean
        said = [backbones.PROMPT.format(cohort.class_names[k]) for k in labels.tolist()]
        words = plain.text_encoder(
            plain.tokenizer(said, padding='max_length', return_tensors='pt').input_ids
        )[0]
        noise, t = (
            torch.randn(latents.shape, generator=generator),
            torch.randint(1000, (6,), generator=generator),
        )
        v = plain.unet(base.schedule.add_noise(latents, noise, t), t, words).sample
        assert ours == pytest.approx(
            (v - base.schedule.get_velocity(latents, noise, t)).square().mean().item(), rel=1e-4
        )


def test_a_killed_training_goes_on(reader, tmp_path, cohort, monkeypatch):
    straight = (
        Diffusion.fit(cohort, tmp_path / 'a', base=reader, **TINY)
        if (tmp_path / 'a').mkdir() is None
        else None
    )
    (tmp_path / 'b').mkdir()
    real, calls = loss.denoising_loss, []

    def dies(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(loss, 'denoising_loss', dies)
    with pytest.raises(KeyboardInterrupt):
        Diffusion.fit(cohort, tmp_path / 'b', base=reader, **TINY)
    monkeypatch.setattr(loss, 'denoising_loss', real)
    resumed = Diffusion.fit(cohort, tmp_path / 'b', base=reader, **TINY)
    assert np.array_equal(drawn(straight), drawn(resumed))
    assert np.array_equal(np.load(tmp_path / 'a' / 'film.npy'), np.load(tmp_path / 'b' / 'film.npy'))


def test_two_processes_train_what_one_does(reader, tmp_path, cohort):
    nets = []
    for n in (1, 2):
        (tmp_path / str(n)).mkdir()
        nets.append(
            Diffusion.fit(cohort, tmp_path / str(n), base=reader, processes=n, **TINY).net.state_dict()
        )
    assert not (tmp_path / '2' / 'job').exists()
    start = backbones.open_base(reader, cohort.class_names).net.state_dict()

    def apart(a, b):
        return sum((a[k] - b[k]).square().sum() for k in start).sqrt()

    assert apart(start, nets[0]) > 1e-3
    assert apart(*nets) < 0.1 * apart(start, nets[0]), (
        'one batch in two halves; sums are rounded in another order'
    )


def test_the_first_frame_is_the_base_and_scratch_is_not(reader, tmp_path, cohort):
    for name, scratch in (('tuned', False), ('fresh', True)):
        (tmp_path / name).mkdir()
        Diffusion.fit(cohort, tmp_path / name, base=reader, scratch=scratch, **TINY)
    tuned, fresh = (np.load(tmp_path / name / 'film.npy') for name in ('tuned', 'fresh'))
    base, net = diffusion.open_for_training(reader, None, (), cohort.class_names, False, 0)
    model = Diffusion(base, net, Diffusion.load(tmp_path / 'tuned').config)
    noise = torch.randn(2, *base.shape, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(tuned[0, 1], model.painted(noise, 1)) and not np.array_equal(tuned[0], fresh[0])


def test_guidance_is_a_line_from_none_to_class(reader, cohort):
    base = backbones.open_base(reader, cohort.class_names)
    x, t, labels = torch.randn(2, *base.shape), torch.tensor([300, 300]), torch.tensor([1, 2])
    with torch.no_grad():
        at = {g: base.guided(base.net, labels, g)(x, t) for g in (0.0, 1.0, 3.0)}
        none = base.net(x, t, torch.full_like(labels, base.none))
    assert torch.allclose(at[0.0], none, atol=1e-5) and torch.allclose(
        at[3.0], at[0.0] + 3 * (at[1.0] - at[0.0]), atol=1e-5
    )


def test_a_perfect_denoiser_draws_its_one_image():
    """Velocity of a known image at every noise level: sampling must return that image."""
    schedule, image = networks.make_noise(), torch.randn(1, 4, 8, 8)
    a = schedule.alphas_cumprod

    def velocity(x, t):
        signal, noise = a[t].sqrt().view(-1, 1, 1, 1), (1 - a[t]).sqrt().view(-1, 1, 1, 1)
        return signal * (x - signal * image) / noise - noise * image

    x = loss.sample_latents(velocity, loss.sampler(schedule), torch.randn(2, 4, 8, 8), 10)
    assert (x - image).abs().max() < 0.02
    assert (
        loss.denoising_loss(velocity, schedule, image.expand(8, -1, -1, -1), torch.Generator().manual_seed(0))
        < 1e-8
    )


def test_grain_brings_back_what_is_missing():
    rng, smooth = np.random.default_rng(0), np.full((3, 40, 64, 64), 120, np.uint8)
    labels = np.repeat([0, 1, 2], 40)
    loud = np.array([4, 8, 16])[labels]
    real = (120 + loud[:, None, None] * rng.standard_normal((120, 64, 64))).round().astype(np.uint8)
    found = noise_texture.NPSCorrection.measured(real, labels, smooth)
    for k, strength in enumerate((4, 8, 16)):
        x = found(smooth[k], k, seed=1).astype(float)
        power = np.abs(np.fft.fft2(x - x.mean((1, 2), keepdims=True))) ** 2 / 64**2
        ring = noise_texture.rings(64)
        assert abs(power[:, ring >= 12].mean() ** 0.5 / strength - 1) < 0.1
        assert power[:, ring < 9].mean() < 0.05 * strength**2 + 1, 'forms are left alone'
    enough, same = (
        noise_texture.NPSCorrection.measured(real, labels, real.reshape(3, 40, 64, 64)),
        real[labels == 2],
    )
    assert (enough(same, 2, 1).astype(float) - same).std() < 0.25 * 16, 'nothing lacks, little comes'


def test_loud_samples_become_loud_lesions():
    """Samples of half the noise of lesions that differ in loudness: afterwards as loud, in the same order."""
    rng, n = np.random.default_rng(0), 60
    loud = np.linspace(4, 20, n)

    def noise(strength):
        return (
            (120 + strength[:, None, None] * rng.standard_normal((n, 64, 64)))
            .round()
            .clip(0, 255)
            .astype(np.uint8)
        )

    found = noise_texture.NPSCorrection.measured(noise(loud), np.zeros(n, int), noise(loud / 2)[None])
    after = found(noise(loud / 2), 0, seed=3).std((1, 2))
    assert np.corrcoef(after, loud)[0, 1] > 0.98 and abs(after.mean() / loud.mean() - 1) < 0.1


def test_grain_is_part_of_the_sample_and_can_be_left_out(reader, tmp_path, cohort):
    model = Diffusion.fit(cohort, tmp_path, base=reader, **TINY)
    noise = torch.randn(3, *model.base.shape, generator=torch.Generator().manual_seed(5))
    assert np.array_equal(model.sample(1, 3, 5, grain=False), model.painted(noise, 1))
    without = Diffusion.fit(
        blobs(), (tmp_path / 'plain').mkdir() or tmp_path / 'plain', base=reader, grain=False, **TINY
    )
    assert without.grain is None and not (tmp_path / 'plain' / 'grain.safetensors').exists()


def test_what_cannot_be_had_is_one_sentence(tmp_path, reader, labelled, cohort):
    names = cohort.class_names
    with pytest.raises(StudyError, match='hf download'):
        backbones.open_base(str(tmp_path / 'nowhere'), names)
    with pytest.raises(StudyError, match='prompts for 3 classes'):
        backbones.open_base(reader, names, ['a', 'b'])
    with pytest.raises(StudyError, match='labels, not words'):
        backbones.open_base(labelled, names, ['a', 'b', 'c'])
    with pytest.raises(StudyError, match='steps'):
        Diffusion.fit(cohort, tmp_path, base=reader, steps=0)
