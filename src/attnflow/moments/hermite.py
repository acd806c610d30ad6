"""Hermite polynomials without overflow, and the quadrature rule of functions that are flat away from the origin.

Source: this package, docs/theory/closures.md, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .._types import AnyArray
from .activation import density, namespace

RANGE = 9.5
"""Half the width of the grids in standard deviations: the density there is 1e-20."""


def hermite(x: AnyArray, first: AnyArray) -> Iterator[np.ndarray]:
    """He_k(`x`) / sqrt(k!) times `first`, for k = 0, 1, 2, ...

    Starting from the factor keeps all numbers small: with the normal density they decay, without it they overflow.
    """
    x, now = np.asarray(x), np.asarray(first)
    before = np.zeros_like(now)
    k = 0
    while True:
        yield now
        before, now = now, (x * now - np.sqrt(k) * before) / np.sqrt(k + 1)
        k += 1


class Grid(NamedTuple):
    """Nodes z (..., n) of E g(z) = sum of weights g(z), and the same nodes in standard deviations Z."""

    z: AnyArray
    standard: AnyArray
    weights: AnyArray


def local_grid(mean: AnyArray, var: AnyArray, *, reach: float, step: float) -> Grid:
    """Nodes for E g(z), z ~ N(`mean`, `var`), of a function g that decays over the length `reach` from the origin.

    The trapezoidal rule is laid over the product of the normal density and N(0, reach^2), which is as narrow as the
    narrower of the two, so that `step`, in units of its deviation, resolves both, for all variances down to 0.

    Source: this package, docs/theory/closures.md, section 2.
    """
    xp, _ = namespace(mean, var)
    dtype = xp.result_type(mean, var)
    count = round(RANGE / step)
    x = xp.asarray(step * np.arange(-count, count + 1), dtype)
    spread = var > 0
    deviation = xp.where(spread, xp.sqrt(xp.where(spread, var, 1.0)), 0.0)[..., None]
    total = reach**2 + var[..., None]
    narrow = reach / xp.sqrt(total)
    standard = narrow * x - mean[..., None] * deviation / total
    weights = step * narrow * density(standard)
    return Grid(mean[..., None] + deviation * standard, standard, weights)
