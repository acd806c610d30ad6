"""The maximum mean discrepancy of tokens to their own Gaussian, in the principal axes of the tokens.

Source: this package, docs/theory/mmd.md; this package, docs/theory/diagnose.md, section 1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..measures.kernel_mean import kernel_mean
from ..measures.mmd import fitted_floor_of
from .matched_noise import matched_noise

ASYMPTOTIC_FROM = 4
"""From so many tokens a dimension on the floor is a closed form; below, it is measured on tokens drawn for it."""
MOST_DRAWS, PAIRS = 4, 2**20
"""Draws for the floor of few tokens: at most so many, and at most so many pairs in all, but one at least."""


def discrepancy_squared(
    coordinates: Float[np.ndarray, "n r"], values: Float[np.ndarray, " r"], bandwidth: float
) -> float:
    """The squared discrepancy of the points `coordinates` (n, r) to N(0, diag `values`), kernel width `bandwidth`.

    Points in float32 are compared in float32, with sums in float64.

    Source: this package, docs/theory/mmd.md, section 1.
    """
    a = values / bandwidth**2
    z = coordinates * coordinates.dtype.type(1 / bandwidth)
    form = np.square(z) @ (1 / (1 + a)).astype(z.dtype)
    cross = np.exp(-0.5 * np.sum(np.log1p(a)) - 0.5 * form.astype(np.float64)).mean()
    return float(kernel_mean(z) - 2 * cross + np.exp(-0.5 * np.sum(np.log1p(2 * a))))


def discrepancy_floor_squared(values: Float[np.ndarray, " r"], bandwidth: float, n: int) -> float:
    """E of `discrepancy_squared` for `n` Gaussian tokens whose covariance has exactly the eigenvalues `values`.

    A closed form (`attnflow.measures.mmd.fitted_floor`) for many tokens; for few the mean over some draws, with fixed
    random numbers, of Gaussian tokens that are given these moments. `bandwidth` is the kernel width.

    Source: this package, docs/theory/diagnose.md, section 1.
    """
    if n >= ASYMPTOTIC_FROM * values.size:
        return fitted_floor_of(values / bandwidth**2, n)
    draws = min(MOST_DRAWS, max(1, PAIRS // n**2))
    rng = np.random.default_rng(0)
    drawn = (matched_noise(n, values.size, rng) * np.sqrt(values) for _ in range(draws))
    return float(np.mean([discrepancy_squared(points, values, bandwidth) for points in drawn]))
