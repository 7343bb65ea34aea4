"""How StyleGAN2 learns: the adversarial game with its regularisers and adaptive augmentation."""

import torch

from genmix.generators.gan.ada import Controller, augment
from genmix.generators.gan.config import GROUP
from genmix.generators.gan.diffaugment import diffaugment
from genmix.generators.gan.stylegan2_networks import Discriminator, Generator
from genmix.generators.gan.training import R1_EVERY, AdversarialTraining, logged, r1_penalty, update_ema
from genmix.run.device import DEVICE, autocast, seed_all

PATH_EVERY = 8  # steps from one path length penalty to the next, each weighted by as much


def path_lengths(image, w):
    """How far the image moves for a step in w, along random directions: |J_w^T noise|, (n,).

    image (n, 1, H, W) was generated from w (n, layers, w_dim).
    """
    noise = torch.randn_like(image) / (image.shape[2] * image.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((image * noise).sum(), w, create_graph=True)
    return gradient.float().square().sum(2).mean(1).sqrt()


class StyleGANTraining(AdversarialTraining):
    """One step at a time: discriminator, generator, EMA, probability of augmentation.

    seen   real images so far        mean_path   running mean of the path lengths
    """

    def __init__(self, cohort, config):
        seed_all(config.seed)
        shape = {'n_classes': len(cohort.class_names), 'size': cohort.images.shape[1]}
        shape |= {'width': config.width, 'max_channels': config.max_channels}
        mapping = {'z_dim': config.z_dim, 'w_dim': config.w_dim, 'mapping_layers': config.mapping_layers}
        self.network = {**shape, **mapping}
        generator = Generator(**self.network).to(DEVICE)
        stem = {'pack': config.pack, 'space_to_depth': config.space_to_depth}
        networks = generator, Discriminator(**shape, **stem).to(DEVICE)
        super().__init__(cohort, config, networks, (config.beta1, 0.99))
        self.control, self.mean_path, self.seen = Controller(config.ada_target, config.ada_images), 0.0, 0

    @property
    def counters(self):
        return {'seen': self.seen, 'mean_path': self.mean_path, 'control': self.control.state}

    @counters.setter
    def counters(self, values):
        self.seen, self.mean_path, self.control.state = (
            values[name] for name in ('seen', 'mean_path', 'control')
        )

    def step(self, number):
        """Step `number` of both networks; returns losses, mean scores, p and r_t."""
        config, (x, y) = self.config, self.batch(GROUP)
        with autocast():
            fake = self.generator.synthesis(self.styles(y))
            both = torch.cat([self.augmented(x), self.augmented(fake.detach())])
            real_score, fake_score = self.discriminator(both, y.repeat(2)).chunk(2)
            penalty = 0.0
            if number % R1_EVERY == 0 and config.r1_gamma:
                weight = config.r1_gamma / 2 * R1_EVERY
                penalty = weight * r1_penalty(self.discriminator, self.augmented(x), y)
        loss = self.update_discriminator(real_score, fake_score, penalty)
        generator_loss = self.generator_gradients(fake, y)
        if config.path_length and number % PATH_EVERY == 0:
            (config.path_length * PATH_EVERY * self.path_penalty(y)).backward()
        self.optimisers[0].step()
        self.control.update(real_score, len(x))
        self.seen += len(x)
        update_ema(self.ema, self.generator, self.ema_decay())
        losses = logged(discriminator_loss=loss, generator_loss=generator_loss)
        losses |= logged(real_score=real_score, fake_score=fake_score)
        return losses | {'p': self.control.p, 'r_t': self.control.r}

    def augmented(self, x):
        """Images as the discriminator sees them, real and generated alike."""
        how = self.config.augmentation
        return augment(x, self.control.p) if how == 'ada' else diffaugment(x) if how == 'diffaugment' else x

    def styles(self, y):
        """w of every image and layer (n, layers + 1, w_dim) from fresh z, a share of them mixed from two."""
        w, layers = self.generator.mapping(self.noise(len(y)), y), len(self.generator.layers) + 1
        if not self.config.style_mixing:
            return w[:, None].expand(-1, layers, -1)
        change = torch.randint(1, layers, (len(y),), device=DEVICE)
        change[torch.rand(len(y), device=DEVICE) >= self.config.style_mixing] = layers
        other = self.generator.mapping(self.noise(len(y)), y)
        first = (torch.arange(layers, device=DEVICE) < change[:, None])[:, :, None]
        return torch.where(first, w[:, None], other[:, None])

    def path_penalty(self, y):
        """Squared deviation of path lengths from their running mean (equation 4), on half a batch."""
        with autocast():
            w = self.styles(y[: len(y) // 2])
            lengths = path_lengths(self.generator.synthesis(w), w)
        self.mean_path += 0.01 * (lengths.mean().item() - self.mean_path)
        return (lengths - self.mean_path).square().mean()

    def ema_decay(self):
        """Of one step; the half-life is shorter early on."""
        half_life = max(1.0, min(self.config.ema_images, 0.15 * self.seen))
        return 0.5 ** (self.config.batch_size / half_life)

    def sample(self, z, y):
        with autocast():
            return super().sample(z, y)

    @torch.no_grad()
    def final(self, draws=2000):
        """The EMA generator, with the mean w of each class filled in."""
        for k in range(self.n_classes):
            y = torch.full((draws,), k, device=DEVICE)
            self.ema.centre[k] = self.ema.mapping(self.noise(draws), y).mean(0)
        return self.ema
