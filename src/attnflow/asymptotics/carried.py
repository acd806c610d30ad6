"""Invariant subspaces of A by the real parts of its eigenvalues, and the equilibria for V = eta I that they carry."""

from __future__ import annotations

import numpy as np

from .._linalg import ordered_schur
from .equilibria.riccati import carried


def rightmost(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The real Schur form (T, Q) of `matrix` (d, d) with its `count` rightmost eigenvalues first.

    A complex pair must not be parted by the count.
    """

    def first(parts: np.ndarray) -> np.ndarray:
        chosen = np.zeros(len(parts), dtype=bool)
        chosen[np.argsort(-parts, kind="stable")[:count]] = True
        return chosen

    triangular, vectors, _ = ordered_schur(matrix, first)
    return triangular, vectors


def carried_by(A: np.ndarray, S: np.ndarray, count: int) -> np.ndarray | None:
    """The equilibrium carried by the invariant subspace of the `count` rightmost eigenvalues of `A` (d, d).

    The limit of Theorem A when these are the eigenvalues with Re > 0. None where `S` sees the subspace too badly for
    floating point.

    Source: this package, docs/theory/long-run.md, Theorem A.
    """
    triangular, vectors = rightmost(A, count)
    found = carried(triangular[:count, :count], vectors[:, :count], S)
    return None if found is None else found.cov
