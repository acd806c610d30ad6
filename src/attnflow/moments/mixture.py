"""The moments of an output at a mixture: those at its components, put together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..measures.gaussian import Gaussian
from ..measures.mixture import Mixture
from .output import OutputMoments


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
