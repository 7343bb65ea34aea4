"""The figures of the map show its points, its surfaces and their chances."""

import numpy as np
from figure_examples import DRAW, MAP, SURFACES

from genmix.results.effect_map import EFFECTS, effects_of
from genmix.results.map_space import NAMES


def test_points_are_cohorts_and_lines_are_surfaces():
    axes = np.reshape(DRAW['effect_profiles']().axes, (len(EFFECTS), len(NAMES)))
    effects = effects_of(MAP)
    for row, effect in zip(axes, EFFECTS):
        for ax, name in zip(row, NAMES):
            points, line = ax.lines[:2]
            assert np.allclose(points.get_xdata(), effects[name])
            assert np.allclose(points.get_ydata(), 100 * effects[effect])
            profile = SURFACES[effect].profile(name)
            assert np.allclose(line.get_ydata(), 100 * profile['mean'])
            band = ax.collections[0].get_paths()[0].vertices[:, 1]
            assert np.isclose(band.min(), 100 * profile.low.min())
            assert np.isclose(band.max(), 100 * profile.high.max())


def test_panels_have_the_effect_and_three_chances_by_each_defect():
    fig = DRAW['effect_panels']()
    panels = np.reshape([ax for ax in fig.axes if ax.get_label() != '<colorbar>'], (4, 3))
    assert [ax.get_xlabel() for ax in panels[-1]] == [
        'distinct lesions per class', 'share of wrong labels', 'blur, SD [px]'
    ]  # fmt: skip
    bars = [ax.get_ylabel() for ax in fig.axes if ax.get_label() == '<colorbar>']
    chances = ['P(effect > 1)', 'P(|effect| < 1)', 'P(effect < −1)']
    assert bars == ['mixing at dose 1/2 [points]', *chances]
    found = [SURFACES['mixing at dose 1/2'].panel(name, up='lesions')['below'] for name in NAMES[1:]]
    assert f'P(effect < −1) from {np.min(found):.2f} to {np.max(found):.2f}.' in fig.alt
