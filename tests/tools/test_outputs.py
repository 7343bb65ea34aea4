import base64
import copy
import io

import numpy as np
import pytest
from PIL import Image

from genmix import StudyError
from tools.outputs import packed, presentable, read_executed


def noisy(size=256, colour=False, seed=0):
    """A dark disc in bright noise, as PNG bytes with four channels, as matplotlib writes them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2
    gray = np.where(np.hypot(x, y) < size / 4, 40, 170) + rng.normal(0, 12, (size, size))
    image = np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 4, 2)
    image[..., 3] = 255
    if colour:
        image[:20, :20, :3] = 192, 42, 42
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, 'png')
    return packed.getvalue()


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert('RGB')).astype(int)


def shown(data, kind='image/png'):
    return {
        'output_type': 'display_data',
        'data': {kind: base64.b64encode(data).decode(), 'text/plain': 'a disc'},
        'metadata': {kind: {'alt': 'a disc'}},
    }


def stream(text, name='stdout'):
    return {'output_type': 'stream', 'name': name, 'text': text.splitlines(keepends=True)}


def result(**data):
    return {
        'output_type': 'execute_result',
        'execution_count': 7,
        'metadata': {},
        'data': {k.replace('_', '/'): v for k, v in data.items()},
    }


def cell(name, source, outputs=(), **metadata):
    return {
        'id': name,
        'cell_type': 'code',
        'metadata': metadata,
        'source': [source],
        'execution_count': 7,
        'outputs': list(outputs),
    }


def executed(*outputs):
    """A notebook as papermill leaves it: tagged parameters, injected ones, one cell with `outputs`."""
    noise = {'papermill': {'duration': 1.5, 'start_time': '2026-01-01T00:00:00'}, 'tags': []}
    cells = [
        {'id': 'title', 'cell_type': 'markdown', 'metadata': dict(noise), 'source': ['# Title']},
        cell('p', "run = ''", tags=['parameters'], papermill={}),
        cell('q', "run = 'cpu'", tags=['injected-parameters']),
        cell('a', 'show()', outputs, **noise),
    ]
    return {
        'cells': cells,
        'nbformat': 4,
        'nbformat_minor': 5,
        'metadata': {
            'genmix': {'makes': [], 'needs': []},
            'papermill': {'duration': 3},
            'language_info': {'name': 'python', 'version': '3.11.7'},
        },
    }


def outputs(*made):
    return presentable(executed(*made))['cells'][-1]['outputs']


def test_what_belongs_to_one_machine_and_hour_goes():
    run = executed(
        stream('▸ made in 3 s\n', 'stderr'),
        stream('kept\n'),
        stream('/x/y.py:45: UserWarning\n▸ 3 of 9\n', 'stderr'),
        stream('too\n'),
    )
    before, clean = copy.deepcopy(run), presentable(run)
    assert run == before
    assert [c['id'] for c in clean['cells']] == ['title', 'p', 'a'] and [
        c.get('execution_count') for c in clean['cells']
    ] == [None, 1, 2]
    assert (
        clean['cells'][1]['metadata'] == {'tags': ['parameters']}
        and clean['cells'][2]['metadata'] == {}
        and clean['cells'][1]['source'] == ["run = ''"]
    )
    assert clean['cells'][-1]['outputs'] == [stream('kept\ntoo\n')]
    assert clean['metadata'] == {'genmix': {'makes': [], 'needs': []}, 'language_info': {'name': 'python'}}


def test_bars_go():
    assert outputs(stream(' 10%|#   | 1/10\r100%|####| 10/10\ndone\n'), stream('1 of 2\r2 of 2\n')) == [
        stream('done\n2 of 2\n')
    ]
    assert (
        outputs(
            result(**{'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}, 'text_plain': '0it'})
        )
        == []
    )
    assert outputs(result(text_html='<progress value=3></progress>', text_plain='x')) == []


def test_values_keep_what_they_say():
    table = (
        '<style>#T_b4811_row0_col0 {}</style><table id="T_b4811"><td id="T_b4811_row0_col0">5</td></table>\n'
    )
    styled, markdown, plain = outputs(
        result(text_html=table, text_plain='<pandas.io.formats.style.Styler at 0x7ff21a89d1d0>'),
        result(text_markdown='**yes**', text_plain='<IPython.core.display.Markdown object>'),
        result(text_plain=['a\n', 'b']),
    )
    assert (
        list(styled['data']) == ['text/html']
        and 'T_b4811' not in styled['data']['text/html'][0]
        and styled['data']['text/html'][0].count('T_a-0') == 3
    )
    assert (
        markdown['data'] == {'text/markdown': ['**yes**']}
        and plain['data'] == {'text/plain': ['a\n', 'b']}
        and plain['execution_count'] == 2
    )
    assert outputs(result(text_plain='<thing.Thing at 0x7ff21a89d1d0>'))[0]['data'] == {
        'text/plain': ['thing.Thing']
    }


def test_pictures_keep_their_alt_text():
    snapshots = shown(noisy())
    snapshots['data']['text/plain'] = '<IPython.core.display.Image object>'
    for picture in outputs(shown(noisy()), snapshots):
        assert picture['metadata'] == {'image/png': {'alt': 'a disc'}} and picture['data']['text/plain'] == [
            'a disc'
        ]


@pytest.mark.parametrize('colour', [False, True])
def test_an_image_is_packed_without_loss(colour):
    data = noisy(colour=colour)
    small = outputs(shown(data))[0]['data']['image/png']
    assert len(base64.b64decode(small)) < 0.7 * len(data) and packed(small) == small
    assert (pixels(base64.b64decode(small)) == pixels(data)).all()


def test_what_cannot_be_packed_without_loss_stays():
    file = io.BytesIO()
    Image.new('RGBA', (40, 40), (90, 90, 90, 128)).save(file, 'png')
    transparent = base64.b64encode(file.getvalue()).decode()
    assert packed(transparent) == transparent
    animation = shown(b'GIF89a', 'image/gif')
    assert outputs(animation)[0]['data'] == animation['data'] | {'text/plain': ['a disc']}


def test_what_is_presentable_stays_as_it_is():
    clean = presentable(executed(stream('5 patients\n'), shown(noisy())))
    assert presentable(clean) == clean


@pytest.mark.parametrize('content', [b'', b'{"cells": [', b'\xff', b'{}', b'[]'])
def test_a_damaged_page_is_one_sentence(tmp_path, content):
    (tmp_path / '01_a.ipynb').write_bytes(content)
    with pytest.raises(StudyError, match='01_a.ipynb is damaged: call make all for this run'):
        read_executed(tmp_path / '01_a.ipynb')
