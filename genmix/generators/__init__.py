"""What a generator is, and which ones there are.

A generator is a class with a `name`, three methods and `@register`; a file below this folder, or one named by the
parameter `plugins`, is all that the arms, the tables and the Makefile need to include it.  examples/my_generator.py
is one to begin with.
"""

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.run.log import log
from genmix.run.plugins import load_plugins

REGISTRY: dict[str, type] = {}
# The four of the paper, by the names they have here: the primary contrast is the mean over these alone.
PAPER = ('dcgan', 'stylegan', 'textual_inversion', 'diffusion')
# Names of arms, of sets that a generator's would stand beside, and of figures and stages that carry a generator's name.
RESERVED = (
    *(
        'all',
        'none',
        'classical',
        'oversample',
        'mixup',
        'genmix',
        'real',
        'second',
        'many',
        'train',
        'training',
    ),
    *('held-out', 'common', 'views', 'copier', 'stuck', 'compared', 'judges', 'nearest'),
)


class Generator(Protocol):
    """Learns from a cohort, samples lesions of a class.

    name           small letters, digits and _; names arms, stages and columns
    Config         keyword-only dataclass of its parameters, which owns their bounds
    phantoms_only  it cannot run on real data      notebook   the notebook that trains it, '' for none of its own
    """

    name: str
    Config: type
    phantoms_only: bool = False
    notebook: str = ''

    @classmethod
    def fit(cls, cohort: Cohort, out_dir: Path, config: Any) -> 'Generator':
        """Learn from `cohort` (training patients only); leave weights, config and train_log.csv in `out_dir`."""
        ...

    @classmethod
    def load(cls, folder: Path) -> 'Generator':
        """The generator that `fit` left in `folder`."""
        ...

    def sample(self, label: int, n: int, seed: int) -> np.ndarray:
        """`n` images of class number `label`: uint8 (n, H, W); the same seed gives the same images."""
        ...


def register(generator):
    """Class decorator: makes a generator known under its `name`.  StudyError for a name that is taken otherwise."""
    if not re.fullmatch('[a-z][a-z0-9_]*', generator.name) or generator.name in RESERVED:
        raise StudyError(
            f'A generator cannot be called "{generator.name}": choose small letters, digits and _, and no name that '
            'the study itself uses.'
        )
    REGISTRY[generator.name] = generator
    return generator


def known(plugins=()):
    """All generators by name: those below this folder, then those of the `plugins` (paths of Python files)."""
    for module in pkgutil.walk_packages(__path__, f'{__name__}.'):
        importlib.import_module(module.name)
    load_plugins(plugins)
    return dict(sorted(REGISTRY.items(), key=lambda item: item[0] == 'oracle'))  # the ceiling comes last


def choose(names, dataset, plugins=()):
    """Classes of the generators that take part, by name; ['all'] for every one.  What does not apply is dropped.

    Raises StudyError for a generator that does not exist.
    """
    every = known(plugins)
    if wrong := [name for name in names if name not in (*every, 'all')]:
        raise StudyError(f'There is no generator "{wrong[0]}": choose among {", ".join(every)}.')
    taking = {name: g for name, g in every.items() if name in names or 'all' in names}
    for name in [n for n, g in taking.items() if getattr(g, 'phantoms_only', False) and dataset != 'phantom']:
        log.info(f'{name} is dropped: it draws fresh phantoms, and this study runs on dataset={dataset}')
        del taking[name]
    if not taking:
        raise StudyError(
            f'No generator is left for dataset={dataset}: name one of {", ".join(every)} in "generators".'
        )
    return taking
