"""V = eta I with S <= 0 over long times: the covariance at time t at a cost that grows like log t.

X = E W^{-1} E^T is the limit carried by the unstable subspace of A (E an orthonormal basis, W the solution of a
Lyapunov equation). Around it the flow is driven by A_c = A + X S, which has no unstable eigenvalue, so that nothing
overflows:

    cov(t) = X + e^{A_c t} (I - D N_c(t))^{-1} D e^{A_c^T t},
    D = cov(0) - X,  N_c(t) = int_0^t e^{A_c^T s} S e^{A_c s} ds.

I - D N_c(t) stays well conditioned exactly when cov(0) reaches every unstable direction; a start of smaller rank has
another limit than X, which this form cannot see.

Source: this package, docs/theory/closed-form.md.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

from .._linalg import ordered_schur
from .closed_form import Propagator

WELL_CONDITIONED = 1e8
WELL_REACHED = 1e3  # times d^2: far above the condition of good starts, at rounding errors of 1e-12
EPS = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True)
class Shifted:
    """The shifted flow from cov(0) = `start`: call `cov(t)`."""

    center: np.ndarray
    start: np.ndarray
    propagator: Propagator

    def cov(self, t: float) -> np.ndarray | None:
        """The covariance (d, d) at time `t`, symmetric; None where the start misses an unstable direction."""
        identity = np.eye(self.center.shape[0])
        exponential, _, _ = self.propagator.step(identity, t, 0.0)
        offset = self.start - self.center
        gap = identity - offset @ self.propagator.gramian(t)
        if not np.linalg.cond(gap, 1) < WELL_REACHED * gap.size:
            return None
        cov = self.center + exponential @ np.linalg.solve(gap, offset) @ exponential.T
        return np.asarray(0.5 * (cov + cov.T))


def shifted_flow(A: np.ndarray, S: np.ndarray, cov: np.ndarray) -> Shifted | None:
    """The shifted flow where its hypotheses hold: S <= 0 and every unstable direction of A well observed by S.

    Returns None otherwise.
    """
    d = A.shape[0]
    if np.linalg.eigvalsh(S)[-1] > d * EPS * np.abs(S).max(initial=0.0):
        return None
    triangular, vectors, unstable = ordered_schur(A, lambda parts: parts > d * EPS * np.linalg.norm(A))
    if unstable == 0:
        center = np.zeros_like(A)
    else:
        basis, block = vectors[:, :unstable], triangular[:unstable, :unstable]
        if np.linalg.eigvals(block).real.min() < 1e-6 * np.linalg.norm(A, 1):
            return None
        weight = solve_continuous_lyapunov(block.T, -(basis.T @ S @ basis))
        eigenvalues = np.linalg.eigvalsh(0.5 * (weight + weight.T))
        if not eigenvalues[0] * WELL_CONDITIONED > eigenvalues[-1]:
            return None
        center = basis @ np.linalg.solve(0.5 * (weight + weight.T), basis.T)
        center = 0.5 * (center + center.T)
    return Shifted(center, cov, Propagator(A + center @ S, S))


def top_factor(cov: np.ndarray, rank: int) -> np.ndarray:
    """A factor with `rank` columns of a covariance whose other eigenvalues are rounding."""
    eigenvalues, vectors = np.linalg.eigh(cov)
    kept = slice(cov.shape[0] - rank, None)
    return np.asarray(vectors[:, kept] * np.sqrt(np.maximum(eigenvalues[kept], 0.0)))
