"""Weights and starts in a basis in which what is conserved stays conserved in floating point.

In an orthonormal basis whose last vectors span the kernel of Q the last columns of Q are exact zeros, and so is B N.
The factor of the start is turned such that its first columns span the kernel: these columns do not move at all, and
N^T cov^{-1} N is theirs. In the basis of the draw B N is of the size of rounding, and at t = 1e8 the flow of the
rounded matrix is another one.

Source: this package, docs/reproduce.md, castin2025.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .weights import Weights


def in_kernel_basis(weights: Weights, start: Float[np.ndarray, "d d"]) -> tuple[Weights, Float[np.ndarray, "d d"]]:
    """`weights` with K = -Q of full row rank in that basis, and a factor L of the covariance `start` in it."""
    d, rows = weights.dim, len(weights.Q)
    basis = np.linalg.svd(weights.Q)[2].T
    Q = weights.Q @ basis
    Q[:, rows:] = 0.0
    value = weights.V if np.array_equal(weights.V, np.eye(d)) else basis.T @ weights.V @ basis
    root = np.linalg.cholesky(basis.T @ start @ basis)
    coordinates = np.linalg.solve(root, np.eye(d)[:, rows:])
    turned = root @ np.linalg.qr(coordinates, mode="complete")[0]
    turned[:rows, : d - rows] = 0.0  # zero up to rounding: these columns span the kernel
    return Weights(Q, -Q, value), turned
