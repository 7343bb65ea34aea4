"""The base model: how it is made, on tiny networks, and the weights that ship."""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from safetensors.torch import load_file
from scipy.fft import dctn

from genmix import StudyError
from genmix.generators.latent.loss import denoising_loss
from genmix.generators.latent.training_loop import TrainingLoop
from genmix.generators.pretrained import captions, networks, shipped
from genmix.run.log import MARK
from tools.base import autoencoder, clipart, composites, model_card, photographs, pretrain, scenes, sentences
from tools.base.nouns import EVERYDAY, FOLDERS, TRANSLATED
from tools.base.settings import RECIPE, Settings

SIZE = networks.Size(
    image=64, latent_channels=4, autoencoder=(8, 8, 8), denoiser=(8, 8, 16), text=16, text_layers=1, groups=4
)
FEW = {'composites': 12, 'crops': 40, 'scenes': 20, 'captions': 2, 'autoencoder_steps': 4}
FEW |= {'autoencoder_batch': 4, 'steps': 4, 'mixed_steps': 6}
FEW |= {'packages': ('scikit-learn', clipart.PACKAGE), 'batch_size': 4, 'checkpoint_every': 2}
TINY = replace(Settings.read(), size=SIZE, **FEW)
# What the code of the base may import of the package: no cohort, no CT, no phantom, no generator of lesions.
ALLOWED = ('genmix.StudyError', 'genmix.run.', 'genmix.data.images', 'genmix.generators.pretrained')
TRAINING = tuple(f'genmix.generators.latent.{name}' for name in ('loss', 'training_loop', 'optimisers'))


def draw_clipart(root):
    """Three pictures with transparency, one twice, and one of an ear, in folders as the package has them."""
    y, x = np.mgrid[:40, :60]
    shapes = {'disc': np.hypot(y - 20, x - 30) < 18, 'bar': abs(y - 20) < 8, 'half': x < 30}
    for file, shape in (
        ('animals/fish/pescetto_author_01.png', 'disc'),
        ('animals/fish/pescetto_author_02.png', 'disc'),
        ('tools/hammer_author_01.png', 'bar'),
        ('people/bodypart/ear_01.png', 'half'),
        ('special/gradients/gradient-blue.png', 'half'),
    ):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        gray, alpha = (4 * x).astype(np.uint8), (255 * shapes[shape]).astype(np.uint8)
        Image.fromarray(np.stack([gray, gray, gray, alpha], -1)).save(root / file)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Both variants, made for real from two photographs and three drawings: tiny networks, a few steps."""
    folder = tmp_path_factory.mktemp('base')
    draw_clipart(folder / 'packages' / clipart.PACKAGE / clipart.BELOW)
    for variant, begin in zip(shipped.VARIANTS, (None, folder / 'weights' / 'natural')):
        pretrain.make(variant, TINY, folder, folder / 'weights', begin)
    return folder


def test_a_training_goes_on_with_the_autoencoder_of_weights_from_elsewhere(made, tmp_path):
    """Latents of another autoencoder would be another language."""
    elsewhere = shutil.copytree(made, tmp_path / 'base', ignore=shutil.ignore_patterns('autoencoder'))
    autoencoder, _ = pretrain.prepare('natural', TINY, elsewhere, made / 'weights' / 'natural')
    weights = load_file(made / 'weights' / 'natural' / 'vae' / 'diffusion_pytorch_model.safetensors')
    assert all(torch.equal(weights[k].float(), v) for k, v in autoencoder.state_dict().items())
    log = (elsewhere / 'autoencoder' / 'log.csv').read_bytes()
    assert log == (made / 'autoencoder' / 'log.csv').read_bytes()


def imports_of(file):
    nodes = list(ast.walk(ast.parse(file.read_text())))
    return {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names} | {
        f'{n.module}.{a.name}' for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names
    }


def test_no_ct_no_phantom_and_no_medical_picture():
    """The list of sources, and that no module of the base, nor what it imports, can reach lesions."""
    own, tools, latent = (
        sorted((ROOT / folder).glob('*.py'))
        for folder in ('genmix/generators/pretrained', 'tools/base', 'genmix/generators/latent')
    )
    shared = [file for file in latent if file.stem in ('loss', 'training_loop', 'optimisers')]
    assert len(own) == 5 and len(tools) == 12 and len(shared) == 3
    for file in (*own, *shared, *tools):
        allowed = ALLOWED if file in own else ALLOWED + TRAINING
        mine = {name for name in imports_of(file) if name.startswith('genmix')}
        assert all(name.startswith(allowed) for name in mine), (file.name, mine)
    names = ' '.join(p.file for p in photographs.PHOTOGRAPHS).lower()
    assert not [
        word
        for word in ('retina', 'ihc', 'cell', 'microaneurysm', 'phantom', 'lung', 'brain', 'kidney', 'skin')
        if word in names
    ]
    packages = {p.package for p in photographs.PHOTOGRAPHS} | {clipart.PACKAGE}
    assert packages == set(Settings.read().packages)
    assert len({(p.package, p.file) for p in photographs.PHOTOGRAPHS}) == len(photographs.PHOTOGRAPHS) == 24
    free = ('public domain', 'CC0-1.0', 'CC-BY-2.0', 'CC-BY-4.0')
    assert all(p.licence in free for p in photographs.PHOTOGRAPHS) and clipart.LICENCE in free


def test_medical_and_anatomical_clip_art_is_left_out():
    out = [
        *('people/bodypart/hand_author_01.png', 'science/medicine/estrella_01.png', 'unsorted/brain_01.png'),
        *(
            'science/double_helix_anthony.png',
            'unsorted/analisi_del_sangue_archi_01.png',
            'signs/skull_01.png',
        ),
        *('science/microscopio_architetto_f_01.png', 'special/gradients/gradient-radial-eyeball-albino.png'),
        *('signs_and_symbols/hazard/radiations_01.png', 'unsorted/ambulanza.png', 'people/doctor_01.png'),
    ]
    assert all(clipart.is_left_out(Path(file)) for file in out)
    assert not clipart.is_left_out(Path('animals/fish/fish_01.png'))
    assert clipart.is_left_out(Path('recreation/games/cards/bordered/ace.png')), 'a sheet, not a thing'


def test_nouns_of_clip_art_come_from_its_names():
    assert clipart.nouns_of(Path('animals/fish/pescetto_author_01.png')) == ('fish', 'animal')
    assert clipart.nouns_of(Path('food/fruit/two_apples_author_01.png')) == ('apple', 'fruit', 'food')
    assert clipart.nouns_of(Path('unsorted/zzz.png')) == ()
    words = set(captions.vocabulary())
    assert {*FOLDERS.values(), *TRANSLATED.values()} <= clipart.NOUNS <= words and len(words) > 400


def test_pictures_that_look_alike_count_once(tmp_path):
    draw_clipart(tmp_path / clipart.PACKAGE / clipart.BELOW)
    found = clipart.collect((clipart.PACKAGE,), tmp_path)
    assert [p.nouns[0] for p, _ in found] == ['fish', 'gradient', 'hammer']
    assert found[0][1].shape == (2, 35, 35), 'cut to what is opaque: a disc of radius 17.5'
    assert clipart.collect(('scikit-learn',), tmp_path) == []


def test_a_composite_is_what_its_words_say():
    """A black square, alone on a plain ground: its place, size and tone are those of the words."""
    square, rng = (
        np.stack([np.zeros((40, 40)), np.full((40, 40), 255)]).astype(np.uint8),
        np.random.default_rng(0),
    )
    seen = set()
    for _ in range(400):
        image, words = composites.compose(square, ('square',), [np.full((80, 80), 0.5, np.float32)], rng)
        if 'plain' not in words['ground'] or words.keys() & {'edge', 'grain'}:
            continue
        ground = image[0, 0] if image[0, 0] == image[-1, -1] else image[0, -1]
        y, x = np.nonzero(image != ground)
        if not len(y) or words['size'] == 'huge':
            continue
        seen.add(words['size'])
        span, centre = np.sqrt(len(y)) / 64, ((y.mean() + 0.5) / 64, (x.mean() + 0.5) / 64)
        low, high = {'tiny': (0, 0.25), 'small': (0.2, 0.38), 'medium': (0.3, 0.56), 'large': (0.5, 0.8)}[
            words['size']
        ]
        assert low <= span <= high, (words, span)
        near = {
            captions.place(*np.add(centre, (dy, dx))) for dy in (-0.02, 0, 0.02) for dx in (-0.02, 0, 0.02)
        }
        assert words['place'] in near, (words, centre)
    assert seen == {'tiny', 'small', 'medium', 'large'}


def test_many_pictures_in_a_folder_do_not_outweigh_the_others():
    many = [clipart.Picture(f'icons/{i}.png', 'icons', ('icon',)) for i in range(100)]
    chance = composites.chances([*many, clipart.Picture('signs/1.png', 'signs', ('sign',))])
    assert chance[:-1].sum() == pytest.approx(10 * chance[-1]) and chance.sum() == pytest.approx(1)


def test_half_of_the_pictures_are_everyday_things_each_as_often_as_any_other():
    assert set(EVERYDAY) <= set(captions.NOUNS.split())
    stars = [clipart.Picture(f'stars/{i}.png', 'stars', ('star', 'shape')) for i in range(9)]
    chance = composites.chances(
        [
            *stars,
            clipart.Picture('a/1.png', 'a', ('animal', 'cat')),
            clipart.Picture('b/1.png', 'b', ('icon',)),
        ]
    )
    even = np.array([*[1 / 3] * 9, 1, 1]) / 5
    assert np.allclose(chance, (even + np.array([*[1 / 18] * 9, 1 / 2, 0])) / 2)


def test_the_vocabulary_is_general_and_whole():
    words = captions.vocabulary()
    assert not {
        'cyst',
        'hemangioma',
        'metastasis',
        'lesion',
        'liver',
        'tumor',
        'tumour',
        'nodule',
        'vessel',
        'ct',
        'scan',
        'medical',
        'organ',
    } & set(words)
    tokenizer = captions.make_tokenizer()
    assert all(tokenizer.tokenize(w) == [w + '</w>'] for w in words)
    assert tokenizer.tokenize('cyst') == ['c', 'y', 's', 't</w>']
    ids = tokenizer('a dark disc').input_ids
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[1:-1]).split() == ['a', 'dark', 'disc']


def test_every_caption_word_is_known_and_every_caption_fits():
    rng, words, tokenizer = np.random.default_rng(0), set(captions.vocabulary()), captions.make_tokenizer()
    texts = [sentences.of_scene(scenes.draw(rng)[1], rng) for _ in range(300)]

    def noise():
        return rng.normal(rng.uniform(0, 255), rng.uniform(0, 90), (64, 64)).clip(0, 255).astype(np.uint8)

    texts += [
        sentences.of_photograph(p.subject, captions.describe(noise()), rng)
        for p in photographs.PHOTOGRAPHS
        for _ in range(5)
    ]
    assert not {w for t in texts for w in t.split()} - words
    cut = np.array([len(tokenizer(t).input_ids) for t in texts]) > captions.LENGTH
    assert cut.mean() < 0.05, 'few captions lose their end'


def test_what_is_measured_is_what_is_there():
    y, x = np.mgrid[:64, :64]
    disc = np.where(np.hypot(y - 14, x - 50) < 9, 40, 200).astype(np.uint8)
    found = captions.describe(disc)
    assert found['spot'].endswith('dark spot at the top right') and found['tone'] == 'bright'
    ramp = (x * 4).astype(np.uint8)
    assert captions.describe(ramp)['shading'] == 'bright on the right'
    assert captions.describe(255 - ramp)['shading'] == 'bright on the left'
    assert captions.describe((np.sin(x) * 80 + 120).astype(np.uint8))['stripes'] == 'vertical lines'
    flat = captions.describe(np.full((64, 64), 20, np.uint8))
    assert flat == {'tone': 'black', 'texture': 'smooth', 'contrast': 'low contrast'}
    noise = np.random.default_rng(0).normal(128, 20, (64, 64)).astype(np.uint8)
    assert captions.describe(noise)['texture'] == 'grainy'
    places = {(0.5, 0.5): 'in the middle', (0.9, 0.1): 'at the bottom left', (0.5, 0.1): 'on the left'}
    assert {at: captions.place(*at) for at in places} == places


def test_scenes_come_from_the_seed_and_look_like_their_words():
    a, b = (scenes.draw(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a[0], b[0]) and a[1] == b[1] and a[0].dtype == np.uint8
    rng = np.random.default_rng(1)
    drawn = [scenes.draw(rng, 32) for _ in range(400)]
    level = {k: np.mean([x.mean() for x, words in drawn if words['ground_tone'] == k]) for k in scenes.LEVELS}
    assert list(level) == sorted(level, key=level.get)
    assert {words['shape'] for _, words in drawn} >= set(scenes.SHAPES)


def test_crops_come_from_the_seed():
    pictures = [
        np.full((70, 90), 0.1, np.float32),
        np.tile(np.linspace(0, 1, 300, dtype=np.float32), (200, 1)),
    ]
    a, b = ([photographs.one_crop(p, 64, np.random.default_rng(3)) for p in pictures] for _ in range(2))
    assert all(x.shape == (64, 64) and x.dtype == np.uint8 for x in a)
    assert all(np.array_equal(x, y) for x, y in zip(a, b))


def test_a_missing_package_is_a_line_or_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    assert photographs.fetch(['lomiri-wallpapers-16.04'], tmp_path / 'cache') == []
    assert 'lomiri-wallpapers-16.04 is left out' in capsys.readouterr().out
    monkeypatch.setattr(photographs, 'find_spec', lambda name: None)
    with pytest.raises(StudyError, match=r'scikit-image is not installed.*\[base\]'):
        photographs.folder_of('scikit-image', tmp_path)
    with pytest.raises(StudyError, match='openclipart-png could not be downloaded'):
        clipart.collect((clipart.PACKAGE,), tmp_path)


def test_latents_are_taught_the_lowest_frequencies_of_blocks():
    """By definition, against scipy: orthonormal DCT-II of 4 x 4 pixels, and the variances asked for."""
    images = np.random.default_rng(0).integers(0, 256, (200, 64, 64), np.uint8)
    images[:] = (images * 0.3 + 170 * np.random.default_rng(1).random((200, 1, 1))).astype(np.uint8)
    x = networks.to_rgb_input(images)
    block = dctn(x[5, 0, 8:12, 20:24].numpy(), norm='ortho')
    wanted = np.array([block[0, 0], block[0, 1], block[1, 0], block[1, 1]])
    for whitening in (0.0, 0.5, 1.0):
        taught = autoencoder.Frequencies(images, SIZE, whitening)
        found = taught(x)
        mean, scale = (v.flatten().cpu().numpy() for v in (taught.mean, taught.scale))
        assert np.allclose(found[5, :, 2, 5].cpu() * scale + mean, wanted, atol=1e-5)
        variance = found.var((0, 2, 3)).cpu()
        plain = autoencoder.Frequencies(images, SIZE, 0.0)(x).var((0, 2, 3)).cpu()
        assert variance.mean().item() == pytest.approx(1, rel=1e-3)
        assert torch.allclose(variance / variance[0], (plain / plain[0]) ** (1 - whitening), rtol=1e-3)


def test_the_autoencoder_learns_these_frequencies(made):
    """In a few steps already, the latents come nearer to what they are taught."""
    images = np.random.default_rng(0).integers(0, 256, (24, 64, 64), np.uint8)
    wide = replace(TINY, autoencoder_steps=60, autoencoder_lr=0.004, checkpoint_every=60)
    torch.manual_seed(0)
    taught = autoencoder.Frequencies(images, SIZE, wide.whitening)(networks.to_rgb_input(images))

    def distance(net):
        return (networks.encode(net, images) - taught.cpu()).square().mean().item()

    before = distance(networks.make_autoencoder(SIZE))
    assert distance(autoencoder.train_autoencoder(images, wide, made / 'taught')) < 0.7 * before


def test_local_contrast_rewards_noise_that_lost_its_pixels():
    torch.manual_seed(0)
    x = torch.zeros(4, 3, 32, 32) + 0.2 * torch.randn(4, 1, 32, 32)
    other, smooth = torch.zeros_like(x) + 0.2 * torch.randn(4, 1, 32, 32), torch.zeros_like(x)

    def error(y, energy):
        return autoencoder.reconstruction_loss(y, x, energy).item()

    assert error(x, 1.0) == 0 and error(other, 0.0) > error(smooth, 0.0)
    assert error(other, 1.0) - error(other, 0.0) < 0.3 * (error(smooth, 1.0) - error(smooth, 0.0))


def test_a_killed_loop_ends_where_a_straight_one_does(tmp_path):
    def loop(name, steps_now, key='k'):
        torch.manual_seed(0)
        config = SimpleNamespace(steps=6, lr=0.1, ema=0.999, seed=0)
        run = TrainingLoop(tmp_path / name, {'net': torch.nn.Linear(3, 1)}, config, 2, key)
        net = run.networks['net']

        def loss_of(generator):
            if run.step > steps_now:
                raise KeyboardInterrupt
            return (net(torch.randn(8, 3, generator=generator)) - 1).square().mean()

        return run.run(loss_of, name)['net']

    straight = loop('straight', 6)
    with pytest.raises(KeyboardInterrupt):
        loop('killed', 5)
    resumed = loop('killed', 6)
    assert torch.equal(straight.weight, resumed.weight) and torch.equal(straight.bias, resumed.bias)
    logs = [(tmp_path / name / 'log.csv').read_text() for name in ('killed', 'straight')]
    assert logs[0].count('\n') == logs[1].count('\n')
    with pytest.raises(StudyError, match='other settings'):
        loop('killed', 6, key='another')


def test_min_snr_weights_clear_steps_less():
    schedule = networks.make_noise_schedule()
    assert schedule.alphas_cumprod[-1] < 1e-6, 'zero terminal SNR'

    def loss(gamma):
        x, generator = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.Generator()
        return denoising_loss(lambda x, t: torch.zeros_like(x), schedule, x, generator.manual_seed(1), gamma)

    assert 0.5 < loss(0.0) < 2 and 0 < loss(1.0) < loss(5.0) < loss(0.0)


def test_settings_are_checked(tmp_path):
    for name, text in (('stepps', 'stepps: 3'), ('min_snr', RECIPE.read_text().replace('min_snr:', '# '))):
        (tmp_path / 'p.yaml').write_text(text)
        with pytest.raises(StudyError, match=f'check {name}'):
            Settings.read(tmp_path / 'p.yaml')
    with pytest.raises(StudyError, match='crops is 0'):
        replace(TINY, crops=0)


def test_both_variants_load_in_a_standard_pipeline(made):
    from diffusers import StableDiffusionPipeline

    plain = StableDiffusionPipeline.from_pretrained(made / 'weights' / 'mixed', local_files_only=True)
    images = plain('a photo of a flower', num_inference_steps=2, output_type='pil').images
    assert images[0].size == (64, 64)
    assert plain.unet.dtype == plain.text_encoder.dtype == plain.vae.dtype == torch.float32
    ours, prompts = shipped.load('mixed', made / 'weights'), ['a photo of a flower', 'a dark disc']
    x = networks.sample_images(ours, prompts, steps=2)
    assert x.shape == (2, 64, 64) and x.dtype == np.uint8
    assert np.array_equal(x, networks.sample_images(ours, prompts, steps=2))


def test_sampling_and_training_forms_of_a_denoiser_agree(made, monkeypatch):
    """In fp32: fused attention and channels last against plain attention, prediction and gradient."""
    unet = shipped.load('mixed', made / 'weights').unet
    for name in ('genmix.run.device.bf16_pays', 'genmix.generators.pretrained.networks.bf16_pays'):
        monkeypatch.setattr(name, lambda: False)
    generator = torch.Generator().manual_seed(0)
    x, t = torch.randn(3, 4, 16, 16, generator=generator), torch.tensor([10, 500, 900])
    condition = torch.randn(3, captions.LENGTH, 16, generator=generator, requires_grad=True)

    def found():
        y = unet(x, t, condition).sample
        return y, *torch.autograd.grad(y.square().sum(), condition)

    networks.for_sampling(unet)
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert not unet.conv_in.weight.is_contiguous()
    fast = found()
    networks.plain_attention(unet)
    assert all(p.is_contiguous() for p in unet.parameters()), 'as an optimiser expects it'
    assert {type(p).__name__ for p in unet.attn_processors.values()} == {'AttnProcessor'}
    for ours, theirs in zip(fast, found()):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()
    monkeypatch.setattr('genmix.generators.pretrained.networks.bf16_pays', lambda: True)
    assert networks.for_sampling(unet).conv_in.weight.is_contiguous()


def test_textual_inversion_loads(made, tmp_path):
    from safetensors.torch import save_file

    pipeline = shipped.load('natural', made / 'weights')
    save_file({'<new>': torch.randn(3, 16)}, tmp_path / 'new.safetensors')
    pipeline.load_textual_inversion(str(tmp_path / 'new.safetensors'), token='<new>')
    written = pipeline.maybe_convert_prompt('a photo of a <new>', pipeline.tokenizer)
    assert written == 'a photo of a <new> <new>_1 <new>_2'
    assert networks.sample_images(pipeline, ['a photo of a <new>'], steps=2).shape == (1, 64, 64)


def test_the_variants_share_the_autoencoder_and_nothing_else(made):
    natural, mixed = (shipped.card(v, made / 'weights')['sha256'] for v in shipped.VARIANTS)
    same = {name for name in natural if natural[name] == mixed[name]}
    assert {n for n in same if n.endswith('.safetensors')} == {'vae/diffusion_pytorch_model.safetensors'}
    assert 'tokenizer/tokenizer.json' in same
    weights = load_file(made / 'weights' / 'natural' / 'unet' / 'diffusion_pytorch_model.safetensors')
    assert all(v.dtype == torch.float16 for v in weights.values())
    assert not [file for file in made.rglob('*.json') if '_name_or_path' in file.read_text()]


def test_the_card_names_the_training_images(made):
    natural, mixed = (shipped.card(v, made / 'weights') for v in shipped.VARIANTS)
    assert natural['scenes'] == 0 and mixed['scenes'] == 20
    assert sum(s['images'] for s in mixed['sources']) == 52
    photos, art = (
        {s['picture'].removeprefix(package) for s in natural['sources'] if s['picture'].startswith(package)}
        for package in ('scikit-learn/', 'openclipart-png/')
    )
    assert photos == {'china.jpg', 'flower.jpg'}
    assert art == {'animals/fish', 'tools', 'special/gradients'}
    assert natural['settings']['steps'] == 4 and not natural['began_with']
    assert mixed['settings']['steps'] == 6 and mixed['began_with']
    assert [card['samples'] // TINY.batch_size for card in (natural, mixed)] == [4, 4 + 6]
    assert natural['caption_test']['pictures'] == 200 and mixed['caption_test']['pictures'] == 300
    assert set(natural['scenes_that_show'].values()) == {None}, 'it was shown no scene'
    examples = json.loads((made / 'weights' / 'natural' / 'examples.json').read_text())
    assert all(s['source'].startswith(('scikit-learn', 'openclipart-png')) for s in examples)
    assert 'CC-BY-2.0' in (made / 'weights' / 'mixed' / 'README.md').read_text()


def test_a_caption_names_a_thing_with_all_its_words():
    words = ['large', 'sharp', 'dark']
    assert model_card.names('an image of a sharp large dark disc on a plain background', 'disc', words)
    assert not model_card.names('two large sharp dark discs', 'disc', words)
    assert not model_card.names('a large disc on a sharp dark background', 'disc', words)
    assert model_card.names('a ring', 'ring', []) and not model_card.names('many rings', 'ring', [])


def test_scenes_that_show_what_their_caption_names_are_counted(monkeypatch):
    monkeypatch.setattr(model_card.prompt_tests, 'caption_losses', lambda *args: {})
    y, x = np.mgrid[:64, :64] - 32
    disc = np.where(np.hypot(x, y) < 20, 60, 200).astype(np.uint8)
    flat = np.full((64, 64), 90, np.uint8)
    texts = [['a disc', 'a large sharp dark disc']] * 2 + [['a large sharp dark disc']]
    training = np.stack([disc, flat, flat]), texts, ['scene', 'scene', 'openclipart-png/shapes']
    found = model_card.prompt_scores(None, training, ())['scenes_that_show']
    assert found == {'a large sharp dark disc': 0.5, 'a ring': None}


def test_a_wrong_or_missing_file_is_one_sentence(made, tmp_path):
    shutil.copytree(made / 'weights', tmp_path / 'w')
    weights = tmp_path / 'w' / 'natural' / 'unet' / 'diffusion_pytorch_model.safetensors'
    weights.write_bytes(weights.read_bytes()[:-1] + b'x')
    with pytest.raises(StudyError, match='sha256 differs.*git checkout') as caught:
        shipped.load('natural', tmp_path / 'w')
    assert '\n' not in str(caught.value)
    weights.unlink()
    with pytest.raises(StudyError, match='lacks unet'):
        shipped.load('natural', tmp_path / 'w')
    for variant, folder, message in (
        ('natural', tmp_path / 'none', 'no readable card'),
        ('medical', tmp_path, 'no base "medical"'),
    ):
        with pytest.raises(StudyError, match=message):
            shipped.load(variant, folder)


@pytest.mark.smoke
@pytest.mark.long
def test_the_appendix_runs_from_weights(made, project):
    """A1_base_model from first to last cell, on the tiny weights; on stderr nothing but the log."""
    shutil.copytree(ROOT / 'notebooks', project / 'notebooks')
    call = [
        sys.executable,
        '-m',
        'genmix',
        'A1_base_model',
        '--run',
        'base',
        '--params',
        'params/cpu.yaml',
        '--set',
        f'base_weights={made / "weights"}',
        'samples=1',
        'A1_base_model.sampling_steps=2',
        'dev_lesions=4',
        'shape_samples=2',
        'ceiling_lesions=4',
        'ceiling_steps=2',
    ]
    done = subprocess.run(
        call, cwd=project, env=os.environ | {'PYTHONPATH': str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    executed = (project / 'runs' / 'base' / 'notebooks' / 'A1_base_model.ipynb').read_text()
    outputs = [o for cell in json.loads(executed)['cells'] for o in cell.get('outputs', [])]
    errors = ''.join(''.join(o['text']) for o in outputs if o.get('name') == 'stderr')
    assert [line for line in errors.splitlines() if not line.startswith(MARK)] == []
    assert executed.count('"image/png": "') == 11


@pytest.mark.parametrize('variant', shipped.VARIANTS)
def test_what_ships_is_whole_and_small(variant):
    """Files are those of the card, its settings those of the recipe, its sources photographs."""
    about = shipped.card(variant)
    folder = shipped.check(variant)
    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob('*') if p.is_file()}
    assert set(files) == {*about['sha256'], 'card.json'} and sum(files.values()) < 12_000_000
    assert not [f for f in files if f.endswith('.json') and '_name_or_path' in (folder / f).read_text()]
    settings = Settings.read().of(variant)
    if about['settings'].keys() != asdict(settings).keys():
        pytest.skip('these weights were made by an earlier recipe: make base')
    assert about['settings'] == json.loads(json.dumps(asdict(settings)))
    assert (about['scenes'] > 0) == (variant == 'mixed')
    assert {s['picture'].split('/')[0] for s in about['sources']} == set(settings.packages)
    free = {p.licence for p in photographs.PHOTOGRAPHS} | {clipart.LICENCE}  # LICENSES/ has their texts
    assert {s['licence'] for s in about['sources']} <= free
    assert (folder / 'README.md').read_text() == model_card.readme(about)


def test_the_shipped_words_mean_something():
    """Sampling is for real: a black picture is darker than a white one, a bright one than a dark one."""
    pipeline = shipped.load('natural')
    gray = {
        word: networks.sample_images(pipeline, [f'a photo of a {word} picture'] * 4, steps=6).mean()
        for word in ('black', 'dark', 'bright', 'white')
    }
    assert gray['black'] < gray['dark'] < gray['bright'] < gray['white']
