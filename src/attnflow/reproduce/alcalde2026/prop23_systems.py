"""The systems of the study of Proposition 2.3: two on the line with reference numbers, the rotation, and random ones.

Source: this package, docs/theory/departure.md, section 5.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ...measures.gaussian import Gaussian
from ...moments.relu import ReLU
from ...transformer.block import Transformer
from ...transformer.feedforward import FeedForward
from ...transformer.softmax import SoftmaxAttention

TIMES = np.array([0.005, 0.01, 0.02])
SEED = 2303
SCORES = 0.06
"""|B| lambda_max(cov) of the random systems: half of what the proposition allows."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A `model` and its `start`, by `name`; `ratios` (3,) are reference values of W_2 / (t bound) at `TIMES`."""

    name: str
    model: Transformer
    start: Gaussian
    ratios: Float[np.ndarray, " 3"] | None = None


def on_the_line() -> tuple[Case, Case]:
    """Two systems with d = 1 whose ratio tends to 1 from above and from below.

    The references are the same flow on 2001 equispaced nodes, one of them in the kink, by classical Runge-Kutta steps
    of 0.0025, and the moment equations by SciPy; all digits given agree with a halved step.
    """
    return (
        Case("on the line, from above", *_line(1.0, 0.5, 1.0), np.array([1.0028578, 1.0057250, 1.0114878])),
        Case("on the line, from below", *_line(-1.0, -0.5, -1.0), np.array([0.9949671, 0.9899741, 0.9801058])),
    )


def rotation() -> Case:
    """A turns the plane by a right angle, no attention, N(0, I): the defect is far from a gradient."""
    layer = FeedForward([[0.0, 1.0], [-1.0, 0.0]], activation=ReLU())
    return Case("rotation", Transformer(feedforward=layer), Gaussian.from_moments(np.zeros(2), np.eye(2)))


def random_case(index: int, dim: int) -> Case:
    """Random system number `index` of dimension `dim`: normal A, V and mean, scores at half of what is allowed.

    The bias is such that the kink is met within a few deviations in every coordinate: the defect is not a rare event.
    """
    rng = np.random.default_rng([SEED, dim, index])
    A, B, V, root = (rng.standard_normal((dim, dim)) / np.sqrt(dim) for _ in range(4))
    cov = root @ root.T + 0.1 * np.eye(dim)
    B = SCORES * B / (np.linalg.norm(B, 2) * np.linalg.eigvalsh(cov)[-1])
    mean, heights = rng.standard_normal((2, dim))
    layer = FeedForward(A, heights * np.sqrt(np.diag(A @ cov @ A.T)) - A @ mean, activation=ReLU())
    model = Transformer(attention=SoftmaxAttention(B=B, V=V), feedforward=layer)
    return Case(f"random, d = {dim}, {index}", model, Gaussian.from_moments(mean, cov))


def _line(a: float, b: float, v: float) -> tuple[Transformer, Gaussian]:
    layer = FeedForward([[a]], [b], activation=ReLU())
    return Transformer(attention=SoftmaxAttention(B=[[0.1]], V=[[v]]), feedforward=layer), Gaussian.from_moments(
        [0.3], [[1.0]]
    )
