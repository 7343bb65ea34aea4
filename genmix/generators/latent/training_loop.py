"""A training loop that may be killed: it resumes from its last checkpoint and ends with the same weights."""

import copy
import json
import math
import shutil
import time
from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from genmix import StudyError
from genmix.generators.latent.optimisers import Optimisers
from genmix.run.device import DEVICE
from genmix.run.files import atomic_write
from genmix.run.gpu import peak_memory
from genmix.run.log import log, progress

CHECKPOINT = 'checkpoint.safetensors'
WARMUP = 100  # steps of linear warm-up, a tenth of all at most
FINAL_LR = 0.02  # share of the peak learning rate that the cosine schedule ends with


class TrainingLoop:
    """Trains networks together and keeps an exponential moving average (EMA) of their weights.

    folder            holds checkpoint.safetensors (weights, EMA, moments of the optimisers, the step) and
                      log.csv.  The checkpoint may be that of a finished training of fewer steps, `before`
                      (else 0): the learning rate is then that of the longer schedule, far from its end
    networks          {name: module} with their initial weights; what requires no gradient is not trained
    config            has `steps`, peak learning rate `lr` (and perhaps `muon_lr`, see Optimisers), EMA decay
                      per step `ema` (less at first) and `seed`
    checkpoint_every  steps from one checkpoint to the next
    key               identifies data and settings: a checkpoint with another key is refused (StudyError)
    accelerator       accelerate.Accelerator when several processes train together: gradients are averaged
                      over them and the main one writes

    All randomness of a step comes from a generator seeded by (seed, step), so nothing else need be saved.
    """

    def __init__(self, folder, networks, config, checkpoint_every, key='', accelerator=None):
        self.folder, self.config, self.checkpoint_every = Path(folder), config, checkpoint_every
        self.key, self.accelerator = key, accelerator
        self.folder.mkdir(parents=True, exist_ok=True)
        self.networks = {name: net.to(DEVICE).train() for name, net in networks.items()}
        self.parameters = {
            f'{name}.{k}': p
            for name, net in networks.items()
            for k, p in net.named_parameters()
            if p.requires_grad
        }
        self.averages = {n: copy.deepcopy(net).eval().requires_grad_(False) for n, net in networks.items()}
        averaged = {
            f'{name}.{k}': p for name, net in self.averages.items() for k, p in net.named_parameters()
        }
        self.means = {name: averaged[name] for name in self.parameters}
        muon_lr = getattr(config, 'muon_lr', 0.0)
        self.optimisers = Optimisers(self.networks, self.parameters, config.lr, muon_lr)
        self.step, self.before, self.log = 0, 0, []
        if self.file.exists():
            self._resume()

    @property
    def file(self):
        return self.folder / CHECKPOINT

    @property
    def is_main(self):
        """Whether this process writes."""
        return self.accelerator is None or self.accelerator.is_main_process

    def run(self, loss_of, label, snapshot=None, snapshot_steps=None):
        """Train to the end: `loss_of(generator)` is the loss of a fresh batch.  Returns {name: EMA network}.

        snapshot   called in the main process as snapshot({name: EMA network}, step), at `snapshot_steps`,
                   where 0 is before training, or with every checkpoint
        """
        start, since, losses = time.time(), self.step, []
        earlier = self.log[-1].get('seconds', 0) if self.log else 0
        if snapshot and self.is_main and not self.step and 0 in (snapshot_steps or ()):
            snapshot(self.averages, 0)
        for step in progress(range(self.step + 1, self.config.steps + 1), label):
            self.step, every, last = step, self.checkpoint_every, step == self.config.steps
            losses.append(self._train_step(loss_of))
            if step % max(every // 5, 1) == 0 or last:
                loss, passed = torch.stack(losses).mean().item(), time.time() - start
                row = {
                    'step': step,
                    'loss': loss,
                    'lr': self.config.lr * self._lr_share(),
                    'seconds': earlier + passed,
                }
                self.log.append(row | self._speed((step - since) / passed))
                losses = []
            due = step % every == 0 or last
            if due and self.is_main:
                self._save()
            if snapshot and self.is_main and (due if snapshot_steps is None else step in snapshot_steps):
                snapshot(self.averages, step)
        return self.averages

    def finish(self, log_file, keep=False):
        """Write the log to `log_file` and remove the folder; `keep`: its checkpoint goes beside the log."""
        self._write_log(Path(log_file))
        if keep:
            self.file.replace(Path(log_file).with_name(CHECKPOINT))
        shutil.rmtree(self.folder)

    def _speed(self, rate):
        """Columns of the log for so many steps a second."""
        speed = {'steps_per_second': rate, 'images_per_second': rate * getattr(self.config, 'batch_size', 1)}
        return speed | ({'peak_gb': peak} if (peak := peak_memory()) else {})

    def _train_step(self, loss_of):
        generator = torch.Generator().manual_seed(self.config.seed * 10_000_019 + self.step)
        loss = loss_of(generator)
        self.optimisers.zero_grad()
        loss.backward()
        if self.accelerator:
            self._share_gradients()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimisers.step(self._lr_share())
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.means.values()), list(self.parameters.values()), 1 - decay)
        return loss.detach()

    def _share_gradients(self):
        gradients = [p.grad for p in self.parameters.values()]
        mean = self.accelerator.reduce(parameters_to_vector(gradients), 'mean')  # at once: each call waits
        vector_to_parameters(mean, gradients)

    def _lr_share(self):
        """Share of the peak learning rates at this step: linear warm-up, then cosine."""
        steps = self.config.steps
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.step / steps)
        warmup = min(1, self.step / min(WARMUP, max(1, steps // 10)))
        return warmup * (FINAL_LR + (1 - FINAL_LR) * cosine)

    def _save(self):
        tensors = {}
        for name, p in self.parameters.items():
            tensors |= {f'weight.{name}': p, f'ema.{name}': self.means[name]}
        for moment, of in self.optimisers.moments().items():
            tensors |= {f'{moment}.{name}': tensor for name, tensor in of.items()}
        about = {'step': str(self.step), 'key': self.key, 'log': json.dumps(self.log)}
        about |= {'steps': str(self.config.steps), 'before': str(self.before)}
        with atomic_write(self.file) as part:
            save_file({k: v.detach().contiguous() for k, v in tensors.items()}, part, about)
        self._write_log(self.folder / 'log.csv')

    def _write_log(self, path):
        with atomic_write(path) as part:
            pd.DataFrame(self.log).round(6).to_csv(part, index=False)

    @torch.no_grad()
    def _resume(self):
        with safe_open(self.file, 'pt') as saved:
            about = saved.metadata()
            if about['key'] != self.key:
                raise StudyError(
                    f'{self.file.parent.name} was begun with other settings or other images: remove that '
                    'folder, or name another with --folder.'
                )
            self.step, self.log = int(about['step']), json.loads(about['log'])
            of = int(about.get('steps', self.config.steps))
            self.before = of if of < self.config.steps else int(about.get('before', 0))
            for name, p in self.parameters.items():
                p.copy_(saved.get_tensor(f'weight.{name}'))
                self.means[name].copy_(saved.get_tensor(f'ema.{name}'))
            moments = {}
            for key in saved.keys():  # noqa: SIM118 (no dict)
                kind, name = key.split('.', 1)
                if kind not in ('weight', 'ema'):
                    moments.setdefault(kind, {})[name] = saved.get_tensor(f'{kind}.{name}').to(DEVICE)
        self.optimisers.restore(self.step, moments)
        log.info(f'{self.folder.name}: resumed from step {self.step}')
