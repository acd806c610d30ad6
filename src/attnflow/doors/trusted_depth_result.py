"""`TrustedDepth`: until which depth a Gaussian flow describes the true one, and what says so."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from ..asymptotics.statements import Statement
from ..flow.outcome import Basis
from .comparison import Comparison
from .run import Run

SCHEMA = 1


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrustedDepth:
    """Until which depth the Gaussian flow `run` describes the true flow within a tolerance.

    `until`: the last depth up to which the 2-Wasserstein distance stays within `tolerance` times sqrt(tr cov). It is
    infinite when the Gaussian flow is exact as long as it exists, at most `t1` otherwise, and None when not even the
    start is within the tolerance, or nothing could be measured. `basis`: `theorem` when a bound gives it, `numerical`
    when a measurement does; `statement` names which, `reason` says in words what was found.

    At the depths `ts` (t,): `spread` is sqrt(tr cov), `bound` a bound of the distance that is proved for infinitely
    many tokens (None where none is known). `measured` (m,) is the measured distance relative to the spread, at the
    first m of them (None when nothing was measured). `n` is the number of tokens (None: infinitely many), `comparison`
    how n of them were measured (None without).

    Source: this package, docs/theory/trust.md.
    """

    until: float | None
    basis: Basis
    statement: Statement
    reason: str
    tolerance: float
    t1: float
    n: int | None
    ts: Float[np.ndarray, " t"]
    spread: Float[np.ndarray, " t"]
    bound: Float[np.ndarray, " t"] | None
    measured: Float[np.ndarray, " m"] | None
    comparison: Comparison | None
    run: Run

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON-able data with a `schema_version`; an infinite depth is "inf"."""
        arrays = {name: getattr(self, name) for name in ("ts", "spread", "bound", "measured")}
        return {
            "schema_version": SCHEMA,
            "until": "inf" if self.until == math.inf else self.until,
            "basis": self.basis.value,
            "statement": str(self.statement),
            "reason": self.reason,
            "tolerance": self.tolerance,
            "t1": self.t1,
            "n": self.n,
            **{name: None if array is None else array.tolist() for name, array in arrays.items()},
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
        }

    def __str__(self) -> str:
        """How deep, why, and the statement."""
        return f"{self._head()}: {self.reason}\n{self.basis}: {self.statement}"

    def __repr__(self) -> str:
        """One line: how deep, and on which basis."""
        return f"TrustedDepth({self._head()}, {self.basis.value})"

    def _head(self) -> str:
        who = "infinitely many tokens" if self.n is None else f"{self.n} tokens"
        if self.until is None:
            return f"{who}: at no depth"
        depth = "at every depth" if self.until == math.inf else f"up to t = {self.until:.4g}"
        return f"{who}: {depth}"
