"""What a generator is, which ones there are, and how a synthetic set is made from one.

A generator is a class with a `name`, three methods and `@register`; a file in this folder, or one named by the parameter
`plugins`, is all that the arms, the tables and the Makefile need to include it.
"""
import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from genmix import StudyError, device
from genmix.data.cohort import Cohort
from genmix.study import say

REGISTRY = {}
# names of arms, of sets that a generator's would stand beside, and of figures and stages that carry a generator's name
RESERVED = ('all', 'none', 'classical', 'oversample', 'mixup', 'genmix', 'real', 'second', 'many', 'train', 'training', 'held-out', 'common', 'views',
            'copier', 'stuck', 'compared', 'judges', 'nearest')


class Generator(Protocol):
    """Learns from a cohort, samples lesions of a class.

    `phantoms_only` marks one that cannot run on real data; `notebook` names the notebook that trains it, '' for none of its own;
    `stands_on(params)`, where there is one, gives hashes of files that a fit depends on.
    """
    name: str
    phantoms_only: bool = False
    notebook: str = ''

    @classmethod
    def fit(cls, cohort, out_dir, **params) -> 'Generator':
        """Learn from `cohort` (training patients only) and leave weights, config and train_log.csv in `out_dir`."""

    @classmethod
    def load(cls, folder) -> 'Generator':
        """The generator that `fit` left in `folder`."""

    def sample(self, label, n, seed) -> np.ndarray:
        """`n` images of class number `label`: uint8 (n, H, W); the same seed gives the same images."""


def register(generator):
    """Class decorator: makes a generator known under its `name`.  StudyError for a name that an arm has or could be taken for."""
    if not re.fullmatch('[a-z][a-z0-9_]*', generator.name) or generator.name in RESERVED:
        raise StudyError(f'A generator cannot be called "{generator.name}": choose small letters, digits and _, and no name that the study itself uses.')
    REGISTRY[generator.name] = generator
    return generator


def known(plugins=()):
    """All generators by name: those of this folder, then those of the `plugins` (paths of Python files)."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f'{__name__}.{module.name}')
    for path in map(Path, plugins):
        if not path.exists():
            raise StudyError(f'The plugin {path} does not exist: mend the path in "plugins".')
        spec = importlib.util.spec_from_file_location(f'genmix_plugin_{path.stem}', path)
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)      # found by name when its code is read for the cache
        spec.loader.exec_module(module)
    return dict(sorted(REGISTRY.items(), key=lambda item: item[0] == 'oracle'))     # the ceiling comes last


def choose(names, dataset, plugins=()):
    """Classes of the generators that take part, by name; ['all'] for every one.  What does not apply is dropped with a line.

    Raises StudyError for a generator that does not exist.
    """
    every = known(plugins)
    if wrong := [name for name in names if name not in (*every, 'all')]:
        raise StudyError(f'There is no generator "{wrong[0]}": choose among {", ".join(every)}.')
    taking = {name: g for name, g in every.items() if name in names or 'all' in names}
    for name in [n for n, g in taking.items() if getattr(g, 'phantoms_only', False) and dataset != 'phantom']:
        say(f'{name} is dropped: it draws fresh phantoms, and this study runs on dataset={dataset}')
        del taking[name]
    if not taking:
        raise StudyError(f'No generator is left for dataset={dataset}: name one of {", ".join(every)} in "generators".')
    return taking


def stage_name(kind, name, fold=0):
    return f'{kind}/{name}' + (f'-f{fold}' if fold else '')


def trained(study, generator, cohort, params=None, fold=0):
    """The generator, fitted with `params` on `cohort` in stage generators/<name> unless that stands already."""
    stands_on = getattr(generator, 'stands_on', lambda params: [])       # files beside code and lesions, such as pretrained weights
    folder = study.stage(stage_name('generators', generator.name, fold), lambda out: generator.fit(cohort, out, **(params or {})),
                         params or {}, [cohort.content_hash, *stands_on(params or {})], generator_source(generator))
    return generator.load(folder)


def generator_source(generator):
    """The code that a generator stands on: its module and those of this folder and of genmix.base that it imports, or the class made on the fly."""
    module = sys.modules.get(generator.__module__)
    if not getattr(module, '__file__', None):
        return [generator]
    used = {sys.modules.get(getattr(thing, '__module__', getattr(thing, '__name__', ''))) for thing in vars(module).values()}
    own = [m for m in used if m and m.__name__.startswith((f'{__name__}.', 'genmix.base.')) and m is not module]
    return [module, *sorted(own, key=lambda m: m.__name__), device]


def synthetic_set(study, generator, cohort, per_class, params=None, seed=0, fold=0):
    """The synthetic set of one generator as a Cohort, made (and the generator trained) unless it stands.

    per_class   images of each class      params  of the generator's fit
    Manifest columns: seed, generator, split (fingerprint of the training lesions it was learned from).
    """
    model = trained(study, generator, cohort, params, fold)
    name = stage_name('synthetic', generator.name, fold)
    made_from = study.key(stage_name('generators', generator.name, fold))
    study.stage(name, lambda out: sampled(model, cohort, per_class, seed).save(out),
                {'per_class': per_class, 'seed': seed}, [made_from], [sampled])
    return Cohort.load(study.path(name))


def gathered(study, taking, cohort, per_class, seed=0, fold=0):
    """{name: synthetic set} of the generators in `taking` for one training split, each checked to be learned from it.

    Sets of generators with a notebook must be there (StudyError with the make target); the others are made unless they stand.
    """
    found = {}
    for name, generator in taking.items():
        if notebook := getattr(generator, 'notebook', ''):
            found[name] = Cohort.load(study.need(stage_name('synthetic', name, fold), notebook))
        else:
            found[name] = synthetic_set(study, generator, cohort, per_class, seed=seed, fold=fold)
        check_split(found[name], cohort)
    return found


def sampled(model, cohort, per_class, seed):
    """`per_class` images of each class of `cohort` from a fitted generator, as a Cohort."""
    images = [model.sample(label, per_class, seed + label) for label in range(len(cohort.class_names))]
    for x in images:
        if x.dtype != np.uint8 or x.shape != (per_class, *cohort.images.shape[1:]):
            raise StudyError(f'{model.name}.sample returned {x.dtype} {x.shape}: it must give uint8 images like the cohort\'s.')
    labels = np.repeat(np.arange(len(images)), per_class)
    about = pd.DataFrame({'seed': seed + labels, 'generator': model.name, 'split': cohort.fingerprint})
    ids = [f'{model.name}-{i:05d}' for i in range(len(labels))]
    return Cohort(np.concatenate(images), labels, ['synthetic'] * len(labels), cohort.class_names, model.name, ids, about)


def check_split(synthetic, cohort):
    """StudyError unless `synthetic` was learned from exactly the training lesions of `cohort`: no other split may leak in."""
    if set(synthetic.extra['split']) != {cohort.fingerprint}:
        raise StudyError(f'The {synthetic.source} images were learned from another training split than this one: run its notebook '
                         'again for this run, so that no test patient is seen by the generator.')


def within_class_spread(images, labels, cells=16):
    """Mean standard deviation within a class, in gray levels, of images averaged down to `cells` x `cells`.

    A collapse measure: grain averages out, so only lesions that differ in place, size, shape or brightness count; one repeated
    image gives 0.  images uint8 (n, H, W) with H a multiple of `cells`, labels (n,).  Returns float per class: dict.
    """
    n, side = len(images), images.shape[1] // cells
    coarse = images.reshape(n, cells, side, cells, side).mean((2, 4), dtype=np.float64)
    return {int(k): float(coarse[labels == k].std(0).mean()) for k in np.unique(labels)}


def as_bytes(x):
    """Images (n, 1, H, W) in [-1, 1] as uint8 (n, H, W)."""
    return (x[:, 0].float().clamp(-1, 1) * 127.5 + 127.5).round().byte().cpu().numpy()
