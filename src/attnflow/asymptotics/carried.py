"""Invariant subspaces of A by the real parts of its eigenvalues, and the equilibria for V = eta I that they carry."""

from __future__ import annotations

import numpy as np
from scipy.linalg import schur, solve_continuous_lyapunov


def rightmost(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The real Schur form (T, Q) of `matrix` (d, d) with its `count` rightmost eigenvalues first.

    A complex pair must not be parted by the count.
    """
    parts = np.sort(np.linalg.eigvals(matrix).real)[::-1]
    bounds = np.concatenate([[np.inf], parts, [-np.inf]])
    cut = 0.5 * (bounds[count] + bounds[count + 1])
    triangular, vectors, _ = schur(matrix, sort=lambda re, im: re > cut)
    return triangular, vectors


def carried_by(A: np.ndarray, S: np.ndarray, count: int) -> np.ndarray:
    """X = E W^{-1} E^T with E spanning the invariant subspace of the `count` rightmost eigenvalues of `A` (d, d).

    A_E^T W + W A_E = -E^T `S` E: the limit of Theorem A when these are the eigenvalues with Re > 0.

    Source: this package, docs/theory/long-run.md, Theorem A.
    """
    if count == 0:
        return np.zeros_like(A)
    triangular, vectors = rightmost(A, count)
    E, block = vectors[:, :count], triangular[:count, :count]
    W = solve_continuous_lyapunov(block.T, -(E.T @ S @ E))
    X = E @ np.linalg.solve(0.5 * (W + W.T), E.T)
    return np.asarray(0.5 * (X + X.T))
