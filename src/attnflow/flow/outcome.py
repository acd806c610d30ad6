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
