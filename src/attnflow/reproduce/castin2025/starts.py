"""The covariances that the published experiments start from."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.random import RandomState


def unit_trace(n: int, half_width: float) -> Float[np.ndarray, "m 2 2"]:
    """The positive definite ones among n x n matrices of trace one on a square grid.

    The grid points are u = s11 - s22 and w = 2 s12 in [-half_width, half_width]^2, u slowest; kept are those strictly
    inside the unit disc.

    Source: :cite:castin2025, numerical experiments on Gaussian measures.
    """
    side = np.linspace(-half_width, half_width, n)
    u, w = (points.ravel() for points in np.meshgrid(side, side, indexing="ij"))
    inside = 1.0 - u**2 > w**2
    u, w = u[inside], w[inside]
    return np.stack([np.stack([(1 + u) / 2, w / 2], axis=1), np.stack([w / 2, (1 - u) / 2], axis=1)], axis=1)


def wishart(d: int, count: int) -> Float[np.ndarray, "m d d"]:
    """`count` draws G G^T with G normal (d, d) from seed 41, which the published program sets anew for each panel.

    Source: :cite:castin2025, numerical experiments on Gaussian measures.
    """
    roots = RandomState(41).randn(count, d, d)
    return np.asarray(roots @ np.swapaxes(roots, 1, 2))
