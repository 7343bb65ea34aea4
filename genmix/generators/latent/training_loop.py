"""A training loop that may be killed at any moment: it goes on from its last checkpoint and ends with the weights it would have had."""

import copy
import json
import math
import time
from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from genmix import StudyError
from genmix.run.device import DEVICE
from genmix.run.files import atomic_write
from genmix.run.log import log, progress

WARMUP, LAST = (
    100,
    0.02,
)  # steps until the full learning rate, a tenth of all at most; share of it that is left at the end (cosine between)


class TrainingLoop:
    """Trains some networks together with AdamW, and keeps the running average of their weights.

    folder    holds checkpoint.safetensors (weights, averages, the optimiser's moments, the step) and log.csv
    networks  {name: module}, already with their initial weights
    key       says what is trained with which settings: a checkpoint of another key is refused
    keep      of the running average in each step, at most; less in the first steps
    peers     an accelerate.Accelerator when several processes train together: gradients are averaged over them, the first one writes

    Only parameters that require a gradient are trained, averaged and kept in checkpoints.

    All randomness of a step comes from a generator seeded by (seed, step), so nothing else need be remembered.
    """

    def __init__(self, folder, networks, steps, lr, seed, key, keep=0.999, every=500, peers=None):
        self.folder, self.steps, self.lr, self.seed, self.key, self.keep, self.every, self.peers = (
            Path(folder),
            steps,
            lr,
            seed,
            key,
            keep,
            every,
            peers,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.networks = {name: net.to(DEVICE).train() for name, net in networks.items()}
        self.parameters = {
            f'{name}.{k}': p
            for name, net in networks.items()
            for k, p in net.named_parameters()
            if p.requires_grad
        }
        self.averages = {
            name: copy.deepcopy(net).eval().requires_grad_(False) for name, net in networks.items()
        }
        self.means = {
            key: p
            for name, net in self.averages.items()
            for k, p in net.named_parameters()
            if (key := f'{name}.{k}') in self.parameters
        }
        self.optimiser = torch.optim.AdamW(
            self.parameters.values(), lr, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
        )
        self.step, self.log = 0, []
        if self.file.exists():
            self.resume()

    @property
    def file(self):
        return self.folder / 'checkpoint.safetensors'

    @property
    def first(self):
        """True in the process that writes."""
        return self.peers is None or self.peers.is_main_process

    def run(self, loss_of, label, on_checkpoint=None, moments=None):
        """Train to the end: `loss_of(generator)` is the loss of a fresh batch.  Returns the networks with averaged weights.

        on_checkpoint   called with ({name: averaged network}, step) at each checkpoint, or at the steps `moments`
        """
        start, since, losses = time.time(), self.step, []
        for self.step in progress(range(self.step + 1, self.steps + 1), label):
            losses.append(self.one_step(loss_of))
            if self.step % max(self.every // 5, 1) == 0 or self.step == self.steps:
                self.log.append(
                    {
                        'step': self.step,
                        'loss': torch.stack(losses).mean().item(),
                        'lr': self.rate(),
                        'steps_per_second': (self.step - since) / (time.time() - start),
                    }
                )
                losses = []
            due = self.step % self.every == 0 or self.step == self.steps
            if due and self.first:
                self.save()
            if on_checkpoint and self.first and (due if moments is None else self.step in moments):
                on_checkpoint(self.averages, self.step)
        return self.averages

    def one_step(self, loss_of):
        generator = torch.Generator().manual_seed(self.seed * 10_000_019 + self.step)
        loss = loss_of(generator)
        for group in self.optimiser.param_groups:
            group['lr'] = self.rate()
        self.optimiser.zero_grad()
        loss.backward()
        for p in self.parameters.values() if self.peers else ():
            p.grad = self.peers.reduce(p.grad, 'mean')
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.means.values()),
                list(self.parameters.values()),
                1 - min(self.keep, (1 + self.step) / (10 + self.step)),
            )
        return loss.detach()

    def rate(self):
        """Learning rate of this step."""
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.step / self.steps)
        return (
            self.lr * min(1, self.step / min(WARMUP, max(1, self.steps // 10))) * (LAST + (1 - LAST) * cosine)
        )

    def save(self):
        tensors = {}
        for name, p in self.parameters.items():
            moments = self.optimiser.state[p]
            tensors |= {
                f'now.{name}': p,
                f'mean.{name}': self.means[name],
                f'first.{name}': moments['exp_avg'],
                f'second.{name}': moments['exp_avg_sq'],
            }
        with atomic_write(self.file) as part:
            save_file(
                {k: v.detach().contiguous() for k, v in tensors.items()},
                part,
                {'step': str(self.step), 'key': self.key, 'log': json.dumps(self.log)},
            )
        with atomic_write(self.folder / 'log.csv') as part:
            pd.DataFrame(self.log).round(6).to_csv(part, index=False)

    @torch.no_grad()
    def resume(self):
        with safe_open(self.file, 'pt', device=str(DEVICE)) as saved:
            about = saved.metadata()
            if about['key'] != self.key:
                raise StudyError(
                    f'{self.file.parent.name} was begun with other settings or other images: remove that folder, '
                    'or name another with --folder.'
                )
            self.step, self.log = int(about['step']), json.loads(about['log'])
            for name, p in self.parameters.items():
                p.copy_(saved.get_tensor(f'now.{name}'))
                self.means[name].copy_(saved.get_tensor(f'mean.{name}'))
                self.optimiser.state[p] = {
                    'step': torch.tensor(float(self.step), device=DEVICE),
                    'exp_avg': saved.get_tensor(f'first.{name}'),
                    'exp_avg_sq': saved.get_tensor(f'second.{name}'),
                }
        log.info(f'{self.folder.name}: going on from step {self.step}')
