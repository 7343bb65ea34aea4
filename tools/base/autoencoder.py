"""The autoencoder of the base: what its latents are taught to be, its loss and its training."""

from dataclasses import replace
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import dct

from genmix.generators.latent.training_loop import TrainingLoop
from genmix.generators.pretrained import networks
from genmix.run.device import DEVICE, autocast, seed_all
from tools.base.training_images import content_hash, key_for

QUARTERS = 0.75  # share of the batches that are quarters of pictures
KEYED = (
    'autoencoder_steps',
    'autoencoder_batch',
    'autoencoder_lr',
    'noise',
    'energy',
    'whitening',
    'ema',
    'seed',
)


def reconstruction_loss(y, x, energy):
    """Difference of images (n, C, H, W) in [-1, 1]: a scalar.

    L1 of pixels, of their differences, of images 2 and 4 times coarser, and, with the weight `energy`, of
    local contrast.  The last lets noise come back as noise of the right strength where its exact pixels are
    lost; L1 alone gives a smooth surface.
    """
    loss = (
        (y - x).abs().mean()
        + 0.5 * (y.diff(dim=-1) - x.diff(dim=-1)).abs().mean()
        + 0.5 * (y.diff(dim=-2) - x.diff(dim=-2)).abs().mean()
    )
    loss = loss + 0.25 * sum((F.avg_pool2d(y, k) - F.avg_pool2d(x, k)).abs().mean() for k in (2, 4))
    if not energy:
        return loss
    return loss + energy * sum((local_contrast(y, k) - local_contrast(x, k)).abs().mean() for k in (3, 5))


def local_contrast(x, k):
    """Root mean square, over windows of 8 pixels, of what a mean over k x k pixels removes."""
    fine = x - F.avg_pool2d(x, k, 1, k // 2, count_include_pad=False)
    return (F.avg_pool2d(fine.square(), 8, 4) + 1e-5).sqrt()


def sample_batch(images, settings, generator):
    """Pictures float (n, H, W) in [-1, 1], rotated, half of them under random noise.

    Most batches are quarters of pictures, at a quarter of the cost: the network is convolutional, and sees
    more pictures so.
    """

    def draw(*shape):
        return torch.rand(shape, generator=generator)

    rows = torch.randint(len(images), (settings.autoencoder_batch,), generator=generator)
    x = networks.to_rgb_input(images[rows], 1)[:, 0]
    x = torch.rot90(x, int(4 * draw(1)), (1, 2))
    if draw(1) < QUARTERS:
        half = x.shape[1] // 2
        top, left = (int(draw(1) * (half + 1)) for _ in range(2))
        x = x[:, top : top + half, left : left + half]
    noise = torch.randn(x.shape, generator=generator)
    noise = torch.where(draw(len(x), 1, 1) < 0.5, noise, 3 * F.avg_pool2d(noise, 3, 1, 1))
    strength = settings.noise * draw(len(x), 1, 1) * (draw(len(x), 1, 1) < 0.5)
    return (x + strength * noise).clamp(-1, 1).to(DEVICE)


class Frequencies:
    """What the latents are taught to be: the lowest frequencies of each block of pixels, whitened in part.

    A block is as large as one latent.  Its two-dimensional DCT-II, as in JPEG, is nearly decorrelated and
    orders what a picture is made of from coarse to fine; latents that an autoencoder finds by itself do
    neither, and a denoiser took many times the samples to learn shapes in them.  A coefficient of variance v
    over pictures becomes a channel of mean 0 and variance v^(1 - whitening), up to a common factor that makes
    the mean variance 1: with 1 all frequencies weigh alike; with less, noise hides fine detail first, as it
    does in pixels.

    images   uint8 (n, H, W), of which means and variances are taken
    """

    def __init__(self, images, size, whitening):
        side = 2 ** (len(size.autoencoder) - 1)
        basis = dct(np.eye(side), axis=0, norm='ortho')
        order = sorted(product(range(side), repeat=2), key=lambda k: (sum(k), max(k), k))
        kernel = np.stack([np.outer(basis[i], basis[j]) for i, j in order[: size.latent_channels]])
        self.kernel = torch.as_tensor(kernel[:, None], dtype=torch.float32).to(DEVICE)
        found = F.conv2d(networks.to_rgb_input(images, 1).to(DEVICE), self.kernel, stride=side)
        self.mean, variance = (f(found, (0, 2, 3), keepdim=True) for f in (torch.mean, torch.var))
        scale = variance ** (whitening / 2)
        self.scale = scale * (variance / scale.square()).mean().sqrt()

    def __call__(self, x):
        """Pictures float (n, C, H, W) in [-1, 1], all channels alike -> float (n, latent channels, h, w)."""
        found = F.conv2d(x[:, :1], self.kernel, stride=self.kernel.shape[-1])
        return (found - self.mean) / self.scale


def train_autoencoder(images, settings, folder):
    """The autoencoder of pictures uint8 (n, H, W); checkpoints in `folder`.

    It encodes a picture as its `Frequencies`, which says nothing of the decoder: that one learns what
    pictures have such frequencies, in images, across blocks, with noise of the right strength.
    """
    seed_all(settings.seed)
    pictures, size = torch.as_tensor(images), settings.size
    loop = TrainingLoop(
        folder / 'autoencoder',
        {'autoencoder': networks.make_autoencoder(size)},
        replace(settings, steps=settings.autoencoder_steps, lr=settings.autoencoder_lr, muon_lr=0.0),
        settings.checkpoint_every,
        key_for(settings, KEYED, size.image, size.latent_channels, size.autoencoder, content_hash(images)),
    )
    net = loop.networks['autoencoder']
    rows = np.random.default_rng(settings.seed).permutation(len(images))[:4000]
    frequencies = Frequencies(images[rows], size, settings.whitening)

    def loss_of(generator):
        x = sample_batch(pictures, settings, generator)[:, None].expand(-1, 3, -1, -1)
        with autocast():
            latents = net.encode(x).latents
            y = net.decode(latents).sample
        taught = F.mse_loss(latents.float() * net.config.scaling_factor, frequencies(x))
        return reconstruction_loss(y.float(), x, settings.energy) + taught

    return loop.run(loss_of, 'autoencoder')['autoencoder']
