"""Class-conditional StyleGAN2 with adaptive discriminator augmentation (ADA), in plain PyTorch.

Karras et al. 2020, arXiv 1912.04958 and 2006.06676.  What differs, for a few hundred images and a thousand
steps: the batch comes in groups of one class, and the minibatch standard deviation is taken within a group;
noise strengths are per channel; images begin at the contrast of lesions.  Parameters may take back the
rest: `pack` images of a class scored together, the discriminator's space-to-depth stem, momentum, D4
augmentation.
"""

import numpy as np
import torch

from genmix.data.images import to_uint8
from genmix.generators import register
from genmix.generators.gan.checkpoint import train
from genmix.generators.gan.config import StyleGANConfig
from genmix.generators.gan.stylegan2_networks import Generator
from genmix.generators.gan.stylegan2_training import StyleGANTraining
from genmix.generators.gan.training import TrainedGAN
from genmix.run.device import DEVICE, autocast, random_of
from genmix.run.gpu import in_parts


@register
class StyleGAN(TrainedGAN):
    """A trained StyleGAN2.  `fit` trains, `sample` draws; weights are those of the EMA of the generator."""

    name, notebook, Config, network = 'stylegan', '03_stylegan', StyleGANConfig, Generator

    @classmethod
    def fit(cls, cohort, out_dir, config):
        """Train on `cohort`, classes drawn alike; writes weights, config.json, train_log.csv and samples.npy.

        Checkpoints lie in `out_dir`: a training begun there again with the same config goes on from the
        last one. Raises StudyError for a class without images.
        """
        run = StyleGANTraining(cohort, config)
        record = train(run, out_dir, 'stylegan')
        model = cls(run.final(), {'network': run.network, 'psi': config.psi})
        model.save(out_dir)
        record.save(out_dir)
        return model

    @torch.inference_mode()
    def sample(self, label, n, seed, psi=None):
        """`n` images of class number `label`: uint8 (n, H, W).  psi: another truncation than the config's."""
        psi = self.config['psi'] if psi is None else psi
        with random_of(seed), autocast():  # z and noise
            z, y = torch.randn(n, self.generator.z_dim).to(DEVICE), torch.full((n,), label, device=DEVICE)
            w = self.generator.truncated(self.generator.mapping(z, y), y, psi)
            return np.concatenate(in_parts(lambda part: to_uint8(self.generator.synthesis(w[part])), n, 100))

    @torch.inference_mode()
    def synthesise(self, w, seed=0, same_noise=True):
        """Images of given w (n, w_dim) or (n, layers + 1, w_dim): uint8 (n, H, W).

        same_noise   all images have the same noise, so that only w differs
        """
        with random_of(seed), autocast():
            return to_uint8(self.generator.synthesis(w, same_noise))
