"""One system of the study: plain arrays, which the referee and the model are both made of."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np


class Matrices(NamedTuple):
    """A (d, d), and V, B (h, d, d)."""

    A: np.ndarray
    V: np.ndarray
    B: np.ndarray


@dataclasses.dataclass(frozen=True)
class Case:
    """cov' = M cov + cov M^T with M = A + sum_h V_h cov B_h from cov(0) = L L^T, L the `factor` (d, r); and the mean.

    mean' = (M + sum_h V_h) mean + bias + sum_h V_h cov tilt_h from `mean`. With `whole` the verdict is asked about all
    positive definite starts, and the factor is one of them.
    """

    family: str
    index: int
    matrices: Matrices
    bias: np.ndarray
    tilts: np.ndarray
    mean: np.ndarray
    factor: np.ndarray
    whole: bool

    @property
    def dim(self) -> int:
        return len(self.matrices.A)

    @property
    def rank(self) -> int:
        return int(self.factor.shape[1])

    @property
    def scalar(self) -> bool:
        """Whether every V_h is a multiple of the identity."""
        return all(np.array_equal(V, V[0, 0] * np.eye(self.dim)) for V in self.matrices.V)

    @property
    def speed(self) -> float:
        """||A||, or the size of the quadratic part at the start where A = 0."""
        size = float(np.linalg.norm(self.factor) ** 2)
        return float(np.linalg.norm(self.matrices.A, 2)) or self.curvature * size or 1.0

    @property
    def curvature(self) -> float:
        """2 sum_h ||V_h|| ||B_h||."""
        pairs = zip(self.matrices.V, self.matrices.B, strict=True)
        return 2.0 * sum(float(np.linalg.norm(V, 2) * np.linalg.norm(B, 2)) for V, B in pairs)


def one_head(A: np.ndarray, V: np.ndarray | float, B: np.ndarray) -> Matrices:
    """The matrices with a single head; a number V stands for a multiple of the identity."""
    V = V * np.eye(len(A)) if np.ndim(V) == 0 else np.asarray(V)
    return Matrices(A, np.asarray(V, dtype=float)[None], np.asarray(B, dtype=float)[None])
