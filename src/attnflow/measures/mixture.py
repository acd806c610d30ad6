"""`Mixture`: a sum of Gaussians with weights."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .._check import BadInput, real_array
from .._linalg import semidefinite_factor
from .._types import ArrayLike
from .gaussian import Gaussian

ROUNDING = 1e-9


class Mixture(eqx.Module):
    """The measure sum of w_k N(mean_k, cov_k), possibly with singular components.

    `weights` (k,), positive and with the sum 1; `components`: one `Gaussian` for each, all of the same dimension.

    Raises BadInput when a rule is broken.

    Source: this package, docs/theory/closures.md, section 6.
    """

    weights: Float[np.ndarray, " k"]
    components: tuple[Gaussian, ...]

    def __init__(self, weights: ArrayLike, components: Sequence[Gaussian]) -> None:
        self.weights, self.components = real_array("weights", weights, ndim=(1,)), tuple(components)
        for i, part in enumerate(self.components):
            if not isinstance(part, Gaussian):
                raise BadInput(
                    f"`components[{i}]` must be a Gaussian: {type(part).__name__} was found; make one with "
                    "Gaussian.from_moments."
                )
        if not self.components or self.weights.size != len(self.components):
            raise BadInput(
                f"`weights` must hold one number for each component, at least one: {self.weights.size} weights and "
                f"{len(self.components)} components were found."
            )
        if self.weights.min() <= 0 or abs(self.weights.sum() - 1) > ROUNDING:
            raise BadInput(
                f"`weights` must be positive with the sum 1: the smallest is {self.weights.min():g} and the sum "
                f"{self.weights.sum():.12g}; divide by the sum and drop what is zero."
            )
        dims = sorted({part.dim for part in self.components})
        if len(dims) > 1:
            raise BadInput(f"all `components` must share one dimension d: {dims} were found.")

    @property
    def dim(self) -> int:
        """d."""
        return self.components[0].dim

    @property
    def mean(self) -> Float[np.ndarray, " d"]:
        """The mean of the mixture (d,)."""
        return np.asarray(self.weights @ np.stack([np.asarray(part.mean, np.float64) for part in self.components]))

    @property
    def cov(self) -> Float[np.ndarray, "d d"]:
        """The covariance of the mixture (d, d): within and between the components."""
        apart = np.stack([np.asarray(part.mean, np.float64) for part in self.components]) - self.mean
        within = np.tensordot(self.weights, np.stack([np.asarray(p.cov, np.float64) for p in self.components]), 1)
        total = within + (apart.T * self.weights) @ apart
        return np.asarray(0.5 * (total + total.T))

    def gaussian(self) -> Gaussian:
        """The Gaussian with the same mean and covariance."""
        return Gaussian(self.mean, semidefinite_factor(self.cov)[0])
