"""Checkpoints of a StyleGAN2 training: one that is interrupted goes on to the same weights."""

import json
from dataclasses import asdict

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from genmix.generators.gan.training import TrainingRecord
from genmix.run.device import DEVICE
from genmix.run.files import atomic_write

NETWORKS = 'generator', 'discriminator', 'ema'


def save_checkpoint(path, run, step, record):
    """All that the next step depends on, and the record so far: one safetensors file, JSON metadata."""
    tensors = {f'{name}.{k}': v for name in NETWORKS for k, v in getattr(run, name).state_dict().items()}
    for i, optimiser in enumerate(run.optimisers):
        for j, state in optimiser.state_dict()['state'].items():
            tensors |= {f'adam{i}.{j}.{key}': value for key, value in state.items()}
    tensors |= {f'sample.{i:03d}': torch.from_numpy(images) for i, images in enumerate(record.samples)}
    tensors['random'] = torch.get_rng_state()
    if DEVICE.type == 'cuda':
        tensors['random_cuda'] = torch.cuda.get_rng_state()
    about = {'step': step, 'config': asdict(run.config), 'rows': record.rows, 'seen': run.seen}
    about |= {'rng': run.rng.bit_generator.state, 'control': run.control.state, 'mean_path': run.mean_path}
    with atomic_write(path) as part:
        save_file({k: v.contiguous() for k, v in tensors.items()}, part, {'about': json.dumps(about)})


def load_checkpoint(path, run):
    """(steps done, TrainingRecord) of the training that wrote `path`, and `run` in its state.

    (0, an empty record), and `run` as it is, where there is no checkpoint of the same config.
    """
    steps = run.config.steps
    if not path.exists():
        return 0, TrainingRecord(steps)
    with safe_open(path, 'pt') as file:
        about, keys = json.loads(file.metadata()['about']), file.keys()
        tensors = {key: file.get_tensor(key) for key in keys}
    if about['config'] != asdict(run.config):
        return 0, TrainingRecord(steps)
    restore(run, about, tensors)
    samples = [tensors[key].numpy() for key in sorted(tensors) if key.startswith('sample.')]
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
            optimiser.state[parameter] = {key: value.to(DEVICE) for key, value in state.items()}
    run.rng.bit_generator.state, run.control.state = about['rng'], about['control']
    run.mean_path, run.seen = about['mean_path'], about['seen']
    torch.set_rng_state(tensors['random'])
    if DEVICE.type == 'cuda':
        torch.cuda.set_rng_state(tensors['random_cuda'])
