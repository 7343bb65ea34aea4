import inspect
import io
import itertools
import warnings
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from conftest import blobs
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from genmix import plots
from genmix.appendix import sweep
from genmix.data import images
from genmix.data.cohort import Cohort
from genmix.plots import pretrained
from genmix.plots.style import short
from genmix.run.study import Study


def test_montage_by_hand():
    m = images.montage(np.stack([np.full((2, 2), v, np.uint8) for v in (1, 2, 3)]), columns=2, gap=1)
    assert m.shape == (5, 5) and m[0, 0] == 1 and m[0, 3] == 2 and m[3, 0] == 3 and m[2, 2] == 255 == m[4, 4]


def test_pick_takes_from_each_class_without_repeats():
    c = blobs((20, 2, 5))
    shown = plots.pick(c, 4)
    assert {k: len(v) for k, v in shown.items()} == {'small': 4, 'middle': 2, 'large': 4}
    assert len({x.tobytes() for x in shown['small']}) == 4


def test_mixed_colours_are_between():
    a, b, ab = plots.mixed_colours(np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]]))
    assert np.allclose(ab, (a + b) / 2)


C = blobs((6, 4, 5))
LOG = pd.DataFrame(
    {'step': [1, 2], 'critic_loss': [1.0, 2], 'generator_loss': [1.0, 2], 'spread_0': [0.1, 0.2]}
)
CONTRASTS = pd.DataFrame(
    [['a', 'b', 'balanced_accuracy', 0.1, 0.05, 0.15, 0.01, 5, 'higher', 'holdout']],
    columns=['a', 'b', 'metric', 'mean', 'low', 'high', 'p', 'n', 'verdict', 'test_set'],
)
METRICS = pd.DataFrame(
    [[a, '', '', s, 0, 'holdout', 'all', 'balanced_accuracy', 0.5 + s / 10] for a in 'xy' for s in (0, 1)],
    columns=['arm', 'generator', 'mix', 'seed', 'fold', 'test_set', 'label', 'metric', 'value'],
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
    {'confidence': [0.5, 0.9], 'accuracy': [0.4, 0.8], 'low': [0.3, 0.7], 'high': [0.5, 0.9], 'n': [4, 4]}
)


# One line a figure function: its name, then what is special about the line if it has several.
def card_of(generator, scale, names=C.class_names):
    """A generator card of two metrics of shares and the others: `scale` times what real lesions reach."""
    rows = [
        {
            'generator': generator,
            'label': label,
            'metric': m,
            'value': 0.8 * scale,
            'reference': 0.8,
            'n': 9,
            'low': 0.7 * scale,
            'high': 0.9 * scale,
            'reference_low': 0.7,
            'reference_high': 0.9,
            'd': 3,
        }
        for label in (*names, 'all')
        for m in (
            'class_agreement',
            'tstr',
            'diversity',
            'coverage',
            'recall',
            'density',
            'precision',
            'kid',
            'copy_ratio',
            'copy_ratio_features',
        )
    ]
    return pd.DataFrame(rows)


GAN_LOG = LOG.assign(r_t=[0.2, 0.4], p=[0.0, 0.1], real_score=[1.0, 2], fake_score=[0.0, -1])
GAINS = pd.DataFrame(
    [
        (g, 'all', m, step, 0.5, 0.4, 0.6, 30)
        for g in 'ab'
        for m in ('kid', 'diversity', 'coverage')
        for step in ('synthetic', 'unmixed', 'mixed', 'mixing', 'blending')
    ],
    columns=['generator', 'label', 'metric', 'step', 'value', 'low', 'high', 'n'],
)
PARTS = pd.DataFrame(
    [
        ('it helps', 'paper', 'a − b', 'coverage', 'higher', m, m - 0.1, m + 0.1, 0.01, 5, v)
        for m, v in ((0.2, 'supported'), (-0.3, 'contradicted'), (0.05, 'undecided'))
    ]
    + [('it is new', 'control', 'c', 'kid', 'lower', -0.5, -0.6, -0.4, 0.01, 5, 'supported')],
    columns=['claim', 'of', 'part', 'metric', 'expected', 'mean', 'low', 'high', 'p', 'n', 'verdict'],
)
LUCK = pd.DataFrame(
    {
        'patients': [50, 100],
        'wrong_winner': [0.6, 0.4],
        'lost': [2.0, 1.0],
        'wrong_sign': [0.3, 0.2],
        'worst_gap': [8.0, 5.0],
    }
)
ARMS = pd.DataFrame(
    [(a, 'holdout', 'all', 'balanced_accuracy', 0.7, 0.6, 0.8) for a in 'xy'],
    columns=['arm', 'test_set', 'label', 'metric', 'mean', 'low', 'high'],
)


def mapped():
    """The map of a sweep that found something and nothing."""
    from test_sweep import scored

    sets = pd.DataFrame(
        [(c, 0.25, q, k, 0.5, 20.0) for c in range(4) for q, k in (('50', 2.0), ('oracle', 0.0))],
        columns=['cohort', 'train_fraction', 'quality', 'kid', 'coverage', 'diversity'],
    )
    return sweep.figure_data(scored(4, noise=1), sets)


DRAW = {
    'claim_strip': lambda: plots.claim_strip(PARTS),
    'two_runs': lambda: plots.two_runs(ARMS, ARMS, ['x', 'y', 'absent'], 'holdout'),
    'gains': lambda: plots.mixing_effects(GAINS),
    'luck': lambda: plots.selection_error(LUCK, 98),
    'luck of an unknown size': lambda: plots.selection_error(LUCK),
    'help_map': lambda: plots.benefit_map(*mapped()),
    'grid': lambda: plots.grid(C.images[:6].reshape(2, 3, 32, 32), ['first', 'second'], ['a', '', 'b']),
    'grid with parents': lambda: plots.grid(
        C.images[:6].reshape(2, 3, 32, 32), ['', ''], ['', '', 'b'], (C.images[6:8], C.images[8:11])
    ),
    'feature_maps': lambda: plots.feature_maps(
        {n: np.random.default_rng(0).normal(size=(4, 8, 8)) for n in 'ab'},
        {'a': np.ones(3), 'b': np.array([-1.0, 0, 2])},
    ),
    'augmentation_curves': lambda: plots.augmentation_curves(GAN_LOG, 0.6),
    'glance': lambda: plots.glance(card_of('g', 0.5), plots.pick(C, 3), plots.pick(C, 2), 'g'),
    'generators_compared': lambda: plots.generators_compared(pd.concat([card_of('g', 0.5), card_of('h', 1)])),
    'copies_shown': lambda: plots.copies_shown({'g': [(C.images[0], C.images[1])] * 2, 'h': []}),
    'sheet': lambda: plots.sheet(plots.pick(C, 3), columns=3),
    'pairs': lambda: plots.pairs(C, [(0, 1, 0.98), (2, 7, 0.91)]),
    'pairs of none': lambda: plots.pairs(C, []),
    'class_counts': lambda: plots.class_counts({'all': C.counts}),
    'histograms': lambda: plots.histograms(C),
    'histograms with sizes': lambda: plots.histograms(C, pd.Series([np.nan, *np.arange(14) + 5.0])),
    'holdout_precision': lambda: plots.holdout_precision(26, 390, 'x'),
    'training_curves': lambda: plots.training_curves(LOG, C.class_names),
    'filmstrip': lambda: plots.filmstrip(np.zeros((2, 3, 4, 8, 8), np.uint8), C.class_names, [1, 2]),
    'beta_densities': lambda: plots.beta_densities([0.4, 1]),
    'mixing_strip': lambda: plots.mixing_strip(C.images[0], C.images[1], [1, 0.5, 0]),
    'followed': lambda: plots.traced_lesion(
        {
            'g, by\ngenmix-g': [
                ('real', C.images[0], np.eye(3)[0], np.array([0.2, 0.7, 0.1])),
                ('mixture', C.images[1], np.array([0.6, 0.4, 0]), np.array([0.5, 0.5, 0])),
            ]
        },
        C.class_names,
    ),
    'mixtures_told': lambda: plots.mixture_labels(C.images[0], C.images[-1], (0, 2), [1, 0.5], C.class_names),
    'minutes': lambda: plots.minutes(pd.Series({'01_a': 9.0, '02_b': 600.0})),
    'simplex': lambda: plots.simplex(np.eye(3), C.class_names),
    'simplex of two': lambda: plots.simplex(np.eye(2), 'ab'),
    'figure1': lambda: plots.figure1(C.images[:3], C.images[3:6], C.images[6:9], 0.6, C.class_names),
    'examples': lambda: plots.examples(
        {'real': plots.pick(C, 2), 'none': {n: C.images[:0] for n in C.class_names}}, C.class_names
    ),
    'regime_curves': lambda: plots.regime_curves(REGIME, 2),
    'regime_curves of one seed': lambda: plots.regime_curves(REGIME[REGIME.seed == 0], 2),
    'loss_curves': lambda: plots.loss_curves({a: np.ones(50) for a in ('classical', 'mixup', 'genmix-g')}),
    'arm_points': lambda: plots.arm_points(METRICS, ['y', 'x']),
    'forest': lambda: plots.forest(CONTRASTS),
    'tsne_panels': lambda: plots.tsne_panels({'a': POINTS}, C.class_names),
    'tsne_sources': lambda: plots.tsne_sources(POINTS, C.class_names),
    'nearest_lesions': lambda: plots.nearest_lesions(
        C, np.arange(2), np.array([[3, 4], [5, 6]]), C.class_names
    ),
    'neighbour_numbers': lambda: plots.neighbour_numbers(NEAR, C.class_names),
    'reliability': lambda: plots.reliability({'a': {'as trained': (BINS, np.linspace(0.4, 1, 8))}}),
    'captioned': lambda: plots.captioned(C.images[:3], ['a dark disc', 'a cat', 'stones'], columns=2),
    'base_curves': lambda: plots.base_curves(
        {t: pd.DataFrame({'step': [1, 2], 'loss': [1.0, 0.5]}) for t in ('autoencoder', 'denoiser')}
    ),
    'reconstructions': lambda: plots.reconstructions(
        {'photographs': (C.images[:4], C.images[1:5]), 'lesions': (C.images[:2], C.images[:2])}, n=3
    ),
    'kept_power': lambda: plots.kept_power({'photographs': (C.images, C.images // 2)}),
    'prompt_sheet': lambda: plots.prompt_sheet(
        C.images[:8].reshape(2, 2, 2, 32, 32), ['a cat', 'a dark disc'], [1.0, 3.0], 'Base'
    ),
    'tones_drawn': lambda: plots.tones_drawn(
        pd.DataFrame(
            {
                'variant': ['natural'] * 4 + ['mixed'] * 4,
                'word': ['dark', 'bright'] * 4,
                'gray': np.arange(8.0) * 20,
            }
        )
    ),
    'kid_through_training': lambda: plots.kid_through_training(
        {
            t: pd.DataFrame({'step': [0, 10, 90], 'kid': [9.0, 4, k], 'sd': 0.1})
            for k, t in enumerate(('tuned', 'fresh'))
        },
        0.02,
    ),
    'sampling_sweep': lambda: plots.sampling_sweep(
        {
            s: pd.DataFrame({'KID': [2.0, 1], 'coverage': [0.1, 0.4]}, index=[1, 3])
            for s in ('guidance', 'steps')
        },
        {'guidance': 1, 'steps': 3},
    ),
    'nearest_words': lambda: plots.nearest_words(
        [[[('dark', 0.6), ('black', 0.4)]] * 4] * 3,
        [['dark', 'spot', 'gray', '']] * 3,
        ['<small>', '<middle>', '<large>'],
    ),
    'ways_compared': lambda: plots.ways_compared(
        pd.DataFrame({'class agreement': [0.4, 0.6], 'KID': [3.0, 1]}, index=['words alone', 'learned']),
        {'KID': 0},
    ),
    'confusion': lambda: plots.confusion({'a': np.eye(3), 'b': np.ones((3, 3))}, C.class_names),
}


@pytest.mark.parametrize('name', DRAW)
def test_every_figure_draws_something_and_says_what(name, tmp_path):
    fig = DRAW[name]()
    assert isinstance(fig, Figure)
    fig.savefig(tmp_path / 'f.png', dpi=50)
    assert len(np.unique(np.asarray(Image.open(tmp_path / 'f.png').convert('L')))) > 5
    assert 60 < len(fig.alt) < 1500 and fig.alt.endswith('.') and '  ' not in fig.alt and '\n' not in fig.alt
    assert any(letter.isdigit() for letter in fig.alt) and 'nan' not in fig.alt.lower().split()


def test_every_figure_function_is_in_the_list():
    drawn = {name.split()[0] for name in DRAW}
    public = {
        n for n, f in vars(plots).items() if inspect.isfunction(f) and f.__module__ != 'genmix.plots.style'
    } - {'pick', 'mixed_colours', 'animated'}
    assert public == drawn, f'without a line in DRAW: {public - drawn}'


def test_an_animation_has_a_frame_a_moment_and_rests_on_the_last(tmp_path):
    film = np.stack([C.images[i : i + 6].reshape(3, 2, 32, 32) for i in range(4)])
    plots.animated(film, 2, tmp_path / 'f.gif', seconds=6)
    gif = Image.open(tmp_path / 'f.gif')
    durations = [(gif.seek(i), gif.info['duration'])[1] for i in range(gif.n_frames)]
    assert durations == [750] * 3 + [3000] and gif.size == (2 * (2 * 34 - 2), 2 * (3 * 34 - 2))


def test_alt_text_by_hand():
    assert plots.listed('abc') == 'a, b and c' and plots.listed('a') == 'a' and plots.listed([]) == 'nothing'
    assert 'all: 6 small, 4 middle and 5 large' in DRAW['class_counts']().alt
    assert 'a minus b +10.0 [+5.0, +15.0] (higher)' in DRAW['forest']().alt
    assert 'a 100% and b 33%' in DRAW['confusion']().alt
    assert 'holdout from 55.0 %' in DRAW['arm_points']().alt and 'n = 2 an arm' in DRAW['arm_points']().alt
    assert 'No image of small (none), middle (none) and large (none)' in DRAW['examples']().alt
    assert 'right class 0.50' in DRAW['glance']().alt and 'copies 40.0% against 80.0%' in DRAW['glance']().alt
    assert (
        'h right class 1.00' in DRAW['generators_compared']().alt and 'g (2).' in DRAW['copies_shown']().alt
    )
    assert (
        'g, by genmix-g 70% middle and 50% small.' in DRAW['followed']().alt
        and '10 in all; the longest is 02_b with 10.' in DRAW['minutes']().alt
    )
    # Beta(1, 1) is uniform: 80 % of it lies within 0.1 and 0.9
    assert '80% for α = 1' in DRAW['beta_densities']().alt


def test_bars_and_ticks_of_a_followed_lesion_are_the_answer_and_the_label():
    _, _, _, bars = DRAW['followed']().axes
    assert [p.get_width() for p in bars.patches] == [0.5, 0.5, 0]
    (ticks,) = bars.collections
    assert [segment[0].tolist() for segment in ticks.get_segments()] == [[0.6, -0.45], [0.4, 0.55]]


def test_kept_power_by_hand():
    """Half the gray levels are a quarter of the power, and a wave of 8 pixels lies in the band around 1/8."""
    wave = (np.sin(np.arange(64) * 2 * np.pi / 8) * 100 + 128)[None, None].repeat(64, 1).astype(np.uint8)
    frequency, power = pretrained.power(wave)
    assert abs(frequency[power.argmax()] - 1 / 8) < 0.03
    line = plots.kept_power({'halved': (C.images, (C.images / 2).astype(np.uint8))}).axes[0].lines[0]
    assert np.allclose(line.get_ydata()[:5], 0.25, atol=0.03)


def test_interval_of_a_mean_is_students():
    (line,) = DRAW['regime_curves']().axes[0].containers
    low, high = line[2][0].get_segments()[0][:, 1]
    # two seeds, 50 and 60 %: 55 with half width t(0.975, 1) = 12.706 times 7.0711 / sqrt(2)
    assert (low, high) == pytest.approx((55 - 63.53, 55 + 63.53), abs=0.01)


def test_saved_figures_carry_their_alt_text_and_nothing_of_the_day(tmp_path):
    study, saved = Study('a', tmp_path), []
    for _ in range(2):
        fig = plots.sheet({'< "small" & λ': C.images[:3]}, columns=3)
        assert study.figure(fig, 'x') is fig
        saved.append([study.path('figures', f'x.{kind}').read_bytes() for kind in ('png', 'svg')])
        study.figure(fig, 'x')
        saved.append([study.path('figures', f'x.{kind}').read_bytes() for kind in ('png', 'svg')])
    assert all(s == saved[0] for s in saved)
    png, svg = saved[0]
    assert Image.open(io.BytesIO(png)).info.keys() <= {'Title', 'Description', 'dpi'}
    assert Image.open(io.BytesIO(png)).info['Description'] == fig.alt
    root, space = ElementTree.fromstring(svg), '{http://www.w3.org/2000/svg}'
    assert (root.get('role'), root.get('aria-label')) == ('img', fig.alt)
    assert [root[0].tag, root[0].text, root[1].tag, root[1].text] == [
        f'{space}title',
        'x',
        f'{space}desc',
        fig.alt,
    ]
    assert any('small' in ''.join(t.itertext()) for t in root.iter(f'{space}text'))
    assert (
        b'Matplotlib v' not in svg + png and b'matplotlib.org' not in svg + png and b'<metadata>' not in svg
    )


def test_images_in_an_svg_keep_their_pixels(tmp_path):
    import base64

    plots.save(plots.sheet({'a': C.images[:1]}, columns=1), tmp_path / 'f.svg', 'svg', 'f')
    (image,) = ElementTree.parse(tmp_path / 'f.svg').getroot().iter('{http://www.w3.org/2000/svg}image')
    inside = Image.open(
        io.BytesIO(base64.b64decode(image.get('{http://www.w3.org/1999/xlink}href').split(',')[1]))
    )
    assert (
        inside.mode == 'L'
        and inside.size == (32, 32)
        and np.abs(np.asarray(inside, int) - C.images[0]).max() <= 1
    )


def test_notebooks_show_a_figure_once_with_its_alt_text(monkeypatch):
    from IPython.core import formatters, pylabtools
    from nbconvert import HTMLExporter
    from nbformat import v4

    shell, drawn, print_figure = (
        SimpleNamespace(display_formatter=formatters.DisplayFormatter()),
        [],
        pylabtools.print_figure,
    )
    monkeypatch.setattr(pylabtools, 'print_figure', lambda *a, **k: drawn.append(1) or print_figure(*a, **k))
    pylabtools.select_figure_formats(shell, {'png'}, bbox_inches='tight')
    fig, _ = plots.new(4, 2)
    assert 'image/png' in shell.display_formatter.format(fig)[0]  # without alt text it is shown all the same
    fig.alt = 'Two axes & no data.'
    drawn.clear()
    data, about = shell.display_formatter.format(fig)
    assert len(drawn) == 1 and data.keys() == {'image/png', 'text/plain'} and data['text/plain'] == fig.alt
    assert about == {'image/png': {'alt': fig.alt}}
    output = v4.new_output('execute_result', data, metadata=about, execution_count=1)
    page, _ = HTMLExporter(template_name='classic').from_notebook_node(
        v4.new_notebook(cells=[v4.new_code_cell('f', outputs=[output])])
    )
    assert 'alt="Two axes &amp; no data."' in page


# Complete colour blindness of one kind, on linear RGB: Machado, Oliveira & Fernandes 2009, doi 10.1109/TVCG.2009.113, severity 1.0
BLIND = {
    'none': np.eye(3),
    'protanopia': [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    'deuteranopia': [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    'tritanopia': [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)  # sRGB, IEC 61966-2-1


def linear(colour):
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE Lab of linear RGB under D65 (CIE 15:2004)."""
    t = TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(1)
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_lab_by_hand():
    assert lab(linear('white')) == pytest.approx([100, 0, 0], abs=0.01) and lab(
        linear('black')
    ) == pytest.approx([0, 0, 0], abs=0.01)
    assert lab(linear('red')) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    assert np.allclose(np.sum(list(BLIND.values()), 2), 1, atol=1e-5)  # gray stays gray


@pytest.mark.parametrize('kind', BLIND)
def test_class_colours_stay_apart_under_colour_blindness(kind):
    """A difference of 2.3 is just noticeable; ten times that holds for thin lines."""
    seen = [lab(np.array(BLIND[kind]) @ linear(plots.colour(k))) for k in range(3)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 23


def test_class_colours_stay_apart_in_gray_and_keep_the_papers_names():
    light = [lab(linear(plots.colour(k)))[0] for k in range(3)]
    assert min(abs(a - b) for a, b in itertools.combinations(light, 2)) > 12
    assert [np.argmax(to_rgb(plots.colour(k))) for k in range(3)] == [2, 1, 0]  # blue, green, red
    contrast = [1.05 / (TO_XYZ[1] @ linear(plots.colour(k)) + 0.05) for k in range(3)]
    assert min(contrast) >= 3  # on white, WCAG 2.1, 1.4.11


def test_classes_that_share_an_axis_differ_in_more_than_colour():
    assert len({str(plots.dashes(k)) for k in range(6)}) == 6 == len({plots.marker(k) for k in range(6)})
    left, right = DRAW['histograms with sizes']().axes
    assert (
        len({str(p.get_linestyle()) for p in left.patches})
        == 3
        == len({line._dash_pattern[1] and tuple(line._dash_pattern[1]) for line in right.lines})
    )


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


def test_short_names_are_short_and_differ():
    assert short(['cyst', 'hemangioma', 'x' * 14]) == ['cyst', 'hemangioma', 'x' * 14]
    assert short(['immature granulocytes', 'basophil']) == ['immature gran…', 'basophil']
    for names in (
        BLOOD,
        SKIN,
        ['melanocytic nevus a', 'melanocytic nevus b'],
        ['a very long name, 1, of these', 'a very long name, 2, of these'],
    ):
        assert len(set(short(names))) == len(names) and max(map(len, short(names))) <= 14


@pytest.mark.parametrize('names', (BLOOD, SKIN))
def test_many_and_long_class_names_find_room(names, tmp_path):
    k = len(names)
    c = Cohort(
        np.random.default_rng(0).integers(0, 255, (4 * k, 32, 32), np.uint8),
        np.arange(4 * k) % k,
        np.arange(4 * k).astype(str),
        names,
    )
    points = pd.DataFrame(np.eye(k), columns=[f'y_{n}' for n in names]).assign(
        kind='real', source='held-out', tsne_1=np.arange(k), tsne_2=0.0
    )
    near = pd.concat([NEAR[NEAR.label == 'all'], NEAR[NEAR.label == 'small'].assign(label=names[3])])
    log = LOG.assign(**{f'spread_{i}': 0.5 for i in range(k)})
    figures = {
        'glance': lambda: plots.glance(card_of('g', 0.5, names), plots.pick(c, 4), plots.pick(c, 4), 'g'),
        'counts': lambda: plots.class_counts({'all': c.counts}),
        'kid_through_training': lambda: plots.kid_through_training(
            {
                t: pd.DataFrame({'step': [0, 10, 90], 'kid': [9.0, 4, k], 'sd': 0.1})
                for k, t in enumerate(('tuned', 'fresh'))
            },
            0.02,
        ),
        'sampling_sweep': lambda: plots.sampling_sweep(
            {
                s: pd.DataFrame({'KID': [2.0, 1], 'coverage': [0.1, 0.4]}, index=[1, 3])
                for s in ('guidance', 'steps')
            },
            {'guidance': 1, 'steps': 3},
        ),
        'confusion': lambda: plots.confusion({a: np.ones((k, k)) for a in 'abcd'}, names),
        'histograms': lambda: plots.histograms(c),
        'panel': lambda: plots.tsne_panels({'a': points}, names),
        'panels': lambda: plots.tsne_panels(dict.fromkeys('abc', points), names),
        'nearest': lambda: plots.nearest_lesions(
            c, np.arange(k), np.arange(8 * k).reshape(k, 8) % (4 * k), names
        ),
        'numbers': lambda: plots.neighbour_numbers(near, names),
        'simplex': lambda: plots.simplex(np.eye(k), names),
        'followed': lambda: plots.traced_lesion(
            {'g': [('real', c.images[0], np.eye(k)[0], np.full(k, 1 / k))] * 3}, names
        ),
        'told': lambda: plots.mixture_labels(c.images[0], c.images[1], (0, 1), [1, 0.5], names),
        'examples': lambda: plots.examples({'real': plots.pick(c, 2)}, names),
        'curves': lambda: plots.training_curves(log, names),
    }
    for name, draw in figures.items():
        with warnings.catch_warnings():
            warnings.simplefilter('error', UserWarning)
            fig = draw()
            fig.savefig(tmp_path / f'{name}.png', dpi=50)
        box = fig.get_tightbbox()
        assert (
            box.x0 > -0.1
            and box.y0 > -0.1
            and box.x1 < fig.get_figwidth() + 0.1
            and box.y1 < fig.get_figheight() + 0.1
        ), name


def test_places_without_another_patient_stay_empty():
    order, there = np.array([[3, 4], [5, 6]]), np.array([[True, True], [True, False]])
    fig = plots.nearest_lesions(C, np.arange(2), order, C.class_names, there)
    shown = [ax.images[0].get_array() for ax in fig.axes]
    assert (
        np.array_equal(shown[4], C.images[5])
        and (shown[5] == 255).all()
        and np.array_equal(shown[2], C.images[4])
    )
    assert [fig.axes[i].get_ylabel().split()[-1] for i in (2, 5)] == ['2', '1']
