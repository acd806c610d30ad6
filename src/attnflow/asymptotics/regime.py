"""The regimes of the long run, and what a verdict about them rests on."""

from __future__ import annotations

import dataclasses
import enum

import numpy as np

from ..flow.outcome import Basis, BlowUp
from .statements import Statement


class Regime(enum.StrEnum):
    """What becomes of the covariance.

    `zero_or_blow_up` and `several_attractors` are verdicts about all positive definite starts at once: which of the
    limits is reached depends on the start.
    """

    ZERO = "collapse to zero"
    RANK_DEFICIENT = "rank-deficient limit"
    POSITIVE_DEFINITE = "positive definite equilibrium"
    CONTINUUM = "continuum of limits"
    ROTATION = "rotation"
    CYCLE = "limit cycle"
    POLYNOMIAL = "polynomial growth"
    EXPONENTIAL = "exponential growth"
    BLOW_UP = "finite-time blow-up"
    ZERO_OR_BLOW_UP = "zero in a basin, blow-up outside"
    SEVERAL = "several attractors: zero, rank-deficient, positive definite or blow-up, by the start"
    UNDETERMINED = "undetermined"


class MeanRegime(enum.StrEnum):
    """What becomes of the mean."""

    LIMIT = "limit"
    DIVERGENCE = "divergence"
    ROTATION = "rotation"
    UNDETERMINED = "undetermined"


class Held(enum.StrEnum):
    """Whether a hypothesis holds; `borderline` if rounding alone decides and exact arithmetic was out of reach."""

    HOLDS = "holds"
    FAILS = "fails"
    BORDERLINE = "borderline"


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of a theorem, evaluated.

    `margin` is positive where it holds with room, negative where it fails, in the units of the matrices named;
    `exact` says that it was decided in rational arithmetic on the binary inputs or by structure.
    """

    name: str
    held: Held
    margin: float
    exact: bool = False

    def __str__(self) -> str:
        """Name, whether it holds, and the margin."""
        how = ", exactly" if self.exact else ""
        return f"{self.name}: {self.held.value}{how} (margin {self.margin:.3g})"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A theorem that was tried: its hypotheses, and whether it applies."""

    statement: str
    hypotheses: tuple[Hypothesis, ...]
    note: str = ""

    @property
    def applies(self) -> bool:
        """Whether all hypotheses hold."""
        return all(h.held is Held.HOLDS for h in self.hypotheses)

    @property
    def reason(self) -> str:
        """Why it does not apply: the first hypothesis that does not hold, with its margin."""
        failing = [h for h in self.hypotheses if h.held is not Held.HOLDS]
        return "; ".join(str(h) for h in failing) or self.note


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a theorem or an integration says of the covariance.

    `regime`, what it rests on (`basis`, `statement`, `hypotheses`), the limit `cov` (d, d) where it is known, its
    `rank`, the exponential `rate` of approach or growth (None where it is not exponential or not known), the blow-up,
    and `never`: why there is no blow-up, where that is certain. `reason` adds words.
    """

    regime: Regime
    basis: Basis
    statement: Statement
    hypotheses: tuple[Hypothesis, ...] = ()
    cov: np.ndarray | None = None
    rank: int | None = None
    rate: float | None = None
    blow_up: BlowUp | None = None
    never: str = ""
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A theorem that was tried, and what it says where it applies and decides."""

    attempt: Attempt
    finding: Finding | None = None
