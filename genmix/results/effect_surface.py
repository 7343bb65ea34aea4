"""A smooth surface through noisy effects, with an interval everywhere: a quadratic by least squares.

Each point of the map is one cohort, so a point alone says little, and all together make a surface.  Standard
errors are HC3 (MacKinnon and White 1985, Journal of Econometrics 29:305), since cohorts of few lesions may
vary more than those of many.  A Gaussian process follows other shapes too and often lies nearer to the truth,
but takes its hyperparameters for known, so that its intervals cover too little: simulated in
tests/results/test_effect_surface.py.  The probabilities of the map are made of intervals, so the quadratic is
drawn; `leave_one_out` compares both on the data at hand.
"""

import warnings
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
from scipy.special import stdtr

from genmix import StudyError
from genmix.audit.intervals import t_quantile
from genmix.results.intervals import LEVEL, SMALLEST
from genmix.results.map_space import AXES, NAMES

CHANCES = ('above', 'within', 'below')  # P(effect > SMALLEST), P(|effect| < SMALLEST), P(effect < -SMALLEST)
UPPER = (1 + LEVEL) / 2


def terms(x: np.ndarray) -> np.ndarray:
    """Columns of the quadratic at places x float (n, d): 1, each coordinate, each product of two of them."""
    products = (x[:, i] * x[:, j] for i, j in combinations_with_replacement(range(x.shape[1]), 2))
    return np.column_stack([np.ones(len(x)), *x.T, *products])


@dataclass(frozen=True)
class Surface:
    """A quadratic through effects, as `fit` gives it.

    x              places float (n, 4) of the points in the unit cube from -1 to 1, in the order of AXES
    coefficients   of `terms`, float (p,)      covariance   of these, float (p, p)

    A row (p,) of the methods below is a linear combination of coefficients, such as `terms` at a place.
    """

    x: np.ndarray
    coefficients: np.ndarray
    covariance: np.ndarray

    def at(self, rows: np.ndarray) -> pd.DataFrame:
        """mean, low, high (95 % confidence interval) and the CHANCES of each of the rows (m, p).

        The effect is the mean over cohorts of such a place, not that of the next cohort.  The chances are
        those of Student's t around the estimate, as after a flat prior, and add up to 1.  In the corners of
        the cube, where few points say how large the error is, they are somewhat too sure.
        """
        freedom = len(self.x) - len(self.coefficients)
        mean = rows @ self.coefficients
        error = np.sqrt(np.einsum('ij,jk,ik->i', rows, self.covariance, rows))
        half = t_quantile(UPPER, freedom) * error
        with np.errstate(divide='ignore'):  # effects without any noise have no error
            above, below = (stdtr(freedom, (sign * mean - SMALLEST) / error) for sign in (1, -1))
        found = {'mean': mean, 'low': mean - half, 'high': mean + half}
        return pd.DataFrame(found | dict(zip(CHANCES, (above, 1 - above - below, below))))

    def averaged(self, **held: float) -> np.ndarray:
        """The row of the effect where some axes are held at a place from -1 to 1, averaged over the points in
        all others: partial dependence (Friedman 2001, Annals of Statistics 29:1189).
        """
        x = self.x.copy()
        for name, place in held.items():
            x[:, NAMES.index(name)] = place
        return terms(x).mean(0)

    def profile(self, name: str, n=41) -> pd.DataFrame:
        """`at` n places along one axis, averaged over the others, and the values of the axis as a column."""
        places = np.linspace(-1, 1, n)
        found = self.at(np.stack([self.averaged(**{name: place}) for place in places]))
        return found.assign(**{name: AXES[NAMES.index(name)].from_unit(places)})

    def panel(self, across: str, up: str, n=31) -> dict[str, np.ndarray]:
        """`at` n x n places of two axes, averaged over the others: {column: float (n, n)}, a row for each
        place on the axis `up`.
        """
        places = np.linspace(-1, 1, n)
        rows = [self.averaged(**{up: v, across: u}) for v in places for u in places]
        return {name: column.to_numpy().reshape(n, n) for name, column in self.at(np.stack(rows)).items()}

    def change(self, name: str) -> pd.Series:
        """`at` of the effect at the upper end of an axis minus that at its lower end, averaged over the
        others.
        """
        return self.at((self.averaged(**{name: 1}) - self.averaged(**{name: -1}))[None]).iloc[0]


def fit(x: np.ndarray, y: np.ndarray) -> Surface:
    """The Surface of effects y float (n,) at places x float (n, 4) of the unit cube.

    StudyError where n is below the number of coefficients and two: their errors could not be estimated.
    """
    rows = terms(x)
    if len(y) < (least := rows.shape[1] + 2):
        raise StudyError(
            f'The map has {len(y)} points, too few for a surface of {rows.shape[1]} coefficients: measure it '
            f'with points={least} or more.'
        )
    residual, leverage, inverse = _least_squares(rows, y)
    weights = (residual / (1 - leverage)) ** 2
    covariance = inverse @ (rows.T * weights) @ rows @ inverse
    return Surface(x, inverse @ rows.T @ y, covariance)


def leave_one_out(x: np.ndarray, y: np.ndarray, process=True) -> pd.DataFrame:
    """How well each point (x, y as in `fit`) is predicted by all others: a row for each model.

    error       root mean square of what is left out, in the unit of y
    explained   share of its variance that is explained; below 0 where the mean of the others predicts better
    inside      share of points in their 95 % prediction interval

    Models: the mean, a plane, the quadratic and, with `process`, a Gaussian process (squared exponential
    kernel, a length for each axis, at the hyperparameters of all points: Rasmussen and Williams 2006,
    equation 5.12).
    """
    plane = np.column_stack([np.ones(len(x)), x])
    linear = {'mean': plane[:, :1], 'plane': plane, 'quadratic': terms(x)}
    found = {name: _left_out(rows, y) for name, rows in linear.items()}
    if process:
        found['Gaussian process'] = _left_out_by_process(x, y)
    table = {
        name: {'error': np.mean(residual**2) ** 0.5, 'inside': inside.mean()}
        for name, (residual, inside) in found.items()
    }
    table = pd.DataFrame(table).T
    table.insert(1, 'explained', 1 - (table.error / table.error['mean']) ** 2)
    return table


def _least_squares(rows, y):
    """(residuals (n,), leverages (n,), inverse (p, p) of the normal matrix) of least squares."""
    inverse = np.linalg.inv(rows.T @ rows)
    leverage = np.einsum('ij,jk,ik->i', rows, inverse, rows)
    return y - rows @ (inverse @ (rows.T @ y)), leverage, inverse


def _left_out(rows, y):
    """(residual of each point by the fit of all others, whether it is in its prediction interval)."""
    residual, leverage, _ = _least_squares(rows, y)
    freedom = len(y) - rows.shape[1]
    scaled = residual**2 / (1 - leverage)
    spread = (np.sum(residual**2) - scaled) / (freedom - 1)  # variance without the point
    return residual / (1 - leverage), scaled < t_quantile(UPPER, freedom - 1) ** 2 * spread


def _left_out_by_process(x, y):
    """The same of a Gaussian process."""
    from sklearn.exceptions import ConvergenceWarning  # slow to import
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    scale = y.std() or 1.0
    kernel = ConstantKernel() * RBF(np.ones(x.shape[1]), (0.3, 100)) + WhiteKernel()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)  # a length at its bound: an axis without effect
        process = GaussianProcessRegressor(kernel).fit(x, (y - y.mean()) / scale)
    inverse = np.linalg.inv(process.kernel_(x))
    residual = inverse @ process.y_train_ / np.diag(inverse)
    return scale * residual, np.abs(residual) < t_quantile(UPPER, np.inf) / np.diag(inverse) ** 0.5
