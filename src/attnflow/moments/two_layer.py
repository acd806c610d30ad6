"""Exact moments of a two-layer network at a Gaussian.

Source: this package, docs/theory/closures.md, section 3.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .._linalg import gram
from ..measures.gaussian import Gaussian
from .activated import Activated
from .activation import Activation
from .output import OutputMoments


def two_layer_moments(
    start: Gaussian,
    *,
    W1: Float[np.ndarray, "m d"],
    b1: Float[np.ndarray, " m"],
    W2: Float[np.ndarray, "p m"],
    b2: Float[np.ndarray, " p"],
    activation: Activation,
    residual: bool,
) -> OutputMoments:
    """The moments of y = W2 s(W1 x + b1) + b2, with `residual` of x + y, for x drawn from `start`; NumPy float64.

    `W1` (m, d), `b1` (m,), `W2` (p, m), `b2` (p,), `activation` s. The covariance of the m hidden numbers is never held
    as a whole: memory is O(m (d + p)).

    Source: this package, docs/theory/closures.md, section 3.
    """
    mean, factor = (np.asarray(x, dtype=np.float64) for x in (start.mean, start.factor))
    hidden = Activated(activation, W1 @ mean + b1, W1 @ factor)
    cross = (W2 @ (np.asarray(hidden.expected.slope)[:, None] * (W1 @ factor))) @ factor.T
    cov = _sandwich(W2, hidden)
    output = W2 @ hidden.expected.mean + b2
    if not residual:
        return OutputMoments(output, cov, cross)
    spread = gram(factor)
    return OutputMoments(mean + output, spread + cross + cross.T + cov, spread + cross)


def _sandwich(W2: np.ndarray, hidden: Activated) -> np.ndarray:
    """W2 Cov W2^T, strip by strip: the half above the diagonal, with half of the diagonal, and its transpose."""
    half = np.zeros((W2.shape[0], W2.shape[0]))
    for rows, values in hidden.strips():
        place = np.arange(rows.stop - rows.start)
        values[place, place] *= 0.5
        half += W2[:, rows] @ (values @ W2[:, rows.start :].T)
    return half + half.T
