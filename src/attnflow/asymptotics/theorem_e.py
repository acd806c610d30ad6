"""Theorem E: V > 0 and B > 0 symmetric: blow-up from every start, or from large ones; and starts that are too small.

Source: this package, docs/theory/definite.md, Theorem E and Small starts.
"""

from __future__ import annotations

import numpy as np

from ..flow.outcome import Basis
from .blow_up import blow_up_bounds, head_signs
from .hypotheses import ExactSystem, Sign, axis, definite
from .regime import Attempt, Finding, Held, Hypothesis, Regime, Trial
from .small_starts import small_start_radius
from .statements import SMALL_START, THEOREM_E
from .system import System


def theorem_e(system: System, exact: ExactSystem, factor: np.ndarray | None) -> Trial:
    """What Theorem E says of `system` (`exact`: the same in rational arithmetic).

    `factor` (d, r) is the start, or None for all positive definite ones.

    Source: :cite:alcalde2026, Thm. 4.6; this package, docs/theory/definite.md, Theorem E.
    """
    signs = head_signs(system, opposite=False)
    if any(h.held is not Held.HOLDS for h in signs):
        return _by_weighted_bound(system, factor, signs)
    size = 2 * float(np.linalg.norm(system.A))
    expanding = definite(
        "A + A^T", system.A + system.A.T, Sign.NONNEGATIVE, lambda: exact.A + exact.A.transpose(), size=size
    )
    if expanding.held is Held.HOLDS:
        found = (*signs, expanding)
        return Trial(Attempt(str(THEOREM_E), found), Finding(Regime.BLOW_UP, Basis.THEOREM, THEOREM_E, found))
    if factor is None:
        return Trial(Attempt(str(THEOREM_E), (*signs, expanding), note="large starts blow up"))
    bounds = blow_up_bounds(system, factor @ factor.T, rank=factor.shape[1])
    upper = bounds.upper
    large = Hypothesis("an upper bound of the blow-up time is finite", Held.FAILS if upper is None else Held.HOLDS, 0.0)
    found = (*signs, large)
    if upper is None:
        return Trial(Attempt(str(THEOREM_E), (*signs, expanding, large)))
    return Trial(
        Attempt(str(THEOREM_E), found),
        Finding(Regime.BLOW_UP, Basis.THEOREM, THEOREM_E, found, reason=f"before t = {upper:.6g}"),
    )


def _by_weighted_bound(system: System, factor: np.ndarray | None, signs: tuple[Hypothesis, ...]) -> Trial:
    """Without definite signs: the B-weighted bound holds for any V."""
    if factor is None or factor.shape[1] == 0:
        return Trial(Attempt(str(THEOREM_E), signs))
    bounds = blow_up_bounds(system, factor @ factor.T, rank=factor.shape[1])
    weighted = bounds.attempts[1]
    if bounds.upper is None or not weighted.applies:
        return Trial(Attempt(str(THEOREM_E), signs))
    reason = f"before t = {bounds.upper:.6g} by the B-weighted bound"
    finding = Finding(Regime.BLOW_UP, Basis.THEOREM, THEOREM_E, weighted.hypotheses, reason=reason)
    return Trial(Attempt(str(THEOREM_E), weighted.hypotheses), finding)


def small_start(system: System, exact: ExactSystem, factor: np.ndarray | None) -> Trial:
    """Whether the start `factor` (d, r) of the `system` is so small that a Hurwitz A takes it to zero.

    `exact` is the system in rational arithmetic. Without a start it never decides.

    Source: this package, docs/theory/definite.md, Small starts.
    """
    stable = axis(system.A, lambda: exact.A).all_left("spec A")
    if factor is None or stable.held is not Held.HOLDS:
        return Trial(Attempt(str(SMALL_START), (stable,), note="it speaks of single starts"))
    cov = factor @ factor.T
    ball = small_start_radius(system, cov=cov)
    room = -np.inf if ball is None else ball.room(cov)
    inside = ball is not None and ball.contains(cov)
    found = (stable, Hypothesis("the start lies in the ball", Held.HOLDS if inside else Held.FAILS, float(room)))
    if not inside:
        return Trial(Attempt(str(SMALL_START), found))
    finding = Finding(
        Regime.ZERO, Basis.THEOREM, SMALL_START, found, cov=np.zeros_like(cov), rank=0,
        rate=-2.0 * float(np.linalg.eigvals(system.A).real.max()),
        never="the start lies in a ball that the flow contracts to zero",
    )  # fmt: skip
    return Trial(Attempt(str(SMALL_START), found), finding)
