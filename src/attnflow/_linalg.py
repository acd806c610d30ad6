"""Dense and low-rank linear algebra that JAX and SciPy lack; works on NumPy and on JAX arrays alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy.linalg import schur
from scipy.linalg.lapack import dtrsen

from ._types import AnyArray

RankRule = np.finfo(np.float64).eps


class LowRank(eqx.Module):
    """The matrix `left @ right`, kept as its factors.

    `left` (d, k), `right` (k, d): a product with m vectors costs O(d k m) instead of O(d^2 m).
    """

    left: Float[AnyArray, "d k"]
    right: Float[AnyArray, "k d"]

    def dense(self) -> AnyArray:
        """The (d, d) matrix."""
        return self.left @ self.right


Operator: TypeAlias = AnyArray | LowRank
"""A (d, d) matrix, a 0-d array (that multiple of the identity), or a LowRank."""


def times(operator: Operator, block: AnyArray) -> AnyArray:
    """`operator @ block` for a block of vectors (d, m) or one vector (d,)."""
    if isinstance(operator, LowRank):
        return operator.left @ (operator.right @ block)
    return operator * block if operator.ndim == 0 else operator @ block


def times_from_left(block: AnyArray, operator: Operator) -> AnyArray:
    """`block @ operator` for a block of rows (m, d)."""
    if isinstance(operator, LowRank):
        return (block @ operator.left) @ operator.right
    return block * operator if operator.ndim == 0 else block @ operator


def dense(operator: Operator, dim: int) -> AnyArray:
    """`operator` as a (d, d) array."""
    if isinstance(operator, LowRank):
        return operator.dense()
    return operator * np.eye(dim) if operator.ndim == 0 else operator


def operator_dim(operator: Operator) -> int | None:
    """d, or None for a multiple of the identity, which acts in every dimension."""
    shape = operator.left.shape if isinstance(operator, LowRank) else operator.shape
    return int(shape[0]) if len(shape) else None


def numerical_rank(eigenvalues: np.ndarray) -> int:
    """The number of eigenvalues above d * eps * largest: the one rank rule of this package."""
    largest = eigenvalues.max(initial=0.0)
    return int(np.count_nonzero(eigenvalues > eigenvalues.shape[-1] * RankRule * largest))


def semidefinite_factor(cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A factor L (d, r) of a symmetric matrix with `cov = L L^T` up to its negative and invisible eigenvalues.

    Returns (L, all eigenvalues). The rank r follows `numerical_rank`; a matrix of full rank gets its
    lower triangular Cholesky factor.
    """
    eigenvalues, vectors = np.linalg.eigh(cov)
    rank = numerical_rank(eigenvalues)
    if rank == cov.shape[0]:
        return np.linalg.cholesky(cov), eigenvalues
    visible = slice(cov.shape[0] - rank, None)
    return vectors[:, visible] * np.sqrt(eigenvalues[visible]), eigenvalues


def ordered_schur(matrix: np.ndarray, first: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray, int]:
    """The real Schur form (T, Q, count) of `matrix` (d, d) with chosen eigenvalues in front.

    `first` gets the real parts (d,) and says which to take (d,), complex pairs whole. Without the callback of SciPy's
    own ordering, inside which an interrupt would meet LAPACK, and which fails when rounding moves an eigenvalue across.
    """
    triangular, vectors = schur(matrix)
    below = np.append(np.diagonal(triangular, -1) != 0, False)
    chosen = np.asarray(first(np.diagonal(triangular).copy()), dtype=np.int32)
    chosen[1:][below[:-1]] = chosen[:-1][below[:-1]]
    count = int(chosen.sum())
    if 0 < count < len(matrix):
        triangular, vectors, *_ = dtrsen(chosen, triangular, vectors, job="N")
    return np.asarray(triangular), np.asarray(vectors), count


def gram(factor: np.ndarray) -> np.ndarray:
    """`L L^T` of a stack of factors (..., d, r): symmetric to the last bit."""
    product = factor @ np.swapaxes(factor, -1, -2)
    return np.asarray(0.5 * (product + np.swapaxes(product, -1, -2)))
