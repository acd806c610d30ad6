"""The target as equations: how far a mean and a factor are from it, in coordinates in which it is N(0, I).

Source: this package, docs/theory/constrained-steering.md, The equations of the target.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..._types import AnyArray


class Goal(NamedTuple):
    """A target with `mean` (d,) and the map `whiten` (d, d) that takes its covariance to diag(I_r, 0).

    The first r rows of `whiten` are the pseudo-inverse of a factor of the target, the others are orthogonal to its
    range and measure lengths in units of its largest standard deviation.
    """

    mean: Float[AnyArray, " d"]
    whiten: Float[AnyArray, "d d"]


def goal_of(mean: Float[np.ndarray, " d"], factor: Float[np.ndarray, "d r"]) -> Goal:
    """The goal with `mean` (d,) and covariance `factor` `factor`^T; `factor` (d, r) has independent columns."""
    left, sizes, _ = np.linalg.svd(factor)
    scales = np.full(len(mean), sizes[0] if sizes.size else max(float(np.linalg.norm(mean)), 1.0))
    scales[: sizes.size] = sizes
    return Goal(np.asarray(mean, dtype=np.float64), left.T / scales[:, None])


def residual(goal: Goal, state: Float[jax.Array, "d m"]) -> Float[jax.Array, " q"]:
    """The independent equations that `state` [mean, factor] (d, r + 1) meets exactly at the `goal`.

    There are q = d + r (r + 1) / 2 + (d - r) r of them, the dimension of the set of Gaussians of rank r: the mean, the
    covariance within the range of the target, and its range. They depend on the factor through the covariance only.

    Source: this package, docs/theory/constrained-steering.md, The equations of the target.
    """
    r = state.shape[1] - 1
    mean = goal.whiten @ (state[:, 0] - goal.mean)
    moved = goal.whiten @ state[:, 1:]
    inner, outer = moved[:r], moved[r:]
    rows, columns = np.triu_indices(r)
    weights = np.where(rows == columns, 1.0, np.sqrt(2.0))
    within = (inner @ inner.T - jnp.eye(r, dtype=inner.dtype))[rows, columns] * weights
    return jnp.concatenate([mean, within, (outer @ inner.T).ravel()])


def dimension(d: int, r: int) -> int:
    """The dimension of the set of Gaussians of rank `r` in R^`d`."""
    return d + r * (r + 1) // 2 + (d - r) * r
