"""One style for every figure: colours, second cues, axes, images, captions, alt text, saving."""

import base64
import io
import re
import textwrap
import zlib
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from genmix.run.notebooks import SLIDER

# The paper's colours (blue cyst, green hemangioma, red metastasis), in shades that stay apart under colour
# blindness and in gray (tests/plots/test_style.py simulates both), and three more for other data.
CLASS_COLOURS = ('#1d409f', '#3ba46a', '#c02a2a', '#a678c8', '#b98a1f', '#222222')
# For arms, generators and other series: black and seaborn's colour-blind palette without its palest.
SERIES_COLOURS = (
    *('#000000', '#0173b2', '#de8f05', '#029e73', '#d55e00'),
    *('#cc78bc', '#ca9161', '#56b4e9', '#949494'),
)
DASH_DOT_DOT = (0, (5, 1.5, 1.2, 1.5, 1.2, 1.5))
LINE_STYLES = ('-', (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (9, 2)), DASH_DOT_DOT)
MARKERS = ('o', '^', 's', 'D', 'v', 'P')


class GeneratorStyle(NamedTuple):
    """How a generator is called and drawn, in every figure."""

    name: str
    colour: str
    marker: str
    line: object = '-'


# In the order of every figure. Arms without a generator are black and come first; a generator of a plugin
# stands before the oracle.
CONTROL = GeneratorStyle('without a generator', '#000000', 'X')
GENERATORS = {
    'dcgan': GeneratorStyle('DCGAN', '#0173b2', 'o', LINE_STYLES[0]),
    'stylegan': GeneratorStyle('StyleGAN2', '#de8f05', '^', LINE_STYLES[1]),
    'textual_inversion': GeneratorStyle('Textual Inversion', '#029e73', 's', LINE_STYLES[2]),
    'diffusion': GeneratorStyle('diffusion', '#d55e00', 'D', LINE_STYLES[3]),
    'oracle': GeneratorStyle('oracle', '#777777', 'v', LINE_STYLES[4]),
}
OF_PLUGINS = (('#cc78bc', 'P'), ('#56b4e9', '*'), ('#ca9161', 'h'))
NAMED = re.compile(rf'(?<![a-z_])({"|".join(GENERATORS)})(?![a-z_])')
STYLE = {
    'figure.dpi': 110,
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.titlesize': 10,
    'axes.grid': False,
    'axes.prop_cycle': plt.cycler(color=SERIES_COLOURS),
    'legend.frameon': False,
    'text.parse_math': False,  # class names may hold dollar signs; what is mathematics asks for it
    'svg.hashsalt': 'genmix',
    # Letters in an SVG stay text: they can be searched, copied and edited, and the bytes depend on no font
    # renderer. A browser without DejaVu Sans takes its own font, nearly always a narrower one, so nothing
    # collides; the PNG beside it looks the same everywhere.
    'svg.fonttype': 'none',
}
# Decorator of all that creates or draws: during the call only, matplotlib's settings are its defaults and
# STYLE, whatever a matplotlibrc or a style sheet of the user says.
styled = plt.style.context(STYLE, after_reset=True)


def class_colour(k):
    """Colour of class k."""
    return CLASS_COLOURS[k % len(CLASS_COLOURS)]


def series_colour(i):
    """Colour of the i-th arm, generator or other series that is no class."""
    return SERIES_COLOURS[i % len(SERIES_COLOURS)]


def line_style(k):
    """Line style of the k-th class or series: the cue beside its colour, where several share an axis."""
    return LINE_STYLES[k % len(LINE_STYLES)]


def marker(k):
    """Marker of the k-th class or series. Not in Figure 4, whose markers separate real from synthetic."""
    return MARKERS[k % len(MARKERS)]


def generator_style(name):
    """GeneratorStyle of a generator by its identifier: '' for none; of a plugin always the same one."""
    if not name:
        return CONTROL
    colour, sign = OF_PLUGINS[zlib.crc32(name.encode()) % len(OF_PLUGINS)]
    return GENERATORS.get(name) or GeneratorStyle(name.replace('_', ' '), colour, sign, LINE_STYLES[5])


def in_order(names):
    """Identifiers of generators in the order of every figure: '' (none) first, the oracle last."""
    places = {'': -1} | {name: place for place, name in enumerate(GENERATORS)}
    return sorted(names, key=lambda name: places.get(name, places['oracle'] - 0.5))


def displayed(text):
    """`text`, such as the name of an arm, with the names of generators and of GenMix as figures have them."""
    text = NAMED.sub(lambda found: GENERATORS[found[1]].name, text)
    text = re.sub(r'(?<![a-z])genmix-(?=[\w ])', 'GenMix ', text)
    return re.sub(r'(?<=\w)@', ' @', text)


def join_words(items):
    """'a, b and c'; 'nothing' for no items."""
    *first, last = list(map(str, items)) or ['nothing']
    return f'{", ".join(first)} and {last}' if first else last


def shorten(names, length=14):
    """Class names of at most `length` characters for axes and legends, distinct where the names are.

    A longer name is cut at its end, or in its middle if that makes two alike; if both do, all are numbered.
    A blank before a leading underscore keeps the name in legends, which leave out labels that begin with one.
    """
    names = [f' {name}' if name.startswith('_') else name for name in names]
    half, long = length // 2, [len(name) > length for name in names]
    ends = [f'{name[: length - 1].rstrip()}…' if cut else name for name, cut in zip(names, long)]
    middles = [f'{name[: half - 1]}…{name[-half:]}' if cut else name for name, cut in zip(names, long)]
    found = [end if ends.count(end) == 1 else middle for end, middle in zip(ends, middles)]
    if len(set(found)) == len(found):
        return found
    return [f'{k} {name[: length - 4]}' for k, name in enumerate(names, 1)]


def legend_columns(labels, width):
    """Number of columns of a legend that fit into `width` inches."""
    return int(np.clip(width / (0.45 + 0.075 * max(map(len, labels))), 1, len(labels)))


class AltTextFigure(Figure):
    """A figure with `alt`: one to three sentences for readers who cannot see it; set after drawing.

    slider   HTML that takes its place in the web book (`teaching.sliders`), '' for most
    """

    alt = slider = ''
    _caption = None

    @styled
    def set_caption(self, text):
        """Write what to see below the figure, wrapped to its width; replaces an earlier caption."""
        if self._caption:
            self._caption.remove()
        lines = textwrap.fill(text, int(14 * self.get_figwidth()), break_long_words=False)
        look = {'ha': 'left', 'va': 'top', 'size': 9, 'style': 'italic', 'color': '#333333'}
        self._caption = self.text(0, -0.06 / self.get_figheight(), lines, **look)
        if self.legends and self.get_layout_engine():  # they stay where they are when a saved figure grows
            self.draw_without_rendering()
            self.set_layout_engine('none')
            for legend in self.legends:
                legend.set_bbox_to_anchor((0, 0, 1, 1), self.transFigure)

    @styled
    def draw(self, renderer):
        super().draw(renderer)

    @styled
    def get_tightbbox(self, *args, **kwargs):
        return super().get_tightbbox(*args, **kwargs)

    def _repr_mimebundle_(self, include=None, exclude=None):
        """Alt text for a notebook: plain text, and metadata of the PNG that the kernel itself draws."""
        shown = {kind: text for kind, text in {'text/plain': self.alt, SLIDER: self.slider}.items() if text}
        return (shown, {'image/png': {'alt': self.alt}}) if shown else None

    @styled
    def save(self, path, kind, title):
        """Write the figure as 'png' (150 dpi) or 'svg' with title and alt text inside.

        Equal figures give equal bytes: no date, no version. A PNG has title and text in its chunks Title and
        Description; an SVG in <title> and <desc>, and as its label, since screen readers ignore the RDF that
        matplotlib itself would write.
        """
        if self.get_layout_engine():  # laid out once: every further drawing would move things by a hair
            self.draw_without_rendering()
            self.set_layout_engine('none')
        if kind == 'png':
            about = {'Title': title, 'Description': self.alt or None, 'Software': None}
            self.savefig(path, format='png', dpi=150, bbox_inches='tight', metadata=about)
            return
        drawn, no_rdf = io.StringIO(), dict.fromkeys(('Date', 'Creator', 'Format', 'Type'))
        self.savefig(drawn, format='svg', dpi=150, bbox_inches='tight', metadata=no_rdf)
        text = _label_svg(drawn.getvalue(), title, self.alt)
        text = re.sub(r'(?<=data:image/png;base64,\n)[^"]+', _to_gray_png, text)
        Path(path).write_text(text, encoding='utf-8', newline='\n')


def _label_svg(svg, title, alt):
    """An SVG with <title>, <desc> and, for screen readers, role and label."""
    label = f'role="img" aria-label={quoteattr(alt or title)}'
    inside = f'<title>{escape(title)}</title>' + (f'\n <desc>{escape(alt)}</desc>' if alt else '')
    return re.sub(r'<svg ([^>]*)>', lambda tag: f'<svg {label} {tag[1]}>\n {inside}', svg, count=1)


def _to_gray_png(match):
    """A PNG inside an SVG (base64), with one channel if it is gray: matplotlib writes four."""
    image = Image.open(io.BytesIO(base64.b64decode(match[0])))
    red, *others, alpha = np.moveaxis(np.asarray(image.convert('RGBA')), -1, 0)
    if (alpha < 255).any() or any((red != other).any() for other in others):
        return match[0]
    packed = io.BytesIO()
    Image.fromarray(red).save(packed, 'png', optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def empty_figure(width, height, **kwargs):
    """An empty AltTextFigure, sizes in inches.

    A notebook shows it once, as the value of a cell, and not again at the end of the cell.
    """
    fig = plt.figure(figsize=(width, height), FigureClass=AltTextFigure, **kwargs)
    plt.close(fig)
    return fig


def subplots(width, height, rows=1, columns=1, **kwargs):
    """An AltTextFigure, sizes in inches, and its axes (rows, columns)."""
    fig = empty_figure(width, height, layout='constrained')
    return fig, fig.subplots(rows, columns, squeeze=False, **kwargs)


def single_axes(width, height):
    """An AltTextFigure, sizes in inches, and its only axes."""
    fig, axes = subplots(width, height)
    return fig, axes[0, 0]


def show_image(ax, image):
    """Show an image uint8 (H, W) with hard pixels; 'none' keeps them as they are in an SVG."""
    ax.imshow(image, cmap='gray', vmin=0, vmax=255, interpolation='none')
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def draw_class_bars(ax, label, probabilities, class_names):
    """Probabilities (K,) as bars and the label (K,), where it is not 0, as black ticks."""
    at = np.arange(len(label))
    ax.barh(at, probabilities, color=[class_colour(k) for k in at], height=0.7)
    some = np.flatnonzero(label)
    ax.vlines(label[some], some - 0.45, some + 0.45, color='k', lw=1.5, zorder=3)
    ax.set(xlim=(-0.02, 1.04), ylim=(len(at) - 0.4, -0.6), xticks=[0, 0.5, 1])
    ax.set_yticks(at, shorten(class_names, 11))
    ax.tick_params(labelsize=7, length=2)
