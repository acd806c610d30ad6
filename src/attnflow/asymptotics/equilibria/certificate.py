"""How far an approximate equilibrium is from a true one: bounds that count their own rounding errors.

F is quadratic: F(X + D) = F(X) + J D + Q(D) with |Q(D)| <= q |D|^2. With |J^{-1}| <= beta and eta = beta |F(X)| the map
D -> -J^{-1} (F(X) + Q(D)) takes the ball of radius rho = 2 eta / (1 + sqrt(1 - 4 beta q eta)) into itself and
contracts, so that exactly one equilibrium lies within rho of X.
"""

from __future__ import annotations

import enum

import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, schur, svdvals

from ..linearisation import linearisation
from ..system import System
from .krylov import lyapunov_part
from .lyapunov import solve_triangular_lyapunov

DENSE = 40  # the largest d whose linearisation, a matrix of d (d + 1) / 2 rows, is formed
EXTENDED = 256  # the largest d for which products in extended precision, which no BLAS has, take less than a second
EPS = float(np.finfo(np.float64).eps)
ROOM = 1 + 1e-9  # over norms that are computed themselves


class Certificate(enum.StrEnum):
    """What an error bound rests on; `residual` means that there is none, only a small residual."""

    EXACT = "exact"
    NEWTON_KANTOROVICH = "newton_kantorovich"
    LYAPUNOV = "lyapunov"
    RESIDUAL = "residual"


def enclosed_rate(system: System, cov: Float[np.ndarray, "d d"]) -> tuple[np.ndarray, float, float]:
    """F(`cov`) of `system` (d, d), a bound of its error in the Frobenius norm, and the size of its terms.

    Up to d = 256 it is computed in extended precision where the processor has it: at an equilibrium the terms cancel.
    """
    kind = np.longdouble if system.dim <= EXTENDED else np.float64
    X: np.ndarray = cov.astype(kind)
    drift: np.ndarray = system.A.astype(kind) @ X
    size = np.abs(system.A)
    terms = float(np.linalg.norm(drift.astype(np.float64)))
    for V, B in zip(system.V, system.B, strict=True):
        left, right = (np.asarray(matrix, dtype=kind) @ X for matrix in (V, B))
        bend: np.ndarray = left @ right
        terms += float(np.linalg.norm(bend.astype(np.float64)))
        drift = drift + bend
        size = size + np.abs(V) @ np.abs(cov) @ np.abs(B)
    operations = 3 * system.dim + len(system.V) + 4
    rounding = operations * float(np.finfo(kind).eps) * 2 * np.linalg.norm(size @ np.abs(cov))
    rate = (drift + drift.T).astype(np.float64)
    return rate, float(ROOM * rounding + EPS * np.linalg.norm(rate)), 2 * terms


def plain_rate(system: System, cov: Float[np.ndarray, "d d"]) -> tuple[np.ndarray, float]:
    """F(`cov`) of `system` (d, d), in extended precision up to d = 40 only, and the size of its terms."""
    if system.dim <= DENSE:
        rate, _, size = enclosed_rate(system, cov)
        return rate, size
    drift = system.A @ cov
    bends = [(V @ cov) @ (B @ cov) for V, B in zip(system.V, system.B, strict=True)]
    half = sum(bends, drift)
    return half + half.T, 2 * float(sum(np.linalg.norm(term) for term in (drift, *bends)))


def newton_kantorovich(system: System, cov: Float[np.ndarray, "d d"]) -> float | None:
    """A bound, in the Frobenius norm, of the distance from `cov` to the only equilibrium of `system` near it.

    None when the linearisation is too close to singular for the residual. The smallest singular value of the full
    linearisation is used: for d up to 40.

    Source: this package, docs/theory/long-run.md.
    """
    try:
        singular = svdvals(linearisation(system, cov))
    except (LinAlgError, ValueError):  # not finite
        return None
    slack = 2 * singular.size * EPS * singular[0] + _assembly_error(system, cov)
    if not singular[-1] > slack:
        return None
    rate, rounding, _ = enclosed_rate(system, cov)
    curvature = 2 * sum(_norm(V) * _norm(B) for V, B in zip(system.V, system.B, strict=True))
    return _radius(ROOM / (singular[-1] - slack), float(np.linalg.norm(rate)) + rounding, curvature)


def lyapunov(system: System, cov: Float[np.ndarray, "d d"]) -> float | None:
    """A bound, in the spectral norm, of the distance from `cov` to the only equilibrium of `system` near it, any d.

    With V_h = eta_h I + W_h the linearisation is D -> N D + D N^T plus terms with W_h, N = A + sum_h V_h X B_h +
    eta_h X B_h^T. If N, or -N, is Hurwitz the inverse of the first part has the norm of the solution H of
    N H + H N^T = -I, and for small enough W_h that of the sum follows. For V = eta I all W_h are 0. The computed H
    proves that N is Hurwitz. None where it does not apply.

    Source: this package, docs/theory/long-run.md.
    """
    dim, heads = system.dim, list(zip(system.V, system.B, strict=True))
    etas = [float(np.trace(V)) / dim for V in system.V]
    if system.scalars is not None:
        etas = [float(eta) for eta in system.scalars]
    offsets = [V - eta * np.eye(dim) for V, eta in zip(system.V, etas, strict=True)]
    score = sum((eta * B for eta, B in zip(etas, system.B, strict=True)), np.zeros((dim, dim)))
    N = lyapunov_part(system, cov)
    magnitude = np.abs(system.A) + sum(np.abs(V) @ np.abs(cov) @ np.abs(B) for V, B in heads)
    magnitude = magnitude + np.abs(cov) @ np.abs(score.T)
    slack = (3 * dim + 2 * len(heads) + 4) * EPS * float(np.linalg.norm(magnitude))
    size = _inverse_norm(N, slack)
    if size is None:
        return None
    pairs = list(zip(offsets, system.B, strict=True))
    perturbation = 2 * sum(_norm(W) * _norm(B @ cov) for W, B in pairs) * (1 + 10 * dim * EPS)
    if not size * perturbation < 1:
        return None
    rate, rounding, _ = enclosed_rate(system, cov)
    curvature = _norm(score + score.T) + 2 * sum(_norm(W) * _norm(B) for W, B in pairs)
    return _radius(ROOM * size / (1 - size * perturbation), _norm(rate) + rounding, curvature)


def _radius(beta: float, residual: float, curvature: float) -> float | None:
    eta = beta * residual
    discriminant = 1 - 4 * beta * ROOM * curvature * eta
    return float(ROOM * 2 * eta / (1 + np.sqrt(discriminant))) if discriminant > 0 else None


def _inverse_norm(N: np.ndarray, slack: float) -> float | None:
    """A bound of the norm of the inverse of D -> N D + D N^T for all matrices within `slack` of N, or None.

    If H > 0 and Y = N H + H N^T + I < I, then N is Hurwitz (Lyapunov) and the true solution is at most H / (1 - |Y|).
    """
    identity = np.eye(len(N))
    triangular, vectors = schur(N)
    if np.diag(triangular).max() > 0:
        N, triangular = -N, -triangular
    weighted = solve_triangular_lyapunov(triangular, -identity)
    if not np.isfinite(weighted).all():
        return None
    H = vectors @ weighted @ vectors.T
    H = 0.5 * (H + H.T)
    eigenvalues = np.linalg.eigvalsh(H)
    top = float(eigenvalues[-1])
    if not eigenvalues[0] > len(N) * EPS * top:
        return None
    product = N @ H
    mismatch = float(np.linalg.norm(product + product.T + identity))
    rounding = 2 * (len(N) + 3) * EPS * float(np.linalg.norm(np.abs(N) @ np.abs(H)))
    gap = 1 - ROOM * (mismatch + rounding + 2 * slack * top)
    return ROOM * top / gap if gap > 0 else None


def _assembly_error(system: System, cov: np.ndarray) -> float:
    """A bound of the rounding errors in the entries of the linearisation, as an operator."""
    outer = np.abs(system.A)
    inner = 0.0
    for V, B in zip(system.V, system.B, strict=True):
        outer = outer + np.abs(V) @ np.abs(cov) @ np.abs(B)
        inner += float(np.linalg.norm(V) * np.linalg.norm(np.abs(B) @ np.abs(cov)))
    operations = 3 * system.dim + len(system.V) + 8
    return operations * EPS * 2 * (float(np.linalg.norm(outer)) + inner)


def _norm(matrix: np.ndarray) -> float:
    """The spectral norm, rounded up."""
    scale = float(np.abs(matrix).max(initial=0.0))
    if scale == 0:
        return 0.0
    unit = matrix / scale
    return scale * float(np.sqrt(np.linalg.eigvalsh(unit.T @ unit)[-1])) * ROOM
