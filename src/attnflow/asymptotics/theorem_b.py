"""Theorem B: V = eta I with an S that is not <= 0. Blow-up, or the basin of zero.

Source: this package, docs/theory/closed-form.md.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

from ..flow.closed_form import March, Propagator, blow_up_beyond, march
from ..flow.outcome import Basis, BlowUp
from .hypotheses import EPS, EXACT_LIMIT, ExactSystem, Sign, axis, definite, nearly_unseen, scalar_value
from .rational import axis_counts, quotient_counts, restricted, unobservable
from .regime import Attempt, Finding, Held, Hypothesis, Regime, Trial
from .small_starts import basin_of_zero
from .statements import THEOREM_B
from .system import System

FARTHEST = 2.0**8  # times 1 / ||A||: how long a flow with an S of both signs is followed
SETTLED = 1e-4
STEPS_AHEAD = 4000
VISIBLE = 1e-3


def theorem_b(system: System, exact: ExactSystem, factor: np.ndarray | None) -> Trial:
    """What Theorem B says of `system` (`exact`: the same in rational arithmetic) when S is not <= 0.

    `factor` (d, r) is the start, or None for all positive definite ones.

    Source: this package, docs/theory/closed-form.md.
    """
    scalar = scalar_value(system)
    if scalar.held is not Held.HOLDS:
        return Trial(Attempt(str(THEOREM_B), (scalar,)))
    S = system.S
    size = 2 * float(np.einsum("h,h->", np.abs(system.V[:, 0, 0]), np.linalg.norm(system.B, axis=(1, 2))))
    falling = definite("S", S, Sign.NONPOSITIVE, lambda: exact.S, size=size)
    opposite = {Held.HOLDS: Held.FAILS, Held.FAILS: Held.HOLDS, Held.BORDERLINE: Held.BORDERLINE}[falling.held]
    top = float(np.linalg.eigvalsh(S)[-1])
    rising = Hypothesis("S = eta (B + B^T) has a positive eigenvalue", opposite, top, falling.exact)
    if rising.held is not Held.HOLDS:
        return Trial(Attempt(str(THEOREM_B), (scalar, rising)))
    semidefinite = definite("S", S, Sign.NONNEGATIVE, lambda: exact.S, size=size)
    if semidefinite.held is Held.HOLDS:
        return _semidefinite(system, exact, factor, (scalar, semidefinite))
    hypotheses = (scalar, rising)
    attempt = Attempt(str(THEOREM_B), hypotheses, note="S has eigenvalues of both signs: some starts blow up")
    return Trial(attempt, None if factor is None else _followed(system, factor, hypotheses))


def _semidefinite(
    system: System, exact: ExactSystem, factor: np.ndarray | None, hypotheses: tuple[Hypothesis, ...]
) -> Trial:
    basin = basin_of_zero(system)
    if basin is not None:
        stable = axis(system.A, lambda: exact.A).all_left("spec A")
        if factor is None:
            finding = Finding(Regime.ZERO_OR_BLOW_UP, Basis.THEOREM, THEOREM_B, (*hypotheses, stable))
            return Trial(Attempt(str(THEOREM_B), finding.hypotheses), finding)
        return _against_separatrix(system, factor, basin.inside(factor @ factor.T), (*hypotheses, stable))
    seen = _observable_growth(system, exact)
    found = (*hypotheses, seen)
    attempt = Attempt(str(THEOREM_B), found)
    if seen.held is not Held.HOLDS:
        return Trial(attempt)
    if factor is None:
        return Trial(attempt, Finding(Regime.BLOW_UP, Basis.THEOREM, THEOREM_B, found))
    blow_up = _time(system, factor)
    if factor.shape[1] < system.dim and (blow_up is None or _blurred(system, factor, blow_up.estimate)):
        return Trial(Attempt(str(THEOREM_B), found, note="for this singular start rounding decides"))
    return Trial(attempt, Finding(Regime.BLOW_UP, Basis.THEOREM, THEOREM_B, found, blow_up=blow_up))


def _against_separatrix(system: System, factor: np.ndarray, inside: Held, hypotheses: tuple[Hypothesis, ...]) -> Trial:
    N = solve_continuous_lyapunov(system.A.T, -system.S)
    margin = 1.0 - float(np.linalg.eigvalsh(factor.T @ N @ factor)[-1])
    meets = Hypothesis("lambda_max(L0^T N L0) < 1, A^T N + N A = -S", inside, margin)
    found = (*hypotheses, meets)
    if inside is Held.BORDERLINE:  # an integration could only guess the side
        reason = "the start lies, within rounding, on the boundary between collapse to zero and blow-up"
        open_question = Finding(Regime.UNDETERMINED, Basis.UNDETERMINED, THEOREM_B, found, reason=reason)
        return Trial(Attempt(str(THEOREM_B), found), open_question)
    if inside is Held.HOLDS:
        rate = -2.0 * float(np.linalg.eigvals(system.A).real.max())
        finding = Finding(
            Regime.ZERO, Basis.THEOREM, THEOREM_B, found, cov=np.zeros_like(system.A), rank=0, rate=rate,
            never="lambda_max(L0^T N L0) < 1 and A Hurwitz (Theorem B)",
        )  # fmt: skip
        return Trial(Attempt(str(THEOREM_B), found), finding)
    outside = Hypothesis("lambda_max(L0^T N L0) > 1, A^T N + N A = -S", Held.HOLDS, -margin)
    held = (*hypotheses, outside)
    finding = Finding(Regime.BLOW_UP, Basis.THEOREM, THEOREM_B, held, blow_up=_time(system, factor))
    return Trial(Attempt(str(THEOREM_B), held), finding)


def _observable_growth(system: System, exact: ExactSystem) -> Hypothesis:
    """Whether S sees an eigenvalue of A with Re >= 0: then lambda_max(L^T N(t) L) is unbounded for L of rank d."""
    name = "S sees an eigenvalue of A with Re >= 0"
    if float(np.linalg.eigvalsh(system.S)[0]) > 32 * system.dim * EPS * float(np.linalg.norm(system.S)):
        place = axis(system.A, lambda: exact.A).some_not_left("spec A")
        return Hypothesis(name, place.held, place.margin, place.exact)
    if system.dim > EXACT_LIMIT:
        return Hypothesis(name, Held.BORDERLINE, 0.0)
    hidden = axis_counts(restricted(exact.A, unobservable(exact.A, exact.S)))
    seen = quotient_counts(axis_counts(exact.A), hidden)
    held = Held.HOLDS if seen.right + seen.on else Held.FAILS
    within = np.linalg.eigvals(system.A).real >= -1e-8 * np.linalg.norm(system.A)
    if held is Held.HOLDS and int(np.count_nonzero(within)) == nearly_unseen(system.A, system.S):
        held = Held.BORDERLINE  # rounding alone makes a mode observable
    return Hypothesis(name, held, float(np.linalg.eigvals(system.A).real.max()), exact=True)


def _time(system: System, factor: np.ndarray) -> BlowUp | None:
    return blow_up_beyond(Propagator(system.A, system.S), March.start(factor), limit=STEPS_AHEAD)


def _followed(system: System, factor: np.ndarray, hypotheses: tuple[Hypothesis, ...]) -> Finding | None:
    """March in certified steps until the blow-up, or until what is left is certain to vanish."""
    propagator = Propagator(system.A, system.S)
    positive = _positive_gramian(system)
    pull = float(np.linalg.norm(factor.T @ (system.S @ factor)))
    place, span = March.start(factor), 1.0 / max(propagator.norm, pull, 1e-12)
    end = min(FARTHEST * span, 1e12)
    while place.t < end:
        if positive is not None and float(np.linalg.eigvalsh(place.factor.T @ positive @ place.factor)[-1]) < 1 - 1e-9:
            rate = -2.0 * float(np.linalg.eigvals(system.A).real.max())
            reason = f"lambda_max(L^T N+ L) < 1 at t = {place.t:.6g}, A Hurwitz, A^T N+ + N+ A = -S+ (Theorem B)"
            zero = np.zeros_like(system.A)
            return Finding(Regime.ZERO, Basis.THEOREM, THEOREM_B, hypotheses, cov=zero, rank=0, rate=rate, never=reason)
        place = march(propagator, place, max(2 * place.t, span), lambda t, columns: None)
        if place.blow_up is not None:
            if _blurred(system, factor, place.blow_up.estimate):
                return None
            return Finding(Regime.BLOW_UP, place.blow_up.basis, THEOREM_B, hypotheses, blow_up=place.blow_up)
        if place.overflow or _settled(system, place.factor):
            return None
    return None


def _settled(system: System, factor: np.ndarray) -> bool:
    """Whether the orbit hardly moves: near an equilibrium there is nothing to certify, and every step is costly."""
    cov = factor @ factor.T
    size = float(np.linalg.norm(system.A) * np.linalg.norm(cov))
    return bool(float(np.linalg.norm(system.rate(cov))) <= SETTLED * size)


def _blurred(system: System, factor: np.ndarray, time: float) -> bool:
    """Whether rounding of the start alone moves lambda_max(L0^T N(t) L0) visibly: it reaches every mode of A."""
    with np.errstate(over="ignore", invalid="ignore"):
        gramian = Propagator(system.A, system.S).gramian(time)
    if not np.all(np.isfinite(gramian)):
        return True
    return bool(64 * EPS * np.linalg.norm(gramian, 2) * np.linalg.norm(factor, 2) ** 2 > VISIBLE)


def _positive_gramian(system: System) -> np.ndarray | None:
    """N+ with A^T N+ + N+ A = -S+ for the positive part S+ of S; None unless A is Hurwitz."""
    if not float(np.linalg.eigvals(system.A).real.max()) < 0:
        return None
    values, vectors = np.linalg.eigh(system.S)
    return np.asarray(solve_continuous_lyapunov(system.A.T, -(vectors * np.maximum(values, 0.0)) @ vectors.T))
