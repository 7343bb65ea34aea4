"""A pretrained latent diffusion model, fine-tuned on the lesions of a training split, each class under a condition of its own.

By default the small base of this package; by parameter a model of the Hugging Face Hub (denoisers.py), whole or through low-rank adapters (Hu et al. 2021,
arXiv 2106.09685), on one process or several.  The denoiser learns, and what each class adds to its
prompt; latents and prompts are encoded once.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from genmix import StudyError
from genmix.data.images import symmetries
from genmix.generators import register
from genmix.generators.latent import backbones, distributed, noise_texture, training_loop
from genmix.generators.latent import loss as loss_module
from genmix.generators.pretrained import networks, shipped
from genmix.run.device import DEVICE, seed_all
from genmix.run.files import atomic_write
from genmix.run.limits import check

BATCH = 64  # images sampled at a time


@register
class Diffusion:
    """A fine-tuned denoiser.  `fit` trains, `sample` draws; weights are those of the running average."""

    name, notebook = 'diffusion', '05_diffusion'

    def __init__(self, base, net, config, grain=None):
        self.base, self.net, self.config, self.grain = base, net.eval(), config, grain

    @staticmethod
    def stands_on(params):
        """What a fit depends on beside its parameters and the lesions: the files of the base."""
        base = params.get('base', 'natural')
        return [json.dumps(shipped.card(base)['sha256'], sort_keys=True)] if base in shipped.VARIANTS else []

    @classmethod
    def fit(
        cls,
        cohort,
        out_dir,
        base='natural',
        revision=None,
        prompts=(),
        steps=600,
        batch_size=32,
        lr=2e-3,
        min_snr=0.0,
        dropped=0.1,
        ema=0.99,
        guidance=1.2,
        sampling_steps=6,
        grain=True,
        turns=True,
        scratch=False,
        lora_rank=0,
        checkpointing=False,
        film=8,
        moments=7,
        processes=1,
        seed=0,
        checkpoint_every=100,
    ):
        """Fine-tune on `cohort`, classes drawn alike; writes weights, config.json, grain.safetensors, train_log.csv and film.npy.

        base, revision   `natural`, `mixed`, or a repository or folder of diffusers and its revision
        prompts          what is said for each class, for a base that reads; () says "a picture of a <class>"
        dropped          share of labels that training leaves out, so that `guidance` has something to compare with
        guidance, sampling_steps, grain     how `sample` draws
        turns            train on all eight symmetries of each lesion
        scratch          begin with fresh weights: the control
        lora_rank        of adapters on the attention layers; 0 trains every weight
        checkpointing    recompute activations to save memory
        film, moments    film.npy uint8 (moments, K, film, H, W): samples from the same noise at the steps in config.json, the base's own first
        processes        that share each batch; equal numbers, up to rounding, whatever their count
        checkpoint_every steps between checkpoints in `out_dir`; a training begun again there goes on from the last one

        Raises StudyError for values that cannot be and for a base that cannot be had.
        """
        params = {k: v for k, v in locals().items() if k not in ('cls', 'cohort', 'out_dir')}
        check(**params)
        out_dir = Path(out_dir)
        if processes > 1 and not distributed.is_worker():
            return cls.load(distributed.launch(processes, cohort, out_dir, params))
        peer = distributed.accelerator()
        seed_all(seed)
        model = cls(
            *open_for_training(base, revision, prompts, cohort.class_names, scratch, lora_rank),
            {
                'base': base,
                'revision': revision,
                'prompts': list(prompts),
                'classes': cohort.class_names,
                'side': cohort.images.shape[1],
                'lora_rank': lora_rank,
                'guidance': guidance,
                'sampling_steps': sampling_steps,
                'moments': snapshot_steps(steps, moments),
            },
        )
        if checkpointing:
            model.net.denoiser.enable_gradient_checkpointing()
        frames = Snapshots(out_dir, film)
        run = training_loop.TrainingLoop(
            out_dir / 'training',
            {'denoiser': model.net},
            steps,
            lr,
            seed,
            key='',
            keep=ema,
            every=checkpoint_every,
            peers=peer,
        )

        def at(nets, step):
            return frames.keep(model.averaged(nets['denoiser']), step)

        if run.first and not run.step:
            at(run.averages, 0)
        averages = run.run(
            model.loss(cohort, batch_size, dropped, min_snr, turns, peer),
            f'diffusion{" from scratch" * scratch}',
            at,
            model.config['moments'],
        )
        model = model.averaged(averages['denoiser'])
        if run.first:
            model.finish(cohort, out_dir, frames, grain)
        return model

    def averaged(self, net):
        return Diffusion(self.base, net, self.config, self.grain)

    def loss(self, cohort, batch_size, dropped, min_snr, turns, peer):
        """loss_of(generator) of a fresh batch for Loop: latents computed once, all symmetries of each lesion, classes drawn alike."""
        views = symmetries(cohort.images) if turns else cohort.images[None]
        latents = torch.stack([self.base.encode(np.ascontiguousarray(view)) for view in views]).half()
        order = torch.as_tensor(np.argsort(cohort.labels, kind='stable'))
        counts = torch.as_tensor(np.bincount(cohort.labels, minlength=len(cohort.class_names)))
        part = slice(None) if peer is None else slice(peer.process_index, None, peer.num_processes)

        def loss_of(generator):
            def uniform():
                return torch.rand(batch_size, generator=generator)

            labels = torch.randint(len(counts), (batch_size,), generator=generator)
            rows = order[(counts.cumsum(0) - counts)[labels] + (uniform() * counts[labels]).long()]
            x = latents[(uniform() * len(latents)).long(), rows].float()
            told = torch.where(uniform() < dropped, self.base.none, labels)[part].to(DEVICE)
            return loss_module.denoising_loss(
                lambda noisy, t: self.net(noisy, t, told), self.base.schedule, x, generator, min_snr, part
            )

        return loss_of

    def finish(self, cohort, out_dir, frames, grain):
        """Write what `load` reads, and what the notebook shows."""
        film = frames.gathered(self.config['moments'])
        if grain:
            self.grain = noise_texture.NPSCorrection.measured(cohort.images, cohort.labels, film[-1])
            self.grain.save(out_dir / 'grain.safetensors')
        save_net(self.net, out_dir / 'denoiser', self.config['lora_rank'])
        (out_dir / 'config.json').write_text(json.dumps(self.config))
        (out_dir / 'training' / 'log.csv').rename(out_dir / 'train_log.csv')
        np.save(out_dir / 'film.npy', film)
        shutil.rmtree(out_dir / 'training')
        frames.clear()

    @classmethod
    def load(cls, folder):
        folder = Path(folder)
        config = json.loads((folder / 'config.json').read_text())
        base, net = open_for_training(
            config['base'],
            config['revision'],
            config['prompts'],
            config['classes'],
            False,
            config['lora_rank'],
        )
        read_net(net, folder / 'denoiser', config['lora_rank'])
        grain = folder / 'grain.safetensors'
        return cls(
            base, net.to(DEVICE), config, noise_texture.NPSCorrection.load(grain) if grain.exists() else None
        )

    def sample(self, label, n, seed, guidance=None, steps=None, grain=True):
        """uint8 (n, H, W); `guidance`, `steps` and `grain` other than those it was trained to be sampled with, for a look."""
        noise = torch.randn((n, *self.base.shape), generator=torch.Generator().manual_seed(seed))
        images = self.painted(noise, label, guidance, steps)
        return self.grain(images, label, seed) if grain and self.grain else images

    @torch.no_grad()
    def painted(self, noise, label, guidance=None, steps=None):
        """What becomes of noise float (n, C, h, w) under a class, without grain: uint8 (n, H, W)."""
        guidance, steps = (
            self.config['guidance'] if guidance is None else guidance,
            steps or self.config['sampling_steps'],
        )
        parts = []
        for part in noise.split(BATCH):
            labels = torch.full((len(part),), label, device=DEVICE)
            latents = loss_module.sample_latents(
                self.base.guided(self.net, labels, guidance), self.base.sampler, part, steps
            )
            parts.append(self.base.decode(latents, self.config['side']))
        return np.concatenate(parts)


def open_for_training(base, revision, prompts, names, scratch, lora_rank):
    """(Base, its net ready for training): with fresh weights, with adapters, or as it is."""
    found = backbones.open_base(base, names, prompts, revision)
    denoiser = found.net.denoiser
    if scratch:
        denoiser = networks.plain_attention(type(denoiser).from_config(denoiser.config))
    if lora_rank:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise StudyError(
                'lora_rank needs the package peft: pip install "genmix[hub]", or set lora_rank=0.'
            ) from None
        denoiser.requires_grad_(False)
        denoiser = inject_adapter_in_model(
            LoraConfig(
                r=lora_rank, lora_alpha=lora_rank, target_modules=['to_q', 'to_k', 'to_v', 'to_out.0']
            ),
            denoiser,
        )
    return found, found.told(denoiser)


def save_net(net, folder, lora_rank):
    """The denoiser in the layout of diffusers, or its adapters alone, and what was added to the prompts."""
    folder.mkdir(exist_ok=True)
    save_file(
        {'added': net.added.detach().cpu()} if hasattr(net, 'added') else {},
        folder / 'conditions.safetensors',
    )
    if lora_rank:
        from peft import get_peft_model_state_dict

        save_file(
            {k: v.contiguous() for k, v in get_peft_model_state_dict(net.denoiser).items()},
            folder / 'adapters.safetensors',
        )
    else:
        with networks.quietly():
            net.denoiser.save_pretrained(folder)


def read_net(net, folder, lora_rank):
    """Fill a net with what `save_net` left."""
    net.load_state_dict(load_file(folder / 'conditions.safetensors'), strict=False)
    if lora_rank:
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(net.denoiser, load_file(folder / 'adapters.safetensors'))
    else:
        net.denoiser.load_state_dict(load_file(folder / 'diffusion_pytorch_model.safetensors'))


def snapshot_steps(steps, n):
    """Steps at which Figure 2 looks: 0, then n - 1 that grow by a constant factor to the last."""
    return sorted({0, *np.geomspace(max(1, steps / 64), steps, n - 1).round().astype(int).tolist()})


class Snapshots:
    """Samples of every class from the same noise, kept moment by moment, so that a killed training loses none."""

    def __init__(self, folder, n):
        self.folder, self.n = folder, n

    def file(self, step):
        return self.folder / f'film-{step}.npy'

    def keep(self, model, step):
        noise = torch.randn((self.n, *model.base.shape), generator=torch.Generator().manual_seed(0))
        self.put(np.stack([model.painted(noise, k) for k in range(len(model.config['classes']))]), step)

    def put(self, frame, step):
        with atomic_write(self.file(step)) as part, open(part, 'wb') as out:
            np.save(out, frame)

    def gathered(self, moments):
        """uint8 (moments, K, n, H, W)."""
        return np.stack([np.load(self.file(step)) for step in moments])

    def clear(self):
        for file in self.folder.glob('film-*.npy'):
            file.unlink()
