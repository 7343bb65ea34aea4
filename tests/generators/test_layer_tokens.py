"""Tokens per layer, against P+ written out: an attention processor with an encoding of its own per layer."""

import numpy as np
import pytest
import torch
from conftest import blobs, config_of, count_layers
from diffusers.models.attention_processor import AttnProcessor

from genmix.generators.latent import layer_tokens, learned_tokens
from genmix.generators.latent.frozen_pipeline import open_pipeline
from genmix.generators.latent.textual_inversion import TextualInversion, prepare
from genmix.generators.latent.token_loss import token_ids
from genmix.generators.pretrained import networks

TINY = {'num_vectors': 2, 'steps': 2, 'batch_size': 6, 'sampling_steps': 2}
TINY |= {'snapshot_samples': 2, 'snapshots': 3}
PROMPTS = ['a photo of a {}', 'a dark {}', 'a disc']
kinds = pytest.mark.parametrize('kind', ['prompt_base', 'stable'])


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr('genmix.run.device.bf16_pays', lambda: False)


def config(base, **changes):
    return config_of(TextualInversion, base=base, **TINY | {'per_layer': True} | changes)


@pytest.fixture
def opened(kind, request):
    """A frozen pipeline that reads by layer, its tokens, and random vectors (layers K 2, d) for them."""
    pipeline, tokens, _, vectors = prepare(config(request.getfixturevalue(kind)), blobs())
    vectors = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    return pipeline, tokens, torch.nn.Embedding.from_pretrained(vectors, freeze=False)


class OwnEncoding(AttnProcessor):
    """Attention to `encoding`, whatever the U-Net was given."""

    def __init__(self, encoding):
        super().__init__()
        self.encoding = encoding

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **more):
        return super().__call__(attn, hidden_states, self.encoding, **more)


def give(layer, encoding):
    """Let a layer of `prompt_layers` read `encoding`, whatever the U-Net was given."""
    if hasattr(layer, 'set_processor'):
        layer.set_processor(OwnEncoding(encoding))
    else:
        layer.register_forward_pre_hook(lambda *_: (encoding,))


def written_out(base, tokens, vectors):
    """A pipeline with the tokens of all layers, loaded by diffusers, and for each layer encoded PROMPTS."""
    pipeline = open_pipeline(base, None)
    for part in (pipeline.unet, pipeline.text_encoder):
        part.to(vectors.dtype)
    names = layer_tokens.names_in_layers(pipeline.unet, tokens)
    with networks.quietly():
        for name, own in zip(names, vectors.detach().chunk(len(names))):
            pipeline.load_textual_inversion({name: own})
    pipeline.text_encoder.get_input_embeddings().weight.requires_grad_(True)
    of_layer = np.array(names).reshape(-1, len(tokens))[:, 1]
    encodings = [
        pipeline.text_encoder(token_ids(pipeline, [p.format(name) for p in PROMPTS]))[0] for name in of_layer
    ]
    return pipeline, encodings


def noisy(unet):
    generator = torch.Generator().manual_seed(1)
    size = unet.config.sample_size
    x = torch.randn(3, unet.config.in_channels, size, size, generator=generator, dtype=unet.dtype)
    return x, torch.tensor([10, 500, 900])


@kinds
def test_layers_are_listed_as_they_run(kind, request):
    base, seen = request.getfixturevalue(kind), []
    unet = open_pipeline(base, None).unet
    layers = layer_tokens.prompt_layers(unet)
    for layer in layers:
        layer.register_forward_hook(lambda layer, *_: seen.append(layer))
    unet(*noisy(unet), torch.zeros(3, 5, unet.config.cross_attention_dim))
    assert seen == layers and len(layers) == count_layers(base) > 1
    names = layer_tokens.names_in_layers(unet, ['<a>', '<b>'])
    assert names[:4] == ['<a>', '<b>', '<a@1>', '<b@1>'] and len(names) == 2 * len(layers)
    assert layer_tokens.names_in_layers(unet, ['<a>', '<b>'], per_layer=False) == ['<a>', '<b>']


@kinds
def test_prediction_and_gradient_are_those_written_out(kind, opened, request):
    """In float64, where the rounding of an attention kernel hides nothing."""
    pipeline, tokens, new = opened
    for part in (pipeline.unet, pipeline.text_encoder, new):
        part.double()
    ids = token_ids(pipeline, [prompt.format(tokens[1]) for prompt in PROMPTS])
    x, t = noisy(pipeline.unet)
    with learned_tokens.with_learned_tokens(pipeline, new):
        ours = pipeline.unet(x, t, pipeline.text_encoder(ids)[0]).sample
    plain, encodings = written_out(request.getfixturevalue(kind), tokens, new.weight)
    for layer, encoding in zip(layer_tokens.prompt_layers(plain.unet), encodings):
        give(layer, encoding)
    theirs = plain.unet(x, t, torch.zeros_like(encodings[0])).sample
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)
    for y in (ours, theirs):
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    table = plain.text_encoder.get_input_embeddings().weight.grad[-len(new.weight) :]
    assert (new.weight.grad - table).norm() < 1e-6 * table.norm()
    by_layer = new.weight.grad.unflatten(0, (-1, 3, 2)).norm(dim=-1)
    assert (by_layer[:, 1] > 0).all() and (by_layer[:, [0, 2]] == 0).all(), 'each layer, one token'


@kinds
def test_guided_sampling_is_that_of_the_encodings_written_out(kind, opened, request):
    """Through diffusers' pipeline: the empty prompt of guidance is read by every layer as it was."""
    pipeline, tokens, new = opened
    with learned_tokens.with_learned_tokens(pipeline, new):
        ours = networks.sample_images(pipeline, [p.format(tokens[1]) for p in PROMPTS], 2, 3.0)
    plain, encodings = written_out(request.getfixturevalue(kind), tokens, new.weight)
    empty = plain.text_encoder(token_ids(plain, [''] * 3))[0]
    for layer, encoding in zip(layer_tokens.prompt_layers(plain.unet), encodings):
        give(layer, torch.cat([empty, encoding]).detach())
    theirs = networks.sample_images(plain, ['a'] * 3, 2, 3.0)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.fixture
def fitted(prompt_base, tmp_path, cohort):
    for name, per_layer in (('shared', False), ('own', True)):
        (tmp_path / name).mkdir()
        changes = {'per_layer': per_layer, 'lr': 0.1, 'snapshots': 3, 'guidance': 2.0}
        TextualInversion.fit(cohort, tmp_path / name, config(prompt_base, **changes))
    return tmp_path


def test_training_starts_where_the_published_one_does(fitted):
    own, shared = (np.load(fitted / name / 'snapshots.npy').astype(int) for name in ('own', 'shared'))
    assert np.abs(own[0] - shared[0]).max() <= 1
    assert np.abs(own[-1] - shared[-1]).max() > 1


def test_what_is_saved_comes_back_and_leaves_the_base_as_it_was(fitted, prompt_base):
    model, untouched = TextualInversion.load(fitted / 'own'), open_pipeline(prompt_base, None)
    n = count_layers(prompt_base)
    known, grown = (p.text_encoder.get_input_embeddings().weight for p in (untouched, model.pipeline))
    assert torch.equal(known, grown[: len(known)]) and len(grown) == len(known) + n * 3 * 2
    for part in ('unet', 'vae'):
        before, after = (getattr(p, part).state_dict() for p in (untouched, model.pipeline))
        assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    folders = {p.name for p in (fitted / 'own' / 'words').iterdir()}
    suffixes = ['', *(f'@{i}' for i in range(1, n))]
    names = {name + suffix for name in ('small', 'middle', 'large') for suffix in suffixes}
    assert folders == names
    assert torch.equal(model.vectors.unflatten(1, (n, 2)).transpose(0, 1).flatten(0, 2), grown[len(known) :])
    start = prepare(config(prompt_base), blobs())[-1].unflatten(0, (n, 3, 2)).transpose(0, 1)
    moved = (model.vectors.unflatten(1, (n, 2)) - start).abs().amax((-1, -2))
    assert (moved > 1e-3).all(), 'the vectors of every class have moved in every layer'
    ours = networks.sample_images(model.pipeline, ['a dark disc'] * 2, 2, 2.0)
    theirs = networks.sample_images(untouched, ['a dark disc'] * 2, 2, 2.0)
    assert np.abs(ours.astype(int) - theirs).max() <= 1, 'words mean what they did'


def test_image_to_image_by_layer(fitted, cohort):
    model = TextualInversion.load(fitted / 'own')
    images = model.sample(1, 3, 4, strength=0.5)
    assert np.array_equal(images, TextualInversion.load(fitted / 'own').sample(1, 3, 4, strength=0.5))
    assert not np.array_equal(images, model.sample(1, 3, 4)) and images.shape == (3, 32, 32)
    other = TextualInversion.load(fitted / 'shared').sample(1, 3, 4, strength=0.5)
    assert not np.array_equal(images, other)
