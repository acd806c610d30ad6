"""Orbits of singular starts: their rank is conserved, and stability is judged among covariances of that rank."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..linearisation import smat, svec
from .capture import Root
from .march import March

#: Below this distance, relative to the equilibrium, an orbit on its stratum has arrived.
ARRIVED = 1e-8


def settled_on_stratum(roots: list[Root], march: March) -> Root | None:
    """The equilibrium of the orbit's own rank that the orbit has reached and that attracts among that rank."""
    cov, rank = march.cov, march.factor.shape[1]
    size = float(np.linalg.norm(cov))
    for root in roots:
        if size > 0 and float(np.linalg.norm(cov - root.cov)) < ARRIVED * size and stratum_abscissa(root, rank) < 0:
            return root
    return None


def stratum_abscissa(root: Root, rank: int) -> float:
    """The largest real part of the derivative at `root` along the covariances of this `rank`.

    The derivative maps their tangent space into itself. Infinite when the equilibrium has another rank.
    """
    values = np.linalg.eigvalsh(root.cov)
    dim = len(values)
    if not values[dim - rank] > 1e-6 * values[-1] or (rank < dim and values[dim - rank - 1] > 1e-9 * values[-1]):
        return float("inf")
    frame = tangent(root.cov, rank)
    return float(np.linalg.eigvals(frame.T @ root.jacobian @ frame).real.max())


def tangent(cov: Float[np.ndarray, "d d"], rank: int) -> Float[np.ndarray, "m n"]:
    """An orthonormal basis, in coordinates, of the tangent space at `cov` of the covariances of this `rank`.

    It is {X symmetric : Q_2^T X Q_2 = 0}, Q_2 a basis of the kernel of `cov`.
    """
    _, axes = np.linalg.eigh(cov)
    dim = len(axes)
    turned = smat(np.eye(dim * (dim + 1) // 2))
    hidden = np.zeros((dim, dim), dtype=bool)
    hidden[: dim - rank, : dim - rank] = True
    keep = [i for i, X in enumerate(turned) if not X[hidden].any()]
    return np.asarray(svec(axes @ turned[keep] @ axes.T).T)
