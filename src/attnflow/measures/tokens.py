"""An empirical measure: n tokens, each with the same weight."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from .._check import BadInput, parameter
from .._types import AnyArray, ArrayLike
from .gaussian import Gaussian


class Tokens(eqx.Module):
    """The uniform measure on n tokens `points` (n, d).

    Raises BadInput when there is no token, the array has not two axes, or a number is not finite.
    """

    points: Float[AnyArray, "n d"]

    def __init__(self, points: ArrayLike) -> None:
        self.points = parameter("points", points, ndim=(2,))
        if self.points.shape[0] == 0:
            raise BadInput("`points` must hold at least one token: shape (0, d) was found; give an (n, d) array.")

    @staticmethod
    def sample(gaussian: Gaussian, n: int, *, seed: int) -> Tokens:
        """`n` independent tokens drawn from `gaussian` with the random `seed`, in float64.

        Raises BadInput when `n` is not positive.
        """
        if n < 1:
            raise BadInput(f"`n` must be positive: {n} tokens were asked for.")
        with jax.enable_x64(True):
            return Tokens(np.asarray(gaussian.sample(n, key=jax.random.key(seed))))

    @property
    def dim(self) -> int:
        """d."""
        return int(self.points.shape[1])

    @property
    def size(self) -> int:
        """n, the number of tokens."""
        return int(self.points.shape[0])

    @property
    def mean(self) -> Float[AnyArray, " d"]:
        """The mean of the tokens."""
        return self.points.mean(axis=0)

    @property
    def cov(self) -> Float[AnyArray, "d d"]:
        """The covariance of the tokens; it divides by n."""
        return token_covariance(self.points)


def token_covariance(points: Float[AnyArray, "*t n d"]) -> Float[AnyArray, "*t d d"]:
    """The covariances (..., d, d) of stacks of tokens (..., n, d); they divide by n."""
    centred = points - points.mean(axis=-2, keepdims=True)
    return np.swapaxes(centred, -1, -2) @ centred / points.shape[-2]
