"""Tokens in plain NumPy: their velocity under one layer, and their moments beside those of a Gaussian."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ..measures.gaussian import Gaussian
from .errors import cov_error
from .law import Controls

BLOCK = 2**16
"""So many attention weights are held at once."""


@dataclasses.dataclass(frozen=True)
class TokenReplay:
    """`n` tokens drawn from the start with `seed`, moved as tokens, against the moments of the target.

    `mean_error` is relative to the larger of the target's mean and its standard deviation, `cov_error` to the target's
    covariance (Frobenius). `mean_floor` and `cov_floor` are what drawing n tokens from the target itself gives in the
    mean square.
    """

    n: int
    seed: int
    mean_error: float
    cov_error: float
    mean_floor: float
    cov_floor: float


def token_velocity(controls: Controls, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """The velocity of `points` (n, d) under softmax attention and the affine feed-forward of `controls`.

    Source: :cite:alcalde2026, eq. (2.3) and (2.4).
    """
    A, B, V, b = (np.asarray(part) for part in controls)
    return np.asarray(attended(points, B) @ V.T + points @ A.T + b)


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
