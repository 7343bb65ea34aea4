"""Textual Inversion: our step beside the plain fp32 loop in the manner of diffusers' example script, which encodes image and prompt in every step, uses the default
attention, optimises the whole embedding matrix and puts the foreign rows back."""

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0
from test_speed import compare

from genmix.data.phantom import plan
from genmix.generators.latent import learned_tokens
from genmix.generators.latent.textual_inversion import prepare
from genmix.generators.pretrained import networks

BATCH, STEPS, VECTORS = 32, 5, 6


def plain_way(base, cohort, generator):
    pipeline, tokens, _, rows = prepare(base, None, cohort, VECTORS, 'measured', 0)
    pipeline.unet.set_attn_processor(AttnProcessor2_0())
    pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer), mean_resizing=False)
    table, schedule = (
        pipeline.text_encoder.get_input_embeddings().weight.requires_grad_(True),
        networks.make_noise(),
    )
    table.data[-len(rows) :] = rows
    foreign, optimiser = table.data[: -len(rows)].clone(), torch.optim.AdamW([table], 1e-2)

    def step():
        pick = torch.randint(len(cohort), (BATCH,), generator=generator).numpy()
        prompts = [
            pipeline.maybe_convert_prompt(
                learned_tokens.TEMPLATES[i % 4].format(tokens[k]), pipeline.tokenizer
            )
            for i, k in enumerate(cohort.labels[pick])
        ]
        ids = pipeline.tokenizer(
            prompts, padding='max_length', truncation=True, return_tensors='pt'
        ).input_ids
        latents = (
            pipeline.vae.encode(networks.to_rgb_input(cohort.images[pick])).latent_dist.sample().detach()
            * pipeline.vae.config.scaling_factor
        )
        noise, t = (
            torch.randn(latents.shape, generator=generator),
            torch.randint(1000, (BATCH,), generator=generator),
        )
        predicted = pipeline.unet(
            schedule.add_noise(latents, noise, t), t, pipeline.text_encoder(ids)[0]
        ).sample
        F.mse_loss(predicted, schedule.get_velocity(latents, noise, t)).backward()
        optimiser.step()
        optimiser.zero_grad()
        table.data[: -len(rows)] = foreign

    return step


def our_way(base, cohort, generator):
    pipeline, tokens, _, rows = prepare(base, None, cohort, VECTORS, 'measured', 0)
    new = torch.nn.Embedding.from_pretrained(rows, freeze=False)
    lessons = learned_tokens.InversionData(pipeline, cohort, tokens, learned_tokens.TEMPLATES, turns=False)
    optimiser = torch.optim.AdamW(new.parameters(), 1e-2, fused=True)

    def step():
        with learned_tokens.with_learned_tokens(pipeline, new):
            lessons.loss(BATCH, generator).backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def test_a_step_of_textual_inversion(benchmark):
    cohort, generator = plan.draw('dev', (40, 20, 40), seed=9), torch.Generator().manual_seed(0)
    plain, ours = (way('natural', cohort, generator) for way in (plain_way, our_way))

    def times(step):
        return lambda: [step() for _ in range(STEPS)]

    compare(benchmark, times(ours), times(plain), label=f'Textual Inversion, {STEPS} steps of {BATCH}')
