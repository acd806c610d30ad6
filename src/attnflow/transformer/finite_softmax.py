"""Softmax attention over n tokens, seen through the mean over the other tokens."""

from __future__ import annotations

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc
from typing_extensions import override

from .._check import BadInput, positive
from .._linalg import LowRank, Operator, times, times_from_left
from .._types import AnyArray, ArrayLike, Points, Vector
from ..measures.gaussian import Gaussian, Moments
from ..moments.finite_n import expected_collision, self_weight
from ..moments.finite_n_table import Weights, average_weights
from .layer import AbstractLayer, AffineMap
from .parameters import Parameter, common_dim, optional_vector, rows, square_parameter
from .softmax import SoftmaxAttention

NODES = 4096


class FiniteSoftmaxAttention(AbstractLayer):
    """One head of softmax attention over `n` tokens: at a Gaussian, the mean over n tokens drawn from it.

    With xi = B x + query_bias, the mean over the tokens of the velocity at x is
    V (mean + p0 (x - mean) + (1 - p0 - c) cov xi) + value_bias; p0 is the expected weight of x for itself and c the
    expected sum of the squared weights of the others (`attnflow.moments.finite_n`). As n -> inf it becomes the
    mean-field velocity of `SoftmaxAttention`; for large logits it is hardmax, which no mean field shows.

    `B`, `V`: (d, d), a scalar or a `LowRank`; `n` >= 1, the number of keys; `query_bias`, `value_bias`: (d,) or None;
    `self_key`: whether the query is one of the n keys, as in a Transformer, or not.

    Raises BadInput when the shapes disagree, a number is not finite or `n` is not a positive integer.

    Source: this package, docs/theory/finite-n.md.
    """

    B: Operator
    V: Operator
    query_bias: Vector | None
    value_bias: Vector | None
    n: int = eqx.field(static=True)
    self_key: bool = eqx.field(static=True)

    def __init__(
        self,
        B: Parameter,
        V: Parameter,
        n: int,
        *,
        query_bias: ArrayLike | None = None,
        value_bias: ArrayLike | None = None,
        self_key: bool = True,
    ) -> None:
        self.B, self.V = square_parameter("B", B), square_parameter("V", V)
        self.query_bias = optional_vector("query_bias", query_bias)
        self.value_bias = optional_vector("value_bias", value_bias)
        self.n = int(positive("n", n))
        self.self_key = self_key
        if self.n != n:
            raise BadInput(f"`n` must be an integer, the number of keys: {n} was found.")
        common_dim(B=self.B, V=self.V, query_bias=self.query_bias, value_bias=self.value_bias)

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        plain = SoftmaxAttention(self.B, self.V, query_bias=self.query_bias, value_bias=self.value_bias)
        return plain.velocity(points, tokens)

    def conditional_mean(self, points: Float[AnyArray, "m d"], measure: Gaussian | Moments) -> Float[jax.Array, "m d"]:
        """The velocity at `points` (m, d), averaged over the other keys, which are independent draws of `measure`.

        By quadrature for each point (about 0.4 ms a point), to an absolute error below 1e-9 of the weights.
        """
        factor, away = _factor(measure), jnp.asarray(points) - measure.mean
        xi = self._tilts(jnp.asarray(points))
        w = xi @ factor
        s = _root(jnp.sum(jnp.square(w), axis=1))
        if self.self_key:
            log_w0 = jnp.sum(xi * away, axis=1) - 0.5 * jnp.square(s)
            own, collision = self_weight(s, log_w0, float(self.n))
        else:
            own, collision = jnp.zeros_like(s), jnp.asarray(expected_collision(s, float(self.n)))
        pull = 1 - own - collision
        return self._out(measure.mean + own[:, None] * away + (pull[:, None] * w) @ factor.T)

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        return self._linearisation(measure, 0)

    def linearisation_error(self, measure: Gaussian | Moments) -> Float[jax.Array, ""]:
        """The relative error of G of `at_gaussian` at `measure`: the distance to a second set of quadrature nodes."""
        one, two = (self._linearisation(measure, which).linear() for which in (0, 1))
        size = jnp.maximum(jnp.linalg.norm(one), jnp.finfo(one.dtype).tiny)
        return jnp.asarray(jnp.linalg.norm(one - two) / size)

    def noise(self, measure: Gaussian | Moments) -> Float[jax.Array, "d d"]:
        """The covariance of what the choice of the other keys adds to the velocity, averaged over queries.

        The queries are drawn from `measure`. Only the part orthogonal to the pull: given the weights p_j, the
        components of the keys orthogonal to xi are free, so that this part is exactly
        E sum_j p_j^2 V (cov - cov xi xi^T cov / xi^T cov xi) V^T, the sum over the other keys. For small logits it is
        about V cov V^T / n, and common to all queries.
        """
        factor = _factor(measure)
        z, weights, w, _ = self._sample(factor, measure.mean, 0)
        collision = weights * self._weights(z, w).collision
        s2 = jnp.sum(jnp.square(w), axis=1)
        share = collision / jnp.where(s2 > 0, s2, 1.0)
        inner = jnp.sum(collision) * jnp.eye(factor.shape[1], dtype=factor.dtype) - w.T @ (share[:, None] * w)
        half = jnp.asarray(times(self.V, factor))
        return half @ inner @ half.T

    @property
    @override
    def dim(self) -> int | None:
        return common_dim(B=self.B, V=self.V, query_bias=self.query_bias, value_bias=self.value_bias)

    def _linearisation(self, measure: Gaussian | Moments, which: int) -> AffineMap:
        """G = V (p0 I + L R), from the gradients of p0 and of the pull.

        Source: this package, docs/theory/finite-n.md, section 4.
        """
        factor = _factor(measure)
        z, weights, w, tilt = self._sample(factor, measure.mean, which)
        found = self._weights(z, w)
        own, pull = weights @ found.own, weights @ found.pull
        in_s2 = (2 * weights * found.own_s2)[:, None] * z + (2 * weights * found.pull_s2)[:, None] * w
        in_q = (weights * found.own_q)[:, None] * z + (weights * found.pull_q)[:, None] * w
        keys = times_from_left(factor.T, self.B)
        twice = in_q.T @ z
        right = (pull * jnp.eye(z.shape[1], dtype=z.dtype) + in_s2.T @ w + twice) @ keys
        right = right + twice @ times(self.B, factor).T + jnp.outer(jnp.sum(in_q, axis=0), tilt)
        mean = (weights * found.own) @ z + (weights * found.pull) @ w
        left = times(self.V, factor)
        value = self._out((measure.mean + factor @ mean)[None])[0]
        diagonal = _scaled(self.V, own) if self.self_key else None
        affine = AffineMap(diagonal, left, right, value, exact=False)
        moved = affine.apply(measure.mean[:, None])[:, 0]
        return AffineMap(diagonal, left, right, value - moved, exact=False)

    def _sample(
        self, factor: AnyArray, mean: AnyArray, which: int
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Queries mean + L z: z (N, r), their weights (N,), L^T xi (N, r), and xi at the mean (d,)."""
        nodes, weights = normal_nodes(factor.shape[1], which)
        z = jnp.asarray(nodes, factor.dtype)
        tilt = self._tilts(jnp.asarray(mean)[None])[0]
        w = z @ (times_from_left(factor.T, self.B) @ factor).T + factor.T @ tilt
        return z, jnp.asarray(weights, factor.dtype), w, tilt

    def _weights(self, z: jax.Array, w: jax.Array) -> Weights:
        s2, q = jnp.sum(jnp.square(w), axis=1), jnp.sum(w * z, axis=1)
        return average_weights(s2, q, self.n, self_key=self.self_key)

    def _tilts(self, points: jax.Array) -> jax.Array:
        tilts = rows(self.B, points)
        return jnp.asarray(tilts if self.query_bias is None else tilts + self.query_bias)

    def _out(self, averages: AnyArray) -> jax.Array:
        values = rows(self.V, averages)
        return jnp.asarray(values if self.value_bias is None else values + self.value_bias)


@functools.lru_cache(maxsize=32)
def normal_nodes(rank: int, which: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (N, rank) and weights (N,) for expectations over standard normal vectors.

    Trapezoidal products up to rank 2; from there on `NODES` scrambled Sobol points in opposite pairs, made to have the
    covariance I. `which` = 0 or 1 gives two sets that differ by as much as they err.

    Source: this package, docs/theory/finite-n.md, section 4.
    """
    if rank <= 2:
        axis = np.linspace(-8.5, 8.5, (65 if rank == 2 else 513) - 16 * which)
        grids = np.meshgrid(*[axis] * rank, indexing="ij")
        nodes = np.stack([grid.ravel() for grid in grids], axis=1) if rank else np.zeros((1, 0))
        weights = np.exp(-0.5 * np.sum(np.square(nodes), axis=1))
        return nodes, weights / weights.sum()
    half = ndtri(qmc.Sobol(rank, rng=which).random(NODES // 2))
    half = half @ np.linalg.inv(np.linalg.cholesky(half.T @ half / len(half))).T
    return np.concatenate([half, -half]), np.full(NODES, 1 / NODES)


def _factor(measure: Gaussian | Moments) -> jax.Array:
    return jnp.asarray(measure.factor) if isinstance(measure, Gaussian) else jnp.linalg.cholesky(measure.cov)


def _root(squares: jax.Array) -> jax.Array:
    """The root, with the derivative 0 at 0."""
    safe = jnp.where(squares > 0, squares, 1.0)
    return jnp.where(squares > 0, jnp.sqrt(safe), 0.0)


def _scaled(operator: Operator, number: jax.Array) -> Operator:
    return LowRank(number * operator.left, operator.right) if isinstance(operator, LowRank) else number * operator
