"""What a stack of residual layers does to a Gaussian and to tokens, in plain NumPy and float64.

Source: this package, docs/compile.md.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..measures.gaussian import Gaussian
from .law import Controls
from .motion import velocity
from .replay import TokenReplay, cov_error

BLOCK = 2**16
"""So many attention weights are held at once."""


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


def attended(points: Float[np.ndarray, "n d"], B: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "m d"]:
    """The averages of `points` (n, d) with weights proportional to exp(y^T `B` x), one for each x: (n, d).

    In blocks of queries, so that memory stays linear in n; (1, d) with the mean, which they all share, for B = 0.

    Source: :cite:alcalde2026, eq. (2.4).
    """
    if not B.any():
        return np.asarray(points.mean(axis=0, keepdims=True))
    n = len(points)
    rows = min(n, max(1, BLOCK // n))
    queries, keys, found = points @ B.T, np.ascontiguousarray(points.T), np.empty_like(points)
    space = np.empty((rows, n))  # one block of weights, used again: fresh memory costs more than its exponentials
    for first in range(0, n, rows):
        block = queries[first : first + rows]
        weights = np.matmul(block, keys, out=space[: len(block)])
        weights -= weights.max(axis=1, keepdims=True)
        np.exp(weights, out=weights)
        found[first : first + rows] = (weights @ points) / weights.sum(axis=1, keepdims=True)
    return found


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


def sampled_errors(points: Float[np.ndarray, "n d"], target: Gaussian, *, seed: int) -> TokenReplay:
    """The moments of `points` (n, d) against those of `target`, with the floors of sampling; `seed` is noted.

    Source: this package, docs/compile.md, Tokens.
    """
    n, d = points.shape
    cov, wanted, goal = np.cov(points.T, bias=True).reshape(d, d), np.asarray(target.cov), np.asarray(target.mean)
    trace, size = float(np.trace(wanted)), float(np.linalg.norm(wanted)) or 1.0
    scale = max(float(np.linalg.norm(goal)), np.sqrt(trace)) or 1.0
    return TokenReplay(
        n=n,
        seed=seed,
        mean_error=float(np.linalg.norm(points.mean(axis=0) - goal)) / scale,
        cov_error=cov_error(cov, wanted),
        mean_floor=float(np.sqrt(trace / n)) / scale,
        cov_floor=float(np.sqrt((trace**2 + size**2) / n)) / size,
    )
