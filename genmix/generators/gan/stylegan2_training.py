"""How StyleGAN2 learns: the game with its regularisers, the running average, and a checkpoint that gives an unbroken training."""

import copy
import json
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from genmix import StudyError
from genmix.data.images import to_uint8, to_unit
from genmix.data.sampling import sample_rows
from genmix.generators.gan.ada import Controller, augment
from genmix.generators.gan.diffaugment import diffaugment, random_symmetry
from genmix.generators.gan.stylegan2_networks import GROUP, Discriminator, Generator
from genmix.generators.synthetic import within_class_sd
from genmix.run.device import DEVICE, autocast, seed_all
from genmix.run.files import atomic_write


@dataclass(frozen=True)
class Recipe:
    """Everything about a training but its length and the networks.

    batch_size     images a step, in groups of GROUP of one class
    lr, beta1      of Adam in both networks; beta1 is 0 as published, for trainings a thousand times as long
    r1_gamma       weight of the squared gradient at real images, taken every `r1_every` steps (lazy)
    path_length    weight of the path length penalty, taken every `path_every` steps; 0 leaves it out
    style_mixing   share of images painted with the w of two z, changed at a random layer
    pack           images of one class that the critic judges together; 1 as published
    space_to_depth the critic's stem
    augmentation   'ada', 'diffaugment' or 'none'
    ada_target     r_t that ADA aims at         ada_images  images for p to climb from 0 to 1
    ema_images     half-life of the running average of the painter, in images
    turns          train on all eight symmetries of each image; False for images that have an up
    """

    batch_size: int = 16
    lr: float = 3e-3
    beta1: float = 0.5
    r1_gamma: float = 0.1
    r1_every: int = 16
    path_length: float = 0.0
    path_every: int = 4
    style_mixing: float = 0.5
    pack: int = 2
    space_to_depth: bool = True
    augmentation: str = 'ada'
    ada_target: float = 0.6
    ada_images: int = 10000
    ema_images: int = 3000
    turns: bool = True
    seed: int = 0

    def __post_init__(self):
        if self.batch_size % GROUP or not self.batch_size:
            raise StudyError(
                f'batch_size is {self.batch_size}, but the critic sees groups of {GROUP} images of one class: choose a multiple of {GROUP}.'
            )
        if GROUP % self.pack:
            raise StudyError(
                f'pack is {self.pack}, but it must divide the {GROUP} images of one class that the critic sees side by side.'
            )


def r1_penalty(critic, x, y):
    """Squared gradient of the critic's scores at the images it sees, summed over pixels, mean over scores (Mescheder et al. 2018, arXiv 1801.04406)."""
    x = x.detach().requires_grad_()
    scores = critic(x, y)
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradient.float().square().sum() / len(scores)


def path_lengths(image, w):
    """How far the image moves for a step in w, along random directions: |J_w^T noise|, (n,).  w (n, layers, w_dim) that `image` was painted from."""
    noise = torch.randn_like(image) / (image.shape[2] * image.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((image * noise).sum(), w, create_graph=True)
    return gradient.float().square().sum(2).mean(1).sqrt()


class AdversarialTraining:
    """The adversarial game, one step at a time: critic, painter, running average, p."""

    def __init__(self, cohort, network, recipe):
        seed_all(recipe.seed)
        self.recipe, self.rng, self.labels, self.n_classes = (
            recipe,
            np.random.default_rng(recipe.seed),
            cohort.labels,
            network['n_classes'],
        )
        self.real, self.real_spread = (
            torch.from_numpy(cohort.images).unsqueeze(1),
            within_class_sd(cohort.images, cohort.labels),
        )
        self.painter = Generator(**network).to(DEVICE)
        self.critic = Discriminator(
            self.n_classes,
            network['size'],
            network['width'],
            network['most'],
            recipe.pack,
            recipe.space_to_depth,
        ).to(DEVICE)
        self.average = copy.deepcopy(self.painter).eval()
        self.optimisers = [
            torch.optim.Adam(net.parameters(), recipe.lr, (recipe.beta1, 0.99), fused=True)
            for net in (self.painter, self.critic)
        ]
        self.control, self.mean_path, self.seen = Controller(recipe.ada_target, recipe.ada_images), 0.0, 0
        self.fixed_z = torch.randn(8 * self.n_classes, network['z_dim']).to(DEVICE)
        self.fixed_y = torch.arange(self.n_classes, device=DEVICE).repeat_interleave(8)

    def step(self, number):
        """One critic and one painter step; returns losses, mean scores, p and r_t."""
        recipe, (painter, critic) = self.recipe, self.optimisers
        x, y = self.batch()
        with autocast():
            fake = self.painter.synthesis(self.styles(y))
            real_score, fake_score = self.critic(
                torch.cat([self.see(x), self.see(fake.detach())]), y.repeat(2)
            ).chunk(2)
            loss = F.softplus(-real_score).mean() + F.softplus(fake_score).mean()
            penalty = 0.0
            if number % recipe.r1_every == 0 and recipe.r1_gamma:
                penalty = recipe.r1_gamma / 2 * recipe.r1_every * r1_penalty(self.critic, self.see(x), y)
        critic.zero_grad()
        (loss + penalty).backward()
        critic.step()
        self.critic.requires_grad_(False)  # only the painter's gradients are wanted now
        with autocast():
            painter_loss = F.softplus(-self.critic(self.see(fake), y)).mean()
        painter.zero_grad()
        painter_loss.backward()
        if recipe.path_length and number % recipe.path_every == 0:
            (recipe.path_length * recipe.path_every * self.path_penalty(y)).backward()
        painter.step()
        self.critic.requires_grad_(True)
        self.control.watch(real_score, len(x))
        self.seen += len(x)
        self.follow()
        return {
            'critic_loss': loss.item(),
            'generator_loss': painter_loss.item(),
            'real_score': real_score.mean().item(),
            'fake_score': fake_score.mean().item(),
            'p': self.control.p,
            'r_t': self.control.r,
        }

    def batch(self):
        """Real images in [-1, 1] and labels, every class as often as the others, each image in a symmetry of its own."""
        y = self.rng.integers(0, self.n_classes, self.recipe.batch_size // GROUP).repeat(GROUP)
        x = to_unit(self.real[sample_rows(y, self.labels, self.rng)].to(DEVICE))
        return random_symmetry(x) if self.recipe.turns else x, torch.from_numpy(y).to(DEVICE)

    def see(self, x):
        """Images as the critic sees them, real and painted alike."""
        how = self.recipe.augmentation
        return augment(x, self.control.p) if how == 'ada' else diffaugment(x) if how == 'diffaugment' else x

    def styles(self, y):
        """w of every image and layer (n, layers + 1, w_dim) from fresh z, a share of them mixed from two."""

        def draw():
            return self.painter.mapping(torch.randn(len(y), self.painter.z_dim, device=DEVICE), y)

        w, layers = draw(), len(self.painter.layers) + 1
        if not self.recipe.style_mixing:
            return w[:, None].expand(-1, layers, -1)
        change = torch.randint(1, layers, (len(y),), device=DEVICE)
        change[torch.rand(len(y), device=DEVICE) >= self.recipe.style_mixing] = layers
        return torch.where(
            (torch.arange(layers, device=DEVICE) < change[:, None])[:, :, None], w[:, None], draw()[:, None]
        )

    def path_penalty(self, y):
        """Squared deviation of path lengths from their running mean (Karras 2020, equation 4), on half a batch."""
        with autocast():
            w = self.styles(y[: len(y) // 2])
            lengths = path_lengths(self.painter.synthesis(w), w)
        self.mean_path += 0.01 * (lengths.mean().item() - self.mean_path)
        return (lengths - self.mean_path).square().mean()

    @torch.no_grad()
    def follow(self):
        """Move the running average towards the painter; early on its memory is short."""
        keep = 0.5 ** (self.recipe.batch_size / max(1.0, min(self.recipe.ema_images, 0.15 * self.seen)))
        for mean, now in zip(self.average.parameters(), self.painter.parameters()):
            mean.lerp_(now, 1 - keep)

    @torch.inference_mode()
    def paint(self, z, y):
        with autocast():
            return to_uint8(self.average(z, y))

    def sheet(self):
        """Fixed z through the current average: uint8 (K, 8, H, W)."""
        images = self.paint(self.fixed_z, self.fixed_y)
        return images.reshape(self.n_classes, 8, *images.shape[1:])

    def spread(self, per_class=32):
        """Within-class spread of fresh samples as a share of the real one: 1 as varied as real, 0 collapsed."""
        y = torch.arange(self.n_classes, device=DEVICE).repeat_interleave(per_class)
        now = within_class_sd(
            self.paint(torch.randn(len(y), self.painter.z_dim, device=DEVICE), y), y.cpu().numpy()
        )
        return {f'spread_{k}': now[k] / self.real_spread[k] for k in now if self.real_spread.get(k)}

    @torch.no_grad()
    def final(self, draws=2000):
        """The average, with the mean w of each class filled in."""
        for k in range(self.n_classes):
            z = torch.randn(draws, self.painter.z_dim, device=DEVICE)
            self.average.centre[k] = self.average.mapping(z, torch.full((draws,), k, device=DEVICE)).mean(0)
        return self.average

    # ---- the checkpoint --------------------------------------------------------------------------------------

    def save(self, path, step, log, sheets):
        """All that the next step depends on, and what was recorded so far, in one safetensors file; its metadata is JSON."""
        tensors = {
            f'{name}.{key}': value
            for name in ('painter', 'critic', 'average')
            for key, value in getattr(self, name).state_dict().items()
        }
        for i, optimiser in enumerate(self.optimisers):
            tensors |= {
                f'adam{i}.{j}.{key}': value
                for j, state in optimiser.state_dict()['state'].items()
                for key, value in state.items()
            }
        tensors |= {f'sheet.{i:03d}': torch.from_numpy(sheet) for i, sheet in enumerate(sheets)} | {
            'random': torch.get_rng_state()
        }
        if DEVICE.type == 'cuda':
            tensors['random_cuda'] = torch.cuda.get_rng_state()
        about = {
            'step': step,
            'log': log,
            'recipe': asdict(self.recipe),
            'rng': self.rng.bit_generator.state,
            'control': self.control.state,
            'mean_path': self.mean_path,
            'seen': self.seen,
            'sheets': len(sheets),
        }
        with atomic_write(path) as part:
            save_file({k: v.contiguous() for k, v in tensors.items()}, part, {'about': json.dumps(about)})

    def resume(self, path):
        """(step, log, sheets) where the training that wrote `path` stood; (0, [], []) without one of this recipe."""
        if not path.exists():
            return 0, [], []
        with safe_open(path, 'pt') as file:
            about, tensors = (
                json.loads(file.metadata()['about']),
                {key: file.get_tensor(key) for key in file},
            )
        if about['recipe'] != asdict(self.recipe):
            return 0, [], []

        def under(prefix):
            return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}

        for name in ('painter', 'critic', 'average'):
            getattr(self, name).load_state_dict(under(f'{name}.'))
        for i, optimiser in enumerate(self.optimisers):
            for j, parameter in enumerate(optimiser.param_groups[0]['params']):
                optimiser.state[parameter] = {
                    key: value.to(DEVICE) for key, value in under(f'adam{i}.{j}.').items()
                }
        self.rng.bit_generator.state, self.control.state = about['rng'], about['control']
        self.mean_path, self.seen = about['mean_path'], about['seen']
        torch.set_rng_state(tensors['random'])
        if DEVICE.type == 'cuda':
            torch.cuda.set_rng_state(tensors['random_cuda'])
        return (
            about['step'],
            about['log'],
            [tensors[f'sheet.{i:03d}'].numpy() for i in range(about['sheets'])],
        )
