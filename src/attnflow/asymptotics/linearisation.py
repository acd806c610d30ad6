"""The covariance equation linearised on symmetric matrices, in coordinates in which the Frobenius norm is Euclidean."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from .system import System


def svec(symmetric: Float[np.ndarray, "*batch d d"]) -> Float[np.ndarray, "*batch m"]:
    """The m = d (d + 1) / 2 coordinates of `symmetric` matrices: the upper triangle, sqrt 2 off the diagonal."""
    rows, columns, weights = _places(symmetric.shape[-1])
    return np.asarray(symmetric[..., rows, columns] * weights)


def smat(coordinates: Float[np.ndarray, "*batch m"]) -> Float[np.ndarray, "*batch d d"]:
    """The symmetric matrices of `coordinates`: the inverse of `svec`."""
    size = coordinates.shape[-1]
    dim = int((np.sqrt(8 * size + 1) - 1) / 2)
    rows, columns, weights = _places(dim)
    out = np.zeros((*coordinates.shape[:-1], dim, dim))
    out[..., rows, columns] = coordinates / weights
    out[..., columns, rows] = coordinates / weights
    return out


def derivative(
    system: System, cov: Float[np.ndarray, "d d"], direction: Float[np.ndarray, "*batch d d"]
) -> Float[np.ndarray, "*batch d d"]:
    """The `system` linearised at `cov` along symmetric matrices X = `direction`.

    F'(cov) X = M X + X M^T + sum_h (V_h X B_h cov + cov B_h^T X V_h^T).
    """
    half = system.generator(cov) @ direction
    for V, B in zip(system.V, system.B, strict=True):
        half = half + V @ direction @ (B @ cov)
    return np.asarray(half + np.swapaxes(half, -1, -2))


def linearisation(system: System, cov: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "m m"]:
    """F'(`cov`) of the `system` as a matrix on the coordinates of `svec`, for d up to about 40."""
    return np.ascontiguousarray(svec(derivative(system, cov, _basis(system.dim))).T)


@functools.lru_cache(maxsize=16)
def _places(dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = np.triu_indices(dim)
    return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2.0))


@functools.lru_cache(maxsize=16)
def _basis(dim: int) -> np.ndarray:
    """The symmetric matrices whose coordinates are the unit vectors (m, d, d)."""
    return smat(np.eye(dim * (dim + 1) // 2))
