"""Small data for every figure function, and DRAW: one line each."""

import numpy as np
import pandas as pd
from conftest import blobs
from map_examples import made_up

from genmix import plots
from genmix.audit import findings
from genmix.mixing.arms import arms_for, with_generator, without_generator
from genmix.results import effect_map, subgroups

C = blobs((6, 4, 5))
MAP = made_up(40)
SURFACES = effect_map.surfaces(MAP)
LOG = pd.DataFrame(
    {
        'step': [1, 2],
        'discriminator_loss': [1.0, 2],
        'generator_loss': [1.0, 2],
        'within_class_sd_0': [0.1, 0.2],
    }
)
GAN_LOG = LOG.assign(r_t=[0.2, 0.4], p=[0.0, 0.1], real_score=[1.0, 2], fake_score=[0.0, -1])
CONTRASTS = pd.DataFrame(
    [
        (name, gate, g, a, b, metric, rule, mean, mean - 0.05, mean + 0.05, 5, 5, verdict)
        for name, gate, g, a, b, mean, verdict in (
            ('mixing', 2, '', 'a', 'b', 0.1, 'higher'),
            ('mixing, dcgan', 4, 'dcgan', 'genmix-dcgan@1/8', 'dcgan@1/8', 0.08, ''),
            ('GenMix against mixup', 0, 'oracle', 'genmix-oracle@1/8', 'mixup', -0.02, ''),
            ('GenMix against mixup', 0, 'dcgan', 'genmix-dcgan@1/8', 'mixup', 0.03, ''),
            ('class balance', 0, '', 'oversample', 'classical', -0.01, ''),
        )
        for metric, rule in (('balanced_accuracy', 'prior'), ('balanced_accuracy', 'argmax'))
    ],
    columns=[
        *('contrast', 'gate', 'generator', 'a', 'b', 'metric', 'rule', 'mean', 'low', 'high'),
        *('n', 'cohorts', 'verdict'),
    ],
)
AMONG = {'mixing': ([0.01, 0.03, -0.01], (-0.05, 0.07)), 'synthesis given mixing': ([0.0, 0.01], (-0.1, 0.1))}
METRICS = pd.DataFrame(
    [
        (a, s, 'holdout', rule, 'all', 'balanced_accuracy', 0.5 + s / 10)
        for a in 'xy'
        for s in (0, 1)
        for rule in ('prior', 'argmax')
    ],
    columns=['arm', 'seed', 'test_set', 'rule', 'label', 'metric', 'value'],
)
REGIME = pd.DataFrame(
    {'arm': 'a', 'steps': [1, 1, 2, 2], 'seed': [0, 1] * 2, 'balanced_accuracy': [0.5, 0.6, 0.7, 0.8]}
)
POINTS = pd.DataFrame(
    {
        'tsne_1': [0.0, 1, 2],
        'tsne_2': [0.0, 1, 0],
        'kind': ['real', 'synthetic', 'mixed'],
        'source': ['real', 'g', 'genmix-g'],
        'y_small': [1.0, 0, 0.5],
        'y_middle': [0.0, 1, 0.5],
        'y_large': 0.0,
    }
)
NEAR = pd.DataFrame(
    [['a', 'neighbour_agreement', 0.7, 0.6, 0.8, 15, label, 'held-out', 0.4] for label in ('all', 'small')]
    + [['a', 'mixing_rate', 0.9, 0.8, 1.0, 15, label, 'g', 1.0] for label in ('all', 'large')],
    columns=['arm', 'metric', 'value', 'low', 'high', 'n', 'label', 'source', 'expected'],
)
BINS = pd.DataFrame(
    {
        'confidence': [0.5, 0.9],
        'accuracy': [0.4, 0.8],
        'low': [0.3, 0.7],
        'high': [0.5, 0.9],
        'n': [4, 4],
        'weight': [4, 4],
    }
)
GAINS = pd.DataFrame(
    [
        (g, 'all', m, step, 0.5, 0.4, 0.6, 30)
        for g in 'ab'
        for m in ('kid', 'diversity', 'coverage')
        for step in ('synthetic', 'unmixed', 'mixed', 'mixing', 'blending', 'blending_same')
    ],
    columns=['generator', 'label', 'metric', 'step', 'value', 'low', 'high', 'n'],
)
TUNING = pd.DataFrame(
    [
        (m, g, dose, balance, steps, cohort, 0.7 + steps / 1e5 + dose / 10)
        for m, g, dose in (
            ('genmix', 'g', 0.125),
            ('genmix', 'g', 0.5),
            ('real', '', 0.0),
            ('mixup', '', 0.0),
        )
        for balance in ('natural', 'balanced')
        for steps in (350, 1000)
        for cohort in (9000, 9001)
    ],
    columns=['method', 'generator', 'dose', 'balance', 'steps', 'cohort', 'balanced_accuracy'],
)
SIZES = pd.DataFrame(
    [
        (g, f, 100 * f, cohort, 0.5 + f / 3, 0.4 + f / 4, 2 - f)
        for g in 'ab'
        for f in (0.1, 1.0)
        for cohort in (0, 1)
    ],
    columns=['generator', 'train_fraction', 'lesions', 'cohort', 'tstr', 'coverage', 'kid'],
)
GROUP_ARMS = [without_generator('real'), with_generator('genmix', 'g', 1 / 8, rule='genmix')]
GROUPS = pd.DataFrame(
    [
        (by, group, 40, 30, arm, 'all', 'balanced_accuracy', *(mean + shift + d for d in (0, -0.1, 0.3)))
        for arm, shift in (('classical', 0.0), ('genmix-g@1/8', 0.05))
        for by, group, mean in (
            ('all lesions', 'all lesions', 0.7),
            ('diameter', 'under 10 mm', 0.6),
            ('diameter', 'over 15 mm', 0.8),
        )
    ],
    columns=subgroups.COLUMNS,
)
FAILED = pd.DataFrame(
    [('a', 0, 2, 1.0, 2, 0.97), ('b', 1, 0, 0.5, 2, 0.8)],
    columns=['id', 'label', 'predicted', 'share', 'runs', 'confidence'],
)
NOISY = pd.DataFrame(
    [
        (noise, arm, cohort, 0.8 - noise / 10 + cohort / 100)
        for noise in (1.0, 2.0)
        for arm in ('classical', 'genmix-oracle@1/8')
        for cohort in (0, 1)
    ],
    columns=['noise', 'arm', 'cohort', 'balanced_accuracy'],
)
ERRORS = pd.DataFrame(
    {
        'patients': [50, 100],
        'wrong_winner': [0.6, 0.4],
        'selection_regret': [2.0, 1.0],
        'type_s_error': [0.3, 0.2],
        'worst_gap': [8.0, 5.0],
    }
)
MASS = {
    'classical': {'synthetic': 0.0, 'labels': [0.5, 0.1, 0.4]},
    'g@1/2': {'synthetic': 0.5, 'labels': [0.42, 0.22, 0.36]},
    'genmix-g@1/8': {'synthetic': 0.12, 'labels': [0.48, 0.13, 0.39]},
    'genmix-g@1/2': {'synthetic': 0.49, 'labels': [0.41, 0.23, 0.36]},
}
TRACED = {
    'g, by\ngenmix-g': [
        ('real', C.images[0], np.eye(3)[0], np.array([0.2, 0.7, 0.1])),
        ('mixture', C.images[1], np.array([0.6, 0.4, 0]), np.array([0.5, 0.5, 0])),
    ]
}
SOFT = np.array([[1.0, 0, 0], [0.6, 0.4, 0], [0, 0.2, 0.8]])
STEPS = [(image, label, guess) for image, label, guess in zip(C.images, SOFT, SOFT[::-1])]
TONES = pd.DataFrame(
    {'variant': ['natural'] * 4 + ['mixed'] * 4, 'word': ['dark', 'bright'] * 4, 'gray': np.arange(8.0) * 20}
)
KIDS = {
    title: pd.DataFrame({'step': [0, 10, 90], 'kid': [9.0, 4, k], 'sd': 0.1})
    for k, title in enumerate(('fine-tuned', 'random initialisation'))
}
CONTROLS = pd.DataFrame(
    [
        (name, metric, v, v - 0.1, v + 0.1, 0.5)
        for name, v in (('as in the study', 0.5), ('guidance = 1.0', 0.2))
        for metric in ('class_agreement', 'tstr', 'coverage', 'kid')
    ],
    columns=['name', 'metric', 'score', 'low', 'high', 'reference'],
)
WORDS = [[[('dark', 0.6), ('black', 0.4)]] * 4] * 3
STARTS = [['dark', 'spot', 'gray', '']] * 3

BLOOD = [
    'basophil',
    'eosinophil',
    'erythroblast',
    'immature granulocytes(myelocytes, metamyelocytes and promyelocytes)',
    'lymphocyte',
    'monocyte',
    'neutrophil',
    'platelet',
]
SKIN = [
    'actinic keratoses and intraepithelial carcinoma',
    'basal cell carcinoma',
    'benign keratosis-like lesions',
    'dermatofibroma',
    'melanoma',
    'melanocytic nevi',
    'vascular lesions',
]
# Signs that mean something in mathematics, in HTML and in legends.
ODD = ['R$5$', 'a$\\b$c', '$$', 'cost $5_$', '_under', '<b>&"']


def card_of(generator, scale, names=C.class_names):
    """A generator card whose values are `scale` times what real lesions reach."""
    numbers = {'value': 0.8 * scale, 'low': 0.7 * scale, 'high': 0.9 * scale, 'n': 9, 'd': 3}
    numbers |= {'reference': 0.8, 'reference_low': 0.7, 'reference_high': 0.9}
    return pd.DataFrame(
        [
            {'generator': generator, 'label': label, 'metric': metric, **numbers}
            for label in (*names, 'all')
            for metric in findings.METRICS
        ]
    )


def grid(rows, columns, *parents):
    return plots.image_grid(C.images[:6].reshape(2, 3, 32, 32), rows, columns, *parents)


def feature_maps():
    maps = {n: np.random.default_rng(0).normal(size=(4, 8, 8)) for n in 'ab'}
    return plots.feature_maps(maps, {'a': np.ones(3), 'b': np.array([-1.0, 0, 2])})


def reconstructions():
    pairs = {'photographs': (C.images[:4], C.images[1:5]), 'lesions': (C.images[:2], C.images[:2])}
    return plots.reconstructions(pairs, n=3)


def prompt_sheet():
    images = C.images[:8].reshape(2, 2, 2, 32, 32)
    return plots.prompt_sheet(images, ['a cat', 'a dark disc'], [1.0, 3.0], 'Base')


def examples():
    rows = {'real': plots.pick(C, 2), 'none': {name: C.images[:0] for name in C.class_names}}
    return plots.examples(rows, C.class_names)


def examples_with_lambda():
    weights = dict.fromkeys(C.class_names, [0.3, 0.7])
    return plots.examples({'real': plots.pick(C, 2), 'GenMix': plots.pick(C, 2)}, C.class_names, 2, weights)


# One line per figure function: its name, then what is special about the line if it has several.
DRAW = {
    'tuning_curves': lambda: plots.tuning_curves(TUNING),
    'data_size_curves': lambda: plots.data_size_curves(SIZES),
    'subgroup_scores': lambda: plots.subgroup_scores(GROUPS, GROUP_ARMS, 'population'),
    'failure_gallery': lambda: plots.failure_gallery(
        C.images[:2], FAILED, C.class_names, ['13 mm, slice 5 mm', '']
    ),
    'failure_gallery of none': lambda: plots.failure_gallery(C.images[:0], FAILED[:0], C.class_names, []),
    'noise_scores': lambda: plots.noise_scores(NOISY),
    'mixing_effects': lambda: plots.mixing_effects(GAINS),
    'selection_error': lambda: plots.selection_error(ERRORS, 98),
    'selection_error of an unknown size': lambda: plots.selection_error(ERRORS),
    'effect_profiles': lambda: plots.effect_profiles(SURFACES, effect_map.effects_of(MAP)),
    'effect_panels': lambda: plots.effect_panels(SURFACES['mixing at dose 1/2'], 'mixing at dose 1/2'),
    'image_grid': lambda: grid(['first', 'second'], ['a', '', 'b']),
    'image_grid with parents': lambda: grid(['', ''], ['', '', 'b'], (C.images[6:8], C.images[8:11])),
    'feature_maps': feature_maps,
    'augmentation_curves': lambda: plots.augmentation_curves(GAN_LOG, 0.6),
    'generator_card': lambda: plots.generator_card(pd.concat([card_of('g', 0.5), card_of('h', 1)])),
    'generator_ranks': lambda: plots.generator_ranks(
        pd.DataFrame({'TSTR': [1, 2], 'KID': [1, 1]}, ['g', 'h'])
    ),
    'copy_pairs': lambda: plots.copy_pairs(
        {'g': C.images[:4].reshape(2, 2, 32, 32), 'h': C.images[:0].reshape(2, 0, 32, 32)}
        | {'two parents': C.images[:6].reshape(3, 2, 32, 32)}
    ),
    'sheet': lambda: plots.sheet(plots.pick(C, 3), columns=3),
    'similar_pairs': lambda: plots.similar_pairs(C, [(0, 1, 0.98), (2, 7, 0.91)]),
    'similar_pairs of none': lambda: plots.similar_pairs(C, []),
    'quiz': lambda: plots.quiz(C.images[:10], [f'a{i}' for i in range(10)]),
    'phantom_steps': lambda: plots.phantom_steps({'disc': C.images[0] > 60.0, 'window': C.images[0]}),
    'histograms': lambda: plots.histograms(C),
    'histograms with sizes': lambda: plots.histograms(C, pd.Series([np.nan, *np.arange(14) + 5.0])),
    'holdout_precision': lambda: plots.holdout_precision(26, 390, 'x'),
    'training_curves': lambda: plots.training_curves(LOG, C.class_names),
    'class_blocks': lambda: plots.class_blocks(
        np.zeros((2, 3, 4, 8, 8), np.uint8), C.class_names, ['a', 'b']
    ),
    'snapshot_grid': lambda: plots.snapshot_grid(np.zeros((2, 3, 4, 8, 8), np.uint8), C.class_names, [1, 2]),
    'beta_densities': lambda: plots.beta_densities([0.4, 1]),
    'traced_lesion': lambda: plots.traced_lesion(TRACED, C.class_names),
    'mixture_labels': lambda: plots.mixture_labels(
        C.images[0], C.images[-1], (0, 2), [1, 0.5], C.class_names
    ),
    'run_times': lambda: plots.run_times(pd.Series({'01_a': 9.0, '02_b': 600.0})),
    'simplices': lambda: plots.simplices({'any': SOFT, 'same': np.eye(3)}, C.class_names),
    'simplices of two': lambda: plots.simplices({'any': np.eye(2)}, 'ab'),
    'figure1': lambda: plots.figure1(C.images[:3], STEPS, 0.6, C.class_names, ('phantom', 'DCGAN')),
    'labelled_batch': lambda: plots.labelled_batch(C.images[:3], SOFT, ['λ = 1', '', ''], C.class_names),
    'examples': examples,
    'examples with lambda': examples_with_lambda,
    'regime_curves': lambda: plots.regime_curves(REGIME, 2),
    'regime_curves of one seed': lambda: plots.regime_curves(REGIME[REGIME.seed == 0], 2),
    'loss_curve': lambda: plots.loss_curve(np.ones(50), 0.4, 'genmix-g@1/8'),
    'batch_mass': lambda: plots.batch_mass(MASS, arms_for('g'), C.class_names),
    'arm_points': lambda: plots.arm_points(METRICS, ['y', 'x']),
    'forest': lambda: plots.forest(CONTRASTS, 'population'),
    'among_cohorts': lambda: plots.among_cohorts(AMONG, {'mixing': 0.02}),
    'tsne_panels': lambda: plots.tsne_panels({'a': POINTS}, C.class_names),
    'tsne_sources': lambda: plots.tsne_sources(POINTS, C.class_names),
    'nearest_lesions': lambda: plots.nearest_lesions(
        C, np.arange(2), np.array([[3, 4], [5, 6]]), C.class_names
    ),
    'neighbour_statistics': lambda: plots.neighbour_statistics(NEAR, C.class_names),
    'reliability_diagrams': lambda: plots.reliability_diagrams(
        {'a': {'as trained': (BINS, np.linspace(0.4, 1, 8))}}
    ),
    'captioned_images': lambda: plots.captioned_images(C.images[:3], ['a dark disc', 'a cat', 'stones'], 2),
    'base_curves': lambda: plots.base_curves(
        {t: pd.DataFrame({'step': [1, 2], 'loss': [1.0, 0.5]}) for t in ('autoencoder', 'denoiser')}
    ),
    'reconstructions': reconstructions,
    'power_ratio': lambda: plots.power_ratio({'photographs': (C.images, C.images // 2)}),
    'prompt_sheet': prompt_sheet,
    'gray_by_word': lambda: plots.gray_by_word(TONES),
    'kid_through_training': lambda: plots.kid_through_training(KIDS, 0.02),
    'nearest_words': lambda: plots.nearest_words(WORDS, STARTS, ['<small>', '<middle>', '<large>']),
    'control_scores': lambda: plots.control_scores(CONTROLS),
    'confusion': lambda: plots.confusion({'a': np.eye(3), 'b': np.ones((3, 3))}, C.class_names),
}
