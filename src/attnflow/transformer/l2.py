"""L2 attention: the weight of key y for query x is exp(-|Q x + query_bias - K y - key_bias|^2 / temperature)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int
from typing_extensions import override

from .._check import parameter, positive_parameter, require_shape
from .._linalg import Operator, times
from .._types import AnyArray, ArrayLike, Number, Points, Vector
from ..measures.gaussian import Gaussian, Moments
from .kernel import softmax_average
from .layer import AbstractAttention, AffineMap
from .parameters import Parameter, common_dim, optional_vector, split_values, square_parameter

Solve: TypeAlias = Callable[[AnyArray], AnyArray]


class L2Attention(AbstractAttention):
    """One head of L2 attention.

    On tokens y_1..y_n its velocity is sum_j w_j V y_j + value_bias with w_j proportional to
    exp(-|Q x + query_bias - K y_j - key_bias|^2 / temperature). At N(mean, cov) it is exactly
    x -> V (mean + gain (Q x + query_bias - key_bias - K mean)) + value_bias with the Kalman gain
    cov K^T (temperature/2 I + K cov K^T)^{-1} of an observation of K y with noise temperature/2.

    `Q`, `K`: (k, d), any k; `V`: (d, d), a scalar or a `LowRank`; `temperature` > 0; `query_bias`, `key_bias`: (k,);
    `value_bias`: (d,).

    The flow exists for all times when K has rank d (the linear part is then bounded), or when Q = K or Q = -K;
    otherwise it may blow up in finite time: K = [1 0], Q = [0 1], V = diag(0, 1) does.

    Raises BadInput when the shapes disagree, a number is not finite, or `temperature` is not positive.

    Source: :cite:castin2025, L2 attention.
    """

    Q: Float[AnyArray, "k d"]
    K: Float[AnyArray, "k d"]
    V: Operator
    temperature: Number
    query_bias: Float[AnyArray, " k"] | None
    key_bias: Float[AnyArray, " k"] | None
    value_bias: Vector | None

    def __init__(
        self,
        Q: ArrayLike,
        K: ArrayLike,
        V: Parameter,
        temperature: Number = 1.0,
        *,
        query_bias: ArrayLike | None = None,
        key_bias: ArrayLike | None = None,
        value_bias: ArrayLike | None = None,
    ) -> None:
        self.Q, self.K = parameter("Q", Q, ndim=(2,)), parameter("K", K, ndim=(2,))
        require_shape("K", self.K.shape, self.Q.shape, because="to agree with `Q`")
        self.V = square_parameter("V", V)
        self.temperature = positive_parameter("temperature", temperature)
        self.query_bias, self.key_bias = (
            optional_vector("query_bias", query_bias),
            optional_vector("key_bias", key_bias),
        )
        for name, bias in (("query_bias", self.query_bias), ("key_bias", self.key_bias)):
            if bias is not None:
                require_shape(name, bias.shape, (self.Q.shape[0],), because="to agree with `Q` and `K`")
        self.value_bias = optional_vector("value_bias", value_bias)
        common_dim(K=self.K.T, V=self.V, value_bias=self.value_bias)

    @override
    def attend(
        self, points: Float[AnyArray, "m d"], tokens: Points, visible: Int[AnyArray, " m"] | None
    ) -> Float[AnyArray, "m d"]:
        queries, keys = jnp.asarray(points) @ self.Q.T + self._shift, jnp.asarray(tokens) @ self.K.T
        scale = jnp.asarray(1.0 / self.temperature, queries.dtype)
        values, out = split_values(self.V, tokens)
        bias = -scale * jnp.sum(jnp.square(keys), axis=1)
        average, _ = softmax_average(2 * scale * queries, keys, values, key_bias=bias, visible=visible)
        moved = out(average)
        return moved if self.value_bias is None else moved + self.value_bias

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        return self.attend(points, tokens, None)

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        left, right, gain_on = self._gain(measure)
        surprise = self._shift - self.K @ measure.mean
        center = measure.mean + left @ gain_on(surprise)
        moved = times(self.V, jnp.concatenate([left, center[:, None]], axis=1))
        offset = moved[:, -1] if self.value_bias is None else moved[:, -1] + self.value_bias
        return AffineMap(None, moved[:, :-1], right, offset)

    def _gain(self, measure: Gaussian | Moments) -> tuple[AnyArray, AnyArray, Solve]:
        """The gain (d, k) as `left` (d, m) times a map, and that map on Q: in the inner dimension k or in the rank."""
        noise = 0.5 * self.temperature
        k = self.K.shape[0]
        if isinstance(measure, Gaussian) and measure.rank < k:
            seen = self.K @ measure.factor
            chol = _cholesky(seen.T @ seen, noise)

            def gain_on(block: AnyArray) -> AnyArray:
                return _solve(chol, seen.T @ block)

            return measure.factor, gain_on(self.Q), gain_on
        if isinstance(measure, Gaussian):
            seen = self.K @ measure.factor
            cross, chol = measure.factor @ seen.T, _cholesky(seen @ seen.T, noise)
        else:
            cross = measure.cov @ self.K.T
            chol = _cholesky(self.K @ cross, noise)

        return cross, _solve(chol, self.Q), functools.partial(_solve, chol)

    @property
    def _shift(self) -> AnyArray:
        zero = jnp.zeros((), jnp.asarray(self.Q).dtype)
        query = zero if self.query_bias is None else self.query_bias
        return query if self.key_bias is None else query - self.key_bias

    @property
    @override
    def dim(self) -> int | None:
        return int(self.Q.shape[1])


def _solve(chol: jax.Array, block: AnyArray) -> AnyArray:
    solution: jax.Array = jax.scipy.linalg.cho_solve((chol, True), block)
    return solution


def _cholesky(gram: AnyArray, noise: Number) -> jax.Array:
    floor = jnp.asarray(noise, gram.dtype) * jnp.eye(gram.shape[0], dtype=gram.dtype)
    return jnp.asarray(jnp.linalg.cholesky(gram + floor))
