"""What `classify` returns: the long run of covariance and mean, and what that rests on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ...asymptotics.blow_up import BlowUpBounds
from ...asymptotics.equilibria.equilibrium import Equilibrium
from ...asymptotics.evidence.cycle import Cycle
from ...asymptotics.regime import Attempt, Hypothesis, MeanRegime, Regime
from ...asymptotics.system import System
from ...flow.outcome import Basis
from ...measures.gaussian import Gaussian

if TYPE_CHECKING:
    from ...transformer.layer import AbstractLayer

JSON_SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class BoundedBlowUp:
    """The blow-up time T_f: a bracket `lower` <= T_f <= `upper` with `estimate`, and the `bounds` of Theorem E.

    `basis` says what the bracket rests on and `statement` names it. The three times are None where only the fact of a
    blow-up is known (without a start). `bounds` is None for attention other than softmax, and without a start.
    """

    lower: float | None
    upper: float | None
    estimate: float | None
    basis: Basis
    statement: str
    bounds: BlowUpBounds | None


@dataclasses.dataclass(frozen=True, repr=False)
class Verdict:
    """The long run of a Gaussian under constant parameters.

    `covariance` and `mean` are the regimes; `basis` and `mean_basis` say whether they are a theorem, numerical or
    undetermined, `statement` and `mean_statement` name what they rest on, `hypotheses` and `mean_hypotheses` are those
    of the statements, evaluated, and `margins` by how much they hold.
    `tried` are the theorems that did not decide, each with the hypothesis that failed. `covariance_limit` (d, d),
    `mean_limit` (d,), the `rank` of the limit, the exponential `rate` of approach (of growth for growing regimes), the
    `cycle` and the `blow_up` are None where there is none or it is not known; `never` says why there is no blow-up,
    where that is certain. `equilibrium` is the limit with its error bound and spectra (softmax attention only).
    `reason` and `mean_reason` add words. The problem itself is kept in `model`, `start`, `seed` and `system` (the plain
    matrices, None for attention other than softmax), what it was computed with in `provenance`.

    Source: this package, docs/theory/long-run.md.
    """

    covariance: Regime
    mean: MeanRegime
    basis: Basis
    mean_basis: Basis
    statement: str
    mean_statement: str
    hypotheses: tuple[Hypothesis, ...]
    mean_hypotheses: tuple[Hypothesis, ...]
    tried: tuple[Attempt, ...]
    covariance_limit: np.ndarray | None
    mean_limit: np.ndarray | None
    rank: int | None
    rate: float | None
    cycle: Cycle | None
    blow_up: BoundedBlowUp | None
    never: str
    equilibrium: Equilibrium | None
    reason: str
    mean_reason: str
    system: System | None
    model: AbstractLayer
    start: Gaussian | None
    seed: int
    provenance: dict[str, Any]

    @property
    def margins(self) -> dict[str, float]:
        """By how much the verdict holds, by name: hypotheses (0 for equalities that hold exactly), and the limit.

        For a limit: minus the largest real part of the linearisation, and the smallest eigenvalue that counts, less the
        error bound.
        """
        found = {h.name: h.margin for h in self.hypotheses}
        if self.equilibrium is not None:
            if self.equilibrium.abscissa is not None:
                found["stability of the limit"] = -self.equilibrium.abscissa
            if self.equilibrium.rank:
                found["rank of the limit"] = self.equilibrium.margin
        return found

    @property
    def period(self) -> float | None:
        """The period of the limit cycle."""
        return None if self.cycle is None else self.cycle.period

    @property
    def determined(self) -> bool:
        """Whether the covariance's regime is known."""
        return self.basis is not Basis.UNDETERMINED

    def plot(self, ax: Any = None) -> Any:
        """The spectra beside the imaginary axis with their margins; with `ax` drawn there, else a Figure.

        Raises BadInput for attention other than softmax.
        """
        from .picture import spectrum_picture

        return spectrum_picture(self, ax)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON-able data with a `schema_version`: what `attnflow classify --json` prints."""
        from .text import to_dict

        return to_dict(self)

    def to_latex(self) -> str:
        """The verdict as a LaTeX description list: regimes, statement, margins, and what did not apply."""
        from .text import to_latex

        return to_latex(self)

    def __str__(self) -> str:
        """The verdict in a few lines."""
        from .text import words

        return words(self)

    def __repr__(self) -> str:
        """One line."""
        return f"Verdict(covariance: {self.covariance} ({self.basis}), mean: {self.mean} ({self.mean_basis}))"
