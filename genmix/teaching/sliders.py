"""Sliders over figures drawn beforehand, so that dragging is instant and runs no model."""

import base64
import io
import os
from html import escape

# What a move does: show the figure of this number, and its value. Plain HTML: a Stack of ipywidgets leaves an
# error in the console of the browser at every move.
MOVE = """
const frames = [...this.closest('.genmix-slider').querySelectorAll('figure')];
frames.forEach((frame, i) => { frame.hidden = i != this.value });
this.nextElementSibling.value = frames[this.value].dataset.value;
"""


def slider(draw, name, values, static):
    """In the browser a slider over the figures draw(value); headless the figure `static`, which carries it.

    name     label of the slider
    values   numbers, in order
    The slider switches between images in the browser: it works after the kernel has stopped, and in the pages
    of the web book, where it takes the place of `static`.
    """
    labels = [f'{value:g}' for value in values]
    figures = ''.join(
        f'<figure data-value="{label}" style="margin: 0" {"hidden" if i else ""}>{image_tag(draw(value))}'
        '</figure>'
        for i, (label, value) in enumerate(zip(labels, values))
    )
    bar = (  # JupyterLab would take the arrow keys for commands of its own
        f'<input type="range" min="0" max="{len(labels) - 1}" value="0" data-lm-suppress-shortcuts="true" '
        f'style="width: 24em; vertical-align: middle" oninput="{escape(" ".join(MOVE.split()))}">'
    )
    label = f'<label>{escape(name)} {bar} <output>{labels[0]}</output></label>'
    page = f'<div class="genmix-slider">{label}{figures}</div>'
    if os.environ.get('GENMIX_HEADLESS'):
        static.slider = page
        return static
    from IPython.display import HTML

    return HTML(page)


def image_tag(fig):
    """A figure as an HTML <img> with its alt text."""
    drawn = io.BytesIO()
    fig.savefig(drawn, format='png', bbox_inches='tight')
    data = base64.b64encode(drawn.getvalue()).decode()
    return f'<img alt="{escape(getattr(fig, "alt", ""))}" src="data:image/png;base64,{data}">'
