"""Mean and covariance of a cloud of tokens, in the principal axes of the cloud."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Spread:
    """The moments of n tokens: `mean` (d,), and of the covariance (divided by n) the `values` (r,) and `axes` (d, r).

    The values fall; r is the numerical rank, at most min(d, n - 1). `spectrum` (d,) holds all eigenvalues, with zeros
    where there are fewer than d. All in float64.
    """

    mean: Float[np.ndarray, " d"]
    values: Float[np.ndarray, " r"]
    axes: Float[np.ndarray, "d r"]
    spectrum: Float[np.ndarray, " d"]

    @property
    def rank(self) -> int:
        """r."""
        return int(self.values.size)

    @property
    def trace(self) -> float:
        """The trace of the covariance."""
        return float(self.spectrum.sum())

    @property
    def factor(self) -> Float[np.ndarray, "d r"]:
        """L with covariance L L^T."""
        return np.asarray(self.axes * np.sqrt(self.values))


def spread_of(tokens: Float[np.ndarray, "n d"]) -> Spread:
    """The moments of `tokens` (n, d), summed in float64.

    One eigenproblem of size min(n, d). A direction counts unless its variance is below d eps of the largest, or below
    what rounding of the tokens in their own precision makes, as in `attnflow.measures.normality`.

    Source: this package, docs/theory/diagnose.md, section 1.
    """
    n, d = tokens.shape
    mean = tokens.mean(axis=0, dtype=np.float64)
    centred = tokens - mean
    small = n <= d
    values, vectors = np.linalg.eigh((centred @ centred.T if small else centred.T @ centred) / n)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    rounding = d * np.square(np.finfo(tokens.dtype).eps * np.abs(tokens).max(initial=0.0))
    count = int(np.sum(values > max(d * np.finfo(np.float64).eps * values.max(initial=0.0), rounding)))
    count = min(count, n - 1)
    axes = vectors[:, :count]
    if small:
        axes = centred.T @ axes / np.sqrt(n * values[:count])
    return Spread(mean, values[:count], axes, np.concatenate([values, np.zeros(d - values.size)]))
