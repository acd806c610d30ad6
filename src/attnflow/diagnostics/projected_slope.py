"""The sharp slope of Proposition 2.3: only the part of the defect that is a gradient moves the measure apart.

f(x) = s(A x + b) - (A x + b) is the difference of two velocities that start at one Gaussian. A field moves a measure by
its projection on gradients, so lim W_2 / t is the norm of that projection, at most the norm of f. In Hermite degree k
it is an integral over the Ornstein-Uhlenbeck semigroup of the start, of one matrix formula; the sum over k is closed
for ReLU and a series with a known remainder for every other activation.

Source: this package, docs/theory/departure.md, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

from .._linalg import Operator, numerical_rank
from .._types import Vector
from ..measures.gaussian import Gaussian
from ..moments.activation import Activation, Normal
from ..moments.bivariate import quadrant
from ..moments.relu import ReLU
from .departure import as_vector, defect_matrix, defect_squares

STEP, EARLIEST, LATEST = 0.3, 1e-9, 40.0
"""The trapezoidal rule in log s: its step, and its ends in units of the smallest and the largest variance."""
NEGLIGIBLE = 1e-18
"""Share of the squared norm below which the last Hermite degrees are left out, and counted in the error."""
CLOSED_FROM, DIGITS = 0.5, 1e-15
"""Correlations from which on ReLU pairs take their closed form, and where their series may stop."""


class ProjectedSlope(NamedTuple):
    """The norm of the projection of the defect on gradients: within `error` of `value`.

    The error is that of the series that was cut, a bound; the quadrature adds about 1e-12, relative.
    """

    value: float
    error: float


class Pairs(NamedTuple):
    """E g(z_i) g(z_j) and E g'(z_i) g'(z_j), both (d, d), of a defect g = s - identity at correlated z."""

    values: Float[np.ndarray, "d d"]
    slopes: Float[np.ndarray, "d d"]


class Defect(Protocol):
    """What the slope asks of the defect g of an activation."""

    @property
    def rest(self) -> float:
        """What is left out of the sum of all E g(z_i)^2."""

    def pairs(self, correlation: Float[np.ndarray, "d d"]) -> Pairs:
        """The expectations of all pairs at these `correlation`s (d, d)."""


def projected_slope(
    activation: Activation, A: Operator, b: Vector | None, start: Gaussian, *, levels: int = 128
) -> ProjectedSlope:
    """The norm in L2(`start`) of the projection on gradients of s(A x + b) - (A x + b), s the `activation`.

    It is lim W_2(rho_t, nu_t) / t as t -> 0: at most `departure_constant`, and equal to it for d = 1 or a diagonal A
    with a diagonal covariance. `A` (d, d), a scalar or a `LowRank`; `b` (d,) or None; the covariance may be singular:
    across its range every field is a gradient. ReLU is exact; of other activations `levels` Hermite degrees are taken.
    Host only.

    Source: this package, docs/theory/departure.md, section 2.
    """
    law = _Law(start)
    matrix, offset = np.asarray(defect_matrix(A, start.dim)), as_vector(b, start.dim)
    moved = matrix @ law.axes
    normal = Normal(matrix @ law.mean + offset, np.sqrt(np.square(moved) @ law.variances))
    defect: Defect = _ReLUDefect(normal) if isinstance(activation, ReLU) else _SeriesDefect(activation, normal, levels)
    square = _across(law, moved, normal, defect)
    for weight, decay in law.times():
        tangent = (law.axes * decay) @ moved.T
        found = defect.pairs(_correlation(moved, law.variances * decay, normal))
        square += weight * float(
            np.sum(
                ((law.axes * (decay / law.variances)) @ law.axes.T) * found.values + tangent * tangent.T * found.slopes
            )
        )
    low, high = (np.sqrt(max(x, 0.0)) for x in (square, square + defect.rest))
    return ProjectedSlope(float(0.5 * (low + high)), float(0.5 * (high - low)))


class _Law:
    """The start in NumPy: its mean, the axes (d, r) of its range, and the variances (r,) along them."""

    def __init__(self, start: Gaussian) -> None:
        self.mean = np.asarray(start.mean, dtype=np.float64)
        axes, singular, _ = np.linalg.svd(np.asarray(start.factor, dtype=np.float64), full_matrices=False)
        rank = numerical_rank(np.square(singular)) if singular.size else 0
        self.axes, self.variances = axes[:, :rank], np.square(singular[:rank])

    def times(self) -> Iterator[tuple[float, np.ndarray]]:
        """Weights (with ds = s d(log s)) and decays e^{-s / variance} (r,) of the integral over s from 0 to infinity.

        The integrand has a finite limit at s = 0, which the first weight takes along to all earlier nodes.
        """
        if not self.variances.size:
            return
        first = np.log(EARLIEST * self.variances.min())
        count = int(np.ceil((np.log(LATEST * self.variances.max()) - first) / STEP))
        for k in range(count + 1):
            s = np.exp(first + k * STEP)
            yield float(s * STEP * (1.0 + (1 / np.expm1(STEP) if k == 0 else 0.0))), np.exp(-s / self.variances)


def _across(law: _Law, moved: np.ndarray, normal: Normal, defect: Defect) -> float:
    """The squared norm of the part across the range, all of which is a gradient."""
    if law.variances.size == law.mean.size:
        return 0.0
    across = np.eye(law.mean.size) - law.axes @ law.axes.T
    return float(np.sum(across * defect.pairs(_correlation(moved, law.variances, normal)).values))


def _correlation(moved: np.ndarray, variances: np.ndarray, normal: Normal) -> np.ndarray:
    scale = np.where(normal.deviation > 0, normal.deviation, 1.0)
    return np.asarray(np.clip((moved * variances) @ moved.T / np.multiply.outer(scale, scale), -1.0, 1.0))


class _SeriesDefect:
    """g = s - identity by its Hermite coefficients; what they leave out of E g^2 bounds the error."""

    def __init__(self, activation: Activation, normal: Normal, levels: int) -> None:
        self.coefficients = activation.coefficients(*normal, levels)
        self.coefficients[0] -= normal.mean
        self.coefficients[1] -= normal.deviation
        squares = np.asarray(defect_squares(activation, normal.mean, normal.var))
        by_level = np.sum(np.square(self.coefficients), axis=1)
        self.rest = float(np.sum(np.maximum(squares - np.sum(np.square(self.coefficients), axis=0), 0.0)))
        later = np.cumsum(by_level[::-1])[::-1]
        needed = int(np.count_nonzero(later > NEGLIGIBLE * later[0]))
        self.rest += float(later[needed]) if needed < later.size else 0.0
        self.coefficients = self.coefficients[: max(needed, 2)]
        self.inverse = _inverse(normal.deviation)

    def pairs(self, correlation: np.ndarray) -> Pairs:
        return _series(self.coefficients, correlation, self.inverse)


class _ReLUDefect:
    """g(z) = max(0, -z): ReLU at -z. Closed for strong correlations, a short series for the weak ones."""

    rest = 0.0

    def __init__(self, normal: Normal) -> None:
        self.normal = Normal(-normal.mean, normal.deviation)
        self.expected = np.asarray(ReLU().expectations(*self.normal._replace(deviation=self.normal.var)).mean)
        spread = self.normal.deviation > 0
        ratio = self.normal.mean / np.where(spread, self.normal.deviation, 1.0)
        self.height = np.clip(np.where(spread, ratio, 40.0 * np.sign(self.normal.mean)), -40.0, 40.0)
        levels = int(np.ceil(np.log(DIGITS) / np.log(CLOSED_FROM)))
        self.coefficients = ReLU().coefficients(*self.normal, levels)
        self.inverse = _inverse(self.normal.deviation)

    def pairs(self, correlation: np.ndarray) -> Pairs:
        strong = np.abs(correlation) > CLOSED_FROM
        values, slopes = _series(self.coefficients, np.where(strong, 0.0, correlation), self.inverse)
        i, j = np.nonzero(np.triu(strong))
        one, two = (Normal(self.normal.mean[k], self.normal.deviation[k]) for k in (i, j))
        both = ReLU().covariance(one, two, correlation[i, j]) + self.expected[i] * self.expected[j]
        seen = quadrant(self.height[i], self.height[j], correlation[i, j]).both
        for matrix, found in ((values, both), (slopes, seen)):
            matrix[i, j] = matrix[j, i] = found
        return Pairs(values, slopes)


def _series(coefficients: np.ndarray, correlation: np.ndarray, inverse: np.ndarray) -> Pairs:
    """sum_k a_k a_k^T rho^k and sum_k k a_k a_k^T rho^{k-1} over the deviations, as far as the correlations ask."""
    top = float(np.abs(correlation).max(initial=0.0))
    last = len(coefficients) - 1
    if 0 < top < 1:
        last = min(last, 1 + int(np.log(DIGITS) / np.log(top)))
    elif top == 0:
        last = min(last, 1)
    values, slopes = np.zeros_like(correlation), np.zeros_like(correlation)
    for k in range(last, -1, -1):
        slopes = slopes * correlation + values
        values = values * correlation + np.multiply.outer(coefficients[k], coefficients[k])
    return Pairs(values, slopes * inverse)


def _inverse(deviation: np.ndarray) -> np.ndarray:
    """1 / (s_i s_j), and 0 where a deviation vanishes."""
    one = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
    return np.multiply.outer(one, one)
