"""What parameters may be, beyond their type: checked by the runner before a kernel starts, and where they are used."""

import math

from genmix import StudyError

CHOICES = {
    'dataset': ('phantom', 'folder', 'ct', 'medmnist'),
    'pairing': ('any', 'same', 'balanced'),  # which synthetic class meets a real image
    'larger': ('either', 'real', 'synthetic'),  # which side keeps max(lambda, 1 - lambda)
    'mix': ('offline', 'online'),  # GenMix from the stored set, or fresh mixtures in every batch
    'synthetic_balance': ('balanced', 'natural'),
    'weights': ('', 'imagenet'),
    'features': ('efficientnet_lite0', 'inception'),
    'medmnist_size': (28, 64, 128, 224),
    'augmentation': ('ada', 'diffaugment', 'none'),  # what StyleGAN's critic sees
}
POSITIVE = (
    'alpha',
    'lr',
    'steps',
    'batch_size',
    'seeds',
    'width',
    'z_dim',
    'vgg_width',
    'synthetic_per_class',
    'mixed_images',
    'shown',
    'perplexity',
    'neighbours',
    'reference_lesions',
    'reference_steps',
    'lesson_steps',
    'bootstrap_draws',
    'patients',
    'folds',
    'fov_times',
    'slices_per_lesion',
    'w_dim',
    'most',
    'mapping_layers',
    'pack',
    'ada_images',
    'ema_images',
    'checkpoint_every',
    'sampling_steps',
    'processes',
    'film',
    'num_vectors',
    'other_steps',
)
NOT_NEGATIVE = (
    'seed',
    'textbook_steps',
    'r1_gamma',
    'weight_decay',
    'workers',
    'margin_mm',
    'smallest_mm',
    'path_length',
    'psi',
    'min_snr',
    'guidance',
    'lora_rank',
    'contrast',
)
SHARES = (
    'mixed_share',
    'tail',
    'train_fraction',
    'style_mixing',
    'ada_target',
    'beta1',
    'dropped',
    'ema',
    'strength',
)
AT_LEAST = {'image_size': 32, 'input_size': 32, 'n_folds': 2, 'real_lesions': 8, 'moments': 3}


def check(**values):
    """StudyError for the first value that cannot be; names without a limit pass."""
    for name, value in values.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name in CHOICES and value not in CHOICES[name]:
            raise StudyError(
                f'{name} is "{value}": choose one of {", ".join(str(c) or repr(c) for c in CHOICES[name])}.'
            )
        if number and not math.isfinite(value):
            raise StudyError(f'{name} is {value}: give a finite number.')
        if name in POSITIVE and not value > 0:
            raise StudyError(f'{name} is {value}, but it must be greater than 0.')
        if name in NOT_NEGATIVE and value < 0:
            raise StudyError(f'{name} is {value}, but it cannot be negative.')
        if name in SHARES and not 0 <= value <= 1:
            raise StudyError(f'{name} is {value}, but a share lies between 0 and 1.')
        if name in AT_LEAST and value < AT_LEAST[name]:
            raise StudyError(f'{name} is {value}, but it must be at least {AT_LEAST[name]}.')
        if name == 'window' and (len(value) != 2 or not value[1] > 0):
            raise StudyError(f'window is {list(value)}, but it takes level and width in HU, as in [90, 220].')
        if name == 'image_size' and value & (value - 1):
            raise StudyError(
                f'image_size is {value}, but the generators double 4 pixels: choose 32, 64, 128 or 256.'
            )
