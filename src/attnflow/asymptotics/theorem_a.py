"""Theorem A: V = eta I and S <= 0. The covariance for all time, from every start that is positive definite.

Source: this package, docs/theory/long-run.md, Theorem A.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.linalg import solve_continuous_lyapunov, solve_sylvester

from ..flow.outcome import Basis
from .carried import carried_by, rightmost
from .hypotheses import EPS, EXACT_LIMIT, Axis, ExactSystem, Sign, axis, definite, nearly_unseen, scalar_value
from .rational import axis_chains, axis_counts, restricted, to_float, unobservable, zero_is_the_only_axis_eigenvalue
from .regime import Attempt, Finding, Held, Hypothesis, Regime, Trial
from .singular_start import singular_start
from .statements import THEOREM_A, THEOREM_A_BOUNDED, Statement
from .system import System

SMALL = 32
NEVER = "S <= 0: cov(t) <= e^{At} cov(0) e^{A^T t} (Theorem A)"


def theorem_a(system: System, exact: ExactSystem, factor: np.ndarray | None) -> Trial:
    """What Theorem A says of `system` (`exact`: the same in rational arithmetic).

    `factor` (d, r) is the start, or None for all positive definite ones.

    Source: this package, docs/theory/long-run.md, Theorem A.
    """
    scalar = scalar_value(system)
    if scalar.held is not Held.HOLDS:
        return Trial(Attempt(str(THEOREM_A), (scalar,)))
    size = 2 * float(np.einsum("h,h->", np.abs(system.V[:, 0, 0]), np.linalg.norm(system.B, axis=(1, 2))))
    semidefinite = definite("S = eta (B + B^T)", system.S, Sign.NONPOSITIVE, lambda: exact.S, size=size)
    if semidefinite.held is not Held.HOLDS:
        return Trial(Attempt(str(THEOREM_A), (scalar, semidefinite)))
    hidden = _hidden(system, exact, size)
    hypotheses = (scalar, semidefinite, hidden.hypothesis)
    if hidden.hypothesis.held is Held.BORDERLINE:
        return Trial(Attempt(str(THEOREM_A), hypotheses))
    if hidden.hypothesis.held is Held.HOLDS:
        return _detectable(system, factor, hypotheses)
    return _undetectable(system, exact, hidden, factor, hypotheses)


@dataclasses.dataclass(frozen=True)
class _Hidden:
    """The unobservable subspace: an orthonormal `basis` (d, k), A on it, and whether it holds an eigenvalue Re >= 0."""

    basis: np.ndarray
    place: Axis
    hypothesis: Hypothesis


def _hidden(system: System, exact: ExactSystem, size: float) -> _Hidden:
    name = "no unobservable eigenvalue of A with Re >= 0"
    d, top = system.dim, float(np.linalg.eigvalsh(system.S)[-1])
    room = _distance_to_unobservable(system.A, system.S)
    if top < -32 * d * EPS * size:
        return _Hidden(np.zeros((d, 0)), axis(np.zeros((0, 0))), Hypothesis(name, Held.HOLDS, room))
    if d > EXACT_LIMIT:
        return _Hidden(np.zeros((d, 0)), Axis(None, 0.0), Hypothesis(name, Held.BORDERLINE, room))
    basis = unobservable(exact.A, exact.S)
    part = restricted(exact.A, basis)
    place = dataclasses.replace(axis(to_float(part), lambda: part), counts=axis_counts(part), exact=True)
    held = Held.HOLDS if place.counts is not None and place.counts.right + place.counts.on == 0 else Held.FAILS
    margin = room if held is Held.HOLDS else 0.0
    if place.counts is not None and nearly_unseen(system.A, system.S) > place.counts.right + place.counts.on:
        held = Held.BORDERLINE  # rounding alone makes a mode observable
    return _Hidden(np.linalg.qr(to_float(basis))[0], place, Hypothesis(name, held, margin, exact=True))


def _distance_to_unobservable(A: np.ndarray, S: np.ndarray) -> float:
    """The smallest singular value of [A - lambda I; S] over the eigenvalues with Re >= 0; infinite if there is none.

    In large dimensions the lower bound -lambda_max(S) instead.
    """
    if len(A) > SMALL:  # a singular value decomposition for each eigenvalue: too much for a margin
        return float(max(-np.linalg.eigvalsh(S)[-1], 0.0))
    values = [x for x in np.linalg.eigvals(A) if x.real >= 0]
    eye = np.eye(len(A))
    return min(
        (float(np.linalg.svd(np.vstack([A - x * eye, S]), compute_uv=False)[-1]) for x in values), default=np.inf
    )


def _detectable(system: System, factor: np.ndarray | None, hypotheses: tuple[Hypothesis, ...]) -> Trial:
    place = axis(system.A)  # the floats themselves decide: no other exact matrix is meant
    if place.counts is None:
        counted = Hypothesis("eigenvalues of A counted beside the imaginary axis", Held.BORDERLINE, place.gap)
        return Trial(Attempt(str(THEOREM_A), (*hypotheses, counted)))
    if factor is not None and factor.shape[1] < system.dim:
        return singular_start(system, factor, place.counts, hypotheses)
    if place.exact:
        counted = Hypothesis("eigenvalues of A counted beside the imaginary axis", Held.HOLDS, place.gap, exact=True)
        hypotheses = (*hypotheses, counted)
    count = place.counts.right
    slow = place.counts.on > 0
    finding = Finding(
        regime=_by_rank(count, system.dim),
        basis=Basis.THEOREM,
        statement=THEOREM_A,
        hypotheses=hypotheses,
        cov=carried_by(system.A, system.S, count),
        rank=count,
        rate=None if slow else 2 * place.gap,
        never=NEVER,
        reason="approached like 1 / t: A has eigenvalues on the imaginary axis" if slow else "",
    )
    return Trial(Attempt(str(THEOREM_A), hypotheses), finding)


def _by_rank(rank: int, dim: int) -> Regime:
    if rank == 0:
        return Regime.ZERO
    return Regime.POSITIVE_DEFINITE if rank == dim else Regime.RANK_DEFICIENT


def _undetectable(
    system: System, exact: ExactSystem, hidden: _Hidden, factor: np.ndarray | None, hypotheses: tuple[Hypothesis, ...]
) -> Trial:
    """Items 1 to 3: growth, a continuum of limits, or rotation, for positive definite starts."""
    attempt = Attempt(str(THEOREM_A), hypotheses)
    counts = hidden.place.counts
    if counts is None or (factor is not None and factor.shape[1] < system.dim):
        return Trial(dataclasses.replace(attempt, note="and the start is singular"))
    held = (*hypotheses[:-1], Hypothesis("an unobservable eigenvalue of A has Re >= 0", Held.HOLDS, 0.0, exact=True))
    values = np.linalg.eigvals(hidden.basis.T @ system.A @ hidden.basis)
    if counts.right:
        return Trial(attempt, _found(Regime.EXPONENTIAL, held, rate=2 * float(values.real.max())))
    if axis_chains(exact.A, unobservable(exact.A, exact.S)):
        reason = "an unobservable eigenvector on the imaginary axis lies in a longer Jordan chain of A"
        return Trial(attempt, _found(Regime.POLYNOMIAL, held, reason=reason))
    zero_only = zero_is_the_only_axis_eigenvalue(restricted(exact.A, unobservable(exact.A, exact.S)))
    limit, turning = (None, None) if factor is None else _lasting(system, hidden.basis, counts.on, factor, exact)
    if zero_only:
        reason = "the limit depends on the start: 0 is an unobservable eigenvalue of A"
        all_of_A = axis(system.A, lambda: exact.A).counts
        rank = None if all_of_A is None else all_of_A.right + counts.on
        return Trial(attempt, _found(Regime.CONTINUUM, held, cov=limit, reason=reason, rank=rank))
    if turning is not None and turning < 1e-9:
        return Trial(dataclasses.replace(attempt, note="whether this start rotates is within rounding"))
    return Trial(attempt, _found(Regime.ROTATION, held, reason="an unobservable pair of eigenvalues on the axis"))


def _found(
    regime: Regime, held: tuple[Hypothesis, ...], *, cov: np.ndarray | None = None, rank: int | None = None,
    rate: float | None = None, reason: str = "", statement: Statement = THEOREM_A_BOUNDED,
) -> Finding:  # fmt: skip
    return Finding(regime, Basis.THEOREM, statement, held, cov=cov, rank=rank, rate=rate, never=NEVER, reason=reason)


def _lasting(
    system: System, hidden: np.ndarray, on: int, factor: np.ndarray, exact: ExactSystem
) -> tuple[np.ndarray | None, float]:
    """The limit (where 0 is the only unobservable eigenvalue on the axis), and how far the lasting part is from rest.

    cov(t) - X - e^{At} F e^{A^T t} tends to 0 with X carried by the unstable subspace, and F on D = hidden + stable;
    `on` eigenvalues of the hidden part lie on the axis.
    """
    A, S = system.A, system.S
    counts = axis(A, lambda: exact.A).counts
    if counts is None:
        return None, 0.0
    D = _hidden_first(A, hidden, counts.left)
    k = hidden.shape[1]
    on_D, inner = D.T @ A @ D, np.zeros((D.shape[1],) * 2)
    if D.shape[1] > k:
        seen = D[:, k:]
        inner[k:, k:] = solve_continuous_lyapunov(on_D[k:, k:].T, seen.T @ S @ seen)
    whitened = np.linalg.solve(factor, D)
    F = np.linalg.inv(whitened.T @ whitened + inner)
    lasting = _lasting_projector(on_D, on)
    kept = lasting @ F @ lasting.T
    turning = on_D @ kept
    size = np.linalg.norm(on_D) * np.linalg.norm(kept)
    moved = float(np.linalg.norm(turning + turning.T) / size) if size > 0 else 0.0
    center = carried_by(A, S, counts.right)
    return None if center is None else center + D @ kept @ D.T, moved


def _hidden_first(A: np.ndarray, hidden: np.ndarray, stable: int) -> np.ndarray:
    """An orthonormal basis of hidden + E_-, the columns of `hidden` first."""
    _, vectors = rightmost(-A, stable)
    rest = vectors[:, :stable] - hidden @ (hidden.T @ vectors[:, :stable])
    left, values, _ = np.linalg.svd(rest, full_matrices=False)
    new = left[:, values > 1e-10]
    new = new - hidden @ (hidden.T @ new)
    return np.hstack([hidden, new])


def _lasting_projector(matrix: np.ndarray, count: int) -> np.ndarray:
    """The spectral projector of a matrix on its `count` rightmost eigenvalues."""
    triangular, vectors = rightmost(matrix, count)
    across = solve_sylvester(triangular[:count, :count], -triangular[count:, count:], triangular[:count, count:])
    return np.asarray(vectors[:, :count] @ np.hstack([np.eye(count), across]) @ vectors.T)
