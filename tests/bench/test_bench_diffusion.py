"""Fine-tuning: our step beside the plain loop of an example script.

That one encodes images and prompts in every step, with diffusers' own attention, in fp32.
"""

import torch
from conftest import config_of
from diffusers.models.attention_processor import AttnProcessor2_0
from test_speed import compare

from genmix.data.phantom import plan
from genmix.generators.latent import backbones
from genmix.generators.latent.diffusion import Diffusion
from genmix.generators.latent.fine_tuning import fine_tuning_loss
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
        latents = pipeline.vae.encode(networks.to_rgb_input(images)).latent_dist.mean
        latents = latents * pipeline.vae.config.scaling_factor
        ids = pipeline.tokenizer(
            prompts, padding='max_length', truncation=True, return_tensors='pt'
        ).input_ids
        words = pipeline.text_encoder(ids)[0]
    noise = torch.randn(latents.shape, generator=generator)
    t = torch.randint(1000, (len(latents),), generator=generator)
    noisy = schedule.add_noise(latents, noise, t)
    return (pipeline.unet(noisy, t, words).sample - schedule.get_velocity(latents, noise, t)).square().mean()


def test_fine_tuning_step(benchmark):
    cohort = plan.draw('dev', (40, 20, 40), seed=9)
    pipeline, generator = shipped.load('natural'), torch.Generator().manual_seed(0)
    pipeline.unet.set_attn_processor(AttnProcessor2_0())
    prompts = [backbones.PROMPT.format(name) for name in cohort.class_names]
    plain_step, schedule = trainer(pipeline.unet), networks.make_noise_schedule()

    def plain():
        for _ in range(STEPS):
            rows = torch.randint(len(cohort), (BATCH,), generator=generator).numpy()
            own = [prompts[k] for k in cohort.labels[rows]]
            plain_step(plain_loss(pipeline, cohort.images[rows], own, schedule, generator))

    base = backbones.open_base('natural', cohort.class_names)
    config = config_of(Diffusion, batch_size=BATCH, d4_augmentation=False, scratch=False)
    loss_of = fine_tuning_loss(base, base.net.eval(), cohort, config)
    our_step = trainer(base.net)

    def ours():
        for _ in range(STEPS):
            our_step(loss_of(generator))

    compare(benchmark, ours, plain, label=f'fine-tuning, {STEPS} steps of {BATCH}')
