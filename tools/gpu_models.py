"""Random weights in the shapes of the paper profile's hub models, for measurements without a hub.

python -m tools.gpu_models FOLDER      writes FOLDER/sd and FOLDER/dit (7 GB), in the layout of diffusers
"""

import sys
from pathlib import Path

import torch

from genmix.generators.pretrained import captions, networks
from genmix.run.device import DEVICE


def stable_diffusion_vae(size):
    """The autoencoder of Stable Diffusion 1.5, for pictures of `size` pixels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=('DownEncoderBlock2D',) * 4,
        up_block_types=('UpDecoderBlock2D',) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        sample_size=size,
    ).requires_grad_(False)


def stable_diffusion():
    """A frozen pipeline in the shapes of Stable Diffusion 1.5, with the tokenizer of the shipped base."""
    from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    tokenizer = captions.make_tokenizer(77)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule='scaled_linear')
    with torch.device(DEVICE):  # initial weights of a billion numbers, drawn where they are needed
        parts = {
            'vae': stable_diffusion_vae(512),
            'unet': UNet2DConditionModel(cross_attention_dim=768, sample_size=64).requires_grad_(False),
            'text_encoder': CLIPTextModel(text).requires_grad_(False),
        }
    pipeline = StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizer,
        scheduler=schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.scheduler = networks.make_sampler(pipeline.scheduler)
    return networks.to_device(pipeline)


def diffusion_transformer():
    """A pipeline in the shapes of DiT-XL/2 for 256 px."""
    from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    torch.manual_seed(0)
    with torch.device(DEVICE):
        net = DiTTransformer2DModel(out_channels=8, num_layers=28, sample_size=32)
        vae = stable_diffusion_vae(256)
    return DiTPipeline(net, vae, DDIMScheduler(num_train_timesteps=1000, clip_sample=False)).to(DEVICE)


if __name__ == '__main__':
    for name, pipeline in (('sd', stable_diffusion), ('dit', diffusion_transformer)):
        pipeline().save_pretrained(Path(sys.argv[1]) / name)
