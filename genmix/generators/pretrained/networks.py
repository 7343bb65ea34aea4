"""The networks of the base, all genuine classes of diffusers and transformers, and the pipeline that they make.

Latent diffusion (Rombach et al. 2022): an autoencoder takes 64 px to 16 x 16 latents, a U-Net denoises them under the words of a small
CLIP-like text encoder.  v-prediction with zero terminal SNR (Salimans & Ho 2022; Lin et al. 2024), so that black and white pictures
can be drawn; DPM-Solver++ for sampling (Lu et al. 2022).
"""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn

from genmix.data.images import to_uint8, to_unit
from genmix.generators.pretrained.captions import LENGTH
from genmix.run.device import DEVICE, autocast


@dataclass(frozen=True)
class Size:
    """How large the networks are: channels from fine to coarse, three levels each."""

    image: int = 64
    latent_channels: int = 8
    autoencoder: tuple = (16, 32, 48)
    denoiser: tuple = (48, 64, 96)
    text: int = 128
    text_layers: int = 2
    groups: int = 8  # of group norm; divides every number of channels


def make_autoencoder(size):
    """AutoencoderKL with an RGB door, as all pipelines expect: gray goes in three times, comes out as their mean."""
    from diffusers import AutoencoderKL
    from diffusers.models.resnet import ResnetBlock2D

    net = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=('DownEncoderBlock2D',) * 3,
        up_block_types=('UpDecoderBlock2D',) * 3,
        block_out_channels=size.autoencoder,
        layers_per_block=1,
        latent_channels=size.latent_channels,
        norm_num_groups=size.groups,
        sample_size=size.image,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )
    for block in net.modules():
        if isinstance(block, ResnetBlock2D):  # begins as the identity, which bears a higher learning rate
            nn.init.zeros_(block.conv2.weight)
    n = size.latent_channels
    nn.init.zeros_(
        net.quant_conv.weight[n:]
    )  # latents begin nearly without noise: at its usual strength of 1
    nn.init.constant_(
        net.quant_conv.bias[n:], -8.0
    )  # detail drowned in it, and was learned only after thousands of steps
    return net


def make_denoiser(size):
    """UNet2DConditionModel; words enter at 8 x 8 and 4 x 4."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=size.image // 4,
        in_channels=size.latent_channels,
        out_channels=size.latent_channels,
        layers_per_block=1,
        block_out_channels=size.denoiser,
        down_block_types=('DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'),
        up_block_types=('CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'),
        cross_attention_dim=size.text,
        attention_head_dim=4,
        norm_num_groups=size.groups,
    )


def make_text_encoder(size, tokenizer):
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.text,
            intermediate_size=2 * size.text,
            num_hidden_layers=size.text_layers,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            projection_dim=size.text,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            attn_implementation='eager',
        )
    )


def make_noise():
    """The noise schedule of training; its configuration also makes the sampler's."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule='scaled_linear',
        prediction_type='v_prediction',
        clip_sample=False,
        rescale_betas_zero_snr=True,
        timestep_spacing='trailing',
        steps_offset=1,
    )


def make_pipeline(autoencoder, denoiser, text_encoder, tokenizer):
    """A StableDiffusionPipeline with a DPM-Solver++ scheduler."""
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    scheduler = DPMSolverMultistepScheduler.from_config(
        make_noise().config, algorithm_type='dpmsolver++', solver_order=2
    )
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=denoiser,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return to_device(pipeline)


def plain_attention(denoiser):
    """The denoiser, on a CPU with attention written out: under bfloat16 twice as fast there as diffusers' default."""
    from diffusers.models.attention_processor import AttnProcessor

    if DEVICE.type == 'cpu':
        denoiser.set_attn_processor(AttnProcessor())
    return denoiser


def to_device(pipeline):
    """The pipeline on this machine's device, quiet, with plain attention."""
    plain_attention(pipeline.unet)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(DEVICE)


def load_pipeline(folder):
    """The pipeline that was saved in `folder`, in float32."""
    from diffusers import StableDiffusionPipeline

    with quietly():
        return to_device(
            StableDiffusionPipeline.from_pretrained(folder, local_files_only=True, low_cpu_mem_usage=False)
        )


@contextmanager
def quietly():
    """No progress bars of diffusers and transformers while weights are read or written."""
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    shown = [log for log in (diffusers_log, transformers_log) if log.is_progress_bar_enabled()]
    for log in shown:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in shown:
            log.enable_progress_bar()


def to_rgb_input(images, channels=3):
    """uint8 (n, H, W) -> float (n, channels, H, W) in [-1, 1], gray repeated."""
    return to_unit(torch.as_tensor(images)[:, None]).expand(-1, channels, -1, -1)


@torch.inference_mode()
def encode(autoencoder, images, batch_size=64):
    """Images uint8 (n, H, W) as latents float32 (n, C, H / 4, W / 4), the means of the autoencoder, scaled as the denoiser takes them."""
    parts = []
    for part in torch.as_tensor(images).split(batch_size):
        with autocast():
            parts.append(autoencoder.encode(to_rgb_input(part).to(DEVICE)).latent_dist.mean.float().cpu())
    return torch.cat(parts).clone() * autoencoder.config.scaling_factor


@torch.inference_mode()
def decode(autoencoder, latents, batch_size=64):
    """Latents as `encode` gives them back to images uint8 (n, H, W)."""
    parts = []
    for part in latents.split(batch_size):
        with autocast():
            parts.append(
                to_uint8(autoencoder.decode(part.to(DEVICE) / autoencoder.config.scaling_factor).sample)
            )
    return np.concatenate(parts)


@torch.no_grad()
def standardise(autoencoder, images, floor=0.01):
    """Turn and scale the latents of `images` so that their channels are uncorrelated, with mean 0 and standard deviation 1; images come back as before.

    Otherwise every channel is mostly brightness, and the denoiser's loss hardly sees grain.  Directions with less than `floor` of the
    strongest one's variance are scaled as if they had that much: they stay weaker than 1, for much of them is rounding.  The first and last
    1 x 1 convolutions around the latents take the change; the spread that the encoder states becomes its mean over some images.
    """
    latents = encode(autoencoder, images) / autoencoder.config.scaling_factor
    last, first, n = autoencoder.quant_conv, autoencoder.post_quant_conv, latents.shape[1]
    rows = latents.transpose(0, 1).flatten(1).double()
    variance, directions = torch.linalg.eigh(rows.cov())
    turn = (
        directions.T.flip(0) / variance.flip(0).clamp(min=floor * variance.max()).sqrt()[:, None]
    )  # strongest first
    back, mean, turn = (t.float().to(DEVICE) for t in (turn.inverse(), rows.mean(1), turn))
    spread = turn.square() @ autoencoder.encode(to_rgb_input(images[:256]).to(DEVICE)).latent_dist.var.mean(
        (0, 2, 3)
    )
    first.bias += first.weight[:, :, 0, 0] @ mean
    first.weight.copy_((first.weight[:, :, 0, 0] @ back)[:, :, None, None])
    last.bias[:n] = turn @ (last.bias[:n] - mean)
    last.weight[:n] = (turn @ last.weight[:n, :, 0, 0])[:, :, None, None]
    last.bias[n:], last.weight[n:] = spread.log(), 0
    autoencoder.register_to_config(scaling_factor=1.0)


def sample_images(pipeline, prompts, steps=15, guidance=3.0, seed=0, batch_size=64):
    """One image for each prompt: uint8 (n, H, W).  The same seed, prompts and batch size give the same images."""
    parts, generator = [], torch.Generator().manual_seed(seed)
    for i in range(0, len(prompts), batch_size):
        with autocast():
            x = pipeline(
                list(prompts[i : i + batch_size]),
                num_inference_steps=steps,
                guidance_scale=guidance,
                output_type='pt',
                generator=generator,
            ).images
        parts.append(to_uint8(x * 2 - 1))
    return np.concatenate(parts)
