"""Lyapunov equations with a quasi-triangular matrix, in blocks: SciPy's `trsyl` takes them entry by entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import get_lapack_funcs

LEAF = 48  # the size of block that is left to LAPACK


def solve_triangular_lyapunov(T: Float[np.ndarray, "d d"], C: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """The symmetric X with `T` X + X `T`^T = `C`, `T` a real Schur form, `C` symmetric; not finite if T is resonant.

    In the precision of T. The lower right block first, then the coupling, then the upper left block: matrix products do
    most of the work.
    """
    X = np.array(C, order="F")
    with np.errstate(all="ignore"):
        _lyapunov(T, X, get_lapack_funcs("trsyl", (T,)))
    return X


def _lyapunov(T: np.ndarray, X: np.ndarray, trsyl: Callable[..., Any]) -> None:
    """Overwrite the right-hand side `X` by the solution."""
    size = len(T)
    if size <= LEAF:
        solution, scale, _ = trsyl(T, T, X, tranb="T")
        X[:] = (solution + solution.T) * (0.5 / scale)
        return
    h = _cut(T)
    _lyapunov(T[h:, h:], X[h:, h:], trsyl)
    corner = X[:h, h:] - T[:h, h:] @ X[h:, h:]
    _sylvester(T[:h, :h], T[h:, h:], corner, trsyl)
    X[:h, h:], X[h:, :h] = corner, corner.T
    product = corner @ T[:h, h:].T
    X[:h, :h] -= product + product.T
    _lyapunov(T[:h, :h], X[:h, :h], trsyl)


def _sylvester(left: np.ndarray, right: np.ndarray, X: np.ndarray, trsyl: Callable[..., Any]) -> None:
    """Overwrite the right-hand side `X` by the solution of left X + X right^T = X."""
    rows, columns = X.shape
    if max(rows, columns) <= LEAF:
        solution, scale, _ = trsyl(left, right, X, tranb="T")
        X[:] = solution / scale
    elif rows >= columns:
        h = _cut(left)
        _sylvester(left[h:, h:], right, X[h:], trsyl)
        X[:h] -= left[:h, h:] @ X[h:]
        _sylvester(left[:h, :h], right, X[:h], trsyl)
    else:
        h = _cut(right)
        _sylvester(left, right[h:, h:], X[:, h:], trsyl)
        X[:, :h] -= X[:, h:] @ right[:h, h:].T
        _sylvester(left, right[:h, :h], X[:, :h], trsyl)


def _cut(T: np.ndarray) -> int:
    """A place near the middle where no block of size 2 is cut."""
    h = len(T) // 2
    return h + 1 if T[h, h - 1] != 0 else h
