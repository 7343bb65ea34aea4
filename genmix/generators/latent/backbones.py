"""The pretrained models that fine-tuning starts from, with one interface: images, latents, predictions.

`natural` and `mixed` are the small base of this package (genmix.generators.pretrained).  Anything else is a
repository of the Hugging Face Hub, or a folder in its layout, with a StableDiffusionPipeline, conditioned on
prompts, or a DiTPipeline, conditioned on labels of ImageNet.
"""

import torch
import torch.nn as nn

from genmix import StudyError
from genmix.data.images import resize_uint8
from genmix.generators.latent.loss import training_schedule
from genmix.generators.pretrained import networks, shipped
from genmix.run.device import DEVICE

PROMPT = 'a picture of a {}'
CONDITION_LR_SCALE = 30  # the learning rate of learned conditions is that of the weights times this


class PromptConditioned(nn.Module):
    """A U-Net conditioned on prompts, forward(x, t, labels).

    The condition of a class is the encoding of its prompt, computed once by the frozen text encoder, plus a
    learned part that starts at zero: a base that has never seen the class names encodes them nearly alike.
    """

    def __init__(self, denoiser, encodings):
        super().__init__()
        self.denoiser, self.added = denoiser, nn.Parameter(torch.zeros_like(encodings))
        self.register_buffer('encodings', encodings, persistent=False)

    def forward(self, x, t, labels):
        return self.denoiser(x, t, (self.encodings + CONDITION_LR_SCALE * self.added)[labels]).sample


class ClassConditioned(nn.Module):
    """A transformer conditioned on labels, forward(x, t, labels)."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser
        for module in denoiser.modules():
            if hasattr(module, 'dropout_prob'):
                module.dropout_prob = 0.0  # the training drops conditions, not the network

    def forward(self, x, t, labels):
        both = self.denoiser(x, t, class_labels=labels).sample
        return both[:, : self.denoiser.config.in_channels]  # the other channels are variances


class Base:
    """A pretrained latent diffusion model whose `net` is fine-tuned on classes 0 to K - 1.

    net          PromptConditioned or ClassConditioned      none     the label of no class, for guidance
    autoencoder  of diffusers      side    of its images [px]      shape    of its latents (C, h, w)
    schedule     DDPMScheduler of its training      sampler  DPM-Solver++ for it
    """

    def __init__(self, denoiser, pipeline):
        self.net, self.autoencoder = self.conditioned(denoiser), pipeline.vae
        self.schedule = training_schedule(pipeline.scheduler)
        self.sampler = networks.make_sampler(self.schedule)
        size = denoiser.config.sample_size
        self.shape = (denoiser.config.in_channels, size, size)
        self.side = networks.image_side(denoiser, pipeline.vae)

    def guided(self, net, labels, guidance):
        """predict(x, t) with classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).

        none + guidance * (class - none), where 1 needs no second pass.
        """
        if guidance == 1:
            return lambda x, t: net(x, t, labels)
        both = torch.cat([labels, torch.full_like(labels, self.none)])

        def predict(x, t):
            of_class, of_none = net(torch.cat([x, x]), torch.cat([t, t]), both).float().chunk(2)
            return of_none + guidance * (of_class - of_none)

        return predict

    def encode(self, images):
        """uint8 (n, H, W) -> latents float32 (n, C, h, w), resized to `side` first."""
        return networks.encode(self.autoencoder, resize_uint8(images, self.side))

    def decode(self, latents, side):
        """Latents (n, C, h, w) -> uint8 (n, side, side)."""
        return resize_uint8(networks.decode(self.autoencoder, latents), side)


class PromptBase(Base):
    """A base conditioned on prompts: classes take those of `prompts` in turn, or PROMPT with their names."""

    def __init__(self, pipeline, names, prompts=()):
        asked = prompts or [PROMPT.format(name) for name in names]
        prompts = [asked[k % len(asked)] for k in range(len(names))]
        self.none, self.conditions = len(names), encode_prompts(pipeline, [*prompts, ''])
        super().__init__(networks.plain_attention(pipeline.unet), pipeline)

    def conditioned(self, denoiser):
        return PromptConditioned(denoiser, self.conditions)


class ClassBase(Base):
    """A base conditioned on labels of ImageNet (DiT, Peebles & Xie 2023, arXiv 2212.09748).

    Class k starts from its label k; no class is the row that it has for that.
    """

    def __init__(self, pipeline, names, prompts=()):
        if prompts:
            raise StudyError('This base is conditioned on labels, not words: leave "prompts" empty.')
        self.none = pipeline.transformer.config.num_embeds_ada_norm
        super().__init__(pipeline.transformer, pipeline)

    def conditioned(self, denoiser):
        return ClassConditioned(denoiser)


def open_base(base, names, prompts=(), revision=None):
    """The Base called `base` for classes `names`: a PromptBase or a ClassBase.

    Raises StudyError when it cannot be loaded or is of another kind.
    """
    if base in shipped.VARIANTS:
        return PromptBase(shipped.load(base), names, prompts)
    pipeline = from_hub(base, revision)
    kinds = {'StableDiffusionPipeline': PromptBase, 'DiTPipeline': ClassBase}
    if type(pipeline).__name__ not in kinds:
        raise StudyError(
            f'"{base}" is a {type(pipeline).__name__}: choose a {" or a ".join(kinds)}, '
            f'or one of {", ".join(shipped.VARIANTS)}.'
        )
    pipeline.vae.requires_grad_(False)
    return kinds[type(pipeline).__name__](pipeline.to(DEVICE), names, prompts)


def from_hub(name, revision=None):
    """The pipeline of a repository or folder, safetensors only.

    Raises StudyError with the command that downloads it when it cannot be loaded.
    """
    from diffusers import DiffusionPipeline

    settings = {'revision': revision, 'use_safetensors': True}
    try:
        with networks.quietly():
            try:
                pipeline = DiffusionPipeline.from_pretrained(
                    name, safety_checker=None, requires_safety_checker=False, **settings
                )
            except (TypeError, ValueError):  # a pipeline without a safety checker
                pipeline = DiffusionPipeline.from_pretrained(name, **settings)
    except (OSError, ValueError, ConnectionError) as error:
        raise StudyError(
            f'The base "{name}" (parameter "base") could not be loaded ({type(error).__name__}): where the '
            f'network is closed, run `hf download {name}` on a machine that has it and give the folder, or '
            'choose "natural" or "mixed".'
        ) from None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def encode_prompts(pipeline, prompts):
    """Encodings of prompts by the frozen text encoder: float32 (n, tokens, d)."""
    ids = pipeline.tokenizer(
        list(prompts),
        padding='max_length',
        truncation=True,
        max_length=pipeline.tokenizer.model_max_length,
        return_tensors='pt',
    ).input_ids
    return pipeline.text_encoder(ids.to(DEVICE))[0].float()
