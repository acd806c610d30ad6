"""A second opinion for V = eta I: the closed form of the covariance in mpmath, 50 digits beyond what cancels.

cov(t) = e^{At} L (I - L^T N(t) L)^{-1} L^T e^{A^T t} with N(t) the integral of e^{A^T s} S e^{As}, by Van Loan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .cases import Case
from .rules import Judged, Says

if TYPE_CHECKING:
    from attnflow.doors.long_run.verdict import Verdict

EVERY = 16
DIGITS = 50


def second_opinion(case: Case, verdict: Verdict, first: Judged) -> Judged:
    """The judgement of the closed form where it can tell, else the `first` one."""
    known = verdict.blow_up
    if known is not None and known.lower is not None and known.upper is not None:
        return _blow_up(case, known.lower, known.upper, first)
    if verdict.covariance in ("exponential growth", "polynomial growth"):
        return _growth(case, verdict, first)
    limit = verdict.covariance_limit
    rate = verdict.rate
    if limit is None:
        return first
    size = float(np.linalg.norm(limit)) or float(np.linalg.norm(case.factor)) ** 2
    end = 40.0 / rate if rate else 1e3 / case.speed
    if end * case.speed > 4e3:
        return first
    off = float(np.linalg.norm(at(case, end) - limit)) / size
    words = f"closed form off by {off:.2g} at t = {end:.4g}"
    if rate:
        agrees, contradicts = off < 1e-6, off > 1e-3
    else:  # falls like 1 / t at last
        later = float(np.linalg.norm(at(case, 4 * end) - limit)) / size
        agrees, contradicts = later < 0.5 * off or later < 1e-6, later > 0.99 * off and first.says is not Says.AGREES
        words += f", {later:.2g} at 4 t"
    if agrees:
        return Judged(Says.AGREES, words)
    return Judged(Says.CONTRADICTS if contradicts else first.says, f"{words}; {first.why}")


def at(case: Case, t: float) -> np.ndarray:
    """cov(t)."""
    import mpmath

    with mpmath.workdps(_digits(case, t)):
        E, inside, L = _parts(case, t)
        moved = E * L
        return np.array((moved * mpmath.inverse(inside) * moved.T).tolist(), dtype=float)


def _digits(case: Case, t: float) -> int:
    """What cancels is exponential in the real parts of the eigenvalues of A, and a power of t besides."""
    spread = float(np.abs(np.linalg.eigvals(case.matrices.A).real).max())
    return DIGITS + int(2.2 * t * spread + 6 * case.dim * np.log10(10 + t * case.speed))


def _parts(case: Case, t: float) -> tuple[Any, Any, Any]:
    """e^{At}, I - L^T N(t) L, and L."""
    import mpmath

    d = case.dim
    A, L = (mpmath.matrix(x.tolist()) for x in (case.matrices.A, case.factor))
    S = mpmath.zeros(d)
    for V, B in zip(case.matrices.V, case.matrices.B, strict=True):
        head = mpmath.mpf(float(V[0, 0])) * mpmath.matrix(B.tolist())
        S += head + head.T
    block = mpmath.zeros(2 * d)
    block[:d, :d], block[:d, d:], block[d:, d:] = -A.T, S, A
    whole = mpmath.expm(block * mpmath.mpf(t))
    E = whole[d:, d:]
    N = E.T * whole[:d, d:]
    return E, mpmath.eye(case.rank) - L.T * ((N + N.T) / 2) * L, L


def _growth(case: Case, verdict: Verdict, first: Judged) -> Judged:
    """The slope of log trace in t, or in log t, over a doubling of a long time."""
    t = 30.0 / verdict.rate if verdict.rate else 5e2 / case.speed
    if t * case.speed > 1e3 or first.says is Says.CONTRADICTS:
        return first
    before, after = (float(np.log(np.trace(at(case, x)))) for x in (t, 2 * t))
    if verdict.rate:
        near = abs((after - before) / t - verdict.rate) < 0.1 * verdict.rate + 4.0 / t
        words = f"closed form: slope {(after - before) / t:.4g}, claimed {verdict.rate:.4g}"
        return Judged(Says.AGREES if near else Says.CONTRADICTS, words)
    power = (after - before) / np.log(2.0)
    return Judged(Says.AGREES if 0.5 < power < 12 else Says.CONTRADICTS, f"closed form: power {power:.3g}")


def _blow_up(case: Case, lower: float, upper: float, first: Judged) -> Judged:
    """The smallest eigenvalue of I - L^T N(t) L changes its sign within the bracket, or 1e-9 beside it."""
    import mpmath

    if upper * case.speed > 4e3:
        return first
    signs = []
    for t in (lower * (1 - 1e-9), upper * (1 + 1e-9)):
        with mpmath.workdps(_digits(case, t)):
            signs.append(float(min(mpmath.eigsy(_parts(case, t)[1], eigvals_only=True))) > 0)
    if signs == [True, False]:
        return Judged(Says.AGREES, "closed form: T_f in the bracket")
    return Judged(Says.CONTRADICTS, f"closed form: T_f not in [{lower:.12g}, {upper:.12g}]; {first.why}")
