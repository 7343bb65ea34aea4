"""The slider: a static figure when headless, images with alt text in the browser."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from genmix import plots
from genmix.teaching.sliders import slider

widgets = pytest.importorskip('ipywidgets')
STATIC = object()


def drawn(value):
    """A strip of one gray level that says which."""
    return plots.sheet({f'level {value:g} & more': np.full((2, 32, 32), value, np.uint8)}, columns=2)


def test_headless_shows_the_static_figure_and_draws_nothing(monkeypatch):
    monkeypatch.setenv('GENMIX_HEADLESS', '1')
    assert slider(lambda value: 1 / 0, 'λ', (0, 1), STATIC) is STATIC


def test_in_the_browser_every_value_has_its_image_with_alt_text(monkeypatch):
    monkeypatch.delenv('GENMIX_HEADLESS', raising=False)
    values = []
    widget = slider(lambda value: values.append(value) or drawn(value), 'λ', (0, 100.5, 200), STATIC)
    bar, frames = widget.children
    assert values == [0, 100.5, 200] and [label for label, _ in bar.options] == ['0', '100.5', '200']
    assert bar.description == 'λ'
    assert bar.index == frames.selected_index == 0 and len(frames.children) == 3
    for value, frame in zip(values, frames.children):
        assert f'level {value:g} &amp; more' in re.search('alt="([^"]*)"', frame.value)[1]
        data = base64.b64decode(re.search('base64,([^"]+)"', frame.value)[1])
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert('L'))
        assert abs(int(pixels[pixels.shape[0] * 2 // 3, pixels.shape[1] // 4]) - value) <= 1


def test_the_slider_switches_images_without_a_kernel(monkeypatch):
    """The browser links the index of the slider with that of the image shown."""
    from ipywidgets.widgets.widget import _instances

    monkeypatch.delenv('GENMIX_HEADLESS', raising=False)
    before = set(_instances)
    bar, frames = slider(drawn, 'λ', (0, 1), STATIC).children
    new = [widget for key, widget in _instances.items() if key not in before]
    (link,) = [widget for widget in new if isinstance(widget, widgets.widgets.widget_link.Link)]
    assert link.source == (bar, 'index') and link.target == (frames, 'selected_index')
