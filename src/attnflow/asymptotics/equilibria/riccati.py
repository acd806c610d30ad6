"""V = eta I: A X + X A^T + X S X = 0. Equilibria are carried by invariant subspaces of A.

If X >= 0 solves the equation its range R is invariant under A: X A^T v = 0 for all v in ker X. With an orthonormal
basis E of R, A E = E A_R and X = E P^{-1} E^T the equation is *linear*, A_R^T P + P A_R = -E^T S E. So the positive
semidefinite equilibria are the pairs of an invariant subspace and a positive definite P.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float
from scipy.linalg import schur
from scipy.linalg.blas import dtrsm
from scipy.linalg.lapack import dpocon, dpotrf, dtrsen

from ..._linalg import ordered_schur
from .certificate import EPS
from .lyapunov import solve_triangular_lyapunov

WELL_CONDITIONED = 1e-13  # the reciprocal condition below which P counts as singular: a mode that S does not see
SUBSPACES = 64
SEPARATE = 1e-8  # relative distance from which eigenvalues count as different


@dataclasses.dataclass(frozen=True)
class Carried:
    """A solution `cov` (d, d) whose range is an invariant subspace of dimension `rank`."""

    cov: Float[np.ndarray, "d d"]
    rank: int


@dataclasses.dataclass(frozen=True)
class Enumeration:
    """The nonzero solutions `found`, highest rank first; `complete` if there are no others, else `note` says why."""

    found: tuple[Carried, ...]
    complete: bool
    note: str = ""


def stabilising(A: Float[np.ndarray, "d d"], S: Float[np.ndarray, "d d"]) -> Carried | None:
    """The solution carried by the unstable subspace of `A`: for `S` <= 0 the limit of all positive definite starts.

    One ordered real Schur form and one triangular Lyapunov equation. Eigenvalues of A on the imaginary axis, up to
    rounding, do not count as unstable: what they carry dies out like 1/t where S sees it. None when there is no such
    solution: an unstable mode that S does not see (P is singular), or an S that is not negative on the subspace.

    For S >= 0 the mirrored solution, carried by the stable subspace and on the boundary of the basin of zero, is
    `stabilising(-A, -S)`.

    Source: this package, docs/theory/long-run.md; :cite:alcalde2026, Thm. 4.1.
    """
    axis = len(A) * EPS * float(np.linalg.norm(A))
    triangular, vectors, count = ordered_schur(A, lambda parts: parts > axis)
    return carried(triangular[:count, :count], vectors[:, :count], S)


def carried(
    block: Float[np.ndarray, "k k"], basis: Float[np.ndarray, "d k"], S: Float[np.ndarray, "d d"]
) -> Carried | None:
    """The solution carried by the span of `basis`, where A acts by the quasi-triangular `block`; None if P is not > 0.

    Source: this package, docs/theory/long-run.md.
    """
    rank = basis.shape[1]
    if rank == 0:
        return Carried(np.zeros_like(S), 0)
    load = -(basis.T @ (S @ basis))
    # Rows and columns in the reverse order make the transposed block upper quasi-triangular.
    weight = solve_triangular_lyapunov(block[::-1, ::-1].T, 0.5 * (load + load.T)[::-1, ::-1])[::-1, ::-1]
    if not np.isfinite(weight).all():
        return None
    lower, info = dpotrf(weight, lower=True)
    if info:
        return None
    reciprocal, _ = dpocon(lower, np.linalg.norm(weight, 1), uplo="L")
    if reciprocal < WELL_CONDITIONED:
        return None
    root = dtrsm(1.0, lower, basis.T, lower=True)
    return Carried(root.T @ root, rank)


def enumeration(A: Float[np.ndarray, "d d"], S: Float[np.ndarray, "d d"]) -> Enumeration:
    """All nonzero positive semidefinite solutions of A X + X `A`^T + X `S` X = 0, as far as they can be listed.

    One for each of at most 64 invariant subspaces, spanned by sets of eigenvalues. For S <= 0 only eigenvalues with
    Re > 0 can take part, for S >= 0 only those with Re < 0. With more than six of them (pairs count once) only the
    solutions on the whole unstable, the whole stable and the whole space are tried. `complete` supposes that rounding
    decided no comparison: eigenvalues that take part are distinct and no two add up to zero.

    Source: this package, docs/theory/long-run.md.
    """
    triangular, vectors = schur(A)
    blocks = diagonal_blocks(triangular)
    values = np.array([_eigenvalue(triangular, block) for block in blocks])
    scale = float(np.linalg.norm(A)) or 1.0
    candidates, note = _candidates(A, S, values, len(A) * EPS * scale)
    if 2 ** len(candidates) > SUBSPACES:
        chosen, note = _whole_sides(values, candidates), "too many invariant subspaces: only the largest were tried"
    else:
        chosen = [s for k in range(1, len(candidates) + 1) for s in itertools.combinations(candidates, k)]
        note = note or _coincidence(values[candidates], SEPARATE * scale)
    found = []
    for subset in chosen:
        select = np.zeros(len(A), dtype=np.int32)
        select[[i for index in subset for i in blocks[index]]] = 1
        ordered, basis, _, _, rank, _, _, info = dtrsen(select, triangular, vectors, job="N")
        solution = None if info else carried(ordered[:rank, :rank], basis[:, :rank], S)
        note = note or ("eigenvalues too close to be reordered" if info else "")
        if solution is not None:
            found.append(solution)
    return Enumeration(tuple(sorted(found, key=lambda each: -each.rank)), not note, note)


def _candidates(A: np.ndarray, S: np.ndarray, values: np.ndarray, axis: float) -> tuple[list[int], str]:
    """The indices of the eigenvalues that can take part, and why the list may miss some solutions."""
    pull = np.linalg.eigvalsh(S)
    rounding = len(A) * EPS * float(np.abs(pull).max(initial=0.0))
    neutral = np.abs(values.real) <= axis
    note = "eigenvalues of A on the imaginary axis that S does not see carry families of equilibria"
    if pull[-1] <= rounding:
        return np.flatnonzero(values.real > axis).tolist(), note if _unseen(A, S, values[neutral]) else ""
    if pull[0] >= -rounding:
        return np.flatnonzero(values.real < -axis).tolist(), note if _unseen(A, S, values[neutral]) else ""
    return list(range(len(values))), "" if not neutral.any() else "A has eigenvalues on the imaginary axis"


def _unseen(A: np.ndarray, S: np.ndarray, neutral: np.ndarray) -> bool:
    """Whether S vanishes on an eigenvector of A to one of these eigenvalues, up to rounding."""
    identity, size = np.eye(len(A)), max(float(np.linalg.norm(A)), EPS)
    weight = S / max(float(np.linalg.norm(S)), EPS)
    stacked = (np.vstack([(A - value * identity) / size, weight]) for value in neutral)
    return any(float(np.linalg.svd(pencil, compute_uv=False)[-1]) < SEPARATE for pencil in stacked)


def _coincidence(values: np.ndarray, tolerance: float) -> str:
    """Why sets of these eigenvalues may not give all solutions: two coincide, or two add up to zero."""
    both = np.concatenate([values, values[values.imag != 0].conj()])
    differences, sums = np.abs(np.subtract.outer(both, both)), np.abs(np.add.outer(both, both))
    np.fill_diagonal(differences, np.inf)
    if both.size and differences.min() <= tolerance:
        return "A has a multiple eigenvalue: its invariant subspaces may form families"
    if both.size and sums.min() <= tolerance:
        return "two eigenvalues of A add up to zero: a subspace may carry none or a family"
    return ""


def _whole_sides(values: np.ndarray, candidates: list[int]) -> list[tuple[int, ...]]:
    """The unstable, the stable and the whole space, from the candidates."""
    unstable = tuple(i for i in candidates if values[i].real > 0)
    stable = tuple(i for i in candidates if values[i].real <= 0)
    return [side for side in dict.fromkeys((tuple(candidates), unstable, stable)) if side]


def diagonal_blocks(triangular: np.ndarray) -> list[tuple[int, ...]]:
    """The rows of the diagonal blocks, of size 1 or 2, of a real Schur form `triangular` (d, d)."""
    blocks, row, size = [], 0, len(triangular)
    while row < size:
        width = 2 if row + 1 < size and triangular[row + 1, row] != 0 else 1
        blocks.append(tuple(range(row, row + width)))
        row += width
    return blocks


def _eigenvalue(triangular: np.ndarray, block: tuple[int, ...]) -> complex:
    """The eigenvalue of a diagonal block, of a pair the one with Im > 0."""
    values = np.linalg.eigvals(triangular[np.ix_(block, block)])
    return complex(values[np.argmax(values.imag)])
