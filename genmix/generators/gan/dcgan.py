"""Class-conditional DCGAN in plain PyTorch (Radford et al. 2016, arXiv 1511.06434), in two forms.

`textbook`: batch norm in both networks, the label as constant channels, no regularisation.  On a few
hundred images it collapses.  The other form changes mostly the discriminator: no batch norm; two images of
one class scored together (PacGAN, Lin et al. 2018, arXiv 1712.04086); minibatch standard deviation within a
class (Karras et al. 2018, arXiv 1710.10196); the label by projection (Miyato & Koyama 2018, arXiv
1802.05637); a lazy R1 penalty (Mescheder et al. 2018, arXiv 1801.04406); shifts and gains on all it sees
(DiffAugment, Zhao et al. 2020, arXiv 2006.10738).
"""

import numpy as np
import torch
import torch.nn as nn

from genmix.data.images import to_uint8
from genmix.generators import register
from genmix.generators.gan.checkpoint import train
from genmix.generators.gan.config import GROUP, DCGANConfig
from genmix.generators.gan.dcgan_networks import PACK, Discriminator, Generator, TextbookDiscriminator
from genmix.generators.gan.diffaugment import diffaugment
from genmix.generators.gan.training import (
    R1_EVERY,
    AdversarialTraining,
    TrainedGAN,
    logged,
    r1_penalty,
    update_ema,
)
from genmix.run.device import DEVICE, autocast, random_of, seed_all
from genmix.run.gpu import in_parts

EMA_IMAGES = 4000  # half-life of the EMA of the generator, in images; 1,000: TSTR 5 points lower on dev
TEXTBOOK_LR = 2e-4


@register
class DCGAN(TrainedGAN):
    """A trained DCGAN.  `fit` trains, `sample` draws; weights are those of the EMA of the generator."""

    name, notebook, Config, network = 'dcgan', '02_dcgan', DCGANConfig, Generator

    @classmethod
    def fit(cls, cohort, out_dir, config):
        """Train on `cohort`, classes drawn alike; writes weights, config.json, train_log.csv and samples.npy.

        Checkpoints lie in `out_dir`: a training begun there again with the same config goes on from the
        last one.  Raises StudyError for a class without images.
        """
        run = DCGANTraining(cohort, config)
        record = train(run, out_dir, 'textbook dcgan' if config.textbook else 'dcgan')
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
    """One step at a time: discriminator, generator, EMA.

    Two time scales (Heusel et al. 2017, arXiv 1706.08500): the discriminator learns at twice the
    generator's rate.
    """

    sd_images = 48

    def __init__(self, cohort, config):
        seed_all(config.seed)
        n_classes, size, textbook = len(cohort.class_names), cohort.images.shape[1], config.textbook
        shape = {'n_classes': n_classes, 'size': size, 'width': config.width}
        self.network = {**shape, 'z_dim': config.z_dim, 'textbook': textbook}
        generator = Generator(**self.network)
        discriminator = (TextbookDiscriminator if textbook else Discriminator)(**shape)
        networks = [net.to(DEVICE, memory_format=torch.channels_last) for net in (generator, discriminator)]
        rates = (TEXTBOOK_LR, TEXTBOOK_LR) if textbook else (config.lr, 2 * config.lr)
        super().__init__(cohort, config, networks, rates, (0.5, 0.999 if textbook else 0.99))

    def augmented(self, x):
        """Images as the discriminator sees them, real and generated alike."""
        return x if self.config.textbook else diffaugment(x)

    def step(self, number):
        """Step `number` of discriminator and generator; returns losses and mean scores."""
        textbook = self.config.textbook
        x, y = self.batch(1 if textbook else GROUP)
        with autocast():
            fake = self.generator(self.noise(len(y)), y)
            real_score = self.discriminator(self.augmented(x), y)
            fake_score = self.discriminator(self.augmented(fake.detach()), y)
            penalty = 0.0
            if number % R1_EVERY == 0 and not textbook:
                weight = self.config.r1_gamma / 2 * R1_EVERY / PACK  # per image; a score covers PACK of them
                penalty = weight * r1_penalty(self.discriminator, self.augmented(x), y)
        loss = self.update_discriminator(real_score, fake_score, penalty)
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
