"""The loop of a GAN training, with checkpoints: one that is interrupted goes on to the same weights."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from genmix.generators.gan.training import TrainingRecord, nearest_samples
from genmix.run.device import DEVICE
from genmix.run.files import atomic_write
from genmix.run.log import progress

NETWORKS = 'generator', 'discriminator', 'ema'
CHECKPOINT_EVERY = 200  # steps


def train(run, out_dir, label):
    """All steps of an AdversarialTraining; returns its TrainingRecord.

    Checkpoints lie in `out_dir`: a training begun there again with the same config goes on from the last one.
    The one of the last step stays, and a training of more steps goes on from it.
    """
    checkpoint, steps = Path(out_dir) / 'checkpoint.safetensors', run.config.steps
    done, record = load_checkpoint(checkpoint, run)
    for step in progress(range(done + 1, steps + 1), label):
        record.add(run, step, run.step(step))
        if step % CHECKPOINT_EVERY == 0 or step == steps:
            save_checkpoint(checkpoint, run, step, record)
    return record


def save_checkpoint(path, run, step, record):
    """All that the next step depends on, and the record so far: one safetensors file, JSON metadata."""
    tensors = {f'{name}.{k}': v for name in NETWORKS for k, v in getattr(run, name).state_dict().items()}
    for i, optimiser in enumerate(run.optimisers):
        for j, state in optimiser.state_dict()['state'].items():
            tensors |= {f'adam{i}.{j}.{key}': value for key, value in state.items()}
    tensors |= {f'sample.{i:03d}': torch.from_numpy(images) for i, images in enumerate(record.samples)}
    tensors['random'] = torch.get_rng_state()
    if DEVICE.type == 'cuda':
        tensors['random_cuda'] = torch.cuda.get_rng_state(DEVICE)
    about = {'step': step, 'config': asdict(run.config), 'rows': record.rows}
    about |= {'rng': run.rng.bit_generator.state, 'counters': run.counters}
    with atomic_write(path) as part:
        save_file({k: v.contiguous() for k, v in tensors.items()}, part, {'about': json.dumps(about)})


def load_checkpoint(path, run):
    """(steps done, TrainingRecord) of the training that wrote `path`, and `run` in its state.

    (0, an empty record), and `run` as it is, where there is no checkpoint of the same config.  One of fewer
    steps will do, where they are done.
    """
    steps = run.config.steps
    if not path.exists():
        return 0, TrainingRecord(steps)
    with safe_open(path, 'pt') as file:
        about, keys = json.loads(file.metadata()['about']), file.keys()
        tensors = {key: file.get_tensor(key) for key in keys}
    before = about['config']['steps']
    done = before == steps or before == about['step'] < steps
    if not done or about['config'] | {'steps': steps} != asdict(run.config):
        return 0, TrainingRecord(steps)
    restore(run, about, tensors)
    samples = [tensors[key].numpy() for key in sorted(tensors) if key.startswith('sample.')]
    if before != steps:
        samples = nearest_samples(samples, before, steps)
    return about['step'], TrainingRecord(steps, about['rows'], samples)


def restore(run, about, tensors):
    """Weights, optimisers, generators of randomness and counters of `run` as a checkpoint has them."""

    def below(prefix):
        return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}

    for name in NETWORKS:
        getattr(run, name).load_state_dict(below(f'{name}.'))
    for i, optimiser in enumerate(run.optimisers):
        for j, parameter in enumerate(optimiser.param_groups[0]['params']):
            state = below(f'adam{i}.{j}.')
            optimiser.state[parameter] = {
                key: torch.empty_like(parameter).copy_(value) if value.dim() else value.to(DEVICE)
                for key, value in state.items()
            }
    run.rng.bit_generator.state, run.counters = about['rng'], about['counters']
    torch.set_rng_state(tensors['random'])
    if DEVICE.type == 'cuda':
        torch.cuda.set_rng_state(tensors['random_cuda'], DEVICE)
