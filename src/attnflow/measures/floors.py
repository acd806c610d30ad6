"""What sampling alone costs: expected squared Wasserstein distances of independent points to their Gaussian.

On the line in units of the variance; the sliced distance has the same figures in units of tr cov / d.

Source: this package, docs/theory/floors.md.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln, log_ndtr, ndtr

from .line import SQRT_TWO_PI, normal_cells, normal_order_means, pieces

STEP, REACH = 0.05, 10.0
SERIES_FROM = 40
"""From this n on the asymptotic series of the gamma functions is exact to rounding, and does not cancel."""


@functools.cache
def known_floor(n: int) -> float:
    """E W_2^2 of `n` independent normal numbers to N(0, 1): 2 / n at n = 1, about 3 to 4 divided by n later.

    With the means c_i of the law over its cells it is 2 - (2/n) E sum_i c_i X_(i). The expectation is an integral over
    x of binomial means, which the trapezoidal rule sums with exponential accuracy; the 1 is taken in under it, so that
    nothing cancels.

    Source: this package, docs/theory/floors.md, section 1.
    """
    levels, _ = normal_cells(n)
    nodes = np.arange(0.5 * STEP, REACH, STEP)  # the integrand is even
    gaps = np.array([node - _binomial_mean(levels, float(node)) for node in nodes])
    return float(4 * STEP / SQRT_TWO_PI * np.sum(nodes * np.exp(-0.5 * np.square(nodes)) * gaps))


@functools.cache
def fitted_floor(n: int) -> float:
    """E W_2^2 / s^2 of `n` >= 2 independent normal numbers to the Gaussian with their own mean and variance s^2.

    It is 2 - (2 - known_floor(n)) / E s, exactly: the standardised numbers are independent of s. About half of
    `known_floor`.

    Source: this package, docs/theory/floors.md, section 2.
    """
    shrunk = -np.expm1(_log_mean_deviation(n))
    return float((known_floor(n) - 2 * shrunk) / (1 - shrunk))


@functools.cache
def two_sample_floor(n: int, m: int) -> float:
    """E W_2^2 of `n` independent normal numbers to `m` others.

    Source: this package, docs/theory/floors.md, section 3.
    """
    mass, i, j = pieces(n, m)
    return float(2 - 2 * np.sum(mass * normal_order_means(n)[i] * normal_order_means(m)[j]))


def sampling_floor(n: int) -> float:
    """The root of the mean squared 2-Wasserstein distance of `n` independent normal numbers to their law N(0, 1).

    A sample of a Gaussian has the sliced distance sampling_floor(n) sqrt(tr cov / d) to it.

    Source: this package, docs/theory/floors.md, section 1.
    """
    return float(np.sqrt(known_floor(n)))


def _binomial_mean(levels: Float[np.ndarray, " n"], node: float) -> float:
    """The mean of levels[k] over the number k of n - 1 normal numbers below `node`, within twelve deviations."""
    n = levels.size - 1
    below, above = ndtr(node), ndtr(-node)
    spread = 12 * np.sqrt(n * below * above) + 60
    ks = np.arange(max(0, int(n * below - spread)), min(n, int(n * below + spread)) + 1)
    logs = ks * log_ndtr(node) + (n - ks) * log_ndtr(-node) - gammaln(ks + 1) - gammaln(n - ks + 1)
    weights = np.exp(logs - logs.max())
    return float(weights @ levels[ks] / weights.sum())


def _log_mean_deviation(n: int) -> float:
    """log E s of the root s of the variance (divided by n) of n independent normal numbers."""
    z = (n - 1) / 2
    if n < SERIES_FROM:
        return float(gammaln(z + 0.5) - gammaln(z) + 0.5 * np.log(2 / n))
    return float(0.5 * np.log1p(-1 / n) - 1 / (8 * z) + 1 / (192 * z**3) - 1 / (640 * z**5) + 17 / (14336 * z**7))
