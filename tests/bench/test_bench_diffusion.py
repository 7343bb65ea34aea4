"""Fine-tuning: our step beside the plain loop of an example script: images and prompts encoded in every step, diffusers' own attention, fp32."""

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from test_speed import compare

from genmix.data.phantom import plan
from genmix.generators.latent import backbones
from genmix.generators.latent.diffusion import Diffusion
from genmix.generators.pretrained import networks, shipped

BATCH, STEPS = 32, 5


def trainer(net):
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3)

    def step(loss):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def plain_loss(pipeline, images, prompts, schedule, generator):
    """What one writes in ten minutes."""
    with torch.no_grad():
        latents = (
            pipeline.vae.encode(networks.to_rgb_input(images)).latent_dist.mean
            * pipeline.vae.config.scaling_factor
        )
        ids = pipeline.tokenizer(
            prompts, padding='max_length', truncation=True, return_tensors='pt'
        ).input_ids
        words = pipeline.text_encoder(ids)[0]
    noise, t = (
        torch.randn(latents.shape, generator=generator),
        torch.randint(1000, (len(latents),), generator=generator),
    )
    noisy = schedule.add_noise(latents, noise, t)
    return (pipeline.unet(noisy, t, words).sample - schedule.get_velocity(latents, noise, t)).square().mean()


def test_fine_tuning_step(benchmark):
    cohort = plan.draw('dev', (40, 20, 40), seed=9)
    pipeline, generator = shipped.load('natural'), torch.Generator().manual_seed(0)
    pipeline.unet.set_attn_processor(AttnProcessor2_0())
    prompts = [backbones.PROMPT.format(name) for name in cohort.class_names]
    plain_step, schedule = trainer(pipeline.unet), networks.make_noise()

    def plain():
        for _ in range(STEPS):
            rows = torch.randint(len(cohort), (BATCH,), generator=generator)
            images, said = cohort.images[rows.numpy()], [prompts[k] for k in cohort.labels[rows.numpy()]]
            plain_step(plain_loss(pipeline, images, said, schedule, generator))

    found = backbones.open_base('natural', cohort.class_names)
    model = Diffusion(found, found.net, {})
    loss_of = model.loss(cohort, BATCH, 0.1, 0.0, False, None)
    our_step = trainer(found.net)

    def ours():
        for _ in range(STEPS):
            our_step(loss_of(generator))

    compare(benchmark, ours, plain, label=f'fine-tuning, {STEPS} steps of {BATCH}')
