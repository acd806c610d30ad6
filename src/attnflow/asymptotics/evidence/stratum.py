"""Orbits of singular starts: their rank is conserved, and stability is judged among covariances of that rank."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr

from ..linearisation import smat, svec
from ..system import System
from .capture import Root
from .march import March

#: Below this distance, relative to the equilibrium, an orbit on its stratum has arrived.
ARRIVED = 1e-8


def carrier(system: System, factor: Float[np.ndarray, "d r"]) -> Float[np.ndarray, "d k"] | None:
    """An orthonormal basis of the smallest subspace that the orbit of `factor` under `system` cannot leave.

    It contains the start, and A and every V_h map it into itself. None when it is the whole space.
    """
    basis = _span(factor)
    while basis.shape[1] < system.dim:
        moved = [basis, system.A @ basis, *(V @ basis for V in system.V)]
        larger = _span(np.concatenate([block / max(np.linalg.norm(block), 1e-300) for block in moved], axis=1))
        if larger.shape[1] == basis.shape[1]:
            return basis
        basis = larger
    return None


def restricted(system: System, basis: Float[np.ndarray, "d k"]) -> System:
    """The flow of `system` of the covariances that `basis` carries, in its coordinates."""
    turn = basis.T
    V = np.stack([turn @ V @ basis for V in system.V]) if len(system.V) else np.zeros((0, *2 * (basis.shape[1],)))
    B = np.stack([turn @ B @ basis for B in system.B]) if len(system.B) else V
    tilts = system.tilts @ basis
    return dataclasses.replace(system, A=turn @ system.A @ basis, V=V, B=B, bias=turn @ system.bias, tilts=tilts)


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


def _span(columns: np.ndarray) -> np.ndarray:
    Q, R, _ = qr(columns, mode="economic", pivoting=True)
    sizes = np.abs(np.diag(R))
    return np.ascontiguousarray(Q[:, : int(np.count_nonzero(sizes > 1e-12 * sizes.max(initial=0.0)))])
