"""What a stack of residual layers does to a Gaussian and to tokens, in plain NumPy and float64.

Source: this package, docs/compile.md.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..measures.gaussian import Gaussian
from .law import Controls
from .motion import velocity
from .tokens import attended


def gaussian_behind(weights: Controls, start: Gaussian) -> Gaussian | None:
    """The Gaussian behind all layers with `weights` A, B, V (layers, d, d), b (layers, d); None beyond float64.

    Source: :cite:alcalde2026, eq. (2.5).
    """
    state = np.column_stack([start.mean, start.factor]).astype(np.float64)
    with np.errstate(all="ignore"):
        for layer in zip(*weights, strict=True):
            state = state + velocity(Controls(*layer), state)
    return Gaussian(state[:, 0], state[:, 1:]) if np.all(np.isfinite(state)) else None


def tokens_behind(weights: Controls, points: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n d"], int | None]:
    """The tokens `points` (n, d) behind all layers with `weights`, and the index of the first layer that overflows.

    The index is None when all is well; else the tokens are those before that layer.

    Source: :cite:alcalde2026, eq. (2.1) and (2.4).
    """
    with np.errstate(all="ignore"):
        for index, (A, B, V, b) in enumerate(zip(*weights, strict=True)):
            moved = points + attended(points, B) @ V.T + points @ A.T + b
            if not np.all(np.isfinite(moved)):
                return points, index
            points = moved
    return points, None


def images_behind(weights: Controls, start: Gaussian, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Where the `points` (n, d) go behind all layers with `weights` when they attend to `start` and what becomes of it.

    That is the limit of infinitely many tokens: each layer acts as its affine map at the Gaussian.

    Source: :cite:alcalde2026, eq. (2.5).
    """
    state = np.column_stack([start.mean, start.factor]).astype(np.float64)
    for layer in zip(*weights, strict=True):
        controls = Controls(*layer)
        mean, factor = state[:, 0], state[:, 1:]
        seen = mean + ((points @ controls.B.T) @ factor) @ factor.T
        points = points + points @ controls.A.T + seen @ controls.V.T + controls.b
        state = state + velocity(controls, state)
    return points
