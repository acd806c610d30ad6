"""What one start's long run showed, and how long it may be looked at."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ...flow.outcome import Basis, BlowUp
from ..regime import Regime

if TYPE_CHECKING:
    from ..equilibria.equilibrium import Equilibrium
    from .cycle import Cycle


@dataclasses.dataclass(frozen=True)
class Budget:
    """How far one orbit is followed: at most `steps` accepted steps and `seconds` of processor time, to `rtol`."""

    steps: int = 4000
    seconds: float = 3.0
    rtol: float = 1e-8


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the orbit of one start became, by integration.

    `regime` with `basis` numerical, or undetermined; `reason` says in words what was seen. Where they are known: the
    limit `cov_limit` (d, d), its `rank`, the `equilibrium` it is (systems of softmax heads only), the exponential
    `rate` of approach, or of growth of the trace; the `cycle`; the `blow_up`. `certified`: the orbit entered a ball
    around the limit that provably no orbit leaves, so that only the integration up to `t_end` is not proved.
    `end_factor` (d, r) is where the orbit was at `t_end`.

    Source: this package, docs/theory/long-run.md.
    """

    regime: Regime
    basis: Basis
    reason: str
    t_end: float
    end_factor: Float[np.ndarray, "d r"]
    cov_limit: Float[np.ndarray, "d d"] | None = None
    rank: int | None = None
    rate: float | None = None
    equilibrium: Equilibrium | None = None
    cycle: Cycle | None = None
    blow_up: BlowUp | None = None
    certified: bool = False
    steps: int = 0
