"""Bounds of parameters: each config owns those of its fields; notebooks share the others.

Both are checked before a kernel starts (`run.profile.resolve`, `__main__.check_owners`), and again where
they are used.
"""

import math
from dataclasses import field, fields

from genmix import StudyError


def bounded(above=None, at_least=None, at_most=None, choices=None, **settings):
    """A dataclass field with bounds: greater than `above`, from `at_least` to `at_most`, of `choices`.

    settings   of dataclasses.field, such as `default`; a config of the study has none, its profile is the
               only source
    """
    bounds = {'above': above, 'at_least': at_least, 'at_most': at_most, 'choices': choices}
    return field(metadata={k: v for k, v in bounds.items() if v is not None}, **settings)


def check_fields(config) -> None:
    """StudyError for the first field of a dataclass that is not finite or outside its bounds."""
    for f in fields(config):
        check_value(f.name, getattr(config, f.name), **f.metadata)


def check_value(name, value, above=None, at_least=None, at_most=None, choices=None) -> None:
    """StudyError, naming parameter, value and fix, unless `value` is within the bounds."""
    if choices is not None and value not in choices:
        raise StudyError(
            f'{name} is "{value}": choose one of {", ".join(str(c) or repr(c) for c in choices)}.'
        )
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if not math.isfinite(value):
        raise StudyError(f'{name} is {value}: give a finite number.')
    if above is not None and not value > above:
        raise StudyError(f'{name} is {value}, but it must be greater than {above}.')
    if at_least == 0 and at_most == 1 and not 0 <= value <= 1:
        raise StudyError(f'{name} is {value}, but a share lies between 0 and 1.')
    if at_least is not None and value < at_least:
        least = 'cannot be negative' if at_least == 0 else f'must be at least {at_least}'
        raise StudyError(f'{name} is {value}, but it {least}.')
    if at_most is not None and value > at_most:
        raise StudyError(f'{name} is {value}, but it can be at most {at_most}.')


POSITIVE, NOT_NEGATIVE = {'above': 0}, {'at_least': 0}
# What no config owns: parameters of the notebooks themselves.
SHARED = {
    'dataset': {'choices': ('phantom', 'folder', 'ct', 'medmnist', 'subsample')},
    'channel': {'choices': ('gray', 'red', 'green', 'blue')},
    'features': {'choices': ('efficientnet_lite0', 'inception')},
    'medmnist_size': {'choices': (28, 64, 128, 224)},
    'image_size': {'choices': (32, 64, 128, 256)},  # generators upsample from 4 pixels
    'n_folds': {'at_least': 2},
    'real_lesions': {'at_least': 8},
    'train_fraction': {'at_least': 0, 'at_most': 1},
    'seed': NOT_NEGATIVE,
    'workers': NOT_NEGATIVE,
    'points': {'at_least': 17},  # a surface of the map has 15 coefficients
    'margin_mm': NOT_NEGATIVE,
    'smallest_mm': NOT_NEGATIVE,
    **dict.fromkeys(
        (
            'folds',
            'seeds',
            'patients',
            'fov_times',
            'slices_per_lesion',
            'synthetic_per_class',
            'mixed_images',
        )
        + (
            'per_class',
            'reference_lesions',
            'reference_steps',
            'tstr_steps',
            'long_steps',
            'bootstrap_draws',
            'dev_lesions',
            'classifier_steps',
            'gallery',
        ),
        POSITIVE,
    ),
}


def check(**values) -> None:
    """StudyError for the first shared parameter that is out of its bounds; other names pass."""
    for name, value in values.items():
        check_value(name, value, **SHARED.get(name, {}))
        if name == 'window' and (len(value) != 2 or not value[1] > 0):
            raise StudyError(f'window is {list(value)}, but it takes level and width in HU, as in [90, 220].')
