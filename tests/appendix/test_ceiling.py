"""The ceiling test on a tiny base: only the conditions of the classes move, and they lower the loss."""

import numpy as np
import pytest
import torch
from conftest import blobs

from genmix.appendix import ceiling
from genmix.generators.latent.backbones import encode_prompts
from genmix.generators.latent.frozen_pipeline import fingerprint, open_pipeline
from genmix.generators.latent.layer_tokens import prompt_layers
from genmix.generators.latent.loss import denoising_loss


@pytest.fixture(scope='module')
def found(prompt_base, tmp_path_factory):
    folder, cohort = tmp_path_factory.mktemp('ceiling'), blobs((10, 10, 10), size=16)
    pipeline = open_pipeline(prompt_base, None)
    for layer in prompt_layers(pipeline.unet):
        out = layer.to_out[0] if hasattr(layer, 'to_out') else layer.proj
        out.weight.data *= 20  # initial weights hardly let the condition through
    before = fingerprint(pipeline)
    model = ceiling.optimise_condition(pipeline, cohort, folder, steps=150)
    return pipeline, before, model, cohort, folder


def test_the_base_stays_as_it_was(found):
    pipeline, before, model, _, folder = found
    assert fingerprint(pipeline) == before
    frozen, ours = pipeline.unet.state_dict(), model.net.denoiser.state_dict()
    assert frozen.keys() == ours.keys() and all(torch.equal(frozen[k], ours[k]) for k in frozen)
    assert [p.name for p in folder.iterdir()] == ['log.csv']


def test_every_class_has_a_condition_of_its_own_and_none_is_as_before(found):
    pipeline, _, model, _, _ = found
    start, empty = encode_prompts(pipeline, [ceiling.START, ''])
    learned = model.net.encodings + 30 * model.net.added
    assert torch.equal(learned[3], empty)
    assert ((learned[:3] - start).abs().amax((1, 2)) > 0.1).all()
    assert (learned[0] - learned[1]).abs().max() > 0.01 and (learned[1] - learned[2]).abs().max() > 0.01


def test_lesions_are_easier_to_denoise_under_what_was_learned(found):
    pipeline, _, model, cohort, _ = found
    latents, labels = model.base.encode(cohort.images), torch.as_tensor(cohort.labels)
    start = encode_prompts(pipeline, [ceiling.START])

    @torch.no_grad()
    def loss(conditions):
        unet = model.net.denoiser
        generator = torch.Generator().manual_seed(9)
        return denoising_loss(
            lambda x, t: unet(x, t, conditions).sample, model.base.schedule, latents, generator
        )

    learned = (model.net.encodings + 30 * model.net.added)[labels]
    assert loss(learned) < 0.98 * loss(start.expand(len(labels), -1, -1))


def test_the_sheet_has_samples_of_every_class_and_its_lesions(found, prompt_base, tmp_path):
    _, _, model, cohort, _ = found
    sheet = ceiling.ceiling_sheet(model, cohort, n=2)
    kinds = [f'guidance {g:g}' for g in ceiling.GUIDANCES] + ['lesions']
    assert list(sheet) == [f'{name}, {kind}' for name in cohort.class_names for kind in kinds]
    assert {x.shape for x in sheet.values()} == {(2, 16, 16)}
    assert np.array_equal(sheet['middle, lesions'], cohort.images[cohort.labels == 1][:2])
    ceiling.write_ceiling(open_pipeline(prompt_base, None), cohort, tmp_path, steps=2)
    with np.load(tmp_path / 'sheet.npz') as saved:
        assert list(saved) == list(sheet) and saved['small, guidance 3'].shape == (10, 16, 16)
