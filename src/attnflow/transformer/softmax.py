"""Softmax attention: the weight of key y for query x is exp(y^T (B x + query_bias))."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Float, Int
from typing_extensions import override

from .._check import parameter, require_shape
from .._linalg import LowRank, Operator, times, times_from_left
from .._types import AnyArray, ArrayLike, Points, Vector
from ..measures.gaussian import Gaussian, Moments
from .kernel import softmax_average
from .layer import AbstractAttention, AffineMap
from .parameters import (
    Parameter,
    bilinear_logits,
    common_dim,
    covariance_times,
    optional_vector,
    split_values,
    square_parameter,
)


class SoftmaxAttention(AbstractAttention):
    """One head of softmax attention.

    On tokens y_1..y_n its velocity is sum_j w_j V y_j + value_bias with w_j proportional to
    exp(y_j^T (B x + query_bias)). At N(mean, cov) it is exactly
    x -> V (mean + cov (B x + query_bias)) + value_bias.

    `B`, `V`: (d, d), a scalar of any sign (that multiple of the identity, kept as a scalar) or a `LowRank`;
    `query_bias`, `value_bias`: (d,) or None.

    Raises BadInput when the shapes disagree or a number is not finite.

    Source: :cite:alcalde2026, eq. (2.4) and (2.5).
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
        self.B = square_parameter("B", B)
        self.V = square_parameter("V", V)
        self.query_bias = optional_vector("query_bias", query_bias)
        self.value_bias = optional_vector("value_bias", value_bias)
        common_dim(B=self.B, V=self.V, query_bias=self.query_bias, value_bias=self.value_bias)

    @staticmethod
    def from_qk(
        Q: ArrayLike,
        K: ArrayLike,
        V: Parameter,
        *,
        scale: float | None = None,
        query_bias: ArrayLike | None = None,
        value_bias: ArrayLike | None = None,
    ) -> SoftmaxAttention:
        """The head with logits scale * (Q x + query_bias)^T (K y): B = scale K^T Q, kept as its factors of rank k.

        `Q`, `K`: (k, d); `query_bias`: (k,), the bias of the query projection; a key bias cancels in the softmax
        and is not a parameter. `scale` is 1/sqrt(k) unless given. `V` and `value_bias` as in the class.

        Raises BadInput when the shapes disagree or a number is not finite.
        """
        query, key = parameter("Q", Q, ndim=(2,)), parameter("K", K, ndim=(2,))
        require_shape("K", key.shape, query.shape, because="to agree with `Q`")
        factor = 1.0 / math.sqrt(query.shape[0]) if scale is None else scale
        parameter("scale", factor, ndim=(0,))
        bias = None
        if query_bias is not None:
            projected = parameter("query_bias", query_bias, ndim=(1,))
            require_shape("query_bias", projected.shape, (query.shape[0],), because="to agree with `Q`")
            bias = factor * (key.T @ projected)
        return SoftmaxAttention(LowRank(factor * key.T, query), V, query_bias=bias, value_bias=value_bias)

    @override
    def attend(
        self, points: Float[AnyArray, "m d"], tokens: Points, visible: Int[AnyArray, " m"] | None
    ) -> Float[AnyArray, "m d"]:
        queries, keys, bias = bilinear_logits(self.B, self.query_bias, points, tokens)
        values, out = split_values(self.V, tokens)
        average, _ = softmax_average(queries, keys, values, key_bias=bias, visible=visible)
        moved = out(average)
        return moved if self.value_bias is None else moved + self.value_bias

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        return self.attend(points, tokens, None)

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        center = measure.mean
        if self.query_bias is not None:
            center = center + covariance_times(measure, self.query_bias)
        tilted = measure.factor if isinstance(measure, Gaussian) else times_from_left(measure.cov, self.B)
        moved = times(self.V, jnp.concatenate([tilted, center[:, None]], axis=1))
        offset = moved[:, -1] if self.value_bias is None else moved[:, -1] + self.value_bias
        if isinstance(measure, Moments):
            return AffineMap(moved[:, :-1], None, None, offset)
        return AffineMap(None, moved[:, :-1], times_from_left(measure.factor.T, self.B), offset)

    @property
    @override
    def dim(self) -> int | None:
        return common_dim(B=self.B, V=self.V, query_bias=self.query_bias, value_bias=self.value_bias)
