"""What DCGAN and StyleGAN2 share: the state of a training, its record, R1 penalty, EMA, weights on disk."""

import copy
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from genmix.data.images import to_uint8, to_unit
from genmix.data.sampling import sample_rows
from genmix.generators.gan.diffaugment import random_symmetry
from genmix.generators.synthetic import within_class_sd
from genmix.run.device import DEVICE, autocast, send
from genmix.run.gpu import peak_memory

R1_EVERY = 16  # steps from one R1 penalty to the next, each weighted by as much (lazy: arXiv 1912.04958)
FIXED_Z = 8  # noise vectors per class whose images are kept through training
SNAPSHOTS = 6  # how often they are kept
LOG_ROWS = 30  # of train_log.csv, roughly


def r1_penalty(discriminator, x, y):
    """Squared gradient of the scores at images x (n, 1, H, W): summed over pixels, mean over scores.

    Mescheder et al. 2018, arXiv 1801.04406.  A scalar tensor that can be differentiated.
    """
    x = x.detach().requires_grad_()
    scores = discriminator(x, y)
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradient.float().square().sum() / len(scores)


@torch.no_grad()
def update_ema(ema, model, decay):
    """Parameters of `ema` become decay * ema + (1 - decay) * model, its buffers those of `model`."""
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
    for mean, now in zip(ema.buffers(), model.buffers()):
        mean.copy_(now)


def logged(**tensors):
    """Mean of each tensor, for the log; still on the device, so that a step does not wait for it."""
    return {name: x.detach().mean() for name, x in tensors.items()}


class AdversarialTraining:
    """State of the game between two networks; a subclass brings them, `step` and `final`.

    ema          copy of the generator with the exponential moving average (EMA) of its weights: it samples
    optimisers   of generator and discriminator
    sd_images    images per class from which `within_class_sd` is computed
    """

    sd_images = 32

    def __init__(self, cohort, config, networks, betas):
        self.config, self.labels, self.n_classes = config, cohort.labels, len(cohort.class_names)
        self.rng = np.random.default_rng(config.seed)
        self.real = torch.from_numpy(cohort.images).unsqueeze(1)
        self.real_sd = within_class_sd(cohort.images, cohort.labels)
        self.generator, self.discriminator = networks
        self.ema = copy.deepcopy(self.generator).eval()
        self.optimisers = [
            torch.optim.Adam(net.parameters(), config.lr, betas, fused=True) for net in networks
        ]
        self.fixed_z = torch.randn(FIXED_Z * self.n_classes, config.z_dim).to(DEVICE)

    @property
    def counters(self):
        """Numbers beside networks and optimisers that the next step depends on: plain values by name."""
        return {}

    @counters.setter
    def counters(self, values):
        self.__dict__.update(values)

    def noise(self, n):
        """Fresh z: (n, z_dim)."""
        return torch.randn(n, self.config.z_dim, device=DEVICE)

    def classes(self, per_class):
        """Labels with `per_class` of each class, in order."""
        return torch.arange(self.n_classes, device=DEVICE).repeat_interleave(per_class)

    def augmented(self, x):
        """Images as the discriminator sees them, real and generated alike."""
        return x

    def batch(self, group=1):
        """Real images in [-1, 1] and labels, `group` of one class side by side, classes drawn alike."""
        y = self.rng.integers(0, self.n_classes, self.config.batch_size // group).repeat(group)
        x = to_unit(send(self.real[sample_rows(y, self.labels, self.rng)]))
        return random_symmetry(x) if self.config.d4_augmentation else x, send(torch.from_numpy(y))

    def update_discriminator(self, real_score, fake_score, penalty=0.0):
        """One step of Adam on the logistic loss plus `penalty`; returns the loss without it."""
        loss = F.softplus(-real_score).mean() + F.softplus(fake_score).mean()
        optimiser = self.optimisers[1]
        optimiser.zero_grad()
        (loss + penalty).backward()
        optimiser.step()
        return loss

    def generator_gradients(self, fake, y):
        """Gradients of the non-saturating loss (Goodfellow et al. 2014); returns the loss."""
        self.discriminator.requires_grad_(False)
        with autocast():
            loss = F.softplus(-self.discriminator(self.augmented(fake), y)).mean()
        self.optimisers[0].zero_grad()
        loss.backward()
        self.discriminator.requires_grad_(True)
        return loss

    @torch.inference_mode()
    def sample(self, z, y):
        """Images of the EMA generator: uint8 (n, H, W)."""
        return to_uint8(self.ema(z, y))

    def snapshot(self):
        """Images of the fixed z: uint8 (K, FIXED_Z, H, W)."""
        images = self.sample(self.fixed_z, self.classes(FIXED_Z))
        return images.reshape(self.n_classes, FIXED_Z, *images.shape[1:])

    def within_class_sd(self):
        """Of fresh samples, as a share of the real one, per class: 1 as varied as real, 0 collapsed."""
        y = self.classes(self.sd_images)
        now = within_class_sd(self.sample(self.noise(len(y)), y), y.cpu().numpy())
        return {f'within_class_sd_{k}': now[k] / self.real_sd[k] for k in now if self.real_sd.get(k, 0) > 0}


def sample_steps(steps):
    """The SNAPSHOTS steps of a training at which samples are kept; fewer where it has fewer steps."""
    found = np.unique(np.linspace(steps / SNAPSHOTS, steps, SNAPSHOTS).round())
    return found[found > 0]


def nearest_samples(samples, before, steps):
    """Samples kept by a training of `before` steps for one of `steps`, which is longer: nearest in time."""
    kept = sample_steps(before)
    return [samples[np.abs(kept - step).argmin()] for step in sample_steps(steps) if step <= before]


class TrainingRecord:
    """What a training leaves beside weights: train_log.csv; samples.npy uint8 (t, K, FIXED_Z, H, W)."""

    def __init__(self, steps, rows=(), samples=()):
        self.steps, self.rows, self.samples = steps, [*rows], [*samples]
        self.images, self.start = 0, time.time()  # since the last row

    def add(self, run, step, losses):
        """Note `losses` of `step` about LOG_ROWS times, and samples of the fixed z SNAPSHOTS times."""
        self.images += run.config.batch_size
        if step % max(1, self.steps // LOG_ROWS) == 0 or step == 1:
            losses = {name: float(loss) for name, loss in losses.items()}
            passed, before = time.time() - self.start, self.rows[-1].get('seconds', 0) if self.rows else 0
            speed = {'seconds': round(before + passed, 1)}
            speed['images_per_second'] = round(self.images / passed, 1)
            if peak := peak_memory():
                speed['peak_gb'] = round(peak, 2)
            self.rows.append({'step': step, **losses, **run.within_class_sd(), **speed})
            self.images, self.start = 0, time.time()
        if step in sample_steps(self.steps):
            self.samples.append(run.snapshot())

    def save(self, folder):
        pd.DataFrame(self.rows).to_csv(Path(folder) / 'train_log.csv', index=False)
        np.save(Path(folder) / 'samples.npy', np.stack(self.samples))


class TrainedGAN:
    """A generator network and what it is made with: generator.safetensors and config.json.

    config   {'network': arguments of `network`, ...}; a subclass names its class `network`
    """

    def __init__(self, generator, config):
        self.generator, self.config = generator.eval(), config

    def save(self, folder):
        weights = {k: v.contiguous() for k, v in self.generator.state_dict().items()}
        save_file(weights, Path(folder) / 'generator.safetensors')
        (Path(folder) / 'config.json').write_text(json.dumps(self.config))

    @classmethod
    def load(cls, folder):
        config = json.loads((Path(folder) / 'config.json').read_text())
        generator = cls.network(**config['network'])
        generator.load_state_dict(load_file(Path(folder) / 'generator.safetensors'))
        return cls(generator.to(DEVICE), config)
