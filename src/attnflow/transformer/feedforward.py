"""Feed-forward layers: pointwise in the token, blind to the measure."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Float
from typing_extensions import override

from .._check import parameter
from .._linalg import LowRank, Operator, times
from .._types import AnyArray, ArrayLike, Points, Vector
from ..measures.gaussian import Gaussian, Moments
from ..moments.activation import Activation, require_activation
from .layer import AbstractLayer, AffineMap
from .parameters import Parameter, common_dim, square_parameter


class Affine(AbstractLayer):
    """The affine feed-forward x -> A x + b; it keeps a Gaussian Gaussian.

    `A`: (d, d) or a scalar (that multiple of the identity, kept as a scalar); `b`: (d,) or None (zero).

    Raises BadInput when the shapes disagree or a number is not finite.

    Source: :cite:alcalde2026, Prop. 2.1.
    """

    A: Operator
    b: Vector | None

    def __init__(self, A: ArrayLike, b: ArrayLike | None = None) -> None:
        self.A = square_parameter("A", A)
        self.b = None if b is None else parameter("b", b, ndim=(1,))
        common_dim(A=self.A, b=self.b)

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        moved = times(self.A, jnp.asarray(points).T).T
        return moved if self.b is None else moved + self.b

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        offset = jnp.zeros_like(measure.mean) if self.b is None else jnp.asarray(self.b)
        return AffineMap(self.A, None, None, offset)

    @property
    @override
    def dim(self) -> int | None:
        return common_dim(A=self.A, b=self.b)


class FeedForward(AbstractLayer):
    """The nonlinear feed-forward x -> s(A x + b) with the `activation` s on each coordinate.

    On tokens it is exact. It is not affine: `at_gaussian` gives its statistical linearisation G = diag(E s') A,
    c = E[s] - G mean, so that the flow of a Gaussian is the Gaussian moment closure, and the result says so. Under it
    mean and covariance have the exact rates of the Gaussian at hand; the law itself does not stay Gaussian.

    `A`: (d, d), a scalar (that multiple of the identity) or a `LowRank`; `b`: (d,) or None (zero); `activation`:
    ReLU(), GELU(), TanhGELU(), Tanh(), SiLU() or Erf().

    Raises BadInput when the shapes disagree, a number is not finite, or the activation has no Gaussian form.

    Source: :cite:alcalde2026, eq. (2.3); this package, docs/theory/closures.md, section 1.
    """

    A: Operator
    b: Vector | None
    activation: Activation

    def __init__(self, A: Parameter, b: ArrayLike | None = None, *, activation: Activation) -> None:
        self.A = square_parameter("A", A)
        self.b = None if b is None else parameter("b", b, ndim=(1,))
        self.activation = require_activation(activation)
        common_dim(A=self.A, b=self.b)

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        moved = times(self.A, jnp.asarray(points).T).T
        return self.activation(moved if self.b is None else moved + self.b)

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        center = jnp.asarray(times(self.A, measure.mean))
        inner = center if self.b is None else center + self.b
        expected = self.activation.expectations(inner, form_variances(self.A, measure))
        slope = jnp.asarray(expected.slope)
        return AffineMap(_rows_scaled(slope, self.A), None, None, expected.mean - slope * center, exact=False)

    @property
    @override
    def dim(self) -> int | None:
        return common_dim(A=self.A, b=self.b)


def form_variances(forms: Operator, measure: Gaussian | Moments) -> Float[AnyArray, " m"]:
    """The variances under `measure` of the linear forms that are the rows of `forms` (m, d)."""
    if isinstance(measure, Gaussian):
        return jnp.sum(jnp.square(times(forms, measure.factor)), axis=1)
    if isinstance(forms, LowRank):
        return jnp.sum((forms.left @ (forms.right @ measure.cov @ forms.right.T)) * forms.left, axis=1)
    if forms.ndim == 0:
        return jnp.asarray(jnp.square(forms) * jnp.diagonal(measure.cov))
    return jnp.maximum(jnp.sum((forms @ measure.cov) * forms, axis=1), 0.0)


def _rows_scaled(scales: AnyArray, operator: Operator) -> Operator:
    """diag(scales) @ operator."""
    if isinstance(operator, LowRank):
        return LowRank(scales[:, None] * operator.left, jnp.asarray(operator.right))
    if operator.ndim == 0:
        return jnp.diag(jnp.asarray(scales * operator))
    return jnp.asarray(scales[:, None] * operator)
