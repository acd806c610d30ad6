"""Feed-forward layers: pointwise in the token, blind to the measure."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Float
from typing_extensions import override

from .._check import parameter
from .._linalg import Operator, times
from .._types import AnyArray, ArrayLike, Points, Vector
from ..measures.gaussian import Gaussian, Moments
from .layer import AbstractLayer, AffineMap
from .parameters import common_dim, square_parameter


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
