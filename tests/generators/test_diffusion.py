"""Fine-tuning on tiny models of exactly the classes that the paper profile loads, built and saved here."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, config_of

from genmix import StudyError
from genmix.data.images import resize_uint8
from genmix.generators.latent import backbones, diffusion, fine_tuning, loss
from genmix.generators.latent.diffusion import Diffusion
from genmix.generators.latent.noise_texture import NPSCorrection, rings
from genmix.generators.pretrained import networks, shipped
from genmix.generators.synthetic import train_generator

TINY = {
    'steps': 4,
    'batch_size': 6,
    'sampling_steps': 2,
    'snapshot_samples': 2,
    'snapshots': 3,
    'scratch': False,
    'prompts': [],
}


@pytest.fixture(autouse=True)
def short_checkpoints(monkeypatch):
    monkeypatch.setattr(diffusion, 'CHECKPOINT_EVERY', 2)


@pytest.fixture(scope='module')
def class_base(tmp_path_factory):
    """A saved DiTPipeline of 32 px pictures: an autoencoder as Stable Diffusion's, variances, ten labels."""
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
    folder = tmp_path_factory.mktemp('hub') / 'class_base'
    DiTPipeline(net, vae, DDIMScheduler(num_train_timesteps=1000, clip_sample=False)).save_pretrained(folder)
    return str(folder)


def fit(cohort, folder, **changes):
    folder.mkdir(exist_ok=True)
    return Diffusion.fit(cohort, folder, config_of(Diffusion, **TINY | changes))


def samples(model, n=3):
    return np.stack([model.sample(k, n, seed=k) for k in range(3)])


@pytest.mark.parametrize('kind', ['prompt_base', 'class_base'])
@pytest.mark.parametrize('lora_rank', [0, 2])
def test_what_is_saved_samples_the_same(kind, lora_rank, request, tmp_path, cohort):
    base = request.getfixturevalue(kind)
    model = fit(cohort, tmp_path, base=base, lora_rank=lora_rank, checkpointing=True, guidance=2.0)
    x = samples(model)
    assert x.dtype == np.uint8 and x.shape == (3, 3, 32, 32)
    assert np.array_equal(x, samples(Diffusion.load(tmp_path)))
    files = [
        'checkpoint.safetensors',
        'config.json',
        'denoiser',
        'nps.safetensors',
        'snapshots.npy',
        'train_log.csv',
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == files
    assert np.load(tmp_path / 'snapshots.npy').shape == (3, 3, 2, 32, 32)
    assert json.loads((tmp_path / 'config.json').read_text())['snapshot_steps'] == [0, 1, 4]
    learned = 'adapters.safetensors' if lora_rank else 'diffusion_pytorch_model.safetensors'
    assert (tmp_path / 'denoiser' / learned).exists()


@pytest.mark.parametrize('kind', ['prompt_base', 'class_base'])
def test_adapters_begin_as_the_base_and_leave_its_weights(kind, request, cohort):
    base = request.getfixturevalue(kind)
    plain, _ = backbones.open_base(base, cohort.class_names), torch.manual_seed(0)
    found, net = fine_tuning.open_for_training(base, None, (), cohort.class_names, False, 2)
    trained = [name for name, p in net.named_parameters() if p.requires_grad]
    assert trained and all('lora_' in name or name == 'added' for name in trained)
    x, t, labels = torch.randn(2, *found.shape), torch.tensor([10, 500]), torch.tensor([0, 2])
    with torch.no_grad():
        assert torch.allclose(net.eval()(x, t, labels), plain.net.eval()(x, t, labels), atol=1e-6)


def test_the_fast_loss_is_the_plain_one(prompt_base, cohort, monkeypatch):
    """Cached latents and conditions, plain attention: in fp32 the loss of encoding both in each step."""
    from diffusers import StableDiffusionPipeline
    from diffusers.models.attention_processor import AttnProcessor2_0

    def exact(enabled=None):
        return torch.autocast('cpu', enabled=False)

    for module in (loss, networks):
        monkeypatch.setattr(module, 'autocast', exact)
    base, net = fine_tuning.open_for_training(prompt_base, None, (), cohort.class_names, False, 0)
    monkeypatch.setattr(torch.Tensor, 'half', lambda x: x)  # latents are cached in half precision
    config = SimpleNamespace(batch_size=6, condition_dropout=0.0, min_snr=0.0, d4_augmentation=False)
    loss_of = fine_tuning.fine_tuning_loss(base, net.eval(), cohort, config)
    plain = StableDiffusionPipeline.from_pretrained(prompt_base)
    plain.unet.set_attn_processor(AttnProcessor2_0())
    of_class = [np.flatnonzero(cohort.labels == k) for k in range(3)]
    for seed in range(4):
        ours = loss_of(torch.Generator().manual_seed(seed)).item()
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(3, (6,), generator=generator).tolist()
        places = torch.rand(6, generator=generator).tolist()
        rows = [of_class[k][int(u * len(of_class[k]))] for k, u in zip(labels, places)]
        torch.rand(12, generator=generator)  # the symmetry and the condition dropout
        x = networks.to_rgb_input(resize_uint8(cohort.images[rows], 16))
        latents = plain.vae.encode(x).latents * plain.vae.config.scaling_factor
        prompts = [backbones.PROMPT.format(cohort.class_names[k]) for k in labels]
        ids = plain.tokenizer(prompts, padding='max_length', return_tensors='pt').input_ids
        noise = torch.randn(latents.shape, generator=generator)
        t = torch.randint(1000, (6,), generator=generator)
        v = plain.unet(base.schedule.add_noise(latents, noise, t), t, plain.text_encoder(ids)[0]).sample
        expected = (v - base.schedule.get_velocity(latents, noise, t)).square().mean().item()
        assert ours == pytest.approx(expected, rel=1e-4)


def test_a_killed_training_goes_on(prompt_base, tmp_path, cohort, monkeypatch):
    straight = fit(cohort, tmp_path / 'a', base=prompt_base)
    real, calls = fine_tuning.denoising_loss, []

    def dies(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(fine_tuning, 'denoising_loss', dies)
    with pytest.raises(KeyboardInterrupt):
        fit(cohort, tmp_path / 'b', base=prompt_base)
    monkeypatch.setattr(fine_tuning, 'denoising_loss', real)
    resumed = fit(cohort, tmp_path / 'b', base=prompt_base)
    assert np.array_equal(samples(straight), samples(resumed))
    a, b = (np.load(tmp_path / name / 'snapshots.npy') for name in 'ab')
    assert np.array_equal(a, b)


def test_more_steps_go_on_from_a_finished_training(prompt_base, study, cohort, monkeypatch):
    """Also after a kill; snapshots are named by the steps at which they were made."""
    real, calls = fine_tuning.denoising_loss, []

    def dies(*args):
        calls.append(1)
        if len(calls) == dies.at:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(fine_tuning, 'denoising_loss', dies)

    def trained(at=0, **changes):
        calls.clear()
        dies.at = at
        config = config_of(Diffusion, **TINY | {'base': prompt_base, 'snapshots': 4} | changes)
        return train_generator(study, Diffusion, cohort, config), len(calls)

    first, steps = trained(steps=4)
    assert steps == 4 and first.config['snapshot_steps'] == [0, 1, 2, 4]
    with pytest.raises(KeyboardInterrupt):
        trained(at=4, steps=16)  # steps 5, 6, 7 and half of 8; the last checkpoint is of 6
    longer, steps = trained(steps=16)
    assert steps == 10 and longer.config['snapshot_steps'] == [0, 1, 4, 16]
    folder = study.folder / 'generators' / 'diffusion'
    assert len(np.load(folder / 'snapshots.npy')) == 4
    log = pd.read_csv(folder / 'train_log.csv')
    assert log.step.tolist() == list(range(1, 17)) and (log.images_per_second > 0).all()
    assert (log.seconds.diff()[1:] >= 0).all()
    distances = [np.abs(samples(model).astype(int) - samples(first)).mean() for model in (first, longer)]
    assert distances[0] == 0 < distances[1]
    assert trained(steps=16, lr=1e-3)[1] == 16, 'other parameters begin anew'


def test_two_processes_train_what_one_does(prompt_base, tmp_path, cohort):
    nets = [fit(cohort, tmp_path / str(n), base=prompt_base, processes=n).net.state_dict() for n in (1, 2)]
    assert not (tmp_path / '2' / 'job').exists()
    start = backbones.open_base(prompt_base, cohort.class_names).net.state_dict()

    def distance(a, b):
        return sum((a[k] - b[k]).square().sum() for k in start).sqrt()

    assert distance(start, nets[0]) > 1e-3
    assert distance(*nets) < 0.1 * distance(start, nets[0]), 'one batch in two halves, up to rounding'


def test_the_first_snapshot_is_the_base_and_scratch_is_not(prompt_base, tmp_path, cohort):
    for name, scratch in (('tuned', False), ('random', True)):
        fit(cohort, tmp_path / name, base=prompt_base, scratch=scratch)
    tuned, random = (np.load(tmp_path / name / 'snapshots.npy') for name in ('tuned', 'random'))
    base, net = fine_tuning.open_for_training(prompt_base, None, (), cohort.class_names, False, 0)
    model = Diffusion(base, net, Diffusion.load(tmp_path / 'tuned').config)
    noise = torch.randn(2, *base.shape, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(tuned[0, 1], model.denoise(noise, 1)) and not np.array_equal(tuned[0], random[0])


def test_guidance_is_a_line_from_none_to_class(prompt_base, cohort):
    base = backbones.open_base(prompt_base, cohort.class_names)
    x, t, labels = torch.randn(2, *base.shape), torch.tensor([300, 300]), torch.tensor([1, 2])
    with torch.no_grad():
        at = {g: base.guided(base.net, labels, g)(x, t) for g in (0.0, 1.0, 3.0)}
        none = base.net(x, t, torch.full_like(labels, base.none))
    assert torch.allclose(at[0.0], none, atol=1e-5)
    assert torch.allclose(at[3.0], at[0.0] + 3 * (at[1.0] - at[0.0]), atol=1e-5)


def test_a_perfect_denoiser_samples_its_one_image():
    """Velocity of a known image at every noise level: sampling must return that image."""
    schedule, image = networks.make_noise_schedule(), torch.randn(1, 4, 8, 8)
    a = schedule.alphas_cumprod

    def velocity(x, t):
        signal, noise = a[t].sqrt().view(-1, 1, 1, 1), (1 - a[t]).sqrt().view(-1, 1, 1, 1)
        return signal * (x - signal * image) / noise - noise * image

    x = loss.sample_latents(velocity, networks.make_sampler(schedule), torch.randn(2, 4, 8, 8), 10)
    assert (x - image).abs().max() < 0.02
    images, generator = image.expand(8, -1, -1, -1), torch.Generator().manual_seed(0)
    assert loss.denoising_loss(velocity, schedule, images, generator) < 1e-8


def test_the_nps_correction_restores_what_is_missing():
    rng, smooth = np.random.default_rng(0), np.full((3, 40, 64, 64), 120, np.uint8)
    labels = np.repeat([0, 1, 2], 40)
    sd = np.array([4, 8, 16])[labels]
    lesions = (120 + sd[:, None, None] * rng.standard_normal((120, 64, 64))).round().astype(np.uint8)
    correct = NPSCorrection.measured(lesions, labels, smooth)
    for k, strength in enumerate((4, 8, 16)):
        x = correct(smooth[k], k, seed=1).astype(float)
        power = np.abs(np.fft.fft2(x - x.mean((1, 2), keepdims=True))) ** 2 / 64**2
        ring = rings(64)
        assert abs(power[:, ring >= 12].mean() ** 0.5 / strength - 1) < 0.1
        assert power[:, ring < 9].mean() < 0.05 * strength**2 + 1, 'low frequencies are left alone'
    nothing = NPSCorrection.measured(lesions, labels, lesions.reshape(3, 40, 64, 64))
    same = lesions[labels == 2]
    assert (nothing(same, 2, 1).astype(float) - same).std() < 0.25 * 16, 'nothing is missing, little is added'


def test_noisy_samples_become_noisy_lesions():
    """Samples of half the noise of lesions: afterwards they have as much noise, in the same order."""
    rng, n = np.random.default_rng(0), 60
    sd = np.linspace(4, 20, n)

    def noise(strength):
        x = 120 + strength[:, None, None] * rng.standard_normal((n, 64, 64))
        return x.round().clip(0, 255).astype(np.uint8)

    correct = NPSCorrection.measured(noise(sd), np.zeros(n, int), noise(sd / 2)[None])
    after = correct(noise(sd / 2), 0, seed=3).std((1, 2))
    assert np.corrcoef(after, sd)[0, 1] > 0.98 and abs(after.mean() / sd.mean() - 1) < 0.1


def test_the_correction_is_part_of_the_sample_and_can_be_left_out(prompt_base, tmp_path, cohort):
    model = fit(cohort, tmp_path, base=prompt_base)
    noise = torch.randn(3, *model.base.shape, generator=torch.Generator().manual_seed(5))
    assert np.array_equal(model.sample(1, 3, 5, nps_correction=False), model.denoise(noise, 1))
    without = fit(cohort, tmp_path / 'plain', base=prompt_base, nps_correction=False)
    assert without.nps is None and not (tmp_path / 'plain' / 'nps.safetensors').exists()


def test_classes_take_prompts_in_turn(prompt_base, cohort):
    first, second, third, none = backbones.open_base(
        prompt_base, cohort.class_names, ['a dark disc', 'a ring']
    ).conditions
    assert torch.equal(first, third) and not torch.equal(first, second) and not torch.equal(first, none)


def test_what_cannot_be_opened_is_one_sentence(tmp_path, prompt_base, class_base, cohort):
    names = cohort.class_names
    with pytest.raises(StudyError, match='hf download'):
        backbones.open_base(str(tmp_path / 'nowhere'), names)
    with pytest.raises(StudyError, match='labels, not words'):
        backbones.open_base(class_base, names, ['a', 'b', 'c'])
    with pytest.raises(StudyError, match='steps'):
        config_of(Diffusion, **TINY | {'steps': 0})


def test_a_config_depends_on_the_parts_of_a_shipped_base_and_needs_no_torch():
    """On networks, tokenizer and schedule; not on the model card's page and pictures."""
    own, other = (config_of(Diffusion, **TINY, base=base) for base in ('natural', 'mixed'))
    hub = config_of(Diffusion, **TINY, base='somebody/else')
    assert own.inputs() != other.inputs() and hub.inputs() == []
    for file, digest in shipped.card('natural')['sha256'].items():
        assert (digest in own.inputs()[0]) == file.startswith(
            ('scheduler/', 'text_encoder/', 'tokenizer/', 'unet/', 'vae/')
        )
    code = 'import sys, genmix.generators.latent.config; assert "torch" not in sys.modules'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0
