"""Class-conditional DCGAN in plain PyTorch (Radford et al. 2016, arXiv 1511.06434), in two forms.

`textbook`: batch norm in both networks, the label as constant channels, no regularisation.  On a few hundred images it collapses.
The default changes mostly the critic: no batch norm; two images of one class judged together (PacGAN, Lin et al. 2018, arXiv
1712.04086); minibatch standard deviation within a class (Karras et al. 2018, arXiv 1710.10196); the label by projection (Miyato &
Koyama 2018, arXiv 1802.05637); a lazy R1 penalty (Mescheder et al. 2018, arXiv 1801.04406); shifts and gains on everything it sees
(DiffAugment, Zhao et al. 2020, arXiv 2006.10738).
"""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from genmix import StudyError
from genmix.data.images import to_uint8, to_unit
from genmix.data.sampling import sample_rows
from genmix.generators import register
from genmix.generators.gan.diffaugment import diffaugment, random_symmetry
from genmix.generators.synthetic import within_class_sd
from genmix.run.device import DEVICE, autocast, seed_all
from genmix.run.log import progress

GROUP, PACK = (
    8,
    2,
)  # images of one class that a batch holds side by side; images that the critic judges together


def initialise(layer):
    """N(0, 0.02) weights, as in the paper."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0, 0.02)
    if isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)


def upsampling_steps(size):
    """How often 4 pixels double to `size`: 4 for 64."""
    return int(math.log2(size)) - 2


class UpsampleConv(nn.Module):
    """Nearest-neighbour doubling and a 3 x 3 convolution in one: no checkerboard (Odena et al. 2016, doi 10.23915/distill.00003).

    The doubling is folded into the kernel, so that it costs 4 products an output pixel instead of 9.
    """

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs, 3, 3) * 0.02)

    def forward(self, x):
        kernel = 4 * F.avg_pool2d(
            F.pad(self.weight, [1] * 4), 2, 1
        )  # 3 x 3 spread over the 2 x 2 copies: 4 x 4
        return F.conv_transpose2d(x, kernel, stride=2, padding=1)


class NoiseInjection(nn.Module):
    """Adds noise to every pixel, with a learned strength a channel: CT grain need not be squeezed out of z."""

    def __init__(self, channels):
        super().__init__()
        self.strength = nn.Parameter(torch.full((1, channels, 1, 1), 0.1))

    def forward(self, x):
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        return x + (self.strength * noise).to(x.dtype)


class Generator(nn.Module):
    """z (n, z_dim), label int (n,) -> image (n, 1, size, size) in [-1, 1].

    Textbook: transposed convolutions, batch norm, ReLU, tanh.  Otherwise ResizeConv takes their place, and grain enters
    at the two finest sizes.
    """

    def __init__(self, n_classes, size=64, z_dim=64, width=32, textbook=False):
        super().__init__()
        channels = [width * 2**i for i in reversed(range(upsampling_steps(size)))]
        double = (lambda a, b: nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)) if textbook else UpsampleConv
        self.z_dim, self.embed = z_dim, nn.Embedding(n_classes, z_dim)
        layers = [
            nn.ConvTranspose2d(2 * z_dim, channels[0], 4, 1, 0, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(True),
        ]
        for a, b in zip(channels, channels[1:]):
            layers += [double(a, b), nn.BatchNorm2d(b), nn.ReLU(True)]
        if textbook:
            layers += [nn.ConvTranspose2d(channels[-1], 1, 4, 2, 1)]
        else:
            layers += [
                NoiseInjection(channels[-1]),
                double(channels[-1], 8),
                nn.BatchNorm2d(8),
                NoiseInjection(8),
                nn.ReLU(True),
                nn.Conv2d(8, 1, 3, padding=1),
            ]
        self.net = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, z, y):
        return self.net(torch.cat([z, self.embed(y)], 1)[:, :, None, None]).float().tanh()


class TextbookDiscriminator(nn.Module):
    """Strided convolutions with batch norm; the label enters as one constant channel a class."""

    def __init__(self, n_classes, size=64, width=32):
        super().__init__()
        channels = [width * 2**i for i in range(upsampling_steps(size))]
        layers = [nn.Conv2d(1 + n_classes, channels[0], 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for a, b in zip(channels, channels[1:]):
            layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, True)]
        self.net, self.n_classes = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 4)), n_classes
        self.apply(initialise)

    def forward(self, x, y):
        plane = F.one_hot(y, self.n_classes)[:, :, None, None].expand(-1, -1, *x.shape[2:]).to(x.dtype)
        return self.net(torch.cat([x, plane], 1)).flatten().float()


class Discriminator(nn.Module):
    """Strided convolutions without batch norm, judging `pack` images of one class together (PacGAN).

    Images come in groups of GROUP with one label; the standard deviation within a group is one more channel.
    """

    def __init__(self, n_classes, size=64, width=32, pack=PACK):
        super().__init__()
        self.pack = pack
        channels = [pack] + [width * 2**i for i in range(upsampling_steps(size))]
        layers = []
        for a, b in zip(channels, channels[1:]):
            layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        self.net = nn.Sequential(*layers)
        self.last = nn.Conv2d(channels[-1] + 1, channels[-1], 3, padding=1)
        self.score = nn.Linear(channels[-1] * 16, 1)
        self.embed = nn.Embedding(n_classes, channels[-1] * 16)

    def forward(self, x, y):
        """x (n, 1, H, W), y (n,) with n a multiple of GROUP -> scores (n / pack,)."""
        h, y = self.net(x.reshape(-1, self.pack, *x.shape[2:])), y[:: self.pack]
        groups = h.unflatten(0, (-1, GROUP // self.pack)).float()
        spread = (
            groups.var(1, unbiased=False).add(1e-8).sqrt().mean((1, 2, 3)).to(h.dtype)
        )  # is this group varied?
        spread = spread.repeat_interleave(GROUP // self.pack)[:, None, None, None].expand(-1, 1, 4, 4)
        h = F.leaky_relu(self.last(torch.cat([h, spread], 1)), 0.2).flatten(1).float()
        return self.score(h)[:, 0] + (h * self.embed(y)).sum(1) / h.shape[1] ** 0.5


def r1_penalty(critic, x, y):
    """Squared gradient of the critic at real images, summed over pixels, mean over the batch (Mescheder et al. 2018)."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x, y).sum(), x, create_graph=True)
    return gradient.float().square().sum((1, 2, 3)).mean()


@register
class DCGAN:
    """A trained DCGAN.  `fit` trains, `sample` draws; weights are those of the running average of the generator."""

    name, notebook = 'dcgan', '02_dcgan'

    def __init__(self, painter, config):
        self.painter, self.config = painter.eval(), config

    @classmethod
    def fit(
        cls,
        cohort,
        out_dir,
        steps=700,
        batch_size=32,
        width=24,
        z_dim=64,
        lr=8e-4,
        r1_gamma=0.2,
        r1_every=16,
        ema_images=1000,
        turns=True,
        textbook=False,
        sheets=6,
        seed=0,
    ):
        """Train on `cohort`, classes drawn alike; writes weights, config.json, train_log.csv and sheets.npy.

        lr          of the painter's Adam; the critic's is twice that (two time scales, Heusel 2017, arXiv 1706.08500)
        turns       train on all eight symmetries of each image; False for images that have an up
        ema_images  half-life of the running average of the generator, in images
        sheets      how often a sheet of fixed z is kept: sheets.npy uint8 (sheets, K, 8, H, W)
        """
        config = {
            'n_classes': len(cohort.class_names),
            'size': cohort.images.shape[1],
            'z_dim': z_dim,
            'width': width,
            'textbook': textbook,
        }
        run = AdversarialTraining(cohort, config, batch_size, lr, r1_gamma, r1_every, ema_images, turns, seed)
        log, kept = [], []
        for step in progress(range(1, steps + 1), 'textbook dcgan' if textbook else 'dcgan'):
            losses = run.step(step)
            if step % max(1, steps // 30) == 0 or step == 1:
                log.append({'step': step, **losses, **run.spread()})
            if step in np.linspace(steps / sheets, steps, sheets).round():
                kept.append(run.sheet())
        model = cls(run.final(), config)
        model.save(out_dir)
        pd.DataFrame(log).to_csv(Path(out_dir) / 'train_log.csv', index=False)
        np.save(Path(out_dir) / 'sheets.npy', np.stack(kept))
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
        painter = Generator(**config)
        painter.load_state_dict(load_file(Path(folder) / 'generator.safetensors'))
        return cls(painter.to(DEVICE), config)

    @torch.inference_mode()
    def sample(self, label, n, seed):
        with torch.random.fork_rng():  # z and grain come from `seed` alone, and leave no trace
            torch.manual_seed(seed)
            z = torch.randn(n, self.painter.z_dim).to(DEVICE)
            return to_uint8(
                torch.cat(
                    [
                        self.painter(part, torch.full((len(part),), label, device=DEVICE))
                        for part in z.split(256)
                    ]
                )
            )


class AdversarialTraining:
    """The adversarial game, one step at a time: a critic step, a generator step, the running average."""

    def __init__(self, cohort, config, batch_size, lr, r1_gamma, r1_every, ema_images, turns, seed):
        if batch_size % GROUP or not batch_size:
            raise StudyError(
                f'batch_size is {batch_size}, but the critic sees groups of {GROUP} images of one class: choose a multiple of {GROUP}.'
            )
        seed_all(seed)
        self.rng, self.labels, self.n_classes = (
            np.random.default_rng(seed),
            cohort.labels,
            config['n_classes'],
        )
        self.real = torch.from_numpy(cohort.images).unsqueeze(1)
        self.real_spread = within_class_sd(cohort.images, cohort.labels)
        textbook = config['textbook']
        critic = TextbookDiscriminator if textbook else Discriminator
        self.painter = Generator(**config).to(DEVICE, memory_format=torch.channels_last)
        self.critic = critic(config['n_classes'], config['size'], config['width']).to(
            DEVICE, memory_format=torch.channels_last
        )
        rates, betas = ((2e-4, 2e-4), (0.5, 0.999)) if textbook else ((lr, 2 * lr), (0.5, 0.99))
        self.optimisers = [
            torch.optim.Adam(net.parameters(), rate, betas, fused=True)
            for net, rate in zip((self.painter, self.critic), rates)
        ]
        self.average = copy.deepcopy(self.painter).eval()
        self.keep = 0.5 ** (batch_size / ema_images)
        self.size, self.gamma, self.every, self.textbook = batch_size, r1_gamma, r1_every, textbook
        self.see = (lambda x: x) if textbook else diffaugment
        self.turn = random_symmetry if turns else (lambda x: x)
        self.fixed_z = torch.randn(8 * self.n_classes, config['z_dim']).to(DEVICE)
        self.fixed_y = torch.arange(self.n_classes, device=DEVICE).repeat_interleave(8)

    def step(self, number):
        """One critic and one painter step; returns losses and mean scores."""
        group = 1 if self.textbook else GROUP
        y = self.rng.integers(0, self.n_classes, self.size // group).repeat(group)
        x = self.turn(to_unit(self.real[sample_rows(y, self.labels, self.rng)].to(DEVICE)))
        y = torch.from_numpy(y).to(DEVICE)
        painter, critic = self.optimisers
        with autocast():
            fake = self.painter(torch.randn(self.size, self.painter.z_dim, device=DEVICE), y)
            real_score, fake_score = self.critic(self.see(x), y), self.critic(self.see(fake.detach()), y)
            loss = F.softplus(-real_score).mean() + F.softplus(fake_score).mean()
            penalty = 0.0
            if not self.textbook and number % self.every == 0:
                penalty = self.gamma / 2 * self.every * r1_penalty(self.critic, self.see(x), y)
        critic.zero_grad()
        (loss + penalty).backward()
        critic.step()
        with autocast():
            painter_loss = F.softplus(-self.critic(self.see(fake), y)).mean()
        painter.zero_grad()
        painter_loss.backward()
        painter.step()
        self.follow()
        return {
            'critic_loss': loss.item(),
            'generator_loss': painter_loss.item(),
            'real_score': real_score.mean().item(),
            'fake_score': fake_score.mean().item(),
        }

    @torch.no_grad()
    def follow(self):
        """Move the running average towards the generator."""
        for mean, now in zip(self.average.parameters(), self.painter.parameters()):
            mean.lerp_(now, 1 - self.keep)
        for mean, now in zip(self.average.buffers(), self.painter.buffers()):
            mean.copy_(now)

    @torch.inference_mode()
    def paint(self, z, y):
        self.average.eval()
        return to_uint8(self.average(z, y))

    def sheet(self):
        """Fixed z through the current average: uint8 (K, 8, H, W)."""
        images = self.paint(self.fixed_z, self.fixed_y)
        return images.reshape(self.n_classes, 8, *images.shape[1:])

    def spread(self, per_class=48):
        """Within-class spread of fresh samples as a share of the real one: 1 as varied as real, 0 collapsed."""
        y = torch.arange(self.n_classes, device=DEVICE).repeat_interleave(per_class)
        now = within_class_sd(
            self.paint(torch.randn(len(y), self.painter.z_dim, device=DEVICE), y), y.cpu().numpy()
        )
        return {f'spread_{k}': now[k] / self.real_spread[k] for k in now if self.real_spread.get(k)}

    @torch.no_grad()
    def final(self, batches=40):
        """The average with batch-norm statistics of its own."""
        for layer in self.average.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None  # cumulative
        self.average.train()
        for _ in range(batches):
            y = torch.randint(self.n_classes, (self.size,), device=DEVICE)
            self.average(torch.randn(self.size, self.painter.z_dim, device=DEVICE), y)
        return self.average.eval()
