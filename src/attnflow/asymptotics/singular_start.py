"""Theorem A, item 5: V = eta I, S <= 0 without unobservable unstable modes, from a singular covariance.

Source: this package, docs/theory/long-run.md, Theorem A.
"""

from __future__ import annotations

import numpy as np

from ..flow.outcome import Basis
from .carried import carried_by, rightmost
from .hypotheses import eigenvalue_noise
from .rational import Counts
from .regime import Attempt, Finding, Held, Hypothesis, Regime, Trial
from .statements import THEOREM_A_SINGULAR
from .system import System

SEEN = 1e-8
GAP = 1e-7
NEVER = "S <= 0: cov(t) <= e^{At} cov(0) e^{A^T t} (Theorem A)"


def singular_start(system: System, factor: np.ndarray, counts: Counts, hypotheses: tuple[Hypothesis, ...]) -> Trial:
    """The limit from the singular covariance `factor` `factor`^T (factor (d, r), r < d).

    `counts` are those of the eigenvalues of A of the `system`, `hypotheses` what has been checked so far. Where the
    unstable part of the start has dimension k = min(r, number of unstable eigenvalues), the limit is carried by the
    invariant subspace of the k rightmost eigenvalues of A if these are apart from the others; if the cut parts a
    complex pair, the covariance rotates.
    """
    rank = min(factor.shape[1], counts.right)
    if rank == 0:
        return _trial(system, Regime.ZERO, 0, hypotheses)
    parts = np.sort(np.linalg.eigvals(system.A).real)[::-1]
    gap = float(parts[rank - 1] - parts[rank])
    seen = _seen(system.A, factor, rank) if gap > _apart(system.A) else None
    if seen is not None:
        apart = Hypothesis(f"the {rank} rightmost eigenvalues of A apart from the others", Held.HOLDS, gap)
        meets = Hypothesis(
            "the start meets all directions of their invariant subspace",
            Held.HOLDS if seen > SEEN else Held.BORDERLINE, seen,
        )  # fmt: skip
        found = (*hypotheses, apart, meets)
        if meets.held is Held.BORDERLINE:
            return Trial(Attempt(str(THEOREM_A_SINGULAR), found))
        return _trial(system, Regime.RANK_DEFICIENT, rank, found)
    return _parted_pair(system, factor, parts, rank, hypotheses)


def _trial(system: System, regime: Regime, rank: int, hypotheses: tuple[Hypothesis, ...]) -> Trial:
    full = rank == system.dim
    finding = Finding(
        Regime.POSITIVE_DEFINITE if full else regime,
        Basis.THEOREM,
        THEOREM_A_SINGULAR,
        hypotheses,
        cov=carried_by(system.A, system.S, rank),
        rank=rank,
        never=NEVER,
    )
    return Trial(Attempt(str(THEOREM_A_SINGULAR), hypotheses), finding)


def _apart(A: np.ndarray) -> float:
    """From which distance on eigenvalues are different ones: a multiple one splits by the d-th root of rounding."""
    noise = eigenvalue_noise(A, np.linalg.eig(A)[1])
    return max(GAP * float(np.linalg.norm(A)), 4.0 * noise)


def _seen(A: np.ndarray, factor: np.ndarray, rank: int) -> float:
    """The smallest singular value of Y^T L for an orthonormal basis of range L and Y of the dominant left subspace."""
    _, left = rightmost(A.T, rank)
    ranges = np.linalg.svd(factor, full_matrices=False)[0]
    return float(np.linalg.svd(left[:, :rank].T @ ranges, compute_uv=False)[-1])


def _parted_pair(
    system: System, factor: np.ndarray, parts: np.ndarray, rank: int, hypotheses: tuple[Hypothesis, ...]
) -> Trial:
    """The cut falls within a group of equal real parts: a rotation where the group is one complex pair."""
    values = np.linalg.eigvals(system.A)
    values = values[np.argsort(-values.real, kind="stable")]
    tolerance = _apart(system.A)
    group = np.flatnonzero(np.abs(values.real - parts[rank - 1]) <= tolerance)
    turn = float(np.abs(values[group].imag).min())
    label = f"the {rank} rightmost eigenvalues of A apart from the others"
    fails = Hypothesis(label, Held.FAILS, -float(np.abs(values[group].imag).max()))
    pair = len(group) == 2 and turn > tolerance and group[0] == rank - 1
    around = _seen(system.A, factor, rank - 1) if rank > 1 and pair else np.inf
    inside = _meets_pair(system.A, factor, rank) if pair else 0.0
    if not (pair and min(around, inside) > SEEN):
        return Trial(Attempt(str(THEOREM_A_SINGULAR), (*hypotheses, fails)))
    apart = Hypothesis("the cut parts one complex pair of eigenvalues of A", Held.HOLDS, turn)
    finding = Finding(
        Regime.ROTATION, Basis.THEOREM, THEOREM_A_SINGULAR, (*hypotheses, apart), rank=rank, never=NEVER,
        reason=f"asymptotically periodic with period pi / {turn:.6g} = {np.pi / turn:.10g}",
    )  # fmt: skip
    return Trial(Attempt(str(THEOREM_A_SINGULAR), (*hypotheses, apart)), finding)


def _meets_pair(A: np.ndarray, factor: np.ndarray, rank: int) -> float:
    """How much of the start reaches the pair at the cut beside what already carries the eigenvalues above it."""
    after = rank + 1
    _, left = rightmost(A.T, after)
    ranges = np.linalg.svd(factor, full_matrices=False)[0]
    values = np.linalg.svd(left[:, :after].T @ ranges, compute_uv=False)
    return float(values[rank - 1])
