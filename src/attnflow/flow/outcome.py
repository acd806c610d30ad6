"""How a flow ended, and what is known of its blow-up."""

from __future__ import annotations

import dataclasses
import enum


class Status(enum.StrEnum):
    """How a flow ended.

    `reached_end` all requested times were reached; `blow_up` the covariance is infinite at a finite time before the
    last one; `at_rest` it stopped because nothing moves any more (only when asked); `overflow` exponential growth
    left the range of float64; `not_converged` an inner iteration failed; `budget` the allowed steps were used up;
    `interrupted` the user stopped it.
    """

    REACHED_END = "reached_end"
    BLOW_UP = "blow_up"
    AT_REST = "at_rest"
    OVERFLOW = "overflow"
    NOT_CONVERGED = "not_converged"
    BUDGET = "budget"
    INTERRUPTED = "interrupted"


class Basis(enum.StrEnum):
    """What a statement rests on: a `theorem` whose hypotheses were checked, a `numerical` result, or nothing."""

    THEOREM = "theorem"
    NUMERICAL = "numerical"
    UNDETERMINED = "undetermined"


@dataclasses.dataclass(frozen=True)
class BlowUp:
    """The blow-up time T_f of a covariance, bracketed.

    `lower` <= T_f <= `upper`, `estimate` the best value; `basis` says what the bracket rests on and `statement`
    names it.
    """

    lower: float
    upper: float
    estimate: float
    basis: Basis
    statement: str

    def later(self, offset: float) -> BlowUp:
        """The same blow-up on a clock that started `offset` earlier."""
        moved = {name: getattr(self, name) + offset for name in ("lower", "upper", "estimate")}
        return dataclasses.replace(self, **moved)


def bracket(first: BlowUp, second: BlowUp | None, rtol: float) -> BlowUp:
    """The blow-up of a run to `rtol`, bracketed with the `second`, tighter one.

    The estimate is the second's; the width is twice the change between the runs and what was left to the end. Without
    a second run the first one is returned.
    """
    if second is None:
        return first
    # at the end of a run the trace is followed to `lower`; its power law near the blow-up is not known exactly
    unknown = 4 * (second.estimate - second.lower)
    width = 2 * abs(first.estimate - second.estimate) + max(0.1 * rtol, 1e-12) * second.estimate + unknown
    return dataclasses.replace(second, lower=second.estimate - width, upper=second.estimate + width)
