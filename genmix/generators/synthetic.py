"""Synthetic sets: a generator trained on a training split, and what is sampled from it."""

import shutil
from dataclasses import asdict, fields

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.splits import check_split
from genmix.generators import Generator
from genmix.run.gpu import gpu_job
from genmix.run.provenance import key_of
from genmix.run.study import stage_name

CONTINUED = ('checkpoint.safetensors', 'snapshots.npy', 'config.json')  # what a longer training starts from


def train_generator(study, generator: type[Generator], cohort: Cohort, config, fold=0) -> Generator:
    """The generator, fitted on `cohort` in stage generators/<name> unless that is cached.

    config   a `generator.Config`; its method `inputs()`, where there is one, gives hashes of files that a fit
             depends on beside code and lesions, such as pretrained weights
    """
    inputs = [cohort.content_hash, *getattr(config, 'inputs', tuple)()]
    name = stage_name('generators', generator.name, fold)
    finished = shorter_training(study, name, generator, config, inputs)
    folder = study.stage(
        name,
        lambda out: _fit(generator, cohort, out, config, finished),
        asdict(config),
        inputs,
        code=generator,
    )
    return generator.load(folder)


def shorter_training(study, name, generator, config, inputs):
    """Folder of the finished training in stage `name`, where `config` only asks for more steps."""
    before, folder = study.provenance(name), study.folder / name
    params = before.get('params') or {}
    longer = params.get('steps', 0) < getattr(config, 'steps', 0)
    if not longer or params | {'steps': config.steps} != asdict(config):
        return None
    same = key_of(params, inputs, generator) == before['key']
    return folder if same and (folder / CONTINUED[0]).exists() else None


def _fit(generator, cohort, out, config, finished=None):
    """`generator.fit`, alone on its GPU, going on from what the training in folder `finished` left."""
    for file in [finished / name for name in CONTINUED] if finished else []:
        if file.exists() and not (out / file.name).exists():
            shutil.copy(file, out)
    lower = f'batch_size (now {config.batch_size})' if hasattr(config, 'batch_size') else 'its parameters'
    if not getattr(config, 'checkpointing', True):
        lower += ', or set checkpointing=true'
    with gpu_job(f'training of {generator.name}', lower, getattr(config, 'processes', 1)):
        generator.fit(cohort, out, config)


def synthetic_set(
    study, generator: type[Generator], cohort: Cohort, per_class: int, config, seed=0, fold=0
) -> Cohort:
    """The synthetic set of one generator: `per_class` images of each class, made unless cached.

    Manifest columns: seed, generator, split (fingerprint of the training lesions it was learned from).
    """
    model = train_generator(study, generator, cohort, config, fold)
    name = stage_name('synthetic', generator.name, fold)
    made_from = study.key(stage_name('generators', generator.name, fold))
    params = {'per_class': per_class, 'seed': seed}
    study.stage(name, lambda out: sample_set(model, cohort, per_class, seed).save(out), params, [made_from])
    return Cohort.load(study.folder / name)


def synthetic_sets(study, taking, cohort, per_class, seed=0, fold=0, plugin_params=None) -> dict[str, Cohort]:
    """Synthetic sets by name of the generators in `taking` (see `choose`), all learned from `cohort`.

    plugin_params   {name: {parameter: value}} for generators without a notebook of their own

    Sets of generators with a notebook must be there (StudyError with the make target); the others are made
    unless cached.  StudyError also for a set that was learned from another training split.
    """
    found = {}
    for name, generator in taking.items():
        if notebook := getattr(generator, 'notebook', ''):
            found[name] = Cohort.load(study.need(stage_name('synthetic', name, fold), notebook))
        else:
            config = configured(generator, (plugin_params or {}).get(name, {}))
            found[name] = synthetic_set(study, generator, cohort, per_class, config, seed, fold)
        check_split(found[name], cohort)
    return found


def configured(owner, values):
    """`owner.Config` of a generator or mixing rule from {parameter: value}.

    StudyError for a parameter that is missing, that it does not have, or that is out of its bounds.
    """
    try:
        return owner.Config(**values)
    except TypeError as error:
        takes = ', '.join(f.name for f in fields(owner.Config)) or 'none'
        raise StudyError(
            f'{str(error).partition("__init__() ")[2] or error}: the parameters of {owner.name} are {takes}; '
            f'give them with SET="plugin_params=\'{{{owner.name}: {{...}}}}\'".'
        ) from None


def sample_set(model: Generator, cohort: Cohort, per_class: int, seed: int) -> Cohort:
    """`per_class` images of each class of `cohort` from a fitted generator.

    Raises StudyError when the generator returns another dtype or shape.
    """
    with gpu_job(f'samples of {model.name}', lower='synthetic_per_class'):
        images = [model.sample(label, per_class, seed + label) for label in range(len(cohort.class_names))]
    for x in images:
        if x.dtype != np.uint8 or x.shape != (per_class, *cohort.images.shape[1:]):
            raise StudyError(
                f'{model.name}.sample returned {x.dtype} {x.shape}: it must give uint8 images of the '
                "cohort's size."
            )
    labels = np.repeat(np.arange(len(images)), per_class)
    about = pd.DataFrame({'seed': seed + labels, 'generator': model.name, 'split': cohort.fingerprint})
    ids = np.array([f'{model.name}-{i:05d}' for i in range(len(labels))])
    owners = np.full(len(labels), 'synthetic')
    return Cohort(np.concatenate(images), labels, owners, cohort.class_names, model.name, ids, about)


def within_class_sd(images, labels, cells=16):
    """Mean standard deviation within a class, in gray levels, of images averaged down to `cells` x `cells`.

    A measure of collapse: noise averages out, so only lesions that differ in place, size, shape or
    brightness count; one repeated image gives 0, a single one NaN.  images uint8 (n, H, W) with H a multiple
    of `cells`, labels (n,).  Returns {class number: float64}.
    """
    n, side = len(images), images.shape[1] // cells
    coarse = images.reshape(n, cells, side, cells, side).mean((2, 4), dtype=np.float64)
    groups = {int(k): coarse[labels == k] for k in np.unique(labels)}
    return {k: x.std(0).mean() if len(x) > 1 else np.float64('nan') for k, x in groups.items()}
