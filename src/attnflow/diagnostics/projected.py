"""Queries, keys and values of a cloud of tokens: all that attention sees of them, k numbers a head instead of d.

Source: this package, docs/theory/diagnose.md, section 3.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from .attention import Attention
from .spread import Spread


@dataclasses.dataclass(frozen=True)
class HeadMoments:
    """The moments of a cloud of tokens with covariance L L^T as the heads see them.

    `query`, `key`, `value` (h, k): the means of q = Q x + its bias, k and v; `along` (r, 3 h k): L^T Q^T, L^T K^T and
    L^T V^T side by side; `query_cov`, `key_cov` (h, k, k): the covariances of q and k, `cross_cov` that of v with k.
    `output` (h k, d): the output projections of the heads, one above the other.
    """

    query: Float[np.ndarray, "h k"]
    key: Float[np.ndarray, "h k"]
    value: Float[np.ndarray, "h k"]
    along: Float[np.ndarray, "r hk3"]
    query_cov: Float[np.ndarray, "h k k"]
    key_cov: Float[np.ndarray, "h k k"]
    cross_cov: Float[np.ndarray, "h k k"]
    output: Float[np.ndarray, "hk d"]

    def outward(self, averages: Float[np.ndarray, "h m k"]) -> Float[np.ndarray, "m d"]:
        """The `averages` (h, m, k) of the values of all heads, through the output projections, without the bias."""
        side_by_side = averages.transpose(1, 0, 2).astype(self.output.dtype).reshape(averages.shape[1], -1)
        return np.asarray(side_by_side @ self.output)


@dataclasses.dataclass(frozen=True)
class Seen:
    """A cloud of n tokens as the heads see it: `key`, `value` (h, n, k), and `query` (h, m, k) of some tokens.

    Without the means of the cloud. `places` (m,): which tokens ask, rising.
    """

    query: Float[np.ndarray, "h m k"]
    key: Float[np.ndarray, "h n k"]
    value: Float[np.ndarray, "h n k"]
    places: Int[np.ndarray, " m"]

    @property
    def tokens(self) -> int:
        """n."""
        return int(self.key.shape[1])


def stacked_weights(attention: Attention) -> Float[np.ndarray, "d hk3"]:
    """Query, key and value projections of `attention` side by side, so that one product gives all of them."""
    return np.concatenate([w.reshape(-1, attention.dim) for w in (attention.query, attention.key, attention.value)]).T


def head_moments(attention: Attention, spread: Spread) -> HeadMoments:
    """The moments `spread` of the tokens as the heads of `attention` see them.

    Source: this package, docs/theory/diagnose.md, section 3.
    """
    along = spread.factor.T.astype(np.float32) @ stacked_weights(attention).astype(np.float32)
    shape = (spread.rank, 3, *attention.query.shape[:2])
    q, k, v = along.reshape(shape).transpose(1, 2, 3, 0).astype(np.float64)
    return HeadMoments(
        attention.query @ spread.mean + attention.query_bias,
        attention.key @ spread.mean + attention.key_bias,
        attention.value @ spread.mean + attention.value_bias,
        along,
        q @ q.transpose(0, 2, 1),
        k @ k.transpose(0, 2, 1),
        v @ k.transpose(0, 2, 1),
        attention.output.transpose(0, 2, 1).reshape(-1, attention.dim),
    )


def see(
    points: Float[np.ndarray, "n s"], weights: Float[np.ndarray, "s hk3"], places: Int[np.ndarray, " m"], heads: int
) -> Seen:
    """The cloud with the centred `points` (n, s) through the `weights` (s, 3 h k) of so many `heads`.

    The tokens at `places` (m,) ask.
    """
    width = weights.shape[1] // 3
    query = (points[places] @ weights[:, :width]).reshape(places.size, heads, -1)
    # in memory one token after the other for each coordinate of a head, as the products with weights read them
    key, value = (weights[:, width:].T @ points.T).reshape(2, heads, -1, points.shape[0]).transpose(0, 1, 3, 2)
    return Seen(query.transpose(1, 0, 2), key, value, places)
