"""Mixtures of Gaussians: the moments of an output are those of the components, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .._check import BadInput, real_array
from .._types import ArrayLike
from ..measures.gaussian import Gaussian
from .output import OutputMoments

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

    def moments(self) -> OutputMoments:
        """Mean and covariance of the mixture itself; `cross` equals `cov`."""
        return over_mixture(_itself, self)

    def gaussian(self) -> Gaussian:
        """The Gaussian with the same mean and covariance."""
        return self.moments().gaussian()


def over_mixture(piece: Callable[[Gaussian], OutputMoments], start: Gaussian | Mixture) -> OutputMoments:
    """The moments of the output of a `piece` at `start`, from those at its components: within and between them.

    Source: this package, docs/theory/closures.md, section 6.
    """
    if isinstance(start, Gaussian):
        return piece(start)
    w, parts = start.weights, [piece(component) for component in start.components]
    outputs = np.stack([part.mean for part in parts])
    inputs = np.stack([np.asarray(component.mean, dtype=np.float64) for component in start.components])
    mean = w @ outputs
    y, x = outputs - mean, inputs - w @ inputs
    cov = sum((weight * part.cov for weight, part in zip(w, parts, strict=True)), (y.T * w) @ y)
    cross = sum((weight * part.cross for weight, part in zip(w, parts, strict=True)), (y.T * w) @ x)
    return OutputMoments(mean, np.asarray(0.5 * (cov + cov.T)), np.asarray(cross))


def _itself(gaussian: Gaussian) -> OutputMoments:
    cov = np.asarray(gaussian.cov, dtype=np.float64)
    return OutputMoments(np.asarray(gaussian.mean, dtype=np.float64), cov, cov)
