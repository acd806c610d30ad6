"""Sigmoid attention: the weight of key y for query x is 1 / (1 + exp(-y^T (B x + query_bias) - bias))."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from typing_extensions import override

from .._check import parameter
from .._linalg import Operator, times, times_from_left
from .._types import AnyArray, ArrayLike, Points, Scalar, Vector
from ..measures.gaussian import Gaussian, Moments
from .kernel import weighted_mean
from .layer import AbstractAttention, AffineMap
from .parameters import Parameter, bilinear_logits, common_dim, optional_vector, split_values, square_parameter

NODES = 192
"""Nodes of the quadrature over frequencies; their logarithms are evenly spaced near 1, exponential at both ends."""


class SigmoidAttention(AbstractAttention):
    """One head of sigmoid attention: the velocity at x is the mean over y of sigmoid(logit) V y + value_bias.

    The logit is y^T (B x + query_bias) + bias. The velocity at a Gaussian is not affine: `at_gaussian` gives its
    statistical linearisation G = E[grad Gamma], c = E[Gamma] - G mean, which is the moment closure of the flow. Both
    expectations are one-dimensional integrals over the characteristic function of the logit (docs/theory/kinds.md).

    `B`, `V`: (d, d), a scalar or a `LowRank`; `bias`: a number; `query_bias`, `value_bias`: (d,) or None.

    Raises BadInput when the shapes disagree or a number is not finite.

    Source: this package, docs/theory/kinds.md.
    """

    B: Operator
    V: Operator
    bias: Scalar
    query_bias: Vector | None
    value_bias: Vector | None

    def __init__(
        self,
        B: Parameter,
        V: Parameter,
        bias: float | AnyArray = 0.0,
        *,
        query_bias: ArrayLike | None = None,
        value_bias: ArrayLike | None = None,
    ) -> None:
        self.B, self.V = square_parameter("B", B), square_parameter("V", V)
        self.bias = parameter("bias", bias, ndim=(0,))
        self.query_bias = optional_vector("query_bias", query_bias)
        self.value_bias = optional_vector("value_bias", value_bias)
        common_dim(B=self.B, V=self.V, query_bias=self.query_bias, value_bias=self.value_bias)

    @override
    def attend(
        self, points: Float[AnyArray, "m d"], tokens: Points, visible: Int[AnyArray, " m"] | None
    ) -> Float[AnyArray, "m d"]:
        queries, keys, extra = bilinear_logits(self.B, self.query_bias, points, tokens)
        values, out = split_values(self.V, tokens)
        bias = jnp.broadcast_to(jnp.asarray(self.bias, keys.dtype), keys.shape[:1])
        bias = bias if extra is None else bias + extra
        average = weighted_mean(jax.nn.sigmoid, queries, keys, values, key_bias=bias, visible=visible)
        moved = out(average)
        return moved if self.value_bias is None else moved + self.value_bias

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        return self.attend(points, tokens, None)

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        factor = measure.factor if isinstance(measure, Gaussian) else jnp.linalg.cholesky(measure.cov)
        tilted = times(self.B, measure.mean)
        tilted = tilted if self.query_bias is None else tilted + self.query_bias
        columns = jnp.concatenate([measure.mean[:, None], factor], axis=1)
        first, second = _averages(
            C=times_from_left(factor.T, self.B) @ factor,
            p=factor.T @ tilted,
            q=factor.T @ times_from_left(measure.mean, self.B),
            u0=measure.mean @ tilted + self.bias,
        )
        left = times(self.V, columns)
        right = second @ times_from_left(columns.T, self.B)
        value = left @ first if self.value_bias is None else left @ first + self.value_bias
        return AffineMap(None, left, right, value - left @ (right @ measure.mean), exact=False)

    @property
    @override
    def dim(self) -> int | None:
        return common_dim(B=self.B, V=self.V, query_bias=self.query_bias, value_bias=self.value_bias)


def _averages(
    C: Float[AnyArray, "r r"], p: Float[AnyArray, " r"], q: Float[AnyArray, " r"], u0: Scalar
) -> tuple[Float[jax.Array, " s"], Float[jax.Array, "s s"]]:
    """E[s(u) y~] and E[s'(u) y~ y~^T] for y~ = (1, z'), s = r + 1, and the logit u = u0 + p.z' + q.z + z'^T C z.

    z and z' are independent standard normal vectors (r,): z of the query, z' of the key. With M = I + w^2 C C^T and
    h = i w p - w^2 C q, the law of z' tilted by exp(i w u) has total mass
    phi = det(M)^{-1/2} exp(-w^2 |q|^2 / 2 + h^T M^{-1} h / 2 + i w u0), mean M^{-1} h and covariance M^{-1}; and
    s(u) = 1/2 + int sin(w u) / sinh(pi w) dw over w > 0.

    Source: this package, docs/theory/kinds.md.
    """
    dtype = jnp.result_type(C, p, q)
    C, p, q, u0, frequencies, weights = (jnp.asarray(x, dtype) for x in (C, p, q, u0, *_frequency_rule()))

    def at(w: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        chol = jnp.linalg.cholesky(jnp.eye(C.shape[0], dtype=C.dtype) + jnp.square(w) * (C @ C.T))
        inverse = jax.scipy.linalg.cho_solve((chol, True), jnp.eye(C.shape[0], dtype=C.dtype))
        real, imag = -jnp.square(w) * (C @ q), w * p
        m_real, m_imag = inverse @ real, inverse @ imag
        half_log_det = jnp.sum(jnp.log(jnp.diagonal(chol)))
        exponent = 0.5 * (real @ m_real - imag @ m_imag - jnp.square(w) * (q @ q)) - half_log_det
        phase = real @ m_imag + w * u0
        size = jnp.exp(exponent)
        cos, sin = size * jnp.cos(phase), size * jnp.sin(phase)
        first = jnp.concatenate([sin[None], sin * m_real + cos * m_imag])
        cross = cos * m_real - sin * m_imag
        square = cos * (jnp.outer(m_real, m_real) - jnp.outer(m_imag, m_imag) + inverse)
        square = square - sin * (jnp.outer(m_real, m_imag) + jnp.outer(m_imag, m_real))
        second = jnp.block([[cos[None, None], cross[None, :]], [cross[:, None], square]])
        return first, second, w

    def add(sums: tuple[jax.Array, jax.Array], node: tuple[jax.Array, jax.Array]):  # type: ignore[no-untyped-def]
        first, second, w = at(node[0])
        weight = node[1] / jnp.sinh(jnp.pi * w)
        return (sums[0] + weight * first, sums[1] + weight * w * second), None

    s = C.shape[0] + 1
    start = (jnp.zeros(s, C.dtype).at[0].set(0.5), jnp.zeros((s, s), C.dtype))
    (first, second), _ = jax.lax.scan(add, start, (frequencies, weights))
    return first, second


def _frequency_rule(nodes: int = NODES) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on (0, inf) for integrands that are smooth at 0 and decay exponentially.

    The trapezoidal rule in s with w = exp(s - exp(-s)): it resolves all scales from 1e-8 to 12 and converges
    exponentially.
    """
    s = np.linspace(-3.2, 2.6, nodes)
    w = np.exp(s - np.exp(-s))
    return w, (s[1] - s[0]) * w * (1 + np.exp(-s))
