"""The frozen text-to-image model of Textual Inversion: opening it, its fingerprint, image to image."""

import hashlib

import numpy as np
import torch

from genmix import StudyError
from genmix.data.images import resize_uint8, to_uint8
from genmix.generators.latent.backbones import from_hub
from genmix.generators.latent.loss import training_schedule
from genmix.generators.pretrained import networks, shipped
from genmix.run.device import autocast
from genmix.run.gpu import in_parts


def open_pipeline(base, revision):
    """The StableDiffusionPipeline of a base, frozen, with DPM-Solver++.

    Raises StudyError where it cannot be loaded, or is conditioned on something else than prompts.
    """
    pipeline = shipped.load(base) if base in shipped.VARIANTS else from_hub(base, revision)
    if type(pipeline).__name__ != 'StableDiffusionPipeline':
        raise StudyError(
            f'"{base}" is a {type(pipeline).__name__}, which reads no prompts of one text encoder: '
            f'choose a StableDiffusionPipeline, or one of {", ".join(shipped.VARIANTS)}.'
        )
    pipeline.scheduler = networks.make_sampler(training_schedule(pipeline.scheduler))
    for module in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        module.eval().requires_grad_(False)
    return networks.to_device(pipeline)


def fingerprint(pipeline):
    """SHA-256 over every weight of autoencoder, denoiser and text encoder, its token embedding included."""
    digest = hashlib.sha256()
    for module in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def side_of(pipeline):
    """Side in pixels of the images that a pipeline was trained on."""
    return networks.image_side(pipeline.unet, pipeline.vae)


def batch_size_of(pipeline):
    """How many images to encode or sample in one batch."""
    return 64 if side_of(pipeline) <= 128 else 8


def image_to_image(pipeline, prompts, parents, steps, guidance, strength, seed):
    """Parents uint8 (n, H, W), noised to the share `strength` of the way and denoised under one prompt each.

    Returns uint8 (n, side, side).  It takes `strength` of the steps, rounded down, and at least one.
    """
    from diffusers import StableDiffusionImg2ImgPipeline

    strength = max(strength, (1 + 1e-6) / steps)
    pipe = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    x, generator = resize_uint8(parents, side_of(pipeline)), torch.Generator().manual_seed(seed)

    def images(part):
        with autocast():
            y = pipe(
                prompts[part],
                networks.to_rgb_input(x[part].copy()),
                strength,
                num_inference_steps=steps,
                guidance_scale=guidance,
                output_type='pt',
                generator=generator,
            ).images
        return to_uint8(y * 2 - 1)

    return np.concatenate(in_parts(images, len(x), batch_size_of(pipeline), generator))
