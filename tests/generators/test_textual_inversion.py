"""Textual Inversion on tiny pipelines, built and saved here: one in the shape of the small base, one in that of Stable Diffusion 1.5."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import blobs
from safetensors.torch import load_file

from genmix import StudyError
from genmix.data import images as images_module
from genmix.generators.latent import backbones, learned_tokens, textual_inversion
from genmix.generators.latent import loss as loss_module
from genmix.generators.latent.textual_inversion import TextualInversion
from genmix.generators.pretrained import captions, networks

TINY = {
    'steps': 4,
    'batch_size': 6,
    'num_vectors': 2,
    'film': 2,
    'moments': 3,
    'sampling_steps': 2,
    'checkpoint_every': 2,
    'contrast': 0.0,
}


@pytest.fixture(scope='module')
def reader(tmp_path_factory):
    """A saved pipeline of 16 px pictures, of the base's kind."""
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
def stable(tmp_path_factory):
    """A saved pipeline of 64 px pictures in the shape of Stable Diffusion 1.5: noise predicted, PNDM, four levels, prompts of 77 tokens."""
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    blocks = ('CrossAttnDownBlock2D',) * 3 + ('DownBlock2D',), ('UpBlock2D',) + ('CrossAttnUpBlock2D',) * 3
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        down_block_types=blocks[0],
        up_block_types=blocks[1],
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        down_block_types=('DownEncoderBlock2D',) * 4,
        up_block_types=('UpDecoderBlock2D',) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
    )
    tokenizer = captions.make_tokenizer(77)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    schedule = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule='scaled_linear',
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    folder = tmp_path_factory.mktemp('hub') / 'stable'
    StableDiffusionPipeline(
        vae, text, tokenizer, unet, schedule, None, None, requires_safety_checker=False
    ).save_pretrained(folder)
    return str(folder)


def drawn(model, **changes):
    return np.stack([model.sample(k, 3, seed=k, **changes) for k in range(3)])


def learned(folder):
    return torch.cat(
        [
            load_file(folder / 'words' / name / 'learned_embeds.safetensors')[f'<{name}>']
            for name in ('small', 'middle', 'large')
        ]
    )


@pytest.mark.parametrize('kind, checkpointing', [('reader', False), ('stable', True)])
def test_from_a_folder_in_diffusers_layout_to_lesions(kind, checkpointing, request, tmp_path, cohort):
    """The path of the paper profile end to end: what is saved samples the same, in the class's own size."""
    model = TextualInversion.fit(
        cohort,
        tmp_path,
        base=request.getfixturevalue(kind),
        checkpointing=checkpointing,
        guidance=2.0,
        **(TINY | {'steps': 2, 'contrast': 2.0}),
    )
    x = drawn(model)
    assert x.dtype == np.uint8 and x.shape == (3, 3, 32, 32)
    assert np.array_equal(x, drawn(TextualInversion.load(tmp_path)))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'config.json',
        'film.npy',
        'grain.safetensors',
        'lesions.safetensors',
        'train_log.csv',
        'words',
    ]
    config = json.loads((tmp_path / 'config.json').read_text())
    assert config['tokens'] == ['<small>', '<middle>', '<large>'] and config['moments'] == [0, 1, 2]
    assert np.load(tmp_path / 'film.npy').shape == (3, 3, 2, 32, 32) and model.rows.shape[:2] == (3, 2)


def test_nothing_but_the_new_rows_moves(reader, tmp_path, cohort, monkeypatch):
    """Every tensor of the pipeline in training, foreign rows of the embedding included, is bit for bit what the folder holds."""
    kept = []
    real = textual_inversion.open_pipeline
    monkeypatch.setattr(textual_inversion, 'opened', lambda *args: kept.append(real(*args)) or kept[-1])
    model = TextualInversion.fit(cohort, tmp_path, base=reader, lr=0.1, **TINY)
    untouched, trained = real(reader, None), kept[0]
    for name in ('vae', 'unet', 'text_encoder'):
        before, after = (getattr(p, name).state_dict() for p in (untouched, trained))
        assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
        assert all(p.grad is None and not p.requires_grad for p in getattr(trained, name).parameters())
    n = len(captions.make_tokenizer())
    known, grown = (p.text_encoder.get_input_embeddings().weight for p in (untouched, model.pipeline))
    assert len(known) == n and len(grown) == n + 6 and torch.equal(known, grown[:n])
    monkeypatch.undo()
    start = textual_inversion.prepare(reader, None, cohort, 2, 'measured', 0)[-1]
    assert (learned(tmp_path) - start).abs().min(1).values.max() > 1e-3, 'every row has moved'
    assert json.loads((tmp_path / 'config.json').read_text())['frozen'] == learned_tokens.fingerprint(
        untouched
    )


def test_a_changed_weight_is_noticed(reader, tmp_path, cohort, monkeypatch):
    real = loss_module.denoising_loss

    def careless(predict, schedule, latents, *args):
        model.unet.conv_in.bias.data[0] += 1e-6
        return real(predict, schedule, latents, *args)

    model = textual_inversion.open_pipeline(reader, None)
    monkeypatch.setattr(textual_inversion, 'opened', lambda *args: model)
    monkeypatch.setattr(loss_module, 'denoising_loss', careless)
    with pytest.raises(RuntimeError, match='frozen'):
        TextualInversion.fit(cohort, tmp_path, base=reader, **TINY)


@pytest.mark.parametrize('strength', [0.0, 0.5])
def test_a_fresh_standard_pipeline_paints_the_same_images(reader, tmp_path, cohort, strength):
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    model = TextualInversion.fit(cohort, tmp_path, base=reader, guidance=2.0, strength=strength, **TINY)
    pipe = StableDiffusionPipeline.from_pretrained(reader, safety_checker=None, requires_safety_checker=False)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion([str(tmp_path / 'words' / n) for n in ('small', 'middle', 'large')])
    networks.plain_attention(pipe.unet)
    assert torch.equal(learned(tmp_path), pipe.text_encoder.get_input_embeddings().weight[-6:])
    for k, name in enumerate(cohort.class_names):
        ours, prompts = (
            model.painted(k, 3, seed=k, guidance=2.0, strength=strength),
            [f'a picture of a <{name}>'] * 3,
        )
        theirs = (
            networks.sample_images(pipe, prompts, 2, 2.0, k)
            if not strength
            else learned_tokens.image_to_image(pipe, prompts, model.parents(k, 3, k), 2, 2.0, strength, k)
        )
        assert np.array_equal(ours, images_module.resize_uint8(theirs, 32))


def test_a_killed_training_goes_on(reader, tmp_path, cohort, monkeypatch):
    for name in 'ab':
        (tmp_path / name).mkdir()
    straight = TextualInversion.fit(cohort, tmp_path / 'a', base=reader, **TINY)
    real, calls = loss_module.denoising_loss, []

    def dies(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(loss_module, 'denoising_loss', dies)
    with pytest.raises(KeyboardInterrupt):
        TextualInversion.fit(cohort, tmp_path / 'b', base=reader, **TINY)
    monkeypatch.setattr(loss_module, 'denoising_loss', real)
    resumed = TextualInversion.fit(cohort, tmp_path / 'b', base=reader, **TINY)
    assert (
        len(calls) == 4
        and torch.equal(learned(tmp_path / 'a'), learned(tmp_path / 'b'))
        and np.array_equal(drawn(straight), drawn(resumed))
    )
    assert np.array_equal(np.load(tmp_path / 'a' / 'film.npy'), np.load(tmp_path / 'b' / 'film.npy'))


class Plain:
    """A step in the manner of diffusers' example script: image and prompt encoded each time, its own attention, every row of a grown embedding with a gradient."""

    def __init__(self, base, rows, tokens):
        from diffusers.models.attention_processor import AttnProcessor2_0

        self.pipe, self.n = textual_inversion.open_pipeline(base, None), len(rows) // len(tokens)
        self.pipe.unet.set_attn_processor(AttnProcessor2_0())
        with networks.quietly():
            for token, own in zip(tokens, rows.chunk(len(tokens))):
                self.pipe.load_textual_inversion({token: own})
        self.table = self.pipe.text_encoder.get_input_embeddings().weight.requires_grad_(True)
        self.schedule = backbones.training_schedule(self.pipe.scheduler)

    def loss(self, images, prompts, noise, t):
        pipe, kind = self.pipe, self.schedule.config.prediction_type
        ids = pipe.tokenizer(
            [pipe.maybe_convert_prompt(p, pipe.tokenizer) for p in prompts],
            padding='max_length',
            max_length=pipe.tokenizer.model_max_length,
            truncation=True,
            return_tensors='pt',
        ).input_ids
        latents = (
            pipe.vae.encode(networks.to_rgb_input(images)).latent_dist.mean.detach()
            * pipe.vae.config.scaling_factor
        )
        predicted = pipe.unet(self.schedule.add_noise(latents, noise, t), t, pipe.text_encoder(ids)[0]).sample
        return F.mse_loss(
            predicted, self.schedule.get_velocity(latents, noise, t) if kind == 'v_prediction' else noise
        )


def gradients(base, images, seed=0, n=12, vectors=2):
    """Gradient of the new rows for the same lessons: ours (m, d), and the whole table's of the plain step with the number of new rows."""
    cohort = blobs(size=images)
    pipeline, tokens, _, rows = textual_inversion.prepare(base, None, cohort, vectors, 'measured', 0)
    templates = learned_tokens.TEMPLATES
    new = torch.nn.Embedding.from_pretrained(rows.clone(), freeze=False)
    with learned_tokens.with_learned_tokens(pipeline, new):
        lessons = learned_tokens.InversionData(pipeline, cohort, tokens, templates, turns=False)
        lessons.loss(n, torch.Generator().manual_seed(seed)).backward()
    generator = torch.Generator().manual_seed(seed)
    latents, said = lessons.draw(n, generator)
    lesions = [int((lessons.latents[0] - x).abs().sum((1, 2, 3)).argmin()) for x in latents]
    noise, t = torch.randn(latents.shape, generator=generator), torch.randint(1000, (n,), generator=generator)
    plain = Plain(base, rows, tokens)
    plain.loss(
        cohort.images[lesions], [templates[i % 4].format(tokens[i // 4]) for i in said.tolist()], noise, t
    ).backward()
    return new.weight.grad, plain.table.grad, len(rows)


@pytest.mark.parametrize('kind, size', [('reader', 16), ('stable', 64)])
def test_the_gradient_is_the_plain_loops(kind, size, request, monkeypatch):
    base = request.getfixturevalue(kind)
    bf16, table, m = gradients(base, size)
    monkeypatch.setattr('genmix.device.bf16_pays', lambda: False)
    exact, table, m = gradients(base, size)
    plain = table[-m:]
    assert (exact - plain).norm() < 1e-4 * plain.norm()
    assert table[:-m].norm() > 0, 'the plain loop moves foreign rows and has to put them back'
    assert F.cosine_similarity(bf16.flatten(), plain.flatten(), dim=0) > 0.99


def test_the_contrast_of_words_that_do_not_differ_is_log_two(reader, cohort):
    pipeline, tokens, _, rows = textual_inversion.prepare(reader, None, cohort, 2, 'measured', 0)
    lessons = learned_tokens.InversionData(pipeline, cohort, tokens, ['a {}'], turns=False)

    def losses(table):
        with (
            torch.no_grad(),
            learned_tokens.with_learned_tokens(pipeline, torch.nn.Embedding.from_pretrained(table)),
        ):
            return [lessons.loss(6, torch.Generator().manual_seed(0), contrast=c).item() for c in (0.0, 3.0)]

    own, both = losses(rows[:1].expand_as(rows).clone())
    assert both - own == pytest.approx(3 * learned_tokens.MARGIN * np.log(2), rel=1e-3)
    own, both = losses(torch.randn_like(rows))
    assert both > own


def test_words_begin_as_what_is_measured():
    tokenizer = captions.make_tokenizer()
    dark = np.full((4, 32, 32), 20, np.uint8)
    assert set(learned_tokens.measured_words(dark, 6, tokenizer)) == {'black', 'smooth', 'low', 'contrast'}
    rng = np.random.default_rng(0)
    said = learned_tokens.measured_words(
        rng.normal(128, 30, (4, 32, 32)).clip(0, 255).astype(np.uint8), 6, tokenizer
    )
    assert 'grainy' in said and not set(said) & learned_tokens.FUNCTION_WORDS
    known = torch.randn(len(tokenizer), 8)
    rows = learned_tokens.initial_rows([['dark', 'spot'], []], 3, tokenizer, known, 0)
    expected = known[[learned_tokens.word_id(w, tokenizer) for w in ('dark', 'spot', 'dark')]]
    assert (
        rows.shape == (6, 8)
        and (rows[:3] - expected).abs().max() < 1
        and (rows[3:] - known.mean(0)).abs().max() < 1
    )
    assert len(set(map(tuple, rows.tolist()))) == 6, 'vectors that begin with one word are told apart'


def test_class_names_of_any_kind_become_tokens():
    tokenizer = captions.make_tokenizer()
    names = ['cyst', 'Basal cell carcinoma (BCC)', 'a b', 'a-b', '<|endoftext|>', '囊肿', '!']
    tokens = learned_tokens.tokens_for(names, tokenizer)
    assert tokens == [
        '<cyst>',
        '<basal-cell-carcinoma-bcc>',
        '<a-b-2>',
        '<a-b-3>',
        '<endoftext>',
        '<囊肿>',
        '<class>',
    ]
    tokenizer.add_tokens([v for t in tokens for v in learned_tokens.vectors_of(t, 2)])
    for token in tokens:
        assert tokenizer.tokenize(f'a small {token} {token}_1') == ['a</w>', 'small</w>', token, f'{token}_1']


def test_edits_strengths_and_parents(reader, tmp_path, cohort, capfd):
    model = TextualInversion.fit(cohort, tmp_path, base=reader, grain=False, **TINY)
    assert model.grain is None and not (tmp_path / 'grain.safetensors').exists()
    assert not np.array_equal(model.sample(0, 2, 1), model.sample(0, 2, 1, prompt='a small {}'))
    again = model.sample(0, 3, 1, strength=0.5)
    assert np.array_equal(again, model.sample(0, 3, 1, strength=0.5)) and not np.array_equal(
        again, model.sample(0, 3, 1)
    )
    turns = {
        np.rot90(x, k).tobytes()
        for lesion in cohort.images[cohort.labels == 2]
        for x in (lesion, lesion[:, ::-1])
        for k in range(4)
    }
    assert all(x.tobytes() in turns for x in model.parents(2, 8, 0)) and model.parents(2, 8, 0).shape == (
        8,
        32,
        32,
    )
    assert model.sample(0, 2, 1, strength=0.01).shape == (2, 32, 32), 'one step at least'
    assert 'should' not in (said := capfd.readouterr().err) and 'initialized' not in said, said


def test_nearest_words_finds_the_word_itself(reader):
    pipeline = textual_inversion.open_pipeline(reader, None)
    i = learned_tokens.word_id('dark', pipeline.tokenizer)
    (best,) = learned_tokens.nearest_words(
        pipeline.text_encoder.get_input_embeddings().weight[[i]] * 3, pipeline, 2
    )
    assert best[0] == ('dark', pytest.approx(1)) and len(best) == 2


def test_what_cannot_be_is_one_sentence(reader, tmp_path, cohort):
    def fit(**changes):
        return TextualInversion.fit(cohort, tmp_path, **({'base': reader} | TINY | changes))

    for changes, said in (
        ({'base': str(tmp_path / 'nowhere')}, 'hf download'),
        ({'initialiser': 'dark hepatic'}, '"hepatic" of the initialiser'),
        ({'initialiser': ['dark', 'spot']}, 'words for 2 classes, and there are 3'),
        ({'num_vectors': 40}, 'lower num_vectors'),
        ({'num_vectors': 0}, 'num_vectors'),
        ({'strength': 1.5}, 'strength'),
        ({'steps': 0}, 'steps'),
        ({'templates': ['a picture']}, 'where the word stands'),
    ):
        with pytest.raises(StudyError, match=said) as error:
            fit(**changes)
        assert '\n' not in str(error.value)
    pipeline = textual_inversion.open_pipeline(reader, None)
    pipeline.tokenizer.add_tokens(['<small>'])
    pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer))
    pipeline.save_pretrained(tmp_path / 'taken')
    with pytest.raises(StudyError, match='<small> already'):
        fit(base=str(tmp_path / 'taken'))


def test_a_base_that_does_not_read_is_one_sentence(tmp_path, cohort, monkeypatch):
    monkeypatch.setattr(backbones, 'from_hub', lambda *args: object())
    with pytest.raises(StudyError, match='choose a StableDiffusionPipeline, or one of natural, mixed'):
        TextualInversion.fit(cohort, tmp_path, base='somebody/labels', **TINY)
