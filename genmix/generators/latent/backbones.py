"""The pretrained models that fine-tuning starts from, behind one door: latents in, a prediction for lesions of a class out.

`natural` and `mixed` are the small base of this package (genmix.base).  Anything else is the name of a repository of the Hugging Face Hub, or a
folder in its layout, with a StableDiffusionPipeline, told the class in words, or a DiTPipeline, told it by a label of ImageNet.
"""

import torch
import torch.nn as nn

from genmix import StudyError
from genmix.data.images import resize_uint8
from genmix.generators.latent import loss
from genmix.generators.pretrained import networks, shipped
from genmix.run.device import DEVICE

PROMPT = 'a picture of a {}'
CONDITION_LR_SCALE = 30  # learned parts of a condition count so many times: their learning rate is that of the weights times this


class PromptConditioned(nn.Module):
    """A U-Net that reads, forward(x, t, labels): each class is the encoding of a prompt, computed once by the frozen text encoder, plus what training adds to it.

    A base that has never seen the class names encodes them nearly alike; left as they are, the denoiser can hardly tell the classes apart.
    """

    def __init__(self, denoiser, conditions):
        super().__init__()
        self.denoiser, self.added = denoiser, nn.Parameter(torch.zeros_like(conditions))
        self.register_buffer('said', conditions, persistent=False)

    def forward(self, x, t, labels):
        return self.denoiser(x, t, (self.said + CONDITION_LR_SCALE * self.added)[labels]).sample


class ClassConditioned(nn.Module):
    """A transformer that knows labels, forward(x, t, labels)."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser
        for module in denoiser.modules():
            if hasattr(module, 'dropout_prob'):
                module.dropout_prob = 0.0  # labels are dropped by the training, not by the network

    def forward(self, x, t, labels):
        return self.denoiser(x, t, class_labels=labels).sample[
            :, : self.denoiser.config.in_channels
        ]  # the rest are variances


class Base:
    """A pretrained latent diffusion model whose `net` is to be fine-tuned on classes 0 to K - 1; label K means no class, for guidance.

    net         Told or Labelled; autoencoder   of diffusers      side   of its images [px]      shape   of its latents (C, h, w)
    schedule           DDPMScheduler of its training
    """

    def __init__(self, denoiser, pipeline):
        self.net, self.autoencoder = self.told(denoiser), pipeline.vae
        self.schedule = training_schedule(pipeline.scheduler)
        self.sampler = loss.sampler(self.schedule)
        size = denoiser.config.sample_size
        self.shape = (denoiser.config.in_channels, size, size)
        self.side = size * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)

    def guided(self, net, labels, guidance):
        """predict(x, t) with classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598): none + guidance * (class - none); 1 needs no second pass."""
        if guidance == 1:
            return lambda x, t: net(x, t, labels)
        both = torch.cat([labels, torch.full_like(labels, self.none)])

        def predict(x, t):
            of_class, of_none = net(torch.cat([x, x]), torch.cat([t, t]), both).float().chunk(2)
            return of_none + guidance * (of_class - of_none)

        return predict

    def encode(self, images):
        """uint8 (n, H, W) -> latents float32, by way of the side it was trained at."""
        return networks.encode(self.autoencoder, resize_uint8(images, self.side))

    def decode(self, latents, side):
        """Latents -> uint8 (n, side, side)."""
        return resize_uint8(networks.decode(self.autoencoder, latents), side)


class PromptBase(Base):
    """A base that is told the class in words: `prompts`, one a class, or PROMPT with the names."""

    def __init__(self, pipeline, names, prompts=()):
        said = [*(prompts or (PROMPT.format(name) for name in names)), '']
        if len(said) != len(names) + 1:
            raise StudyError(
                f'{len(prompts)} prompts for {len(names)} classes: give one for each of {", ".join(names)}.'
            )
        self.none, self.conditions = len(names), encode_prompts(pipeline, said)
        super().__init__(networks.plain_attention(pipeline.unet), pipeline)

    def told(self, denoiser):
        return PromptConditioned(denoiser, self.conditions)


class ClassBase(Base):
    """A base that is told a label of ImageNet (DiT, Peebles & Xie 2023, arXiv 2212.09748): class k begins as its label k, "none" as the row it kept for that."""

    def __init__(self, pipeline, names, prompts=()):
        if prompts:
            raise StudyError('This base is told labels, not words: leave "prompts" empty.')
        self.none = pipeline.transformer.config.num_embeds_ada_norm
        super().__init__(pipeline.transformer, pipeline)

    def told(self, denoiser):
        return ClassConditioned(denoiser)


def open_base(base, names, prompts=(), revision=None):
    """The Base called `base` for classes `names`: Words or Labels.  StudyError where it cannot be had, or is of another kind."""
    if base in shipped.VARIANTS:
        return PromptBase(shipped.load(base), names, prompts)
    pipeline = from_hub(base, revision)
    kinds = {'StableDiffusionPipeline': PromptBase, 'DiTPipeline': ClassBase}
    if type(pipeline).__name__ not in kinds:
        raise StudyError(
            f'"{base}" is a {type(pipeline).__name__}: choose a {" or a ".join(kinds)}, or one of {", ".join(shipped.VARIANTS)}.'
        )
    pipeline.vae.requires_grad_(False)
    return kinds[type(pipeline).__name__](pipeline.to(DEVICE), names, prompts)


def from_hub(name, revision=None):
    """The pipeline of a repository or folder, safetensors only.  StudyError with the command that brings it when it cannot be loaded."""
    from diffusers import DiffusionPipeline

    extras = {'safety_checker': None, 'requires_safety_checker': False}
    try:
        with networks.quietly():
            try:
                pipeline = DiffusionPipeline.from_pretrained(
                    name, revision=revision, use_safetensors=True, **extras
                )
            except (TypeError, ValueError):
                pipeline = DiffusionPipeline.from_pretrained(name, revision=revision, use_safetensors=True)
    except (OSError, ValueError, ConnectionError) as error:
        raise StudyError(
            f'The base "{name}" (parameter "base") could not be loaded ({type(error).__name__}): where the network is closed, run '
            f'`hf download {name}` on a machine that has it and give the folder, or choose "natural" or "mixed".'
        ) from None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def training_schedule(scheduler):
    """The noise schedule of a pipeline as a DDPMScheduler, whatever it is sampled with."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(scheduler.config)


@torch.no_grad()
def encode_prompts(pipeline, prompts):
    """What the text encoder makes of each prompt: float32 (n, tokens, d)."""
    ids = pipeline.tokenizer(
        list(prompts),
        padding='max_length',
        truncation=True,
        max_length=pipeline.tokenizer.model_max_length,
        return_tensors='pt',
    ).input_ids
    return pipeline.text_encoder(ids.to(DEVICE))[0].float()
