"""What a generator is, and which ones there are.

A generator is a class with a `name`, three methods and `@register`; a file below this folder, or one named
by the parameter `plugins`, is all that the arms, the tables and the Makefile need to include it.
examples/my_generator.py is one to begin with.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.run.log import log
from genmix.run.plugins import load_plugins

REGISTRY: dict[str, type[Any]] = {}
# The four of the paper, by the names they have here: the primary contrast is the mean over these alone.
PAPER = ('dcgan', 'stylegan', 'textual_inversion', 'diffusion')
# Taken by arms, by sets that stand beside those of the generators, and by figures and stages.
_ARMS = ('all', 'none', 'classical', 'oversample', 'mixup', 'genmix')
_SETS = ('real', 'evaluation', 'reference', 'judge_training', 'train', 'training', 'held-out', 'common')
_STAGES = ('copier', 'blender', 'collapsed', 'confusion', 'nearest', 'planted', 'card', 'spaces')
RESERVED = (*_ARMS, *_SETS, *_STAGES)


class Generator(Protocol):
    """Learns from a cohort, samples lesions of a class.

    name     small letters, digits and _; names arms, stages and columns
    Config   keyword-only dataclass of its parameters, without defaults, which owns their bounds

    Two more attributes are optional:
    notebook        the notebook that trains it; without one it is trained where its set is first needed
    phantoms_only   True where it cannot run on real data
    """

    name: ClassVar[str]
    Config: ClassVar[type]

    @classmethod
    def fit(cls, cohort: Cohort, out_dir: Path, config: Any) -> Self:
        """Learn from `cohort` (training patients only), and leave in `out_dir` what `load` needs."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The generator that `fit` left in `folder`."""
        ...

    def sample(self, label: int, n: int, seed: int) -> np.ndarray:
        """`n` images of class number `label`: uint8 (n, H, W); the same seed gives the same images."""
        ...


AnyGenerator = TypeVar('AnyGenerator', bound=type[Any])


def register(generator: AnyGenerator) -> AnyGenerator:
    """Class decorator: makes a generator known by its `name`; StudyError for a name that is not allowed."""
    if not re.fullmatch('[a-z][a-z0-9_]*', generator.name) or generator.name in RESERVED:
        raise StudyError(
            f'A generator cannot be called "{generator.name}": choose small letters, digits and _, and no '
            'name that the study itself uses.'
        )
    REGISTRY[generator.name] = generator
    return generator


def known(plugins: Iterable[str | Path] = ()) -> dict[str, type[Generator]]:
    """All generators by name: those of the paper, of the `plugins` (paths of files), then the oracle.

    Raises StudyError for a plugin that does not exist.
    """
    for module in pkgutil.walk_packages(__path__, f'{__name__}.'):
        importlib.import_module(module.name)
    load_plugins(plugins)
    own = sorted(name for name, g in REGISTRY.items() if g.__module__.startswith(f'{__name__}.'))
    order = dict.fromkeys([*(name for name in PAPER if name in own), *own, *REGISTRY])
    return {name: REGISTRY[name] for name in sorted(order, key=lambda name: name == 'oracle')}


def choose(
    names: Sequence[str], dataset: str, plugins: Iterable[str | Path] = ()
) -> dict[str, type[Generator]]:
    """Classes of the generators that take part, by name; ['all'] for every one.

    What needs phantoms is left out on other data.  Raises StudyError for a generator that does not exist, and
    when none is left.
    """
    every = known(plugins)
    choices = ', '.join(every)
    if wrong := [name for name in names if name not in (*every, 'all')]:
        raise StudyError(f'There is no generator "{wrong[0]}": choose among {choices}.')
    taking = {name: g for name, g in every.items() if name in names or 'all' in names}
    for name in [n for n, g in taking.items() if getattr(g, 'phantoms_only', False) and dataset != 'phantom']:
        log.info(f'{name} is dropped: it draws fresh phantoms, and this study runs on dataset={dataset}')
        del taking[name]
    if not taking:
        raise StudyError(
            f'No generator is left for dataset={dataset}: name one of {choices} in "generators".'
        )
    return taking
