"""Class-conditional DCGAN in plain PyTorch (Radford et al. 2016, arXiv 1511.06434).

Their discriminator, optimiser and learning rate; the generator upsamples without a checkerboard.  The label
enters as in Mirza & Osindero 2014 (arXiv 1411.1784): embedded beside z in the generator, as constant channels
in the discriminator.  Samples come from an EMA of the generator.
"""

import numpy as np
import torch
import torch.nn as nn

from genmix.data.images import to_uint8
from genmix.generators import register
from genmix.generators.gan.checkpoint import train
from genmix.generators.gan.config import GANConfig
from genmix.generators.gan.dcgan_networks import Discriminator, Generator
from genmix.generators.gan.training import AdversarialTraining, TrainedGAN, logged, update_ema
from genmix.run.device import DEVICE, autocast, random_of, seed_all
from genmix.run.gpu import in_parts

EMA_IMAGES = 1000  # half-life of the EMA of the generator, in images; longer ones lag behind on dev
BETAS = (0.5, 0.999)  # of Adam, as published


@register
class DCGAN(TrainedGAN):
    """A trained DCGAN.  `fit` trains, `sample` draws; weights are those of the EMA of the generator."""

    name, notebook, Config, network = 'dcgan', '02_dcgan', GANConfig, Generator

    @classmethod
    def fit(cls, cohort, out_dir, config):
        """Train on `cohort`, classes drawn alike; writes weights, config.json, train_log.csv and samples.npy.

        Checkpoints lie in `out_dir`: a training begun there again with the same config goes on from the
        last one.  Raises StudyError for a class without images.
        """
        run = DCGANTraining(cohort, config)
        record = train(run, out_dir, 'dcgan')
        model = cls(run.final(), {'network': run.network})
        model.save(out_dir)
        record.save(out_dir)
        return model

    @torch.inference_mode()
    def sample(self, label, n, seed):
        """`n` images of class number `label`: uint8 (n, H, W)."""
        with random_of(seed):  # z and injected noise
            z, y = torch.randn(n, self.generator.z_dim).to(DEVICE), torch.full((n,), label, device=DEVICE)
            return np.concatenate(in_parts(lambda part: to_uint8(self.generator(z[part], y[part])), n, 256))


class DCGANTraining(AdversarialTraining):
    """One step at a time: discriminator, generator, EMA."""

    sd_images = 48

    def __init__(self, cohort, config):
        seed_all(config.seed)
        shape = {'n_classes': len(cohort.class_names), 'size': cohort.images.shape[1], 'width': config.width}
        self.network = {**shape, 'z_dim': config.z_dim}
        networks = Generator(**self.network), Discriminator(**shape)
        networks = [net.to(DEVICE, memory_format=torch.channels_last) for net in networks]
        super().__init__(cohort, config, networks, BETAS)

    def step(self, number):
        """Step `number` of discriminator and generator; returns losses and mean scores."""
        x, y = self.batch()
        with autocast():
            fake = self.generator(self.noise(len(y)), y)
            real_score, fake_score = self.discriminator(x, y), self.discriminator(fake.detach(), y)
        loss = self.update_discriminator(real_score, fake_score)
        generator_loss = self.generator_gradients(fake, y)
        self.optimisers[0].step()
        update_ema(self.ema, self.generator, 0.5 ** (self.config.batch_size / EMA_IMAGES))
        losses = logged(discriminator_loss=loss, generator_loss=generator_loss)
        return losses | logged(real_score=real_score, fake_score=fake_score)

    @torch.no_grad()
    def final(self, batches=40):
        """The EMA generator with batch-norm statistics of its own."""
        for layer in self.ema.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None  # cumulative
        self.ema.train()
        for _ in range(batches):
            y = torch.randint(self.n_classes, (self.config.batch_size,), device=DEVICE)
            self.ema(self.noise(len(y)), y)
        return self.ema.eval()
