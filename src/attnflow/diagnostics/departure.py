"""How far an activation s is from the identity under a Gaussian: the constant of Proposition 2.3 and its relatives.

For z = A x + b, x ~ N(mean, cov), it is the norm of s(z) - z in L2. It is the speed at which the Transformer with s and
the one with the identity drift apart when they start together.

Source: :cite:alcalde2026, Prop. 2.3; this package, docs/theory/departure.md, section 1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .._linalg import Operator, dense, times
from .._types import AnyArray, Matrix, Scalar, Vector
from ..measures.gaussian import Gaussian
from ..moments.activation import Activation, density, namespace
from ..moments.relu import SHARP, ReLU

LEVELS, FRACTION_FROM = 40, 3.5
"""Levels of the continued fraction, and the height in deviations from which on it is used: exact to rounding there."""
REACH = 38
"""Half the width of the panels in standard deviations: the density underflows beyond."""
EDGES = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0])
"""Edges of panels around the origin, where activations bend: the wider, the farther away."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
ROWS = 256


def departure_constant(activation: Activation, A: Operator, b: Vector | None, start: Gaussian) -> Scalar:
    """The norm of s(A x + b) - (A x + b) in L2(`start`), s the `activation`.

    `A` (d, d), a scalar or a `LowRank`; `b` (d,) or None. In closed form for ReLU, else by a converged quadrature; the
    covariance may be singular. NumPy in, NumPy out; with JAX arrays jit and vmap pass through it.

    Source: :cite:alcalde2026, Prop. 2.3; this package, docs/theory/departure.md, section 1.
    """
    mean, var = preactivation(A, b, start)
    xp, _ = namespace(mean, var)
    found: Scalar = xp.sqrt(xp.sum(defect_squares(activation, mean, var)))
    return found


def preactivation(A: Operator, b: Vector | None, start: Gaussian) -> tuple[Vector, Vector]:
    """The means (d,) and variances (d,) of `A` x + `b`, x ~ `start`."""
    xp, _ = namespace(start.mean, start.factor)
    mean = times(A, start.mean)
    var = xp.sum(xp.square(times(A, start.factor)), axis=1)
    return (mean if b is None else mean + b), var


def defect_squares(activation: Activation, mean: AnyArray, var: AnyArray) -> AnyArray:
    """E (s(z) - z)^2 of z ~ N(`mean`, `var`), entry by entry, s the `activation`; `var` may be zero.

    Source: this package, docs/theory/departure.md, section 1.
    """
    if isinstance(activation, ReLU):
        return _relu_squares(mean, var)
    xp, _ = namespace(mean, var)
    if xp is not np or mean.size <= ROWS:
        return _by_panels(activation, mean, var)
    parts = [slice(i, i + ROWS) for i in range(0, mean.size, ROWS)]
    return np.concatenate([np.asarray(_by_panels(activation, mean[part], var[part])) for part in parts])


def _relu_squares(mean: AnyArray, var: AnyArray) -> AnyArray:
    """E max(0, -z)^2 = var ((1 + h^2) Phi(-h) - h phi(h)) with h = mean / deviation.

    For large h the two terms nearly cancel. They are 2 Phi(-h) r_1 r_2 with r_n = 1 / (h + (n + 1) r_{n+1}), the
    ratios of the iterated integrals of phi; all terms are positive.
    """
    xp, special = namespace(mean, var)
    sharp = xp.square(mean) >= SHARP * var
    deviation = xp.sqrt(xp.where(sharp, 1.0, var))
    h = xp.where(sharp, 0.0, mean) / deviation
    tail = special.ndtr(-h)
    high = xp.maximum(h, FRACTION_FROM)
    before = ratio = xp.zeros_like(h)
    for n in range(LEVELS, 0, -1):
        before, ratio = ratio, 1.0 / (high + (n + 1) * ratio)
    far = 2.0 * tail * ratio * before
    near = (1.0 + xp.square(h)) * tail - h * density(h)
    below = xp.where(mean < 0, xp.square(mean) + var, 0.0)
    found: AnyArray = xp.where(sharp, below, xp.square(deviation) * xp.where(h > FRACTION_FROM, far, near))
    return found


def _by_panels(activation: Activation, mean: AnyArray, var: AnyArray) -> AnyArray:
    """Sixteen Gauss-Legendre nodes a panel, one deviation wide or finer: near the origin, as fine as `EDGES`."""
    xp, _ = namespace(mean, var)
    spread = var > 0
    deviation = xp.where(spread, xp.sqrt(xp.where(spread, var, 1.0)), 0.0)[..., None]
    scale = xp.where(spread[..., None], deviation, 1.0)
    bends = xp.asarray(np.concatenate([-EDGES[:0:-1], EDGES]))
    whole = xp.asarray(np.arange(-REACH, REACH + 1.0)) + xp.zeros_like(deviation)
    inner = xp.clip((bends - mean[..., None]) / scale, -REACH, REACH)
    edges = xp.sort(xp.concatenate([whole, inner], axis=-1), axis=-1)
    half = 0.5 * (edges[..., 1:] - edges[..., :-1])
    middle = 0.5 * (edges[..., 1:] + edges[..., :-1])
    x = middle[..., None] + half[..., None] * NODES
    z = mean[..., None, None] + deviation[..., None] * x
    found: AnyArray = xp.sum(half[..., None] * WEIGHTS * density(x) * xp.square(activation(z) - z), axis=(-2, -1))
    return found


def defect_matrix(A: Operator, dim: int) -> Matrix:
    """`A` as a dense (d, d) matrix of dimension `dim`, in float64 on the host."""
    return np.asarray(dense(A, dim), dtype=np.float64)


def as_vector(b: Vector | None, dim: int) -> Float[np.ndarray, " d"]:
    """`b` (d,) or zeros of dimension `dim`, in float64 on the host."""
    return np.zeros(dim) if b is None else np.asarray(b, dtype=np.float64)
