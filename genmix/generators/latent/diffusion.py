"""A pretrained latent diffusion model, fine-tuned on lesions and conditioned on their class.

By default the small base of this package; by parameter a model of the Hugging Face Hub (see backbones), whole
or through low-rank adapters, on one process or several.  The denoiser is trained, and a learned part of each
class's condition; latents and prompts are encoded once.
"""

import json
from pathlib import Path

import numpy as np
import torch

from genmix.generators import register
from genmix.generators.latent import distributed
from genmix.generators.latent.backbones import PromptConditioned
from genmix.generators.latent.config import DiffusionConfig
from genmix.generators.latent.fine_tuning import fine_tuning_loss, load_net, open_for_training, save_net
from genmix.generators.latent.loss import sample_latents
from genmix.generators.latent.noise_texture import NPSCorrection
from genmix.generators.latent.snapshots import Snapshots, go_on_from_finished, snapshot_steps
from genmix.generators.latent.training_loop import TrainingLoop
from genmix.generators.pretrained import networks
from genmix.run import processes
from genmix.run.device import DEVICE, seed_all
from genmix.run.gpu import in_parts

BATCH = 64  # images sampled at a time
CHECKPOINT_EVERY = 100  # training steps


@register
class Diffusion:
    """A fine-tuned denoiser with EMA weights; `nps` is its NPSCorrection, or None."""

    name, notebook, Config = 'diffusion', '05_diffusion', DiffusionConfig

    def __init__(self, base, net, config, nps=None):
        self.base, self.net, self.config, self.nps = base, net.eval(), config, nps

    @classmethod
    def fit(cls, cohort, out_dir, config):
        """Fine-tune on `cohort` as a DiffusionConfig says; classes are drawn equally often.

        Writes to `out_dir`: denoiser/, config.json, nps.safetensors (with nps_correction), train_log.csv, and
        snapshots.npy uint8 (steps, K, n, H, W), samples from the same noise at the `snapshot_steps` of
        config.json, the base's own first.  A training begun again in the same folder resumes from its last
        checkpoint there.  checkpoint.safetensors stays: a training of more steps goes on from it.

        Raises StudyError for a base that cannot be loaded.
        """
        out_dir = Path(out_dir)
        go_on_from_finished(out_dir, config)
        if config.processes > 1 and not processes.is_worker():
            distributed.launch(cls.name, cohort, out_dir, config)
            return cls.load(out_dir)
        accelerator = processes.make_accelerator()
        seed_all(config.seed)
        about = model_config(config, cohort)
        model = cls(*open_model(about, config.scratch), about)
        if config.checkpointing:
            model.net.denoiser.enable_gradient_checkpointing()
        snapshots, nets = Snapshots(out_dir), {'denoiser': model.net}
        loop = TrainingLoop(out_dir / 'training', nets, config, CHECKPOINT_EVERY, accelerator=accelerator)
        about['snapshot_steps'] = snapshots.planned(about['snapshot_steps'], loop.before)
        model = train_denoiser(model, loop, cohort, config, snapshots)
        if loop.is_main:
            images = snapshots.gather(about['snapshot_steps'])
            if config.nps_correction:
                model.nps = NPSCorrection.measured(cohort.images, cohort.labels, images[-1])
            model.save(out_dir)
            loop.finish(out_dir / 'train_log.csv', keep=True)
            snapshots.clear()
        return model.for_sampling()

    def save(self, folder):
        """Write what `load` reads."""
        if self.nps:
            self.nps.save(folder / 'nps.safetensors')
        save_net(self.net, folder / 'denoiser', self.config['lora_rank'])
        (folder / 'config.json').write_text(json.dumps(self.config))

    @classmethod
    def load(cls, folder):
        """The generator that `fit` left in `folder`.  StudyError when its base cannot be loaded."""
        folder = Path(folder)
        about = json.loads((folder / 'config.json').read_text())
        base, net = open_model(about)
        load_net(net, folder / 'denoiser', about['lora_rank'])
        nps = NPSCorrection.load(folder / 'nps.safetensors')
        return cls(base, net.to(DEVICE), about, nps).for_sampling()

    def for_sampling(self):
        """This model, trained no more, with a U-Net that samples as fast as it can here."""
        if isinstance(self.net, PromptConditioned):
            networks.for_sampling(self.net.denoiser)
        return self

    def sample(self, label, n, seed, guidance=None, steps=None, nps_correction=True):
        """`n` images of class number `label`: uint8 (n, H, W); the same seed gives the same images.

        guidance, steps   other than those of the config      nps_correction   False leaves the correction out
        """
        noise = torch.randn((n, *self.base.shape), generator=torch.Generator().manual_seed(seed))
        images = self.denoise(noise, label, guidance, steps)
        return self.nps(images, label, seed) if nps_correction and self.nps else images

    def sample_grid(self, n):
        """uint8 (K, n, H, W): for each class the images of the same noise, uncorrected."""
        noise = torch.randn((n, *self.base.shape), generator=torch.Generator().manual_seed(0))
        return np.stack([self.denoise(noise, k) for k in range(len(self.config['classes']))])

    @torch.no_grad()
    def denoise(self, noise, label, guidance=None, steps=None):
        """The images that noise float (n, C, h, w) becomes under a class, uncorrected: uint8 (n, H, W)."""
        guidance = self.config['guidance'] if guidance is None else guidance
        steps = steps or self.config['sampling_steps']

        def images(part):
            labels = torch.full((len(noise[part]),), label, device=DEVICE)
            predict = self.base.guided(self.net, labels, guidance)
            latents = sample_latents(predict, self.base.sampler, noise[part], steps)
            return self.base.decode(latents, self.config['side'])

        return np.concatenate(in_parts(images, len(noise), BATCH))


def train_denoiser(model, loop, cohort, config, snapshots):
    """Train the net of a Diffusion in its loop; returns the Diffusion with the EMA of that net."""

    def snapshot(averages, step):
        averaged = Diffusion(model.base, averages['denoiser'], model.config)
        snapshots.add(averaged.sample_grid(config.snapshot_samples), step)

    loss_of = fine_tuning_loss(model.base, model.net, cohort, config, loop.accelerator)
    label = 'diffusion from scratch' if config.scratch else 'diffusion'
    averages = loop.run(loss_of, label, snapshot, model.config['snapshot_steps'])
    return Diffusion(model.base, averages['denoiser'], model.config)


def model_config(config, cohort):
    """What config.json of a fine-tuned model says: how to open its base, and how to sample."""
    names = ('base', 'revision', 'prompts', 'lora_rank', 'guidance', 'sampling_steps')
    return {name: getattr(config, name) for name in names} | {
        'classes': cohort.class_names,
        'side': cohort.images.shape[1],
        'snapshot_steps': snapshot_steps(config.steps, config.snapshots),
    }


def open_model(about, scratch=False):
    """`open_for_training` for what config.json says."""
    return open_for_training(
        about['base'], about['revision'], about['prompts'], about['classes'], scratch, about['lora_rank']
    )
