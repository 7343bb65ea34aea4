import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from conftest import blobs
from genmix import plots


def test_montage_by_hand():
    m = plots.montage(np.stack([np.full((2, 2), v, np.uint8) for v in (1, 2, 3)]), columns=2, gap=1)
    assert m.shape == (5, 5) and m[0, 0] == 1 and m[0, 3] == 2 and m[3, 0] == 3 and m[2, 2] == 255 == m[4, 4]


def test_pick_takes_from_each_class_without_repeats():
    c = blobs((20, 2, 5))
    shown = plots.pick(c, 4)
    assert {k: len(v) for k, v in shown.items()} == {'small': 4, 'middle': 2, 'large': 4}
    assert len({x.tobytes() for x in shown['small']}) == 4


def test_mixed_colours_are_between():
    a, b, ab = plots.mixed_colours(np.array([[1, 0, 0], [0, 1, 0], [.5, .5, 0]]))
    assert np.allclose(ab, (a + b) / 2)


C = blobs((6, 4, 5))
LOG = pd.DataFrame({'step': [1, 2], 'critic_loss': [1., 2], 'generator_loss': [1., 2], 'spread_0': [.1, .2]})
CONTRASTS = pd.DataFrame([['a', 'b', 'balanced_accuracy', .1, .05, .15, .01, 5, 'higher', 'holdout']], columns='a b metric mean low high p n verdict test_set'.split())
METRICS = pd.DataFrame([[a, '', '', s, 0, 'holdout', 'all', 'balanced_accuracy', .5 + s / 10] for a in 'xy' for s in (0, 1)],
                       columns='arm generator mix seed fold test_set label metric value'.split())


@pytest.mark.parametrize('draw', [
    lambda: plots.sheet(plots.pick(C, 3), columns=3), lambda: plots.class_counts({'all': C.counts}), lambda: plots.histograms(C),
    lambda: plots.histograms(C, pd.Series(np.arange(15) + 5.)), lambda: plots.holdout_precision(26, 390, 'x'),
    lambda: plots.training_curves(LOG, C.class_names), lambda: plots.filmstrip(np.zeros((2, 3, 4, 8, 8), np.uint8), C.class_names, [1, 2]),
    lambda: plots.beta_densities([.4, 1]), lambda: plots.mixing_strip(C.images[0], C.images[1], [1, .5, 0]),
    lambda: plots.simplex(np.eye(3), C.class_names), lambda: plots.simplex(np.eye(2), 'ab'),
    lambda: plots.figure1(C.images[:3], C.images[3:6], C.images[6:9], .6, C.class_names),
    lambda: plots.examples({'real': plots.pick(C, 2), 'none': {n: C.images[:0] for n in C.class_names}}, C.class_names),
    lambda: plots.regime_curves(pd.DataFrame({'arm': 'a', 'steps': [1, 1, 2, 2], 'seed': [0, 1] * 2, 'balanced_accuracy': [.5, .6, .7, .8]}), 2),
    lambda: plots.loss_curves({'a': np.ones(50)}), lambda: plots.arm_points(METRICS, ['y', 'x']), lambda: plots.forest(CONTRASTS),
    lambda: plots.confusion({'a': np.eye(3), 'b': np.ones((3, 3))}, C.class_names)])
def test_every_figure_draws_something(draw, tmp_path):
    fig = draw()
    assert isinstance(fig, Figure)
    fig.savefig(tmp_path / 'f.png', dpi=50)
    from PIL import Image
    assert len(np.unique(np.asarray(Image.open(tmp_path / 'f.png').convert('L')))) > 5
