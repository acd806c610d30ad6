"""How far a flow can be from its Gaussian closure: what the closure leaves out, and how the field makes it grow.

Source: this package, docs/theory/trust.md, sections 1 and 2.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..asymptotics.statements import Statement
from ..measures.gaussian import Gaussian
from ..moments.activated import TOLERANCE
from ..moments.activation import Activation
from ..moments.relu import ReLU
from ..moments.two_layer import two_layer_moments
from .lipschitz import Hidden, LipschitzField

NODES, WEIGHTS = np.polynomial.legendre.leggauss(3)
TERMS, NARROW = 32, 0.5

_PAGE = "docs/theory/trust.md"
EXACT = Statement(
    "Gaussian flow", "every layer is affine at a Gaussian: the flow of the law is the Gaussian flow",
    "Proposition 2.1", "", _PAGE,
)  # fmt: skip
POINT = Statement(
    "One point", "a start without spread stays one point, which moves with the velocity of the Gaussian flow", "", "",
    _PAGE,
)  # fmt: skip
STABILITY = Statement(
    "Stability bound",
    "a field with a Lipschitz constant L: W_2 to the closure is at most the integral of e^{L (t - s)} times the norm "
    "of what the closure leaves out at s",
    "", "", _PAGE,
)  # fmt: skip
MEASURED = Statement("Measurement", "tokens drawn from the start were moved beside the Gaussian flow", "", "", _PAGE)


def closure_defect(field: LipschitzField, measure: Gaussian) -> float:
    """The norm, in L2 of `measure`, of what the statistical linearisation of `field` there leaves out.

    Exact for one activated part, from the moments of the activation; several parts are added, which is an upper bound.

    Source: this package, docs/theory/trust.md, section 2.
    """
    return float(sum(_left_out(part, measure) for part in field.hidden))


def _left_out(part: Hidden, measure: Gaussian) -> float:
    mean, factor = (np.asarray(x, dtype=np.float64) for x in (measure.mean, measure.factor))
    spread = part.U @ factor
    deviation = np.sqrt(np.sum(np.square(spread), axis=1))
    if part.W is None:
        return float(np.sqrt(np.sum(nonlinear_variance(part.activation, part.U @ mean + part.b, deviation))))
    zeros = np.zeros(len(part.W))
    host = Gaussian(mean, factor)
    found = two_layer_moments(
        host, W1=part.U, b1=part.b, W2=part.W, b2=zeros, activation=part.activation, residual=False
    )
    slope = np.asarray(part.activation.expectations(part.U @ mean + part.b, np.square(deviation)).slope)
    explained = np.sum(np.square((part.W * slope) @ spread))
    rounding = TOLERANCE * np.sum(np.square(np.abs(part.W) @ deviation))  # of the covariance of the hidden numbers
    return float(np.sqrt(max(np.trace(found.cov) - explained, 0.0) + rounding))


def nonlinear_variance(
    activation: Activation, mean: Float[np.ndarray, " m"], deviation: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Var s(z) - (E s'(z))^2 Var z: the part of s(z) that no affine function of z explains, s the `activation`.

    z has the `mean` and the `deviation`, which may be zero.

    Source: this package, docs/theory/trust.md, section 2.
    """
    # max(0, z) and max(0, -z) differ by z: on the side where little is rectified nothing cancels
    place = -np.abs(mean) if isinstance(activation, ReLU) else mean
    slope = np.asarray(activation.expectations(place, np.square(deviation)).slope)
    whole = np.asarray(activation.variance(place, deviation)) - np.square(slope * deviation)
    if not activation.analytic:
        return np.asarray(np.maximum(whole, 0.0))
    series = np.sum(np.square(activation.coefficients(place, deviation, TERMS)[2:]), axis=0)
    return np.asarray(np.where(deviation <= NARROW, series, np.maximum(whole, series)))


def nodes_within(edges: Float[np.ndarray, " e"]) -> Float[np.ndarray, "p k"]:
    """The times at which `grown` asks for the defect: the Gauss-Legendre nodes of each panel between the `edges`."""
    half = 0.5 * np.diff(edges)[:, None]
    return np.asarray(edges[:-1, None] + half * (1.0 + NODES))


def grown(
    edges: Float[np.ndarray, " e"],
    rates: Float[np.ndarray, "p k"],
    defects: Float[np.ndarray, "p k"],
    *,
    first: float = 0.0,
) -> Float[np.ndarray, " e"]:
    """The solution of D' = L D + defect at the `edges` of the panels, D = `first` at the first one.

    `rates` and `defects` hold L and the defect at the `nodes_within` the panels; L is taken constant on each panel, its
    largest value there.

    Source: this package, docs/theory/trust.md, section 1.
    """
    found = [first]
    lengths = np.diff(edges)
    for length, rate, defect in zip(lengths, rates.max(axis=1), defects, strict=True):
        left = 0.5 * length * (1.0 - NODES)
        found.append(found[-1] * np.exp(rate * length) + 0.5 * length * float(WEIGHTS @ (np.exp(rate * left) * defect)))
    return np.array(found)
