"""GELU and the error function: the Gaussian integrals in them close in the same functions.

Both are P(xi <= a z) for a normal number xi of its own, times z for GELU; so every expectation is one of normal
numbers only.

Source: this package, docs/theory/closures.md, sections 1 and 4.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
from scipy.special import ndtr
from typing_extensions import override

from .._types import AnyArray
from .activation import Activation, Expectations, Normal, density, namespace
from .bivariate import by_reflection, quadrant
from .hermite import hermite


class Erf(Activation):
    """The error function 2 Phi(sqrt(2) x) - 1.

    Source: this package, docs/theory/closures.md, section 1.
    """

    @override
    def __call__(self, x: AnyArray) -> AnyArray:
        _, special = namespace(x)
        found: AnyArray = special.erf(x)
        return found

    @override
    def expectations(self, mean: AnyArray, var: AnyArray) -> Expectations:
        xp, special = namespace(mean, var)
        q = xp.sqrt(1.0 + 2.0 * var)
        return Expectations(special.erf(mean / q), 2.0 / np.sqrt(np.pi) * xp.exp(-xp.square(mean / q)) / q)

    @override
    def coefficients(self, mean: np.ndarray, deviation: np.ndarray, count: int) -> np.ndarray:
        q = np.sqrt(1 + 2 * np.square(deviation))
        r, ratio = np.sqrt(2) * mean / q, np.sqrt(2) * deviation / q
        found = np.zeros((count + 1, mean.size))
        found[0] = self.expectations(mean, np.square(deviation)).mean
        for k, value in enumerate(islice(hermite(r, density(r)), count), start=1):
            found[k] = -2 * (-ratio) ** k * value / np.sqrt(k)
        return found

    @override
    def variance(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        normal = Normal(mean, deviation)
        return self.covariance(normal, normal, np.ones_like(mean))

    @override
    def covariance(self, one: Normal, two: Normal, correlation: np.ndarray) -> np.ndarray:
        scaled = [x.scaled(np.sqrt(2)) for x in (one, two)]
        (h, k), c = _heights(scaled[0], scaled[1], correlation)
        return np.asarray(4 * (quadrant(h, k, c).both - ndtr(h) * ndtr(k)))


class GELU(Activation):
    """The Gaussian error linear unit x Phi(x), in its exact form.

    Source: this package, docs/theory/closures.md, section 1.
    """

    @override
    def __call__(self, x: AnyArray) -> AnyArray:
        _, special = namespace(x)
        found: AnyArray = x * special.ndtr(x)
        return found

    @override
    def expectations(self, mean: AnyArray, var: AnyArray) -> Expectations:
        xp, special = namespace(mean, var)
        q = xp.sqrt(1.0 + var)
        r = mean / q
        share, peak = special.ndtr(r), density(r)
        return Expectations(mean * share + var / q * peak, share + r * peak / xp.square(q))

    @override
    def coefficients(self, mean: np.ndarray, deviation: np.ndarray, count: int) -> np.ndarray:
        q = np.sqrt(1 + np.square(deviation))
        r, ratio = mean / q, deviation / q
        found = np.zeros((count + 1, mean.size))
        found[0], slope = self.expectations(mean, np.square(deviation))
        found[1] = deviation * slope
        values = list(islice(hermite(r, density(r)), count + 1))
        for k in range(2, count + 1):
            bracket = values[k] / np.square(q) - values[k - 2] / np.sqrt(k * (k - 1))
            found[k] = -((-ratio) ** k) * q * bracket
        return found

    @override
    def variance(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        normal = Normal(mean, deviation)
        return self.covariance(normal, normal, np.ones_like(mean))

    @override
    def covariance(self, one: Normal, two: Normal, correlation: np.ndarray) -> np.ndarray:
        return by_reflection(self._below, lambda x: np.asarray(self.expectations(x.mean, x.var).slope),
                             one, two, correlation)  # fmt: skip

    def _below(self, one: Normal, two: Normal, correlation: np.ndarray) -> np.ndarray:
        """E[z_1 z_2 Phi Phi] by Stein's identity twice: derivatives of a quadrant's probability by its corner."""
        (m1, s1), (m2, s2) = one, two
        v1, v2, c = s1**2, s2**2, correlation * s1 * s2
        q1, q2 = np.sqrt(1 + v1), np.sqrt(1 + v2)
        (h, k), rho = _heights(one, two, correlation)
        f = quadrant(h, k, rho)
        by_1, by_2 = f.by_first / q1, f.by_second / q2
        mixed = f.density / ((1 - rho) * (1 + rho) * q1 * q2)
        by_11, by_22 = (-(h * by_1 + rho * q2 * mixed) / q1, -(k * by_2 + rho * q1 * mixed) / q2)
        product = (m1 * m2 + c) * f.both + (m1 * c + v1 * m2) * by_1 + (m1 * v2 + c * m2) * by_2
        product += (v1 * v2 + c**2) * mixed + c * (v1 * by_11 + v2 * by_22)
        means = [np.asarray(self.expectations(x.mean, x.var).mean) for x in (one, two)]
        return np.asarray(product - means[0] * means[1])


def _heights(one: Normal, two: Normal, correlation: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Corner and correlation of the quadrant in which both xi_i <= z_i."""
    q1, q2 = np.sqrt(1 + one.var), np.sqrt(1 + two.var)
    return (one.mean / q1, two.mean / q2), correlation * (one.deviation / q1) * (two.deviation / q2)
