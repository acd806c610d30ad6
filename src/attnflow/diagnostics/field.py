"""The velocity field of Section 2.2 taken apart: an activated feed-forward and softmax heads, with the sizes of each.

Source: :cite:alcalde2026, eq. (2.3).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from .._linalg import dense
from .._types import Vector
from ..moments.activation import Activation
from ..moments.by_quadrature import SiLU, Tanh, TanhGELU
from ..moments.error_function import GELU, Erf
from ..moments.relu import ReLU
from ..transformer.layer import AbstractLayer
from ..transformer.softmax import SoftmaxAttention


@dataclasses.dataclass(frozen=True)
class Head:
    """Spectral norms of `value` V and `score` B of a softmax head, and the norms of its biases."""

    value: float
    score: float
    query_bias: float = 0.0
    value_bias: float = 0.0


@dataclasses.dataclass(frozen=True)
class Field:
    """|s(A x + b) + attention|, term by term: `slope` |A|, `offset` |b|, the `heads`, and `growth`.

    `growth` is a number >= 1 with |s(z)| <= growth |z| for each coordinate z of the activation s.
    """

    slope: float
    offset: float
    heads: tuple[Head, ...]
    growth: float = 1.0

    @property
    def score(self) -> float:
        """|B|, the largest one of all heads that move anything; 0 without such heads."""
        return max((head.score for head in self.heads if head.value > 0), default=0.0)


def growth_of(activation: Activation) -> float | None:
    """A number with |s(z)| <= growth |z| for all z, s the `activation`; None for one that this package does not know.

    Source: this package, docs/theory/departure.md, section 3.
    """
    if isinstance(activation, ReLU | GELU | TanhGELU | SiLU | Tanh):
        return 1.0
    return 2.0 / math.sqrt(math.pi) if isinstance(activation, Erf) else None


def head_of(layer: AbstractLayer, dim: int) -> Head | None:
    """The sizes of a softmax head acting in dimension `dim`; None for another kind of `layer`."""
    if not isinstance(layer, SoftmaxAttention):
        return None
    return Head(
        spectral_norm(dense(layer.V, dim)),
        spectral_norm(dense(layer.B, dim)),
        norm(layer.query_bias),
        norm(layer.value_bias),
    )


def spectral_norm(matrix: object) -> float:
    """The largest singular value of a `matrix` (d, d)."""
    array: Float[np.ndarray, "d d"] = np.asarray(matrix, dtype=np.float64)
    return float(np.linalg.norm(array, 2)) if array.size else 0.0


def norm(vector: Vector | None) -> float:
    """The Euclidean norm of a `vector` (d,), 0 for None."""
    return 0.0 if vector is None else float(np.linalg.norm(np.asarray(vector, dtype=np.float64)))
