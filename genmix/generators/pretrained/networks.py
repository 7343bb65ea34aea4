"""The networks of the base, all ordinary classes of diffusers and transformers, and the pipeline of them.

Latent diffusion (Rombach et al. 2022): an autoencoder takes 64 px to 16 x 16 latents, a U-Net denoises them,
conditioned on prompts through a small CLIP-like text encoder.  v-prediction with zero terminal SNR (Salimans
& Ho 2022; Lin et al. 2024), so that black and white pictures can be sampled; DPM-Solver++ for sampling (Lu et
al. 2022).
"""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from genmix.data.images import to_uint8, to_unit
from genmix.generators.pretrained.captions import LENGTH
from genmix.run.device import DEVICE, autocast, bf16_pays
from genmix.run.gpu import in_parts

# Files of weights, as diffusers and transformers name them.
WEIGHTS = {'unet': 'diffusion_pytorch_model.safetensors', 'text_encoder': 'model.safetensors'}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large the networks are: channels of each level, from fine to coarse."""

    image: int  # side of the pictures [px]
    latent_channels: int
    autoencoder: tuple
    denoiser: tuple
    text: int
    text_layers: int
    groups: int  # of group norm; divides every number of channels


def make_autoencoder(size):
    """AutoencoderTiny for RGB, as all pipelines expect: gray goes in three times and comes out as the mean.

    Its latents are the denoiser's over `scaling_factor`, for its decoder squeezes what lies beyond 3.
    """
    from diffusers import AutoencoderTiny

    coarser = len(size.autoencoder) - 1
    return AutoencoderTiny(
        encoder_block_out_channels=size.autoencoder,
        decoder_block_out_channels=size.autoencoder,
        num_encoder_blocks=(0, *[1] * coarser),
        num_decoder_blocks=(*[2] * coarser, 1),
        latent_channels=size.latent_channels,
        scaling_factor=2.0,
    )


def make_denoiser(size):
    """UNet2DConditionModel, whose levels cost about alike.

    The prompt comes in on two ways: the coarsest level attends to its tokens, and a pooled encoding joins
    that of the time, which scales and shifts the features of each level.  With the first alone a denoiser of
    this size heeded nouns only after many times the samples.
    """
    from diffusers import UNet2DConditionModel

    finer = len(size.denoiser) - 1
    return UNet2DConditionModel(
        sample_size=size.image // 2 ** (len(size.autoencoder) - 1),
        in_channels=size.latent_channels,
        out_channels=size.latent_channels,
        layers_per_block=1,
        block_out_channels=size.denoiser,
        down_block_types=(*('DownBlock2D',) * finer, 'CrossAttnDownBlock2D'),
        up_block_types=('CrossAttnUpBlock2D', *('UpBlock2D',) * finer),
        cross_attention_dim=size.text,
        attention_head_dim=4,
        addition_embed_type='text',
        addition_embed_type_num_heads=8,
        resnet_time_scale_shift='scale_shift',
        norm_num_groups=size.groups,
    )


def make_text_encoder(size, tokenizer):
    """CLIPTextModel for the vocabulary of `tokenizer`."""
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


def make_noise_schedule():
    """The noise schedule of training, a DDPMScheduler."""
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


def make_sampler(schedule):
    """Second-order DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095) for the noise schedule of a training."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler.from_config(
        schedule.config, algorithm_type='dpmsolver++', solver_order=2
    )


def make_pipeline(autoencoder, denoiser, text_encoder, tokenizer):
    """A StableDiffusionPipeline with a DPM-Solver++ scheduler."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=denoiser,
        scheduler=make_sampler(make_noise_schedule()),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return to_device(pipeline)


def plain_attention(denoiser):
    """The denoiser, on a CPU with plain attention: in bfloat16 twice as fast there as diffusers' default."""
    from diffusers.models.attention_processor import AttnProcessor

    if DEVICE.type == 'cpu':
        denoiser.set_attn_processor(AttnProcessor())
    return denoiser.to(memory_format=torch.contiguous_format)


def for_sampling(denoiser):
    """The denoiser as it is fastest where its weights are not trained.

    On a CPU without bfloat16 units: fused attention and channels last, which take .82 to .95 of the time of
    `plain_attention` with AVX2 and as long with AVX-512.  With these units they take .97 to 1.18 of it.
    """
    from diffusers.models.attention_processor import AttnProcessor2_0

    if DEVICE.type != 'cpu' or bf16_pays():
        return plain_attention(denoiser)
    denoiser.set_attn_processor(AttnProcessor2_0())
    return denoiser.to(memory_format=torch.channels_last)


def to_device(pipeline):
    """The pipeline on this machine's device, quiet, ready for sampling."""
    for_sampling(pipeline.unet)
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
    """No progress bars of diffusers and transformers while weights are read or written, and no warnings.

    AutoencoderTiny warns at every loading of an entry that it wrote into its own config.
    """
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    shown = [log for log in (diffusers_log, transformers_log) if log.is_progress_bar_enabled()]
    for log in shown:
        log.disable_progress_bar()
    level = diffusers_log.get_verbosity()
    diffusers_log.set_verbosity_error()
    try:
        yield
    finally:
        diffusers_log.set_verbosity(level)
        for log in shown:
            log.enable_progress_bar()


def image_side(denoiser, autoencoder):
    """Side in pixels of the images that a denoiser of latents was trained on."""
    return denoiser.config.sample_size * 2 ** (len(autoencoder.config.block_out_channels) - 1)


def to_rgb_input(images, channels=3):
    """uint8 (n, H, W) -> float (n, channels, H, W) in [-1, 1], gray repeated."""
    return to_unit(torch.as_tensor(images)[:, None]).expand(-1, channels, -1, -1)


@torch.inference_mode()
def encode(autoencoder, images, batch_size=64):
    """Images uint8 (n, H, W) -> latents float32 (n, C, h, w): means, scaled for the denoiser."""
    images = torch.as_tensor(images)

    def encoded(part):
        with autocast():
            x = to_rgb_input(images[part]).to(DEVICE)
            found = autoencoder.encode(x)
        latents = found.latents if hasattr(found, 'latents') else found.latent_dist.mean
        return latents.float().cpu()

    parts = in_parts(encoded, len(images), batch_size)
    return torch.cat(parts).clone() * autoencoder.config.scaling_factor


@torch.inference_mode()
def decode(autoencoder, latents, batch_size=64):
    """Latents as `encode` gives them -> images uint8 (n, H, W)."""
    scale = autoencoder.config.scaling_factor

    def images(part):
        with autocast():
            return to_uint8(autoencoder.decode(latents[part].to(DEVICE) / scale).sample)

    return np.concatenate(in_parts(images, len(latents), batch_size))


def sample_images(pipeline, prompts, steps=15, guidance=3.0, seed=0, batch_size=64):
    """One image per prompt: uint8 (n, H, W).  The same seed, prompts and batch size give the same images."""
    generator = torch.Generator().manual_seed(seed)

    def images(part):
        with autocast():
            x = pipeline(
                list(prompts[part]),
                num_inference_steps=steps,
                guidance_scale=guidance,
                output_type='pt',
                generator=generator,
            ).images
        return to_uint8(x * 2 - 1)

    return np.concatenate(in_parts(images, len(prompts), batch_size, generator))
