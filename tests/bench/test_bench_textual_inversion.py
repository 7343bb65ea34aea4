"""Textual Inversion: our step beside the plain fp32 loop in the manner of diffusers' example script.

That one encodes image and prompt in every step, uses the default attention, optimises the whole embedding
matrix and restores the other rows.
"""

import torch
import torch.nn.functional as F
from conftest import config_of
from diffusers.models.attention_processor import AttnProcessor2_0
from test_speed import compare

from genmix.data.phantom import plan
from genmix.generators.latent.learned_tokens import with_learned_tokens
from genmix.generators.latent.textual_inversion import TextualInversion, prepare
from genmix.generators.latent.token_loss import InversionData
from genmix.generators.pretrained import networks

BATCH, STEPS = 32, 5


def plain_way(config, cohort, generator):
    pipeline, tokens, _, vectors = prepare(config, cohort)
    pipeline.unet.set_attn_processor(AttnProcessor2_0())
    pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer), mean_resizing=False)
    table = pipeline.text_encoder.get_input_embeddings().weight.requires_grad_(True)
    schedule, n = networks.make_noise_schedule(), len(vectors)
    table.data[-n:] = vectors
    known, optimiser = table.data[:-n].clone(), torch.optim.AdamW([table], 1e-2)

    def step():
        pick = torch.randint(len(cohort), (BATCH,), generator=generator).numpy()
        prompts = [config.templates[i % 4].format(tokens[k]) for i, k in enumerate(cohort.labels[pick])]
        prompts = [pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer) for prompt in prompts]
        ids = pipeline.tokenizer(
            prompts, padding='max_length', truncation=True, return_tensors='pt'
        ).input_ids
        x = networks.to_rgb_input(cohort.images[pick])
        latents = pipeline.vae.encode(x).latent_dist.sample().detach() * pipeline.vae.config.scaling_factor
        noise = torch.randn(latents.shape, generator=generator)
        t = torch.randint(1000, (BATCH,), generator=generator)
        noisy = schedule.add_noise(latents, noise, t)
        predicted = pipeline.unet(noisy, t, pipeline.text_encoder(ids)[0]).sample
        F.mse_loss(predicted, schedule.get_velocity(latents, noise, t)).backward()
        optimiser.step()
        optimiser.zero_grad()
        table.data[:-n] = known

    return step


def our_way(config, cohort, generator):
    pipeline, tokens, _, vectors = prepare(config, cohort)
    new = torch.nn.Embedding.from_pretrained(vectors, freeze=False)
    data = InversionData(pipeline, cohort, tokens, config.templates, d4_augmentation=False)
    optimiser = torch.optim.AdamW(new.parameters(), 1e-2, fused=True)

    def step():
        with with_learned_tokens(pipeline, new):
            data.loss(BATCH, generator).backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def test_a_step_of_textual_inversion(benchmark):
    cohort, generator = plan.draw('dev', (40, 20, 40), seed=9), torch.Generator().manual_seed(0)
    config = config_of(TextualInversion, base='natural')
    plain, ours = (way(config, cohort, generator) for way in (plain_way, our_way))

    def times(step):
        return lambda: [step() for _ in range(STEPS)]

    compare(benchmark, times(ours), times(plain), label=f'Textual Inversion, {STEPS} steps of {BATCH}')
