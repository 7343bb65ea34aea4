import base64
import io

import numpy as np
import pytest
from PIL import Image

from tools import pictures


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


@pytest.mark.parametrize('colour', [False, True])
def test_packed_better_is_the_same_picture(colour):
    data = noisy(colour=colour)
    small = pictures.still(data)
    assert len(small) < 0.7 * len(data) and (pixels(small) == pixels(data)).all()


@pytest.mark.parametrize('levels', pictures.LEVELS)
def test_coarser_keeps_what_is_inside_a_dark_lesion(levels):
    data = noisy(colour=True)
    before, after = pixels(data), pixels(pictures.still(data, levels))
    assert abs(before - after).max() <= 255 / (levels - 1) / 2 + 1
    inside = slice(110, 146), slice(110, 146)
    assert after[inside].std() > 0.8 * before[inside].std()
    assert (after[:20, :20, 0] > after[:20, :20, 1] + 100).all(), 'red stays red'


def test_what_was_transparent_is_white():
    packed = io.BytesIO()
    Image.new('RGBA', (40, 40), (0, 0, 0, 0)).save(packed, 'png')
    assert (pixels(pictures.still(packed.getvalue())) == 255).all()


def test_the_largest_gives_way_first_and_only_as_far_as_needed():
    large, small = shown(noisy(400)), shown(noisy(100))
    pictures.pack([large, small], 10**9)
    faithful = [len(o['data']['image/png']) for o in (large, small)]
    pictures.pack(both := [shown(noisy(400)), shown(noisy(100))], sum(faithful) - 1)
    assert (
        len(both[0]['data']['image/png']) < faithful[0] and len(both[1]['data']['image/png']) == faithful[1]
    )
    pictures.pack(least := [shown(noisy(400)), shown(noisy(100))], 0)
    assert sum(len(o['data']['image/png']) for o in least) < 0.5 * sum(faithful)
    assert (
        least[0]['metadata'] == {'image/png': {'alt': 'a disc'}}
        and least[0]['data']['text/plain'] == 'a disc'
    )


def test_a_film_keeps_its_moments_and_pauses():
    frames = [Image.open(io.BytesIO(noisy(seed=k))).convert('L') for k in range(3)]
    packed = io.BytesIO()
    frames[0].save(packed, 'gif', save_all=True, append_images=frames[1:], duration=[420, 420, 1260], loop=0)
    pictures.pack(kept := [shown(packed.getvalue(), 'image/gif')], 10**9)
    assert base64.b64decode(kept[0]['data']['image/gif']) == packed.getvalue(), 'small enough: untouched'
    pictures.pack(made := [shown(packed.getvalue(), 'image/gif')], 60_000)
    film = Image.open(io.BytesIO(base64.b64decode(made[0]['data']['image/gif'])))
    pauses = [film.seek(k) or film.info['duration'] for k in range(film.n_frames)]
    assert pauses == [420, 420, 1260] and film.info['loop'] == 0 and film.size == (128, 128)
    assert len(made[0]['data']['image/gif']) < 60_000
