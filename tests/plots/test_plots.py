"""Every figure function draws, has an alt text and shows what it was given."""

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import blobs
from figure_examples import BLOOD, CONTROLS, DRAW, LOG, MASS, NEAR, ODD, SKIN, C, card_of
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from genmix import plots
from genmix.audit.findings import METRICS
from genmix.data import images
from genmix.data.cohort import Cohort
from genmix.plots.pretrained import radial_power
from genmix.plots.style import generator_style, join_words


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


@pytest.mark.parametrize('name', DRAW)
def test_every_figure_draws_something_and_has_an_alt_text(name, tmp_path):
    fig = DRAW[name]()
    assert isinstance(fig, Figure)
    fig.savefig(tmp_path / 'f.png', dpi=50)
    assert len(np.unique(np.asarray(Image.open(tmp_path / 'f.png').convert('L')))) > 5
    assert 60 < len(fig.alt) < 1500 and fig.alt.endswith('.') and '  ' not in fig.alt and '\n' not in fig.alt
    assert any(letter.isdigit() for letter in fig.alt) and 'nan' not in fig.alt.lower().split()
    mathematics = [t.get_text() for t in fig.findobj(Text) if '$' in t.get_text()]
    assert bool(mathematics) == (name == 'augmentation_curves'), 'a class name may hold dollar signs'


def test_every_figure_function_is_in_the_list():
    drawn = {name.split()[0] for name in DRAW}
    public = {n for n, f in vars(plots).items() if inspect.isfunction(f)}
    public -= {'pick', 'lesion_kind', 'mixed_colours', 'write_animation'}
    assert public == drawn, f'without a line in DRAW: {public - drawn}'


def test_an_animation_has_a_frame_per_snapshot_and_rests_on_the_last(tmp_path):
    snapshots = np.stack([C.images[i : i + 6].reshape(3, 2, 32, 32) for i in range(4)])
    plots.write_animation(snapshots, 2, tmp_path / 'f.gif', seconds=6)
    gif = Image.open(tmp_path / 'f.gif')
    durations = [(gif.seek(i), gif.info['duration'])[1] for i in range(gif.n_frames)]
    assert durations == [750] * 3 + [3000] and gif.size == (2 * 34 - 2, 3 * 34 - 2)
    gif.seek(3)
    shown = np.asarray(gif.convert('L'), int)
    wanted = images.montage(snapshots[3].reshape(-1, 32, 32), 2).astype(int)
    assert np.abs(shown - wanted).max() <= 2 and len(np.unique(shown)) <= 64


def test_alt_text_by_hand():
    assert join_words('abc') == 'a, b and c' and join_words('a') == 'a' and join_words([]) == 'nothing'
    assert '10 gray images of lesions in 2 rows' in DRAW['quiz']().alt
    assert 'mixing +10.0 [+5.0, +15.0] (higher), mixing, DCGAN +8.0 [+3.0, +13.0] and' in DRAW['forest']().alt
    assert 'mixing +1.0, new cohorts from -5.0 to +7.0, this run +2.0' in DRAW['among_cohorts']().alt
    assert 'a 100% and b 33%' in DRAW['confusion']().alt
    assert 'holdout from 55.0 %' in DRAW['arm_points']().alt and 'n = 2 per arm' in DRAW['arm_points']().alt
    assert 'No image of small (none), middle (none) and large (none)' in DRAW['examples']().alt
    card = DRAW['generator_card']().alt
    assert 'TSTR, coverage, KID, diversity, copy ratio and blend ratio: g 0.4, 0.4' in card
    assert 'h 0.8' in card and 'real lesions 0.8' in card
    assert 'by TSTR and KID, 1 the best: g 1, 1; h 2, 1.' in DRAW['generator_ranks']().alt
    assert 'g (2) and two parents (2).' in DRAW['copy_pairs']().alt
    assert 'g, by GenMix g 70% middle and 50% small.' in DRAW['traced_lesion']().alt
    assert 'same: 33% small, 33% middle and 33% large, 0% between classes' in DRAW['simplices']().alt
    assert 'the label of the mixture is 20% middle and 80% large' in DRAW['figure1']().alt
    assert '1 labels are of one class alone' in DRAW['labelled_batch']().alt
    assert '10 in all; the longest is 02_b with 10.' in DRAW['run_times']().alt
    # Beta(1, 1) is uniform: 80 % of it lies within 0.1 and 0.9
    assert '80% for α = 1' in DRAW['beta_densities']().alt


def test_a_forest_has_a_row_per_question_and_each_generator_in_its_own_style():
    """Two generators share the row that asks the same of both, in the order of every figure."""
    ax = DRAW['forest']().axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        'mixing (higher)',
        'mixing, DCGAN',
        'GenMix against mixup\nGenMix g @1/8 − mixup',
        'class balance\noversample − classical',
    ]
    points = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in points] == pytest.approx([10, 8, 3, -2, -1])
    looks = [generator_style(name) for name in ('', 'dcgan', 'dcgan', 'oracle', '')]
    assert [(line.get_color(), line.get_marker()) for line in points] == [(s.colour, s.marker) for s in looks]
    heights = [line.get_ydata()[0] for line in points]
    assert heights == sorted(heights) and ax.yaxis_inverted()
    legend = [t.get_text() for t in ax.get_legend().get_texts()]
    assert legend == ['several, or none', 'DCGAN', 'oracle'] and 'the first is better' in ax.get_xlabel()


def test_a_classifier_is_drawn_in_the_style_of_its_generator():
    table = pd.DataFrame(
        {'arm': ['mixup', 'dcgan@1/8'], 'generator': ['', 'dcgan'], 'test_set': 'holdout', 'rule': 'prior'}
    ).assign(label='all', metric='balanced_accuracy', value=[0.7, 0.8])
    lines = plots.arm_points(table, ['mixup', 'dcgan@1/8']).axes[0].lines
    for (line, mean), name in zip((lines[:2], lines[2:]), ('', 'dcgan')):
        style = generator_style(name)
        assert (line.get_color(), line.get_marker()) == (style.colour, style.marker)
        assert mean.get_color() == style.colour and line.get_xdata() == mean.get_xdata()


def test_arms_that_are_compared_stand_together_with_their_masses():
    fig = DRAW['batch_mass']()
    assert 'no mass differs by more than 1.0 points' in fig.alt and 'from 0 to 50 %' in fig.alt
    left, right = fig.axes
    names = ['classical', 'g @1/2', 'GenMix g @1/2', 'GenMix g @1/8']
    assert [t.get_text() for t in left.get_yticklabels()] == names
    arms = ['classical', 'g@1/2', 'genmix-g@1/2', 'genmix-g@1/8']
    first, pair, second = np.diff(left.get_yticks())
    assert [first, pair, second] == pytest.approx([1.7, 1, 1.7])
    assert [b.get_width() for b in left.patches] == pytest.approx([0, 50, 49, 12])
    widths = np.reshape([b.get_width() for b in right.patches], (3, 4))  # class by class
    assert np.allclose(widths.T, [[100 * m for m in MASS[name]['labels']] for name in arms])


def test_panels_of_the_card_are_its_metrics_in_order_with_each_generator_beside_real_lesions():
    card = pd.concat([card_of('g', 0.5), card_of('h', 1)])
    axes = [ax for ax in plots.generator_card(card).axes if ax.get_title()]
    titles = [ax.get_title() for ax in axes]
    assert titles == [name for name in METRICS.values() if not name.endswith('pixels')]
    assert titles[0] == 'TSTR' and [t.get_text() for t in axes[0].get_yticklabels()] == ['g', 'h']
    bands = [(b.get_x(), b.get_x() + b.get_width()) for b in axes[0].patches]
    assert np.allclose(bands, (0.7, 0.9))  # real lesions
    bars = [line.get_xdata() for line in axes[0].lines if len(line.get_xdata()) == 2]
    assert np.allclose(bars, [[0.35, 0.45], [0.7, 0.9]])


def test_bars_and_ticks_of_a_traced_lesion_are_the_prediction_and_the_label():
    _, _, _, bars = DRAW['traced_lesion']().axes
    assert [p.get_width() for p in bars.patches] == [0.5, 0.5, 0]
    (ticks,) = bars.collections
    assert [segment[0].tolist() for segment in ticks.get_segments()] == [[0.6, -0.45], [0.4, 0.55]]


def test_power_ratio_by_hand():
    """Half the gray levels are a quarter of the power, and a wave of 8 pixels lies in the band around 1/8."""
    wave = (np.sin(np.arange(64) * 2 * np.pi / 8) * 100 + 128)[None, None].repeat(64, 1).astype(np.uint8)
    frequency, power = radial_power(wave)
    assert abs(frequency[power.argmax()] - 1 / 8) < 0.03
    line = plots.power_ratio({'halved': (C.images, (C.images / 2).astype(np.uint8))}).axes[0].lines[0]
    assert np.allclose(line.get_ydata()[:5], 0.25, atol=0.03)


def test_interval_of_a_mean_is_students():
    (line,) = DRAW['regime_curves']().axes[0].containers
    low, high = line[2][0].get_segments()[0][:, 1]
    # two seeds, 50 and 60 %: 55 with half width t(0.975, 1) = 12.706 times 7.0711 / sqrt(2)
    assert (low, high) == pytest.approx((55 - 63.53, 55 + 63.53), abs=0.01)


@pytest.mark.parametrize('names', (BLOOD, SKIN, ODD))
def test_many_and_long_class_names_find_room(names, tmp_path):
    k = len(names)
    images, rows = np.random.default_rng(0).integers(0, 255, (4 * k, 32, 32), np.uint8), np.arange(4 * k)
    c = Cohort(images, rows % k, rows.astype(str), names)
    points = pd.DataFrame(np.eye(k), columns=[f'y_{n}' for n in names])
    points = points.assign(kind='real', source='held-out', tsne_1=np.arange(k), tsne_2=0.0)
    near = pd.concat([NEAR[NEAR.label == 'all'], NEAR[NEAR.label == 'small'].assign(label=names[3])])
    log = LOG.assign(**{f'within_class_sd_{i}': 0.5 for i in range(k)})
    figures = {
        'card': lambda: plots.generator_card(card_of('g', 0.5, names)),
        'confusion': lambda: plots.confusion({a: np.ones((k, k)) for a in 'abcd'}, names),
        'histograms': lambda: plots.histograms(c),
        'panel': lambda: plots.tsne_panels({'a': points}, names),
        'panels': lambda: plots.tsne_panels(dict.fromkeys('abc', points), names),
        'nearest': lambda: plots.nearest_lesions(
            c, np.arange(k), np.arange(8 * k).reshape(k, 8) % (4 * k), names
        ),
        'numbers': lambda: plots.neighbour_statistics(near, names),
        'simplices': lambda: plots.simplices({'any': np.eye(k)}, names),
        'traced': lambda: plots.traced_lesion(
            {'g': [('real', c.images[0], np.eye(k)[0], np.full(k, 1 / k))] * 3}, names
        ),
        'mixtures': lambda: plots.mixture_labels(c.images[0], c.images[1], (0, 1), [1, 0.5], names),
        'examples': lambda: plots.examples({'real': plots.pick(c, 2)}, names),
        'curves': lambda: plots.training_curves(log, names),
    }
    for name, draw in figures.items():
        with warnings.catch_warnings():
            warnings.simplefilter('error', UserWarning)
            fig = draw()
            fig.savefig(tmp_path / f'{name}.png', dpi=50)
        box = fig.get_tightbbox()
        assert box.x0 > -0.1 and box.x1 < fig.get_figwidth() + 0.1, name
        assert box.y0 > -0.1 and box.y1 < fig.get_figheight() + 0.1, name


def test_scores_of_controls_are_ratios_to_real_lesions():
    """A score of .2, interval .1 to .3, where real lesions reach .5; that of the study is filled."""
    ax = plots.control_scores(CONTROLS).axes[0]
    (own_bar, own, bar, other, dotted), title = ax.lines, ax.get_xlabel()
    assert title == 'TSTR' and dotted.get_xdata()[0] == 1
    assert own.get_xdata() == pytest.approx([1.0]) and other.get_xdata() == pytest.approx([0.4])
    assert bar.get_xdata() == pytest.approx([0.2, 0.6]) and own_bar.get_ydata()[0] == 0
    assert own.get_markerfacecolor() != 'white' == other.get_markerfacecolor()
    many = pd.concat([CONTROLS.assign(name=f'base with a long name: num_vectors = {i}') for i in range(30)])
    fig = plots.control_scores(many)
    fig.draw_without_rendering()
    box = fig.get_tightbbox()
    assert box.x0 > -0.1 and box.x1 < fig.get_figwidth() + 0.1 and len(fig.alt) < 1500


def test_lambda_stands_below_each_mixture():
    *_, last = DRAW['examples with lambda']().axes
    assert [t.get_text() for t in last.get_xticklabels()] == ['λ = 0.30', 'λ = 0.70']
    width = last.images[0].get_array().shape[1]
    assert last.get_xticks() == pytest.approx([(width + 2) / 4, 3 * (width + 2) / 4])


def test_a_corner_of_the_simplex_counts_its_labels():
    texts = [t.get_text() for t in DRAW['simplices']().axes[1].texts]
    assert len(texts) == 3 and all('33% of the label mass\n1 labels on the corner' in t for t in texts)


def test_places_without_another_patient_stay_empty():
    order, found = np.array([[3, 4], [5, 6]]), np.array([[True, True], [True, False]])
    fig = plots.nearest_lesions(C, np.arange(2), order, C.class_names, found)
    shown = [ax.images[0].get_array() for ax in fig.axes]
    assert np.array_equal(shown[4], C.images[5]) and np.array_equal(shown[2], C.images[4])
    assert (shown[5] == 255).all()
    assert [fig.axes[i].get_ylabel().split()[-1] for i in (2, 5)] == ['2', '1']


def test_groups_of_lesions_have_their_intervals_cut_at_the_range_of_the_metric():
    fig = DRAW['subgroup_scores']()
    first, second = fig.axes
    assert [t.get_text() for t in second.get_yticklabels()] == ['under 10 mm (n = 40)', 'over 15 mm (n = 40)']
    classical, genmix = second.containers
    filled, hollow = (c.lines[0].get_markerfacecolor() for c in (classical, genmix))
    assert filled == generator_style('').colour and hollow == 'white'
    (bars,) = genmix.lines[2]
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [
        pytest.approx([55, 95]),
        pytest.approx([75, 100]),
    ]
    assert 'GenMix g @1/8: all lesions 75, under 10 mm 65 and over 15 mm 85.' in fig.alt
    assert classical.get_label() == 'classical' and fig.legends[0].get_title().get_text() == 'population'


def test_a_failure_is_framed_in_its_true_class_and_large_enough_to_see():
    fig = DRAW['failure_gallery']()
    fig.draw_without_rendering()
    first, second = fig.axes[:2]
    assert first.get_title() == 'small\n→ large' and first.get_xlabel() == '13 mm, slice 5 mm\n2 of 2, 97%'
    assert second.get_xlabel() == '1 of 2, 80%' and np.array_equal(second.images[0].get_array(), C.images[1])
    assert [ax.spines['left'].get_edgecolor() for ax in (first, second)] == [
        to_rgba(plots.style.class_colour(k)) for k in (0, 1)
    ]
    assert min(first.get_window_extent().width, first.get_window_extent().height) >= 64, 'pixels'
    assert '1 small named large and 1 middle named small.' in fig.alt


def test_each_noise_has_the_mean_of_its_cohorts():
    fig = DRAW['noise_scores']()
    assert 'noise x 1, classical 70.5 and genmix-oracle@1/8 70.5; noise x 2, classical 60.5' in fig.alt
    points = [line.get_xdata().tolist() for line in fig.axes[0].lines if len(line.get_xdata()) == 2]
    assert points == [pytest.approx(v) for v in ([70, 71], [70, 71], [60, 61], [60, 61])]
