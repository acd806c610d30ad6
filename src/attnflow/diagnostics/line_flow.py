"""The flow of a whole measure on the line: exact distances, without sampling.

On the line trajectories never cross, so the flow map is increasing and W_2 of two flows from one start is the L2
distance of their maps. The start is a Gauss-Legendre rule of its density on panels, finer around the place where the
activation bends.

Source: this package, docs/theory/departure.md, section 4.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.integrate import solve_ivp

from .._linalg import Operator, dense
from .._types import Vector
from ..measures.gaussian import Gaussian
from ..moments.activation import Activation, density
from ..transformer.softmax import SoftmaxAttention

REACH, PANEL = 9.5, 0.5
NEAR = np.array([0.01, 0.03, 0.1, 0.25])
NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)


@dataclasses.dataclass(frozen=True)
class LineFlow:
    """`standard` (q,): the nodes in deviations of the start, `weights` (q,), and where they are: `places` (t, q)."""

    standard: Float[np.ndarray, " q"]
    weights: Float[np.ndarray, " q"]
    places: Float[np.ndarray, "t q"]


def line_flow(
    activation: Activation,
    A: Operator,
    b: Vector | None,
    heads: tuple[SoftmaxAttention, ...],
    start: Gaussian,
    ts: Float[np.ndarray, " t"],
    *,
    rtol: float,
) -> LineFlow:
    """The flow of `start` (d = 1) at the times `ts` under s(A x + b) and softmax `heads`, s the `activation`.

    `A` a scalar or (1, 1), `b` (1,) or None; `rtol` is the tolerance of SciPy's DOP853.

    Source: :cite:alcalde2026, eq. (2.2); this package, docs/theory/departure.md, section 4.
    """
    mean, deviation = float(np.asarray(start.mean)[0]), float(np.linalg.norm(np.asarray(start.factor)))
    slope, offset = _number(A), 0.0 if b is None else float(np.asarray(b)[0])
    bend = -(offset + slope * mean) / (slope * deviation) if slope * deviation else 0.0
    standard, weights = _rule(bend)
    numbers = [_head(head) for head in heads]

    def velocity(_: float, x: np.ndarray) -> np.ndarray:
        found = np.asarray(activation(slope * x + offset))
        for V, B, query_bias, value_bias in numbers:
            found = found + V * _average(B * x + query_bias, x, weights) + value_bias
        return found

    begin = mean + deviation * standard
    last = float(ts[-1])
    if last == 0.0:
        return LineFlow(standard, weights, np.tile(begin, (ts.size, 1)))
    solved = solve_ivp(velocity, (0.0, last), begin, "DOP853", t_eval=ts, rtol=rtol, atol=rtol * (deviation or 1.0))
    return LineFlow(standard, weights, solved.y.T)


def _average(tilt: np.ndarray, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """E y e^{tilt y} / E e^{tilt y} over the nodes y = `x`, for each tilt."""
    exponents = np.multiply.outer(tilt, x)
    exponents -= exponents.max(axis=1, keepdims=True)
    kernel = np.exp(exponents) * weights
    return np.asarray(kernel @ x / kernel.sum(axis=1))


def _rule(bend: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of N(0, 1), with narrow panels around `bend`."""
    grid = np.arange(-REACH, REACH + PANEL / 2, PANEL)
    near = bend + np.concatenate([-NEAR, [0.0], NEAR])
    edges = np.unique(np.concatenate([grid, near[np.abs(near) < REACH]]))
    half, middle = 0.5 * np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    nodes = (middle[:, None] + half[:, None] * NODES).ravel()
    weights = (half[:, None] * WEIGHTS).ravel() * np.asarray(density(nodes))
    return nodes, weights / weights.sum()


def _number(operator: Operator) -> float:
    return float(np.asarray(dense(operator, 1)).ravel()[0])


def _head(head: SoftmaxAttention) -> tuple[float, float, float, float]:
    biases = (0.0 if bias is None else float(np.asarray(bias)[0]) for bias in (head.query_bias, head.value_bias))
    query_bias, value_bias = biases
    return _number(head.V), _number(head.B), query_bias, value_bias
