"""ReLU: everything in closed form, down to variance zero, where it has a kink.

Source: this package, docs/theory/closures.md, sections 1 and 4.
"""

from __future__ import annotations

from itertools import islice
from typing import ClassVar

import numpy as np
from typing_extensions import override

from .._types import AnyArray
from .activation import Activation, Expectations, Normal, density, namespace
from .bivariate import by_reflection, quadrant
from .hermite import hermite

SHARP = 1600.0
"""Beyond 40 standard deviations from the kink the normal density is zero in double precision."""


class ReLU(Activation):
    """The rectifier max(0, x).

    Source: :cite:alcalde2026, section 2.2; this package, docs/theory/closures.md, section 1.
    """

    analytic: ClassVar[bool] = False

    @override
    def __call__(self, x: AnyArray) -> AnyArray:
        xp, _ = namespace(x)
        found: AnyArray = xp.maximum(x, 0.0)
        return found

    @override
    def expectations(self, mean: AnyArray, var: AnyArray) -> Expectations:
        xp, special = namespace(mean, var)
        sharp = xp.square(mean) >= SHARP * var
        deviation = xp.sqrt(xp.where(sharp, 1.0, var))
        h = xp.where(sharp, 0.0, mean) / deviation
        share = special.ndtr(h)
        step = 0.5 * (1.0 + xp.sign(mean))
        return Expectations(
            xp.where(sharp, xp.maximum(mean, 0.0), mean * share + deviation * density(h)),
            xp.where(sharp, step, share),
        )

    @override
    def coefficients(self, mean: np.ndarray, deviation: np.ndarray, count: int) -> np.ndarray:
        found = np.zeros((count + 1, mean.size))
        found[0], slope = self.expectations(mean, np.square(deviation))
        found[1] = deviation * slope
        h, sharp = _height(mean, deviation)
        start = np.where(sharp, 0.0, density(h))
        for k, value in enumerate(islice(hermite(h, start), count - 1), start=2):
            found[k] = (-1) ** k * deviation * value / np.sqrt(k * (k - 1))
        return found

    @override
    def variance(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        h, _ = _height(mean, deviation)
        low = -np.abs(h)
        share, peak = self.expectations(low, np.ones_like(low))[1], density(low)
        below = (1 + low**2) * share + low * peak - np.square(low * share + peak)
        relative = np.where(h > 0, 1 + below - 2 * share, below)
        return np.asarray(np.square(deviation) * np.maximum(relative, 0.0))

    @override
    def covariance(self, one: Normal, two: Normal, correlation: np.ndarray) -> np.ndarray:
        return by_reflection(self._below, lambda x: np.asarray(self.expectations(x.mean, x.var).slope),
                             one, two, correlation)  # fmt: skip

    def _below(self, one: Normal, two: Normal, correlation: np.ndarray) -> np.ndarray:
        """The covariance where no mean is positive, in units of the deviations."""
        (h, _), (k, _) = _height(*one), _height(*two)
        q = quadrant(h, k, correlation)
        product = (h * k + correlation) * q.both + k * q.by_first + h * q.by_second + q.density
        means = [np.asarray(self.expectations(x, np.ones_like(x)).mean) for x in (h, k)]
        return np.asarray(one.deviation * two.deviation * (product - means[0] * means[1]))


def _height(mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """mean / deviation, at most 40 in size, and where it is more than that."""
    sharp = np.square(mean) >= SHARP * np.square(deviation)
    ratio = mean / np.where(sharp, 1.0, deviation)
    return np.where(sharp, 40.0 * np.sign(mean), ratio), sharp
