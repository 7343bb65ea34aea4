"""The style: saved figures, notebooks, colours and second cues, short class names."""

import base64
import io
import itertools
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from figure_examples import BLOOD, DRAW, ODD, SKIN, C
from matplotlib.colors import to_rgb
from PIL import Image

from genmix import plots
from genmix.generators import PAPER, known
from genmix.plots.style import (
    GENERATORS,
    class_colour,
    displayed,
    generator_style,
    in_order,
    line_style,
    marker,
    shorten,
    subplots,
)
from genmix.run.study import Study


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
    assert [(e.tag, e.text) for e in root[:2]] == [(f'{space}title', 'x'), (f'{space}desc', fig.alt)]
    assert any('small' in ''.join(t.itertext()) for t in root.iter(f'{space}text'))
    assert b'Matplotlib v' not in svg + png and b'matplotlib.org' not in svg + png
    assert b'<metadata>' not in svg


def test_images_in_an_svg_keep_their_pixels(tmp_path):
    plots.sheet({'a': C.images[:1]}, columns=1).save(tmp_path / 'f.svg', 'svg', 'f')
    (image,) = ElementTree.parse(tmp_path / 'f.svg').getroot().iter('{http://www.w3.org/2000/svg}image')
    data = image.get('{http://www.w3.org/1999/xlink}href').split(',')[1]
    inside = Image.open(io.BytesIO(base64.b64decode(data)))
    assert inside.mode == 'L' and inside.size == (32, 32)
    assert np.abs(np.asarray(inside, int) - C.images[0]).max() <= 1


def test_figures_leave_the_settings_of_matplotlib_alone(tmp_path):
    before = dict(mpl.rcParams)
    fig = DRAW['histograms']()
    fig.savefig(tmp_path / 'f.png')
    for kind in ('png', 'svg'):
        fig.save(tmp_path / f'f.{kind}', kind, 'f')
    assert dict(mpl.rcParams) == before and fig.axes[0].title.get_fontsize() == 10
    assert mpl.rcParamsDefault['axes.titlesize'] == before['axes.titlesize']  # neither did the import


# Of a matplotlibrc, a style sheet or seaborn.set_theme(); TeX would stop at once where no LaTeX is.
THEIRS = {
    **{'text.usetex': True, 'font.size': 22, 'font.family': 'serif', 'axes.grid': True, 'lines.linewidth': 7},
    **{'axes.facecolor': 'black', 'figure.facecolor': 'red', 'image.cmap': 'jet', 'image.origin': 'lower'},
    **{'savefig.facecolor': 'red', 'savefig.pad_inches': 3, 'svg.fonttype': 'path', 'xtick.bottom': False},
}


def test_settings_of_the_user_do_not_reach_figures(tmp_path):
    saved = {}
    for whose, settings in (('ours', {}), ('theirs', THEIRS)):
        with mpl.rc_context(settings):
            fig = DRAW['kid_through_training']()
            for kind in ('png', 'svg'):
                fig.save(tmp_path / f'f.{kind}', kind, 'f')
                saved[whose, kind] = (tmp_path / f'f.{kind}').read_bytes()
    assert saved['ours', 'png'] == saved['theirs', 'png'] and saved['ours', 'svg'] == saved['theirs', 'svg']


def test_class_names_are_no_mathematics_and_stay_in_legends(tmp_path):
    plots.run_times(pd.Series(3.0, ODD)).save(tmp_path / 'f.svg', 'svg', 'f')
    root, space = ElementTree.parse(tmp_path / 'f.svg').getroot(), '{http://www.w3.org/2000/svg}'
    drawn = {''.join(t.itertext()).strip() for t in root.iter(f'{space}text')}
    assert drawn >= set(ODD), set(ODD) - drawn


def test_notebooks_show_a_figure_once_with_its_alt_text(monkeypatch):
    from IPython.core import formatters, pylabtools
    from nbconvert import HTMLExporter
    from nbformat import v4

    shell = SimpleNamespace(display_formatter=formatters.DisplayFormatter())
    drawn, print_figure = [], pylabtools.print_figure
    monkeypatch.setattr(pylabtools, 'print_figure', lambda *a, **k: drawn.append(1) or print_figure(*a, **k))
    pylabtools.select_figure_formats(shell, {'png'}, bbox_inches='tight')
    fig, _ = subplots(4, 2)
    assert 'image/png' in shell.display_formatter.format(fig)[0]  # without alt text it is shown all the same
    fig.alt = 'Two axes & no data.'
    drawn.clear()
    data, about = shell.display_formatter.format(fig)
    assert len(drawn) == 1 and data.keys() == {'image/png', 'text/plain'} and data['text/plain'] == fig.alt
    assert about == {'image/png': {'alt': fig.alt}}
    output = v4.new_output('execute_result', data, metadata=about, execution_count=1)
    notebook = v4.new_notebook(cells=[v4.new_code_cell('f', outputs=[output])])
    page, _ = HTMLExporter(template_name='classic').from_notebook_node(notebook)
    assert 'alt="Two axes &amp; no data."' in page


# Complete colour blindness of one kind, on linear RGB: Machado, Oliveira & Fernandes 2009,
# doi 10.1109/TVCG.2009.113, severity 1.0
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
    assert lab(linear('white')) == pytest.approx([100, 0, 0], abs=0.01)
    assert lab(linear('black')) == pytest.approx([0, 0, 0], abs=0.01)
    assert lab(linear('red')) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    assert np.allclose(np.sum(list(BLIND.values()), 2), 1, atol=1e-5)  # gray stays gray


@pytest.mark.parametrize('kind', BLIND)
def test_class_colours_stay_apart_under_colour_blindness(kind):
    """A difference of 2.3 is just noticeable; ten times that holds for thin lines."""
    seen = [lab(np.array(BLIND[kind]) @ linear(class_colour(k))) for k in range(3)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 23


def test_class_colours_stay_apart_in_gray_and_keep_the_papers_names():
    light = [lab(linear(class_colour(k)))[0] for k in range(3)]
    assert min(abs(a - b) for a, b in itertools.combinations(light, 2)) > 12
    assert [np.argmax(to_rgb(class_colour(k))) for k in range(3)] == [2, 1, 0]  # blue, green, red
    contrast = [1.05 / (TO_XYZ[1] @ linear(class_colour(k)) + 0.05) for k in range(3)]
    assert min(contrast) >= 3  # on white, WCAG 2.1, 1.4.11


def test_classes_that_share_an_axis_differ_in_more_than_colour():
    assert len({str(line_style(k)) for k in range(6)}) == 6 == len({marker(k) for k in range(6)})
    left, right = DRAW['histograms with sizes']().axes
    assert len({str(p.get_linestyle()) for p in left.patches}) == 3
    assert len({line._dash_pattern[1] and tuple(line._dash_pattern[1]) for line in right.lines}) == 3


def test_short_names_are_short_and_differ():
    assert shorten(['cyst', 'hemangioma', 'x' * 14]) == ['cyst', 'hemangioma', 'x' * 14]
    assert shorten(['immature granulocytes', 'basophil']) == ['immature gran…', 'basophil']
    alike = ['melanocytic nevus a', 'melanocytic nevus b']
    numbered = ['a very long name, 1, of these', 'a very long name, 2, of these']
    for names in (BLOOD, SKIN, alike, numbered):
        assert len(set(shorten(names))) == len(names) and max(map(len, shorten(names))) <= 14


def test_a_generator_looks_the_same_everywhere_and_unlike_any_other():
    looks = [generator_style(name) for name in ('', *GENERATORS, 'my_generator')]
    for what in ('name', 'colour', 'marker'):
        assert len({getattr(look, what) for look in looks}) == len(looks), what
    assert generator_style('my_generator') == generator_style('my_generator')
    assert list(known())[: len(PAPER)] == list(GENERATORS)[: len(PAPER)] == list(PAPER)
    assert in_order(['oracle', 'mine', 'diffusion', '', 'dcgan']) == [
        '',
        'dcgan',
        'diffusion',
        'mine',
        'oracle',
    ]
    for kind in BLIND:
        seen = [lab(np.array(BLIND[kind]) @ linear(look.colour)) for look in looks[1:-1]]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 8, kind


def test_names_of_arms_in_figures():
    shown = {
        'classical': 'classical',
        'genmix-dcgan@1/8': 'GenMix DCGAN @1/8',
        'textual_inversion@1/2': 'Textual Inversion @1/2',
        'mixup-stylegan@1/8': 'mixup-StyleGAN2 @1/8',
        'genmix-diffusion-offline': 'GenMix diffusion-offline',
        'my_dcgan@1/8': 'my_dcgan @1/8',
    }
    assert {name: displayed(name) for name in shown} == shown


def test_a_caption_stands_below_its_figure_once():
    fig = DRAW['histograms']()
    for text in ('before', 'What to see ' * 30):
        fig.set_caption(text)
    found = [t for t in fig.texts if t.get_style() == 'italic']
    assert [' '.join(t.get_text().split()) for t in found] == [('What to see ' * 30).strip()]
    fig.draw_without_rendering()
    box = found[0].get_window_extent()
    assert box.y1 <= 0 and box.width <= fig.bbox.width and '\n' in found[0].get_text()


def test_a_caption_and_a_legend_below_the_panels_do_not_meet(tmp_path):
    fig = DRAW['tsne_panels']()
    fig.set_caption('What to see')
    fig.savefig(tmp_path / 'f.png', bbox_inches='tight')
    legend, caption = (x.get_window_extent() for x in (fig.legends[0], fig._caption))
    assert legend.y0 >= caption.y1
    assert legend.y1 <= min(ax.get_tightbbox().y0 for ax in fig.axes)
