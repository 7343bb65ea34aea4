"""One style for every figure of the study: colours, second cues, axes, how a lesion is shown, alt text, how a figure is saved."""

import base64
import io
import re
from xml.sax.saxutils import escape, quoteattr

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

# The paper's colours (blue cyst, green hemangioma, red metastasis), in shades that stay apart under colour blindness and in gray
# (tests/test_plots.py simulates both), and three more for other data.
CLASS_COLOURS = ('#1d409f', '#3ba46a', '#c02a2a', '#a678c8', '#b98a1f', '#222222')
# For what is no class (arms, generators): black and seaborn's colour-blind palette without its palest.
SHADES = ('#000000', '#0173b2', '#de8f05', '#029e73', '#d55e00', '#cc78bc', '#ca9161', '#56b4e9', '#949494')
DASHES = (
    '-',
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.5, 1.2, 1.5)),
    (0, (9, 2)),
    (0, (5, 1.5, 1.2, 1.5, 1.2, 1.5)),
)
MARKERS = ('o', '^', 's', 'D', 'v', 'P')
# Letters in an SVG stay text: they can be searched, copied and edited, and the bytes depend on no font renderer.  A browser without
# DejaVu Sans takes its own font, nearly always a narrower one, so nothing collides; the PNG beside it looks the same everywhere.
STYLE = {
    'figure.dpi': 90,
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.titlesize': 10,
    'svg.hashsalt': 'genmix',
    'svg.fonttype': 'none',
    'axes.grid': False,
    'legend.frameon': False,
    'axes.prop_cycle': plt.cycler(color=SHADES),
}
plt.rcParams.update(STYLE)


def colour(k):
    return CLASS_COLOURS[k % len(CLASS_COLOURS)]


def shade(i):
    """Colour of the i-th thing that is no class: an arm, a generator."""
    return SHADES[i % len(SHADES)]


def dashes(k):
    """Line style of the k-th class or arm: the cue beside its colour, where several share an axis."""
    return DASHES[k % len(DASHES)]


def marker(k):
    """Marker of the k-th class or arm.  Not in Figure 4, where the paper's markers tell real from synthetic."""
    return MARKERS[k % len(MARKERS)]


def listed(items):
    """'a, b and c'."""
    *most, last = list(map(str, items)) or ['nothing']
    return f'{", ".join(most)} and {last}' if most else last


def short(names, most=14):
    """Class names of at most `most` characters for axes and legends, distinct where the names are: cut behind, else in the middle, else numbered."""
    behind = [name if len(name) <= most else f'{name[: most - 1].rstrip()}…' for name in names]
    within = [
        name if len(name) <= most else f'{name[: most // 2 - 1]}…{name[-(most // 2) :]}' for name in names
    ]
    found = [b if behind.count(b) == 1 else w for b, w in zip(behind, within)]
    return (
        found
        if len(set(found)) == len(found)
        else [f'{k} {name[: most - 4]}' for k, name in enumerate(names, 1)]
    )


def abreast(labels, width):
    """How many entries of a legend stand side by side in `width` inches."""
    return int(np.clip(width / (0.45 + 0.075 * max(map(len, labels))), 1, len(labels)))


class Described(Figure):
    """A figure with `alt`: one to three sentences for whoever cannot see it; it may be set later (`fig.alt = ...`)."""

    alt = ''

    def _repr_mimebundle_(self, include=None, exclude=None):
        """Alt text for the notebook: as plain text and as metadata of the image, which the kernel's own png formatter draws."""
        return ({'text/plain': self.alt}, {'image/png': {'alt': self.alt}}) if self.alt else None


def new(width, height, rows=1, columns=1, alt='', **kwargs):
    """A figure and its axes (rows, columns); sizes in inches, `alt` as in `Described`."""
    fig = blank(width, height, alt, layout='constrained')
    return fig, fig.subplots(rows, columns, squeeze=False, **kwargs)


def blank(width, height, alt='', **kwargs):
    """An empty figure that a notebook shows once, by being the value of its cell, and not again at the cell's end."""
    fig = plt.figure(figsize=(width, height), FigureClass=Described, **kwargs)
    fig.alt = alt
    plt.close(fig)
    return fig


def save(fig, path, kind, title):
    """Write a figure as 'png' (150 dpi) or 'svg' with title and alt text inside.

    Equal figures give equal bytes: no date, no version.  A PNG carries them in its text chunks Title and Description; an SVG in
    <title> and <desc>, and as the label of the one image it is to a screen reader, since matplotlib itself would write RDF that none reads.
    """
    alt = getattr(fig, 'alt', '')
    if fig.get_layout_engine():  # laid out once: every drawing would move things by a hair
        fig.draw_without_rendering()
        fig.set_layout_engine('none')
    if kind == 'png':
        about = {'Title': title, 'Description': alt or None, 'Software': None}
        return fig.savefig(path, format='png', dpi=150, bbox_inches='tight', metadata=about)
    drawn = io.StringIO()
    fig.savefig(
        drawn,
        format='svg',
        dpi=150,
        bbox_inches='tight',
        metadata=dict.fromkeys(('Date', 'Creator', 'Format', 'Type')),
    )
    inside = f'<title>{escape(title)}</title>' + (f'\n <desc>{escape(alt)}</desc>' if alt else '')
    label = f'role="img" aria-label={quoteattr(alt or title)}'
    text = re.sub(
        r'<svg ([^>]*)>', lambda tag: f'<svg {label} {tag[1]}>\n {inside}', drawn.getvalue(), count=1
    )
    text = re.sub(r'(?<=data:image/png;base64,\n)[^"]+', in_gray, text)
    with open(path, 'w', encoding='utf-8', newline='\n') as out:
        out.write(text)


def in_gray(match):
    """A PNG inside an SVG (base64) with one channel where it has only grays: matplotlib writes four, at nearly twice the bytes."""
    image = Image.open(io.BytesIO(base64.b64decode(match[0])))
    red, *others, alpha = np.moveaxis(np.asarray(image.convert('RGBA')), -1, 0)
    if (alpha < 255).any() or any((red != other).any() for other in others):
        return match[0]
    packed = io.BytesIO()
    Image.fromarray(red).save(packed, 'png', optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def show(ax, image):
    """An image uint8 (H, W) with hard pixels; 'none' keeps them as they are in an SVG."""
    ax.imshow(image, cmap='gray', vmin=0, vmax=255, interpolation='none')
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
