"""The autoencoder of the base: its reconstruction loss, its training, and its standardised latents."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from genmix.generators.latent.training_loop import TrainingLoop
from genmix.generators.pretrained import networks
from genmix.run.device import DEVICE, autocast, seed_all
from tools.base.training_images import content_hash, key_for

QUARTERS = 0.75  # share of the batches that are quarters of pictures
KEYED = (
    'autoencoder_steps',
    'autoencoder_batch',
    'autoencoder_lr',
    'kl',
    'noise',
    'energy',
    'ema',
    'seed',
    'size',
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


def train_autoencoder(images, settings, folder):
    """The autoencoder of photographs uint8 (n, H, W), latents standardised; checkpoints in `folder`."""
    seed_all(settings.seed)
    photos = torch.as_tensor(images)
    loop = TrainingLoop(
        folder / 'autoencoder',
        {'autoencoder': networks.make_autoencoder(settings.size)},
        replace(settings, steps=settings.autoencoder_steps, lr=settings.autoencoder_lr),
        settings.checkpoint_every,
        key_for(settings, KEYED, content_hash(images)),
    )
    net = loop.networks['autoencoder']

    def loss_of(generator):
        x = sample_batch(photos, settings, generator)[:, None].expand(-1, 3, -1, -1)
        with autocast():
            posterior = net.encode(x).latent_dist
            y = net.decode(posterior.sample(generator if DEVICE.type == 'cpu' else None)).sample
        loss = reconstruction_loss(y.float(), x, settings.energy)
        return loss + settings.kl * posterior.kl().float().mean()

    net = loop.run(loss_of, 'autoencoder')['autoencoder']
    rows = np.random.default_rng(settings.seed).permutation(len(images))[:4000]
    standardise(net, images[rows], settings.whitening)
    return net


@torch.no_grad()
def standardise(autoencoder, images, whitening=1.0, floor=0.01):
    """Decorrelate the latents of `images` uint8 (n, H, W), in place: channels of mean 0, mean variance 1.

    Reconstructions stay as they were.  Otherwise every channel is mostly brightness, and the denoiser's loss
    hardly depends on noise.  A direction of variance v becomes a channel of variance v^(1 - whitening), up to
    a common factor: with 1 all channels weigh alike; with 0.5 what a picture is mostly made of keeps more of
    the signal, so that noise hides fine detail first, as it does in pixels.  Directions with less than
    `floor` of the strongest one's variance are scaled as if they had that much: much of them is rounding.
    The first and last 1 x 1 convolutions around the latents take the change; the variance that the encoder
    states becomes its mean over some images.
    """
    latents = networks.encode(autoencoder, images) / autoencoder.config.scaling_factor
    last, first, n = autoencoder.quant_conv, autoencoder.post_quant_conv, latents.shape[1]
    rows = latents.transpose(0, 1).flatten(1).double()
    variance, directions = torch.linalg.eigh(rows.cov())  # weakest first
    variance = variance.flip(0)
    scale = variance.clamp(min=floor * variance.max()) ** (whitening / 2)
    scale = scale * (variance / scale.square()).mean().sqrt()
    whiten = directions.T.flip(0) / scale[:, None]
    back, mean, whiten = (t.float().to(DEVICE) for t in (whiten.inverse(), rows.mean(1), whiten))
    posterior = autoencoder.encode(networks.to_rgb_input(images[:256]).to(DEVICE)).latent_dist
    stated = whiten.square() @ posterior.var.mean((0, 2, 3))
    first.bias += first.weight[:, :, 0, 0] @ mean
    first.weight.copy_((first.weight[:, :, 0, 0] @ back)[:, :, None, None])
    last.bias[:n] = whiten @ (last.bias[:n] - mean)
    last.weight[:n] = (whiten @ last.weight[:n, :, 0, 0])[:, :, None, None]
    last.bias[n:], last.weight[n:] = stated.log(), 0
    autoencoder.register_to_config(scaling_factor=1.0)
