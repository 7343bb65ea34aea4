"""The slider: a figure that carries it when headless, images with alt text in the browser."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from pages import CHROMIUM, Browser
from PIL import Image

from genmix import plots
from genmix.run.notebooks import SLIDER
from genmix.teaching.sliders import slider

VALUES = (0, 100.5, 200)


def drawn(value):
    """A strip of one gray level that says which."""
    return plots.sheet({f'level {value:g} & more': np.full((2, 32, 32), value, np.uint8)}, columns=2)


@pytest.fixture
def page(monkeypatch):
    """HTML of a slider over three gray levels."""
    monkeypatch.delenv('GENMIX_HEADLESS', raising=False)
    return slider(drawn, 'λ <b>', VALUES, None).data


def test_headless_shows_a_static_figure_that_carries_the_slider(page, monkeypatch):
    monkeypatch.setenv('GENMIX_HEADLESS', '1')
    static = drawn(100)
    assert slider(drawn, 'λ <b>', VALUES, static) is static
    data, about = static._repr_mimebundle_()
    assert data == {'text/plain': static.alt, SLIDER: page} and about['image/png']['alt'] == static.alt
    assert SLIDER not in drawn(100)._repr_mimebundle_()[0]


def test_in_the_browser_every_value_has_its_image_with_alt_text(page):
    frames = re.findall(r'<figure data-value="([^"]*)"([^>]*)><img alt="([^"]*)" src="[^,]*,([^"]+)">', page)
    assert [value for value, *_ in frames] == ['0', '100.5', '200']
    assert ['hidden' in about for _, about, *_ in frames] == [False, True, True]
    assert '<input type="range" min="0" max="2" value="0" data-lm-suppress-shortcuts="true" ' in page
    assert 'λ &lt;b&gt; <input' in page
    for value, (_, _, alt, data) in zip(VALUES, frames):
        assert f'level {value:g} &amp; more' in alt
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert('L'))
        assert abs(int(pixels[pixels.shape[0] * 2 // 3, pixels.shape[1] // 4]) - value) <= 1


@pytest.mark.skipif(not CHROMIUM, reason='no Chromium on this machine')
def test_the_slider_switches_images_without_a_kernel(page, tmp_path):
    """Two sliders on a page: one is moved, and the other one stays."""
    path = Path(tmp_path / 'page.html')
    path.write_text(f'<!doctype html><meta charset="utf-8"><body>{page}{page}</body>', encoding='utf-8')
    browser = Browser(tmp_path / 'chromium')
    try:
        assert browser.open(path.as_uri()) == []
        move = "bar.value = 2; bar.dispatchEvent(new Event('input', {bubbles: true}));"
        browser.value(f"{{ const bar = document.querySelector('input'); {move} }}")
        shown = "[...document.querySelectorAll('img')].map(image => image.checkVisibility())"
        assert browser.value(shown) == [False, False, True, True, False, False]
        assert browser.value("[...document.querySelectorAll('output')].map(o => o.value)") == ['200', '0']
    finally:
        browser.close()
