"""The two-layer feed-forward, with any hidden width."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Float
from typing_extensions import override

from .._check import parameter, require_shape
from .._types import AnyArray, ArrayLike, Points
from ..measures.gaussian import Gaussian, Moments
from ..moments.activation import Activation, require_activation
from .feedforward import form_variances
from .layer import AbstractLayer, AffineMap
from .parameters import optional_vector


class MLP(AbstractLayer):
    """The feed-forward x -> W2 s(W1 x + b1) + b2 with the `activation` s on each of the m hidden coordinates.

    `W1` (m, d), `b1` (m,) or None (zero), `W2` (d, m), `b2` (d,) or None. Not affine: `at_gaussian` gives its
    statistical linearisation G = W2 diag(E s') W1, c = E[W2 s + b2] - G mean, the moment closure of the flow.

    Raises BadInput when the shapes disagree, a number is not finite, or the activation has no Gaussian form.

    Source: this package, docs/theory/closures.md, section 1.
    """

    W1: Float[AnyArray, "m d"]
    W2: Float[AnyArray, "d m"]
    activation: Activation
    b1: Float[AnyArray, " m"] | None
    b2: Float[AnyArray, " d"] | None

    def __init__(
        self,
        W1: ArrayLike,
        W2: ArrayLike,
        activation: Activation,
        *,
        b1: ArrayLike | None = None,
        b2: ArrayLike | None = None,
    ) -> None:
        self.W1, self.W2 = parameter("W1", W1, ndim=(2,)), parameter("W2", W2, ndim=(2,))
        self.activation = require_activation(activation)
        self.b1, self.b2 = optional_vector("b1", b1), optional_vector("b2", b2)
        hidden, dim = self.W1.shape
        require_shape("W2", self.W2.shape, (dim, hidden), because="to lead back from the hidden numbers of `W1`")
        for name, bias, size in (("b1", self.b1, hidden), ("b2", self.b2, dim)):
            if bias is not None:
                require_shape(name, bias.shape, (size,), because=f"to agree with `W{name[1]}`")

    @override
    def velocity(self, points: Float[AnyArray, "m d"], tokens: Points) -> Float[AnyArray, "m d"]:
        hidden = jnp.asarray(points) @ self.W1.T
        moved = self.activation(hidden if self.b1 is None else hidden + self.b1) @ self.W2.T
        return moved if self.b2 is None else moved + self.b2

    @override
    def at_gaussian(self, measure: Gaussian | Moments) -> AffineMap:
        center = jnp.asarray(self.W1 @ measure.mean)
        center = center if self.b1 is None else center + self.b1
        expected = self.activation.expectations(center, form_variances(self.W1, measure))
        left = self.W2 * expected.slope
        value = self.W2 @ expected.mean
        value = value if self.b2 is None else value + self.b2
        return AffineMap(None, left, jnp.asarray(self.W1), value - left @ (self.W1 @ measure.mean), exact=False)

    @property
    @override
    def dim(self) -> int | None:
        return int(self.W1.shape[1])
