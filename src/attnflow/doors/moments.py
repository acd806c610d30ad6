"""`attnflow.moments`: exact moments of pieces of a network at a Gaussian or a mixture, from checked input."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import BadInput, positive, real_array, require_shape
from .._types import ArrayLike
from ..measures.gaussian import Gaussian
from ..measures.mixture import Mixture
from ..moments.activation import Activation, require_activation
from ..moments.mixture import over_mixture
from ..moments.norm import layer_norm_moments, rms_norm_moments
from ..moments.output import OutputMoments
from ..moments.two_layer import two_layer_moments

__all__ = ["Mixture", "OutputMoments", "layer_norm", "mlp", "rms_norm"]


def mlp(
    start: Gaussian | Mixture,
    *,
    W1: ArrayLike,
    W2: ArrayLike,
    activation: Activation,
    b1: ArrayLike | None = None,
    b2: ArrayLike | None = None,
    residual: bool = False,
) -> OutputMoments:
    """Mean and covariance of y = W2 s(W1 x + b1) + b2, and Cov(y, x), for x drawn from `start`.

    With `residual` y is x + W2 s(W1 x + b1) + b2. `W1` (m, d), `W2` (p, m), `b1` (m,) and `b2` (p,) or None (zero);
    `activation` s: ReLU(), GELU(), TanhGELU(), Tanh(), SiLU() or Erf(). Each covariance of two hidden numbers is exact
    up to 1e-10 of their standard deviations; a term of the series costs O(m^2). The output is not Gaussian: its first
    two moments are exact, and for a Gaussian (mixture) input only. Returns float64 NumPy.

    Raises BadInput when the shapes disagree, a number is not finite, or the activation has no Gaussian form.

    Source: this package, docs/theory/closures.md, section 3.
    """
    dim = _dim(start)
    first, second = real_array("W1", W1, ndim=(2,)), real_array("W2", W2, ndim=(2,))
    hidden = first.shape[0]
    require_shape("W1", first.shape, (hidden, dim), because="to agree with `start`")
    require_shape("W2", second.shape, (second.shape[0], hidden), because="to agree with `W1`")
    if residual:
        require_shape("W2", second.shape, (dim, hidden), because="to add its output to the input (`residual`)")
    biases = _vector("b1", b1, hidden, 0.0, "W1"), _vector("b2", b2, second.shape[0], 0.0, "W2")
    chosen = require_activation(activation)

    def piece(gaussian: Gaussian) -> OutputMoments:
        return two_layer_moments(
            gaussian, W1=first, b1=biases[0], W2=second, b2=biases[1], activation=chosen, residual=bool(residual)
        )

    return over_mixture(piece, start)


def layer_norm(
    start: Gaussian | Mixture, *, gamma: ArrayLike | None = None, beta: ArrayLike | None = None, eps: float = 1e-5
) -> OutputMoments:
    """Mean and covariance of the LayerNorm y of x, and Cov(y, x), for x drawn from `start`.

    y = `gamma` (x - average) / sqrt(variance + `eps`) + `beta`, average and variance over the d coordinates of x.
    `gamma` (d,) or None (ones), `beta` (d,) or None (zeros); `eps` >= 0. Exact up to rounding, by a one-dimensional
    quadrature. Returns float64 NumPy.

    Raises BadInput when the shapes disagree, a number is not finite, or x has no direction to normalise.

    Source: this package, docs/theory/closures.md, section 5.
    """
    g, b, small = _affine(start, gamma, beta, eps)
    for part in _parts(start):
        mean, factor = np.asarray(part.mean), np.asarray(part.factor)
        _require_length(small, mean - mean.mean(), factor - factor.mean(axis=0))
    return over_mixture(lambda x: layer_norm_moments(x, gamma=g, beta=b, eps=small), start)


def rms_norm(
    start: Gaussian | Mixture, *, gamma: ArrayLike | None = None, beta: ArrayLike | None = None, eps: float = 1e-5
) -> OutputMoments:
    """Mean and covariance of the RMSNorm y of x, and Cov(y, x), for x drawn from `start`.

    y = `gamma` x / sqrt(|x|^2 / d + `eps`) + `beta`. `gamma` (d,) or None (ones), `beta` (d,) or None (zeros);
    `eps` >= 0. Exact up to rounding, by a one-dimensional quadrature. Returns float64 NumPy.

    Raises BadInput when the shapes disagree, a number is not finite, or x is zero and `eps` is, too.

    Source: this package, docs/theory/closures.md, section 5.
    """
    g, b, small = _affine(start, gamma, beta, eps)
    for part in _parts(start):
        _require_length(small, np.asarray(part.mean), np.asarray(part.factor))
    return over_mixture(lambda x: rms_norm_moments(x, gamma=g, beta=b, eps=small), start)


def _dim(start: Any) -> int:
    if not isinstance(start, Gaussian | Mixture):
        raise BadInput(
            f"`start` must be a Gaussian or a Mixture of them: {type(start).__name__} was found; make one with "
            "Gaussian.from_moments, .from_factor or .from_tokens."
        )
    return start.dim


def _parts(start: Gaussian | Mixture) -> tuple[Gaussian, ...]:
    return start.components if isinstance(start, Mixture) else (start,)


def _vector(name: str, value: ArrayLike | None, size: int, missing: float, other: str) -> np.ndarray:
    if value is None:
        return np.full(size, missing)
    vector = real_array(name, value, ndim=(1,))
    require_shape(name, vector.shape, (size,), because=f"to agree with `{other}`")
    return vector


def _affine(
    start: Gaussian | Mixture, gamma: ArrayLike | None, beta: ArrayLike | None, eps: float
) -> tuple[np.ndarray, np.ndarray, float]:
    dim = _dim(start)
    g, b = _vector("gamma", gamma, dim, 1.0, "start"), _vector("beta", beta, dim, 0.0, "start")
    return g, b, positive("eps", eps, zero=True)


def _require_length(eps: float, mean: np.ndarray, factor: np.ndarray) -> None:
    if eps == 0 and not mean.any() and not factor.any():
        raise BadInput("`eps` must be positive where the input has length zero: 0 was found; give for example 1e-5.")
