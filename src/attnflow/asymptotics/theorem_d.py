"""Theorem D: every V_h < 0 and B_h > 0 symmetric, or the signs swapped: bounded, and zero under two conditions.

Source: this package, docs/theory/definite.md, Theorem D.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from ..flow.outcome import Basis
from .blow_up import head_signs
from .hypotheses import ExactSystem, Sign, axis, definite
from .regime import Attempt, Finding, Held, Hypothesis, Regime, Trial
from .statements import THEOREM_D
from .system import System

NEVER = "V < 0, B > 0: tr cov is bounded (Theorem D)"


def theorem_d(system: System, exact: ExactSystem) -> Trial:
    """What Theorem D says of `system` (`exact`: the same in rational arithmetic), for every start.

    It decides only when the limit is zero; otherwise its note says what is known: the covariance is bounded, and a
    positive definite equilibrium may be certain to exist.

    Source: :cite:alcalde2026, Thm. 4.5; this package, docs/theory/definite.md, Theorem D.
    """
    signs = head_signs(system, opposite=True)
    if any(h.held is not Held.HOLDS for h in signs):
        return Trial(Attempt(str(THEOREM_D), signs))
    sum_A = system.A + system.A.T
    size = 2 * float(np.linalg.norm(system.A))
    contracting = definite("A + A^T", sum_A, Sign.NONPOSITIVE, lambda: exact.A + exact.A.transpose(), size=size)
    if contracting.held is Held.HOLDS:
        return _zero(system, exact, (*signs, contracting))
    if system.single is None:
        return Trial(Attempt(str(THEOREM_D), (*signs, contracting), note="bounded"))
    form, drive = _in_the_form(system, exact)
    if form.held is Held.HOLDS and drive.held is Held.HOLDS:
        return _zero(system, exact, (*signs, form, drive))
    return Trial(Attempt(str(THEOREM_D), (*signs, contracting, form, drive), note=_known(system)))


def _zero(system: System, exact: ExactSystem, hypotheses: tuple[Hypothesis, ...]) -> Trial:
    stable = axis(system.A, lambda: exact.A).all_left("spec A")
    decay = -2.0 * float(np.linalg.eigvals(system.A).real.max())
    finding = Finding(
        Regime.ZERO,
        Basis.THEOREM,
        THEOREM_D,
        hypotheses,
        cov=np.zeros_like(system.A),
        rank=0,
        rate=decay if stable.held is Held.HOLDS else None,
        never=NEVER,
        reason="" if stable.held is Held.HOLDS else "A is not Hurwitz: the approach may be algebraic",
    )
    return Trial(Attempt(str(THEOREM_D), hypotheses), finding)


def _in_the_form(system: System, exact: ExactSystem) -> tuple[Hypothesis, Hypothesis]:
    """B A + A^T B <= 0 and B V + V B < 0 for the positive definite B (or -B)."""
    (V,), (B,) = system.V, system.B
    flip = 1.0 if np.trace(B) > 0 else -1.0
    BA, BV = flip * B @ system.A, B @ V
    size = 2 * float(np.linalg.norm(B) * np.linalg.norm(system.A))

    def exact_form() -> object:
        half = exact.B * exact.A * int(flip)
        return half + half.transpose()

    def exact_drive() -> object:
        half = exact.B * exact.V
        return half + half.transpose()

    form = definite("B A + A^T B", BA + BA.T, Sign.NONPOSITIVE, exact_form, size=size)
    size = 2 * float(np.linalg.norm(B) * np.linalg.norm(V))
    return form, definite("B V + V B", BV + BV.T, Sign.NEGATIVE, exact_drive, size=size)


def _known(system: System) -> str:
    """What the theorem says besides a limit."""
    box = loewner_box(system)
    if box is None:
        return "bounded"
    low, high = box
    if high is None:
        return "bounded; a positive definite equilibrium exists (B A + A^T B > 0)"
    return (
        f"bounded; every positive definite start enters {low:.6g} B^-1 <= cov <= {high:.6g} B^-1, which holds a "
        "positive definite equilibrium"
    )


def loewner_box(system: System) -> tuple[float, float | None] | None:
    """(c1, c2) with c1 B^{-1} <= cov <= c2 B^{-1} invariant and attracting, for one head with B > 0 (or B < 0).

    None unless the `system` has one head and B A + A^T B > 0 with B taken positive; c2 is None (and c1 means nothing)
    unless B V + V B < 0, when only the existence of a positive definite equilibrium is known.

    Source: this package, docs/theory/definite.md, Theorem D.
    """
    if system.single is None:
        return None
    V, B = system.single
    if np.trace(B) < 0:
        V, B = -V, -B
    growth, drive = (scipy.linalg.eigh(B @ X + X.T @ B, B, eigvals_only=True) for X in (system.A, V))
    if not growth[0] > 0:
        return None
    if not drive[-1] < 0:
        return 0.0, None
    return float(growth[0] / -drive[0]), float(growth[-1] / -drive[-1])
