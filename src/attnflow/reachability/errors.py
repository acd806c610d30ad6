"""How far a Gaussian is from a target: relative errors of mean, covariance and the worst direction."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .._linalg import RankRule
from ..measures.gaussian import Gaussian


def mean_error(end: Gaussian, start: Gaussian, target: Gaussian) -> float:
    """|mean of `end` - mean of `target`| over the largest of |mean|, the way from `start`, and sqrt(trace cov)."""
    goal = np.asarray(target.mean)
    scales = (goal, goal - np.asarray(start.mean), np.asarray(target.factor).ravel())
    scale = max(float(np.linalg.norm(part)) for part in scales)
    return float(np.linalg.norm(np.asarray(end.mean) - goal)) / (scale or 1.0)


def cov_error(found: Float[np.ndarray, "d d"], wanted: Float[np.ndarray, "d d"]) -> float:
    """|`found` - `wanted`|_F over |`wanted`|_F, absolute when that is zero."""
    return float(np.linalg.norm(found - wanted)) / (float(np.linalg.norm(wanted)) or 1.0)


def worst_direction(end: Gaussian, target: Gaussian, *, rtol: float | None = None) -> float:
    """The largest |v^T (cov of `end` - cov of `target`) v| over v^T (cov of `target`) v for v in the range of it.

    The range is that of the variances above `rtol` times the largest one, d eps if None.
    """
    left, sizes, _ = np.linalg.svd(np.asarray(target.factor, dtype=np.float64), full_matrices=False)
    least = len(left) * RankRule if rtol is None else rtol
    kept = np.square(sizes) > least * np.square(sizes).max(initial=0.0)
    if not kept.any():
        return 0.0
    whitened = (left[:, kept] / sizes[kept]).T @ np.asarray(end.factor)
    return float(np.linalg.norm(whitened @ whitened.T - np.eye(int(kept.sum())), 2))
