"""Sliders where looking beats reading: pictures drawn beforehand, so that dragging is instant and runs no model."""

import base64
import io
import os
from html import escape


def slider(draw, name, values, static):
    """In the browser a slider over the figures draw(value) of some `values`; headless, and so in the web book, the figure `static`.

    name   what is dragged, as it stands before the slider      values   numbers, in order
    The slider moves through the pictures in the browser alone: it works on after the kernel has stopped.
    """
    if os.environ.get('GENMIX_HEADLESS'):
        return static
    import ipywidgets as widgets

    frames = widgets.Stack([widgets.HTML(picture(draw(value))) for value in values], selected_index=0)
    bar = widgets.SelectionSlider(
        options=[(f'{value:g}', i) for i, value in enumerate(values)], description=name
    )
    widgets.jslink((bar, 'index'), (frames, 'selected_index'))
    return widgets.VBox([bar, frames])


def picture(fig):
    """A figure as an <img> of HTML with its alt text."""
    drawn = io.BytesIO()
    fig.savefig(drawn, format='png', bbox_inches='tight')
    return f'<img alt="{escape(getattr(fig, "alt", ""))}" src="data:image/png;base64,{base64.b64encode(drawn.getvalue()).decode()}">'
