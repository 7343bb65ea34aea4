"""What fine-tuning trains, a denoiser or low-rank adapters in it: its loss on lesions, and its files."""

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from genmix import StudyError
from genmix.data.images import symmetries
from genmix.generators.latent.backbones import open_base
from genmix.generators.latent.loss import denoising_loss
from genmix.generators.pretrained import networks
from genmix.run.device import send


def open_for_training(base, revision, prompts, names, scratch, lora_rank):
    """(Base, its net ready for training): as it is, from random initialisation (`scratch`), or with adapters.

    Raises StudyError as `open_base` does, and when adapters are asked for without peft.
    """
    found = open_base(base, names, prompts, revision)
    denoiser = found.net.denoiser
    if scratch:
        denoiser = networks.plain_attention(type(denoiser).from_config(denoiser.config))
    if lora_rank:
        denoiser = add_adapters(denoiser.requires_grad_(False), lora_rank)
    return found, found.conditioned(denoiser)


def add_adapters(denoiser, rank):
    """The denoiser with low-rank adapters (Hu et al. 2021, arXiv 2106.09685) in its attention layers."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise StudyError(
            'lora_rank needs the package peft: pip install "genmix[hub]", or set lora_rank=0.'
        ) from None
    layers = ['to_q', 'to_k', 'to_v', 'to_out.0']
    return inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers), denoiser)


def fine_tuning_loss(base, net, cohort, config, accelerator=None):
    """loss_of(generator): the loss of a fresh batch of lesions, classes drawn equally often.

    Latents of all lesions, in all symmetries with d4_augmentation, are computed once.  With an accelerator
    the loss is that of this process's part of the batch.
    """
    views = symmetries(cohort.images) if config.d4_augmentation else cohort.images[None]
    latents = torch.stack([base.encode(np.ascontiguousarray(view)) for view in views]).half()
    order = torch.as_tensor(np.argsort(cohort.labels, kind='stable'))
    counts = torch.as_tensor(np.bincount(cohort.labels, minlength=len(cohort.class_names)))
    n, part = config.batch_size, slice(None)
    if accelerator:
        part = slice(accelerator.process_index, None, accelerator.num_processes)

    def loss_of(generator):
        def uniform():
            return torch.rand(n, generator=generator)

        labels = torch.randint(len(counts), (n,), generator=generator)
        rows = order[(counts.cumsum(0) - counts)[labels] + (uniform() * counts[labels]).long()]
        x = latents[(uniform() * len(latents)).long(), rows].float()
        conditions = send(torch.where(uniform() < config.condition_dropout, base.none, labels)[part])
        return denoising_loss(
            lambda noisy, t: net(noisy, t, conditions), base.schedule, x, generator, config.min_snr, part
        )

    return loss_of


def save_net(net, folder, lora_rank):
    """Write the denoiser in the layout of diffusers, or its adapters alone, and what conditions learned."""
    folder.mkdir(exist_ok=True)
    added = {'added': net.added.detach().cpu()} if hasattr(net, 'added') else {}
    save_file(added, folder / 'conditions.safetensors')
    if lora_rank:
        from peft import get_peft_model_state_dict

        adapters = get_peft_model_state_dict(net.denoiser).items()
        save_file({k: v.contiguous() for k, v in adapters}, folder / 'adapters.safetensors')
    else:
        with networks.quietly():
            net.denoiser.save_pretrained(folder)


def load_net(net, folder, lora_rank):
    """Fill a net with what `save_net` wrote."""
    net.load_state_dict(load_file(folder / 'conditions.safetensors'), strict=False)
    if lora_rank:
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(net.denoiser, load_file(folder / 'adapters.safetensors'))
    else:
        net.denoiser.load_state_dict(load_file(folder / 'diffusion_pytorch_model.safetensors'))
