"""Invariant subspaces of A by the real parts of its eigenvalues, and the equilibria for V = eta I that they carry."""

from __future__ import annotations

import numpy as np
from scipy.linalg import schur
from scipy.linalg.lapack import dtrsen

from .equilibria.riccati import carried, diagonal_blocks


def rightmost(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The real Schur form (T, Q) of `matrix` (d, d) with its `count` rightmost eigenvalues first.

    A complex pair must not be parted by the count.
    """
    triangular, vectors = schur(matrix)
    blocks = sorted(diagonal_blocks(triangular), key=lambda block: -float(triangular[block[0], block[0]]))
    select, taken = np.zeros(len(matrix), dtype=np.int32), 0
    for block in blocks:
        if taken >= count:
            break
        select[list(block)] = 1
        taken += len(block)
    ordered, basis, *_ = dtrsen(select, triangular, vectors, job="N")
    return np.asarray(ordered), np.asarray(basis)


def carried_by(A: np.ndarray, S: np.ndarray, count: int) -> np.ndarray | None:
    """The equilibrium carried by the invariant subspace of the `count` rightmost eigenvalues of `A` (d, d).

    The limit of Theorem A when these are the eigenvalues with Re > 0. None where `S` sees the subspace too badly for
    floating point.

    Source: this package, docs/theory/long-run.md, Theorem A.
    """
    triangular, vectors = rightmost(A, count)
    found = carried(triangular[:count, :count], vectors[:, :count], S)
    return None if found is None else found.cov
