"""tanh, SiLU and the tanh form of GELU: a closed form that is close, and the rest by a converged quadrature.

Each is written as c + g, where c is an activation with closed expectations and g decays exponentially away from the
origin. E g is a trapezoidal rule on a local grid; everything else is closed.

Source: this package, docs/theory/closures.md, section 2.
"""

from __future__ import annotations

import abc
from itertools import islice
from typing import ClassVar

import numpy as np
from typing_extensions import override

from .._types import AnyArray
from .activation import Activation, Expectations, Normal, density, namespace
from .error_function import GELU, Erf
from .hermite import Grid, hermite, local_grid

ROWS, PAIRS = 64, 16
"""How many neurons, and how many pairs of them, are summed at once: the arrays stay in the cache."""
TURNS = 96
"""Above this many Hermite polynomials they turn faster than the grid of the expectations."""


class _Close(Activation):
    """s = c + g with c(x) = `near`(`scale` x), and g within `reach` of the origin, resolved by `step`."""

    near: ClassVar[Activation]
    scale: ClassVar[float] = 1.0
    reach: ClassVar[float]
    step: ClassVar[float] = 0.125
    pair_cost: ClassVar[float] = 2e5

    @abc.abstractmethod
    def _slope(self, x: AnyArray) -> AnyArray:
        """s' at each entry of `x`."""

    @abc.abstractmethod
    def _near_slope(self, x: AnyArray) -> AnyArray:
        """c' at each entry of `x`."""

    @override
    def expectations(self, mean: AnyArray, var: AnyArray) -> Expectations:
        xp, _ = namespace(mean, var)
        near = self.near.expectations(self.scale * mean, self.scale**2 * var)
        grid = local_grid(mean, var, reach=self.reach, step=self.step)
        mean_rest = xp.sum(grid.weights * self._rest(grid.z), axis=-1)
        slope_rest = xp.sum(grid.weights * (self._slope(grid.z) - self._near_slope(grid.z)), axis=-1)
        return Expectations(near.mean + mean_rest, self.scale * near.slope + slope_rest)

    @override
    def coefficients(self, mean: np.ndarray, deviation: np.ndarray, count: int) -> np.ndarray:
        found = self.near.coefficients(self.scale * mean, self.scale * deviation, count)
        found[0] = self.expectations(mean, np.square(deviation)).mean
        for start in range(0, mean.size, ROWS):
            rows = slice(start, start + ROWS)
            grid = self._grid(mean[rows], deviation[rows], fine=count > TURNS)
            # by parts: a_k = (deviation / sqrt(k)) a_{k-1} of the slope, which keeps the digits of small deviations
            turned = hermite(grid.standard, grid.weights * (self._slope(grid.z) - self._near_slope(grid.z)))
            for k, value in enumerate(islice(turned, count), start=1):
                found[k, rows] += deviation[rows] / np.sqrt(k) * np.sum(value, axis=-1)
        return found

    @override
    def variance(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        var = np.square(deviation)
        both = self._near_mean(mean, var) + self._mean(mean, var)
        grid = self._grid(mean, deviation, fine=False)
        rest = self._rest(grid.z)
        # Var s - Var c = E[g (c + s)] - E g (E c + E s)
        centred = 2 * self.near(self.scale * grid.z) + rest - both[..., None]
        known = self.near.variance(self.scale * mean, self.scale * deviation)
        return np.asarray(known + np.sum(grid.weights * rest * centred, axis=-1))

    @override
    def covariance(self, one: Normal, two: Normal, correlation: np.ndarray) -> np.ndarray:
        parts = [slice(i, i + PAIRS) for i in range(0, one.mean.size, PAIRS)]
        cut = [(Normal(*(x[p] for x in one)), Normal(*(x[p] for x in two)), correlation[p]) for p in parts]
        return np.concatenate([np.zeros(0), *(self._pairs(*part) for part in cut)])

    def _pairs(self, one: Normal, two: Normal, correlation: np.ndarray) -> np.ndarray:
        """Cov(c_1, c_2) + Cov(c_1, g_2) + Cov(g_1, s_2); the inner expectation is that of one given the other."""
        found = self.near.covariance(one.scaled(self.scale), two.scaled(self.scale), correlation)
        for first, second, inner in ((two, one, self._near_mean), (one, two, self._mean)):
            grid = self._grid(*first, fine=False)
            rest = second.deviation * np.sqrt((1 - correlation) * (1 + correlation))
            given = second.mean[:, None] + (correlation * second.deviation)[:, None] * grid.standard
            mean = inner(given, np.broadcast_to(np.square(rest)[:, None], given.shape))
            centred = mean - np.asarray(inner(second.mean, second.var))[:, None]
            found = found + np.sum(grid.weights * self._rest(grid.z) * centred, axis=-1)
        return np.asarray(found)

    def _near_mean(self, mean: AnyArray, var: AnyArray) -> AnyArray:
        return self.near.expectations(self.scale * mean, self.scale**2 * var).mean

    def _mean(self, mean: AnyArray, var: AnyArray) -> AnyArray:
        grid = local_grid(mean, var, reach=self.reach, step=self.step)
        return np.asarray(self._near_mean(mean, var) + np.sum(grid.weights * self._rest(grid.z), axis=-1))

    def _rest(self, x: AnyArray) -> AnyArray:
        return self(x) - self.near(self.scale * x)

    def _grid(self, mean: np.ndarray, deviation: np.ndarray, *, fine: bool) -> Grid:
        return local_grid(mean, np.square(deviation), reach=self.reach, step=self.step / (2 if fine else 1))


class Tanh(_Close):
    """The hyperbolic tangent, beside the error function of the same slope at the origin.

    Source: this package, docs/theory/closures.md, section 2.
    """

    near: ClassVar[Activation] = Erf()
    scale: ClassVar[float] = float(np.sqrt(np.pi) / 2)
    reach: ClassVar[float] = 2.0

    @override
    def __call__(self, x: AnyArray) -> AnyArray:
        xp, _ = namespace(x)
        found: AnyArray = xp.tanh(x)
        return found

    @override
    def _slope(self, x: AnyArray) -> AnyArray:
        xp, _ = namespace(x)
        small = xp.exp(-2.0 * xp.abs(x))
        found: AnyArray = 4.0 * small / xp.square(1.0 + small)
        return found

    @override
    def _near_slope(self, x: AnyArray) -> AnyArray:
        return _gauss(x, np.pi / 4)


class SiLU(_Close):
    """The sigmoid linear unit x / (1 + exp(-x)), beside GELU.

    Source: this package, docs/theory/closures.md, section 2.
    """

    near: ClassVar[Activation] = GELU()
    reach: ClassVar[float] = 4.0

    @override
    def __call__(self, x: AnyArray) -> AnyArray:
        _, special = namespace(x)
        found: AnyArray = x * special.expit(x)
        return found

    @override
    def _slope(self, x: AnyArray) -> AnyArray:
        _, special = namespace(x)
        share = special.expit(x)
        found: AnyArray = share + x * share * special.expit(-x)
        return found

    @override
    def _near_slope(self, x: AnyArray) -> AnyArray:
        return _gelu_slope(x)


class TanhGELU(_Close):
    """The tanh form of GELU, x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, beside GELU.

    Source: this package, docs/theory/closures.md, section 2.
    """

    near: ClassVar[Activation] = GELU()
    reach: ClassVar[float] = 1.0

    @override
    def __call__(self, x: AnyArray) -> AnyArray:
        _, special = namespace(x)
        found: AnyArray = x * special.expit(_cubic(x)[0])
        return found

    @override
    def _slope(self, x: AnyArray) -> AnyArray:
        _, special = namespace(x)
        inner, rate = _cubic(x)
        share = special.expit(inner)
        found: AnyArray = share + x * share * special.expit(-inner) * rate
        return found

    @override
    def _near_slope(self, x: AnyArray) -> AnyArray:
        return _gelu_slope(x)


def _cubic(x: AnyArray) -> tuple[AnyArray, AnyArray]:
    """sqrt(8 / pi) (x + 0.044715 x^3) and its slope; beyond 30 the gate is open or shut to the last digit."""
    xp, _ = namespace(x)
    y = xp.clip(x, -30.0, 30.0)
    square = 0.044715 * xp.square(y)
    return np.sqrt(8 / np.pi) * y * (1.0 + square), np.sqrt(8 / np.pi) * (1.0 + 3.0 * square)


def _gauss(x: AnyArray, rate: float) -> AnyArray:
    """exp(-rate x^2)."""
    xp, _ = namespace(x)
    found: AnyArray = xp.exp(-rate * xp.square(x))
    return found


def _gelu_slope(x: AnyArray) -> AnyArray:
    _, special = namespace(x)
    found: AnyArray = special.ndtr(x) + x * density(x)
    return found
