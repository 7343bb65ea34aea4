"""What every latent denoiser shares, whatever it is conditioned on: its training loss and its sampler."""

import torch

from genmix.run.device import DEVICE, autocast, send


def denoising_loss(predict, schedule, latents, generator, min_snr=0.0, part=slice(None)):
    """Mean squared error of a denoiser at random times for latents float32 (n, C, h, w) on the CPU: scalar.

    predict   predict(noisy, t) -> (n, C, h, w), what the schedule says it predicts: the noise, or the
              velocity sqrt(a) noise - sqrt(1 - a) x (Salimans & Ho 2022)
    schedule  a DDPMScheduler
    min_snr   gamma of min-SNR weights (Hang et al. 2023, arXiv 2303.09556): min(snr, gamma) / snr on noise,
              / (snr + 1) on velocity; 0: off
    part      rows of the batch that this process predicts, where several share it; noise and times are drawn
              for all
    """
    n, of_velocity = len(latents), schedule.config.prediction_type == 'v_prediction'
    epsilon = torch.randn(latents.shape, generator=generator)
    t = torch.randint(schedule.config.num_train_timesteps, (n,), generator=generator)
    latents, epsilon, t = latents[part], epsilon[part], t[part]
    noisy = send(schedule.add_noise(latents, epsilon, t))
    target = send(schedule.get_velocity(latents, epsilon, t) if of_velocity else epsilon)
    with autocast():
        predicted = predict(noisy, send(t))
    error = (predicted.float() - target).square().mean((1, 2, 3))
    if min_snr:
        snr = schedule.alphas_cumprod[t] / (1 - schedule.alphas_cumprod[t])
        error = error * send(snr.clamp(max=min_snr) / (snr + of_velocity))
    return error.mean()


def training_schedule(scheduler):
    """The noise schedule of a pipeline as a DDPMScheduler, whatever it is sampled with."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(scheduler.config)


@torch.no_grad()
def sample_latents(predict, scheduler, noise, steps):
    """Latents (n, C, h, w) from `noise` of that shape, by a scheduler of diffusers; `predict` as above."""
    scheduler.set_timesteps(steps)
    x = noise.to(DEVICE) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        with autocast():
            predicted = predict(scheduler.scale_model_input(x, t), t.to(DEVICE).expand(len(x)))
        x = scheduler.step(predicted.float(), t, x).prev_sample
    return x
