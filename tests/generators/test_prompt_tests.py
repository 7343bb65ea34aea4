"""Shapes by their isoperimetric quotient, on drawn pictures; captions, on denoisers that read them or not."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from genmix import StudyError
from genmix.generators.latent.frozen_pipeline import open_pipeline
from genmix.generators.pretrained import networks, prompt_tests
from genmix.generators.pretrained.prompt_tests import is_dark_disc, is_ring, perimeter, roundness

Y, X = np.mgrid[:64, :64].astype(float)
CENTRES = [(31.5, 31.5), (32.2, 30.9), (30.1, 33.7)]


def radius(cy=31.5, cx=31.5):
    return np.hypot(Y - cy, X - cx)


def square(half, degrees, cy=31.5, cx=31.5):
    """Distance from the centre relative to the side: below 1 inside a square turned by an angle."""
    a = np.radians(degrees)
    u, v = (X - cx) * np.cos(a) + (Y - cy) * np.sin(a), (Y - cy) * np.cos(a) - (X - cx) * np.sin(a)
    return np.maximum(abs(u), abs(v)) / half


def picture(mask, inside=60, outside=170, soft=0.0, noise=8.0):
    """A mask drawn in gray levels, its edge blurred, under noise: uint8 (64, 64)."""
    x = (
        gaussian_filter(np.where(mask, float(inside), outside), soft)
        if soft
        else np.where(mask, inside, outside)
    )
    return (x + np.random.default_rng(0).normal(0, noise, (64, 64))).clip(0, 255).astype(np.uint8)


def blob(amplitude):
    """A disc whose radius varies by this share, with three, five and nine lobes."""
    angle = np.arctan2(Y - 31.5, X - 31.5)
    lobes = np.cos(3 * angle) + np.cos(5 * angle + 1) + np.cos(9 * angle + 2)
    return radius() < 18 * (1 + amplitude * lobes / 2)


@pytest.mark.parametrize('centre', CENTRES)
def test_lengths_of_discs_and_squares(centre):
    for r in (8, 12, 18, 26):
        assert perimeter(radius(*centre) < r) == pytest.approx(2 * np.pi * r, rel=0.04)
        assert 0.92 < roundness(radius(*centre) < r) < 1.02
    for half in (8, 12, 18):
        for degrees in (0, 20, 45):
            region = square(half, degrees, *centre) < 1
            assert perimeter(region) == pytest.approx(8 * half, rel=0.06)
            assert roundness(region) == pytest.approx(np.pi / 4, abs=0.05)
            assert roundness(region) < prompt_tests.ROUND
    assert roundness(np.zeros((64, 64), bool)) == 0


@pytest.mark.parametrize('centre', CENTRES)
@pytest.mark.parametrize('style', [{}, {'soft': 2.0}, {'inside': 20, 'outside': 90, 'noise': 10.0}])
def test_discs_are_discs_and_rings_are_rings(centre, style):
    for r in (8, 14, 24):
        disc = picture(radius(*centre) < r, **style)
        assert is_dark_disc(disc) and not is_ring(disc)
        assert not is_dark_disc(255 - disc), 'a bright disc'
    for outer, inner in ((14, 8), (20, 16), (24, 8)):
        ring = picture((radius(*centre) < outer) & (radius(*centre) > inner), **style)
        assert is_ring(ring) and is_ring(255 - ring) and not is_dark_disc(ring)


def test_what_is_neither():
    noise = np.random.default_rng(1).normal(128, 20, (64, 64)).clip(0, 255).astype(np.uint8)
    neither = {
        'a square': picture(square(16, 0) < 1),
        'a turned square': picture(square(16, 30) < 1),
        'a square frame': picture((square(20, 0) < 1) & (square(12, 0) > 1)),
        'a blob': picture(blob(0.2)),
        'a blob with a hole': picture(blob(0.2) & (radius() > 6)),
        'an open ring': picture((radius() < 20) & (radius() > 14) & ~((X > 32) & (abs(Y - 32) < 5))),
        'a crescent': picture((radius() < 20) & (radius(31.5, 40) > 16)),
        'a bar': picture(abs(Y - 32) < 6),
        'two holes': picture((radius() < 22) & (radius(31.5, 22) > 5) & (radius(31.5, 42) > 5)),
        'a point': picture(radius() < 3),
        'half of the picture': picture(X < 32),
        'a gradient': (X * 4).astype(np.uint8),
        'noise': noise,
        'plain': np.full((64, 64), 90, np.uint8),
    }
    found = {name: (is_dark_disc(x), is_ring(x)) for name, x in neither.items()}
    assert {name for name, hits in found.items() if any(hits)} == set()


def test_the_threshold_is_otsus():
    """Against the definition: the threshold with the least variance within both groups."""
    image = np.random.default_rng(0).normal(picture(radius() < 20), 20).clip(0, 255).astype(np.uint8)
    x = image.ravel().astype(float)

    def within(t):
        return sum(part.var() * len(part) for part in (x[x <= t], x[x > t]) if len(part))

    assert prompt_tests.otsu(image) == min(range(256), key=within)


def test_shares_are_counted_over_samples(monkeypatch):
    drawn = {
        'a large sharp dark disc': [picture(radius() < 20)] * 3 + [picture(square(16, 0) < 1)],
        'a ring': [picture((radius() < 20) & (radius() > 12))] + [picture(radius() < 20)] * 3,
    }
    monkeypatch.setattr(networks, 'sample_images', lambda pipeline, prompts, *_: np.stack(drawn[prompts[0]]))
    assert prompt_tests.shape_shares(None, n=4) == {'a large sharp dark disc': 0.75, 'a ring': 0.25}


class Oracle:
    """A denoiser whose condition is the clean latent itself; with `deaf` it takes zeros instead."""

    def __init__(self, deaf):
        self.alphas, self.deaf = networks.make_noise_schedule().alphas_cumprod, deaf

    def __call__(self, noisy, t, condition):
        clean = torch.zeros_like(noisy) if self.deaf else condition.reshape(noisy.shape)
        a = self.alphas[t][:, None, None, None]
        noise = (noisy - a.sqrt() * clean) / (1 - a).sqrt()
        return SimpleNamespace(sample=a.sqrt() * noise - (1 - a).sqrt() * clean)


def test_captions_against_denoisers_that_read_or_do_not(monkeypatch):
    monkeypatch.setattr('genmix.run.device.bf16_pays', lambda: False)
    latents = torch.randn(10, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(networks, 'encode', lambda *_: latents)
    monkeypatch.setattr(prompt_tests, 'encode_captions', lambda *_: latents.flatten(2))
    images, words = np.zeros((10, 8, 8), np.uint8), list('abcdefghij')

    def found(deaf):
        return prompt_tests.caption_losses(SimpleNamespace(unet=Oracle(deaf), vae=None), images, words)

    reads, deaf = found(False), found(True)
    assert reads['own'] < 1e-4 and reads['shuffled'] > 1 and reads['own_lower'] == 1
    assert deaf['own'] == deaf['shuffled'] > 0.1 and deaf['own_lower'] == 0 and deaf['pictures'] == 10


def test_on_a_pipeline_of_diffusers(prompt_base):
    pipeline = open_pipeline(prompt_base, None)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16), np.uint8)
    captions = ['a dark disc', 'a ring', 'a photo of stones', 'a bright square', 'dots']
    a, b = (prompt_tests.caption_losses(pipeline, images, captions, passes=2, seed=1) for _ in range(2))
    assert a == b and 0 < a['own'] < 10 and a['own'] != a['shuffled'] and 0 <= a['own_lower'] <= 1
    shares = prompt_tests.shape_shares(pipeline, n=2, steps=2)
    assert set(shares) == set(prompt_tests.SHAPES) and all(0 <= v <= 1 for v in shares.values())
    for wrong in (captions[:4], []):
        with pytest.raises(StudyError, match=f'5 pictures and {len(wrong)} captions'):
            prompt_tests.caption_losses(pipeline, images, wrong)
    with pytest.raises(StudyError, match='two or more'):
        prompt_tests.caption_losses(pipeline, images[:1], captions[:1])
