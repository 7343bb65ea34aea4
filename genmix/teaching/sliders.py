"""Sliders over figures drawn beforehand, so that dragging is instant and runs no model."""

import base64
import io
import os
from html import escape


def slider(draw, name, values, static):
    """In the browser a slider over the figures draw(value); headless, as in the web book, `static`.

    name     label of the slider
    values   numbers, in order
    The slider switches between images in the browser: it works after the kernel has stopped.
    """
    if os.environ.get('GENMIX_HEADLESS'):
        return static
    import ipywidgets as widgets

    frames = widgets.Stack([widgets.HTML(image_tag(draw(value))) for value in values], selected_index=0)
    options = [(f'{value:g}', i) for i, value in enumerate(values)]
    bar = widgets.SelectionSlider(options=options, description=name)
    widgets.jslink((bar, 'index'), (frames, 'selected_index'))
    return widgets.VBox([bar, frames])


def image_tag(fig):
    """A figure as an HTML <img> with its alt text."""
    drawn = io.BytesIO()
    fig.savefig(drawn, format='png', bbox_inches='tight')
    data = base64.b64encode(drawn.getvalue()).decode()
    return f'<img alt="{escape(getattr(fig, "alt", ""))}" src="data:image/png;base64,{data}">'
