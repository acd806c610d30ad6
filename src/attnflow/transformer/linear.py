"""Linear (unnormalised) attention: the weight of key y for query x is y^T (B x + query_bias) itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int
from typing_extensions import override

from .._linalg import Operator, times, times_from_left
from .._types import AnyArray, ArrayLike, Points, Vector
from ..measures.gaussian import Gaussian, Moments
from .kernel import weighted_mean
from .layer import AbstractAttention, AffineMap
from .parameters import Parameter, bilinear_logits, common_dim, optional_vector, split_values, square_parameter


class LinearAttention(AbstractAttention):
    """One head of linear attention: the velocity at x is the mean over y of (y^T (B x + query_bias)) V y + value_bias.

    It is affine under every measure: x -> V M (B x + query_bias) + value_bias with the second moment M = E y y^T, so
    tokens and the Gaussian of the same moments have the same velocity. Finite-time blow-up is generic, for tokens too.

    `B`, `V`: (d, d), a scalar or a `LowRank`; `query_bias`, `value_bias`: (d,) or None.

    Raises BadInput when the shapes disagree or a number is not finite.

    Source: :cite:castin2025, unnormalised attention.
    """

    B: Operator
    V: Operator
    query_bias: Vector | None
    value_bias: Vector | None

    def __init__(
        self,
        B: Parameter,
        V: Parameter,
        *,
        query_bias: ArrayLike | None = None,
        value_bias: ArrayLike | None = None,
    ) -> None:
        self.B, self.V = square_parameter("B", B), square_parameter("V", V)
        self.query_bias = optional_vector("query_bias", query_bias)
        self.value_bias = optional_vector("value_bias", value_bias)
        common_dim(B=self.B, V=self.V, query_bias=self.query_bias, value_bias=self.value_bias)

    @override
    def attend(
        self, points: Float[AnyArray, "m d"], tokens: Points, visible: Int[AnyArray, " m"] | None
    ) -> Float[AnyArray, "m d"]:
        queries, keys, bias = bilinear_logits(self.B, self.query_bias, points, tokens)
        values, out = split_values(self.V, tokens)
        if visible is not None:
            average: AnyArray = weighted_mean(_identity, queries, keys, values, key_bias=bias, visible=visible)
        else:
            moment = jnp.asarray(keys.T @ values)
            average = (queries @ moment if bias is None else queries @ moment + bias @ values) / keys.shape[0]
        moved = out(average)
        return moved if self.value_bias is None else moved + self.value_bias

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        return self.attend(points, tokens, None)

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        mean = measure.mean[:, None]
        bias = jnp.zeros_like(measure.mean) if self.query_bias is None else jnp.asarray(self.query_bias)
        if isinstance(measure, Moments):
            second = measure.cov + mean @ mean.T
            moved = times(self.V, jnp.concatenate([times_from_left(second, self.B), (second @ bias)[:, None]], axis=1))
            return AffineMap(moved[:, :-1], None, None, _plus(moved[:, -1], self.value_bias))
        columns = jnp.concatenate([measure.factor, mean], axis=1)
        left = times(self.V, columns)
        offset = _plus(left @ (columns.T @ bias), self.value_bias)
        return AffineMap(None, left, times_from_left(columns.T, self.B), offset)

    @property
    @override
    def dim(self) -> int | None:
        return common_dim(B=self.B, V=self.V, query_bias=self.query_bias, value_bias=self.value_bias)


def _identity(logits: jax.Array) -> jax.Array:
    return logits


def _plus(vector: AnyArray, bias: Vector | None) -> AnyArray:
    return vector if bias is None else vector + bias
