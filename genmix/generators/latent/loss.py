"""What every denoiser of latents shares, whatever tells it what to paint: the loss it learns from and the way it is sampled."""

import torch

from genmix.run.device import DEVICE, autocast


def denoising_loss(predict, schedule, latents, generator, min_snr=0.0, part=slice(None)):
    """Mean squared error of a denoiser at random times, for latents float32 (n, C, h, w) on the CPU.

    predict   predict(noisy, t) -> (n, C, h, w) what the schedule says it predicts: noise, or the velocity sqrt(a) noise - sqrt(1 - a) x
              (Salimans & Ho 2022)
    schedule  a DDPMScheduler
    min_snr   gamma of min-SNR weighting (Hang et al. 2023, arXiv 2303.09556): min(snr, gamma) / snr on noise, / (snr + 1) on velocity; 0: off
    part      the rows of the batch that this process predicts, where several share it; noise and times are drawn for all
    """
    n, of_velocity = len(latents), schedule.config.prediction_type == 'v_prediction'
    epsilon = torch.randn(latents.shape, generator=generator)
    t = torch.randint(schedule.config.num_train_timesteps, (n,), generator=generator)
    latents, epsilon, t = latents[part], epsilon[part], t[part]
    noisy = schedule.add_noise(latents, epsilon, t).to(DEVICE)
    target = (schedule.get_velocity(latents, epsilon, t) if of_velocity else epsilon).to(DEVICE)
    with autocast():
        predicted = predict(noisy, t.to(DEVICE))
    error = (predicted.float() - target).square().mean((1, 2, 3))
    if min_snr:
        snr = schedule.alphas_cumprod[t] / (1 - schedule.alphas_cumprod[t])
        error = error * (snr.clamp(max=min_snr) / (snr + of_velocity)).to(DEVICE)
    return error.mean()


def sampler(schedule):
    """A DPM-Solver++ scheduler (Lu et al. 2022, arXiv 2211.01095) of second order for the noise schedule of a training."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler.from_config(
        schedule.config, algorithm_type='dpmsolver++', solver_order=2
    )


@torch.no_grad()
def sample_latents(predict, scheduler, noise, steps):
    """Latents (n, C, h, w) from `noise` of that shape, by `steps` steps of a diffusers scheduler; `predict` as for the loss."""
    scheduler.set_timesteps(steps)
    x = noise.to(DEVICE) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        with autocast():
            predicted = predict(scheduler.scale_model_input(x, t), t.to(DEVICE).expand(len(x)))
        x = scheduler.step(predicted.float(), t, x).prev_sample
    return x
