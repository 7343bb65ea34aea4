"""Class-conditional StyleGAN2 with adaptive discriminator augmentation, in plain PyTorch (Karras et al. 2020, arXiv 1912.04958, 2006.06676).

What differs from the paper, for a few hundred images and a thousand steps: the batch comes in groups of one class, and the minibatch standard
deviation is taken within a group; noise strengths are a channel's own; images begin at the contrast of lesions.  Parameters may take back the rest:
`pack` images of a class judged together, the critic's space-to-depth stem, momentum, whole symmetries of each image.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from genmix.data.images import to_uint8
from genmix.generators import register
from genmix.generators.gan.stylegan2_networks import Generator
from genmix.generators.gan.stylegan2_training import AdversarialTraining, Recipe
from genmix.run.device import DEVICE, autocast
from genmix.run.limits import check
from genmix.run.log import progress


@register
class StyleGAN:
    """A trained StyleGAN2.  `fit` trains, `sample` draws; weights are those of the running average of the painter."""

    name, notebook = 'stylegan', '03_stylegan'

    def __init__(self, painter, config):
        self.painter, self.config = painter.eval(), config

    @classmethod
    def fit(
        cls,
        cohort,
        out_dir,
        steps=1500,
        width=16,
        most=128,
        z_dim=64,
        w_dim=64,
        mapping_layers=2,
        psi=1.0,
        sheets=6,
        checkpoint_every=200,
        **recipe,
    ):
        """Train on `cohort`, classes drawn alike; writes weights, config.json, train_log.csv and sheets.npy.

        width, most      channels of the finest size, doubled at each coarser one up to `most`, in both networks
        psi              truncation at which `sample` draws: 1 none, smaller nearer to the class's mean w
        sheets           how often a sheet of fixed z is kept: sheets.npy uint8 (sheets, K, 8, H, W)
        checkpoint_every steps between checkpoints in `out_dir`; a training begun again there goes on from the last one
        recipe           see Recipe

        Raises StudyError for values that cannot be.
        """
        check(psi=psi, **recipe)
        network = {
            'n_classes': len(cohort.class_names),
            'size': cohort.images.shape[1],
            'z_dim': z_dim,
            'w_dim': w_dim,
            'mapping_layers': mapping_layers,
            'width': width,
            'most': most,
        }
        run, checkpoint = (
            AdversarialTraining(cohort, network, Recipe(**recipe)),
            Path(out_dir) / 'checkpoint.safetensors',
        )
        done, log, kept = run.resume(checkpoint)
        for step in progress(range(done + 1, steps + 1), 'stylegan', steps - done):
            losses = run.step(step)
            if step % max(1, steps // 30) == 0 or step == 1:
                log.append({'step': step, **losses, **run.spread()})
            if step in np.linspace(steps / sheets, steps, sheets).round():
                kept.append(run.sheet())
            if step % checkpoint_every == 0 and step < steps:
                run.save(checkpoint, step, log, kept)
        model = cls(run.final(), {'network': network, 'psi': psi})
        model.save(out_dir)
        pd.DataFrame(log).to_csv(Path(out_dir) / 'train_log.csv', index=False)
        np.save(Path(out_dir) / 'sheets.npy', np.stack(kept))
        checkpoint.unlink(missing_ok=True)
        return model

    def save(self, folder):
        save_file(
            {k: v.contiguous() for k, v in self.painter.state_dict().items()},
            Path(folder) / 'generator.safetensors',
        )
        (Path(folder) / 'config.json').write_text(json.dumps(self.config))

    @classmethod
    def load(cls, folder):
        config = json.loads((Path(folder) / 'config.json').read_text())
        painter = Generator(**config['network'])
        painter.load_state_dict(load_file(Path(folder) / 'generator.safetensors'))
        return cls(painter.to(DEVICE), config)

    @torch.inference_mode()
    def sample(self, label, n, seed, psi=None):
        """uint8 (n, H, W); `psi` other than the one it was trained to be sampled at, for a look."""
        psi = self.config['psi'] if psi is None else psi
        with torch.random.fork_rng(), autocast():  # z and noise come from `seed` alone, and leave no trace
            torch.manual_seed(seed)
            z, y = torch.randn(n, self.painter.z_dim).to(DEVICE), torch.full((n,), label, device=DEVICE)
            w = self.painter.truncated(self.painter.mapping(z, y), y, psi)
            return np.concatenate([to_uint8(self.painter.synthesis(part)) for part in w.split(100)])

    @torch.inference_mode()
    def paint(self, w, seed=0, still=True):
        """Images of given w (n, w_dim) or (n, layers + 1, w_dim): uint8 (n, H, W).  still: all with the same noise, so that only w differs."""
        with torch.random.fork_rng(), autocast():
            torch.manual_seed(seed)
            return to_uint8(self.painter.synthesis(w, still))
