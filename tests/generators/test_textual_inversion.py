"""Textual Inversion on tiny pipelines: one like the small base, one like Stable Diffusion 1.5."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from conftest import blobs, config_of, count_layers
from safetensors.torch import load_file

from genmix import StudyError
from genmix.data.images import resize_uint8, symmetries
from genmix.generators.latent import frozen_pipeline, learned_tokens, textual_inversion, token_loss
from genmix.generators.latent.frozen_pipeline import fingerprint, image_to_image, open_pipeline
from genmix.generators.latent.loss import training_schedule
from genmix.generators.latent.textual_inversion import TextualInversion, prepare
from genmix.generators.latent.token_loss import InversionData
from genmix.generators.pretrained import captions, networks
from genmix.generators.synthetic import train_generator

TINY = {
    'steps': 4,
    'batch_size': 6,
    'num_vectors': 2,
    'sampling_steps': 2,
    'snapshot_samples': 2,
    'snapshots': 3,
}
TEMPLATES = ['a picture of a {}', 'a photo of a {}', 'an image of a {}', 'a {}']


@pytest.fixture(autouse=True)
def short_checkpoints(monkeypatch):
    monkeypatch.setattr(textual_inversion, 'CHECKPOINT_EVERY', 2)


def config(**changes):
    return config_of(TextualInversion, **TINY | changes)


def fit(cohort, folder, **changes):
    folder.mkdir(exist_ok=True)
    return TextualInversion.fit(cohort, folder, config(**changes))


def samples(model, **changes):
    return np.stack([model.sample(k, 3, seed=k, **changes) for k in range(3)])


def learned(folder):
    files = {n: folder / 'words' / n / 'learned_embeds.safetensors' for n in ('small', 'middle', 'large')}
    return torch.cat([load_file(file)[f'<{name}>'] for name, file in files.items()])


@pytest.mark.parametrize('kind, checkpointing', [('prompt_base', False), ('stable', True)])
@pytest.mark.parametrize('per_layer', [False, True])
def test_from_a_folder_in_diffusers_layout_to_lesions(
    kind, checkpointing, per_layer, request, tmp_path, cohort
):
    """The path of the paper profile end to end: what is saved samples the same, in the class's own size."""
    changes = {'base': request.getfixturevalue(kind), 'checkpointing': checkpointing, 'per_layer': per_layer}
    model = fit(cohort, tmp_path, **changes, guidance=2.0, steps=2)
    x = samples(model)
    assert x.dtype == np.uint8 and x.shape == (3, 3, 32, 32)
    assert np.array_equal(x, samples(TextualInversion.load(tmp_path)))
    files = [
        'checkpoint.safetensors',
        'config.json',
        'lesions.safetensors',
        'nps.safetensors',
        'snapshots.npy',
        'train_log.csv',
        'words',
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == files
    about = json.loads((tmp_path / 'config.json').read_text())
    assert about['tokens'] == ['<small>', '<middle>', '<large>'] and about['snapshot_steps'] == [0, 1, 2]
    assert np.load(tmp_path / 'snapshots.npy').shape == (3, 3, 2, 32, 32)
    layers = count_layers(changes['base']) if per_layer else 1
    assert model.vectors.shape[:2] == (3, 2 * layers)


def test_nothing_but_the_new_vectors_moves(prompt_base, tmp_path, cohort, monkeypatch):
    """Every tensor of the pipeline, other rows of the embedding included, is bit for bit the folder's."""
    opened = []
    monkeypatch.setattr(
        textual_inversion, 'open_pipeline', lambda *args: opened.append(open_pipeline(*args)) or opened[-1]
    )
    model = fit(cohort, tmp_path, base=prompt_base, lr=0.1)
    untouched, trained = open_pipeline(prompt_base, None), opened[0]
    for name in ('vae', 'unet', 'text_encoder'):
        before, after = (getattr(p, name).state_dict() for p in (untouched, trained))
        assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
        assert all(p.grad is None and not p.requires_grad for p in getattr(trained, name).parameters())
    n = len(captions.make_tokenizer())
    known, grown = (p.text_encoder.get_input_embeddings().weight for p in (untouched, model.pipeline))
    assert len(known) == n and len(grown) == n + 6 and torch.equal(known, grown[:n])
    monkeypatch.undo()
    start = prepare(config(base=prompt_base), cohort)[-1]
    assert (learned(tmp_path) - start).abs().min(1).values.max() > 1e-3, 'every vector has moved'
    assert json.loads((tmp_path / 'config.json').read_text())['frozen'] == fingerprint(untouched)


def test_a_changed_weight_is_noticed(prompt_base, tmp_path, cohort, monkeypatch):
    real = token_loss.denoising_loss

    def careless(predict, schedule, latents, *args):
        model.unet.conv_in.bias.data[0] += 1e-6
        return real(predict, schedule, latents, *args)

    model = open_pipeline(prompt_base, None)
    monkeypatch.setattr(textual_inversion, 'open_pipeline', lambda *args: model)
    monkeypatch.setattr(token_loss, 'denoising_loss', careless)
    with pytest.raises(RuntimeError, match='frozen'):
        fit(cohort, tmp_path, base=prompt_base)


@pytest.mark.parametrize('strength', [0.0, 0.5])
def test_a_fresh_standard_pipeline_samples_the_same_images(prompt_base, tmp_path, cohort, strength):
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    model = fit(cohort, tmp_path, base=prompt_base, guidance=2.0, strength=strength)
    pipe = StableDiffusionPipeline.from_pretrained(
        prompt_base, safety_checker=None, requires_safety_checker=False
    )
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion([str(tmp_path / 'words' / n) for n in ('small', 'middle', 'large')])
    networks.for_sampling(pipe.unet)
    assert torch.equal(learned(tmp_path), pipe.text_encoder.get_input_embeddings().weight[-6:])
    for k, name in enumerate(cohort.class_names):
        ours = model.sample_uncorrected(k, 3, seed=k, guidance=2.0, strength=strength)
        prompts = [f'a picture of a <{name}>'] * 3
        if strength:
            theirs = image_to_image(pipe, prompts, model.parents(k, 3, k), 2, 2.0, strength, k)
        else:
            theirs = networks.sample_images(pipe, prompts, 2, 2.0, k)
        assert np.array_equal(ours, resize_uint8(theirs, 32))


def test_a_killed_training_goes_on(prompt_base, tmp_path, cohort, monkeypatch):
    straight = fit(cohort, tmp_path / 'a', base=prompt_base)
    real, calls = token_loss.denoising_loss, []

    def dies(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(token_loss, 'denoising_loss', dies)
    with pytest.raises(KeyboardInterrupt):
        fit(cohort, tmp_path / 'b', base=prompt_base)
    monkeypatch.setattr(token_loss, 'denoising_loss', real)
    resumed = fit(cohort, tmp_path / 'b', base=prompt_base)
    assert len(calls) == 4 and torch.equal(learned(tmp_path / 'a'), learned(tmp_path / 'b'))
    assert np.array_equal(samples(straight), samples(resumed))
    a, b = (np.load(tmp_path / name / 'snapshots.npy') for name in 'ab')
    assert np.array_equal(a, b)


def test_more_steps_go_on_from_a_finished_training(prompt_base, study, cohort, monkeypatch):
    real, calls = token_loss.denoising_loss, []
    monkeypatch.setattr(token_loss, 'denoising_loss', lambda *args: calls.append(1) or real(*args))

    def trained(**changes):
        calls.clear()
        model = train_generator(study, TextualInversion, cohort, config(base=prompt_base, **changes))
        return model, len(calls)

    first, steps = trained(steps=4)
    assert steps == 4
    longer, steps = trained(steps=9)
    folder = study.folder / 'generators' / 'textual_inversion'
    assert steps == 5 and not torch.equal(first.vectors, longer.vectors)
    log = pd.read_csv(folder / 'train_log.csv')
    assert log.step.iloc[-1] == 9 and log.step.is_unique and (log.seconds.diff()[1:] >= 0).all()
    assert trained(steps=8)[1] == 8, 'a shorter one begins anew'


class Plain:
    """A step in the manner of diffusers' example script.

    Image and prompt are encoded each time, attention is its own, all of the embedding has a gradient.
    """

    def __init__(self, base, vectors, tokens):
        from diffusers.models.attention_processor import AttnProcessor2_0

        self.pipe = open_pipeline(base, None)
        self.pipe.unet.set_attn_processor(AttnProcessor2_0())
        with networks.quietly():
            for token, own in zip(tokens, vectors.chunk(len(tokens))):
                self.pipe.load_textual_inversion({token: own})
        self.table = self.pipe.text_encoder.get_input_embeddings().weight.requires_grad_(True)
        self.schedule = training_schedule(self.pipe.scheduler)

    def loss(self, images, prompts, noise, t):
        pipe, kind = self.pipe, self.schedule.config.prediction_type
        ids = pipe.tokenizer(
            [pipe.maybe_convert_prompt(p, pipe.tokenizer) for p in prompts],
            padding='max_length',
            max_length=pipe.tokenizer.model_max_length,
            truncation=True,
            return_tensors='pt',
        ).input_ids
        found = pipe.vae.encode(networks.to_rgb_input(images))
        latents = getattr(found, 'latents', None)
        latents = (found.latent_dist.mean if latents is None else latents).detach()
        latents = latents * pipe.vae.config.scaling_factor
        predicted = pipe.unet(self.schedule.add_noise(latents, noise, t), t, pipe.text_encoder(ids)[0]).sample
        velocity = self.schedule.get_velocity(latents, noise, t)
        return F.mse_loss(predicted, velocity if kind == 'v_prediction' else noise)


def gradients(base, size, seed=0, n=12):
    """Gradients for one batch: ours of the new vectors, the plain step's of old and new rows."""
    cohort = blobs(size=size)
    pipeline, tokens, _, vectors = prepare(config(base=base), cohort)
    new = torch.nn.Embedding.from_pretrained(vectors.clone(), freeze=False)
    with learned_tokens.with_learned_tokens(pipeline, new):
        data = InversionData(pipeline, cohort, tokens, TEMPLATES, d4_augmentation=False)
        data.loss(n, torch.Generator().manual_seed(seed)).backward()
    generator = torch.Generator().manual_seed(seed)
    latents, numbers = data.sample_batch(n, generator)
    lesions = [int((data.latents[0] - x).abs().sum((1, 2, 3)).argmin()) for x in latents]
    noise, t = torch.randn(latents.shape, generator=generator), torch.randint(1000, (n,), generator=generator)
    plain, m = Plain(base, vectors, tokens), len(vectors)
    prompts = [TEMPLATES[i % 4].format(tokens[i // 4]) for i in numbers.tolist()]
    plain.loss(cohort.images[lesions], prompts, noise, t).backward()
    return new.weight.grad, plain.table.grad[:-m], plain.table.grad[-m:]


@pytest.mark.parametrize('kind, size', [('prompt_base', 16), ('stable', 64)])
def test_the_gradient_is_the_plain_loops(kind, size, request, monkeypatch):
    base = request.getfixturevalue(kind)
    bf16, _, _ = gradients(base, size)
    monkeypatch.setattr('genmix.run.device.bf16_pays', lambda: False)
    exact, known, plain = gradients(base, size)
    assert (exact - plain).norm() < 1e-4 * plain.norm()
    assert known.norm() > 0, 'the plain loop moves other rows and has to restore them'
    assert F.cosine_similarity(bf16.flatten(), plain.flatten(), dim=0) > 0.99


def test_words_begin_as_what_is_measured():
    tokenizer = captions.make_tokenizer()
    dark = np.full((4, 32, 32), 20, np.uint8)
    assert set(learned_tokens.measured_words(dark, 6, tokenizer)) == {'black', 'smooth', 'low', 'contrast'}
    rng = np.random.default_rng(0)
    noise = rng.normal(128, 30, (4, 32, 32)).clip(0, 255).astype(np.uint8)
    words = learned_tokens.measured_words(noise, 6, tokenizer)
    assert 'grainy' in words and not set(words) & learned_tokens.FUNCTION_WORDS
    known = torch.randn(len(tokenizer), 8)
    vectors = learned_tokens.initial_vectors([['dark', 'spot'], []], 3, tokenizer, known, 0)
    expected = known[[learned_tokens.word_id(w, tokenizer) for w in ('dark', 'spot', 'dark')]]
    assert vectors.shape == (6, 8) and (vectors[:3] - expected).abs().max() < 1
    assert (vectors[3:] - known.mean(0)).abs().max() < 1
    assert len(set(map(tuple, vectors.tolist()))) == 6, 'vectors that start at one word differ'


def test_class_names_of_any_kind_become_tokens():
    tokenizer = captions.make_tokenizer()
    names = ['cyst', 'Basal cell carcinoma (BCC)', 'a b', 'a-b', '<|endoftext|>', '囊肿', '!']
    tokens = learned_tokens.tokens_for(names, tokenizer)
    slugs = ['cyst', 'basal-cell-carcinoma-bcc', 'a-b-2', 'a-b-3', 'endoftext', '囊肿', 'class']
    assert tokens == [f'<{slug}>' for slug in slugs]
    tokenizer.add_tokens([v for t in tokens for v in learned_tokens.vector_names(t, 2)])
    for token in tokens:
        assert tokenizer.tokenize(f'a small {token} {token}_1') == ['a</w>', 'small</w>', token, f'{token}_1']


def test_edits_strengths_and_parents(prompt_base, tmp_path, cohort, capfd):
    model = fit(cohort, tmp_path, base=prompt_base, nps_correction=False)
    assert model.nps is None and not (tmp_path / 'nps.safetensors').exists()
    assert not np.array_equal(model.sample(0, 2, 1), model.sample(0, 2, 1, prompt='a small {}'))
    again = model.sample(0, 3, 1, strength=0.5)
    assert np.array_equal(again, model.sample(0, 3, 1, strength=0.5))
    assert not np.array_equal(again, model.sample(0, 3, 1))
    views = {x.tobytes() for view in symmetries(cohort.images[cohort.labels == 2]) for x in view}
    parents = model.parents(2, 8, 0)
    assert all(x.tobytes() in views for x in parents) and parents.shape == (8, 32, 32)
    assert model.sample(0, 2, 1, strength=0.01).shape == (2, 32, 32), 'one step at least'
    errors = capfd.readouterr().err
    assert 'should' not in errors and 'initialized' not in errors, errors


def test_nearest_words_finds_the_word_itself(prompt_base):
    pipeline = open_pipeline(prompt_base, None)
    i = learned_tokens.word_id('dark', pipeline.tokenizer)
    known = pipeline.text_encoder.get_input_embeddings().weight
    (best,) = learned_tokens.nearest_words(known[[i]] * 3, pipeline, 2)
    assert best[0] == ('dark', pytest.approx(1)) and len(best) == 2


def test_what_cannot_be_is_one_sentence(prompt_base, tmp_path, cohort):
    for changes, message in (
        ({'base': str(tmp_path / 'nowhere')}, 'hf download'),
        ({'initialiser': 'dark hepatic'}, '"hepatic" of the initialiser'),
        ({'initialiser': ['dark', 'spot']}, 'words for 2 classes, and there are 3'),
        ({'num_vectors': 40}, 'lower num_vectors'),
        ({'num_vectors': 0}, 'num_vectors'),
        ({'strength': 1.5}, 'strength'),
        ({'steps': 0}, 'steps'),
        ({'templates': ['a picture']}, 'one place for the token'),
        ({'templates': []}, 'one place for the token'),
    ):
        with pytest.raises(StudyError, match=message) as error:
            fit(cohort, tmp_path, **{'base': prompt_base} | changes)
        assert '\n' not in str(error.value)
    pipeline = open_pipeline(prompt_base, None)
    pipeline.tokenizer.add_tokens(['<small>'])
    pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer))
    pipeline.save_pretrained(tmp_path / 'taken')
    with pytest.raises(StudyError, match='<small> already'):
        fit(cohort, tmp_path, base=str(tmp_path / 'taken'))


def test_a_base_that_does_not_read_is_one_sentence(tmp_path, cohort, monkeypatch):
    monkeypatch.setattr(frozen_pipeline, 'from_hub', lambda *args: object())
    with pytest.raises(StudyError, match='choose a StableDiffusionPipeline, or one of natural, mixed'):
        fit(cohort, tmp_path, base='somebody/labels')
