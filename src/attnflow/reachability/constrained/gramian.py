"""The linearised system around a plan: in which directions its controls can move the end state.

Source: this package, docs/theory/constrained-steering.md, The controllability Gramian.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ..law import Controls
from .problem import NAMES
from .shooting import Shooting

STRETCHES = 32
RANK_RULE = 1e-8


@dataclasses.dataclass(frozen=True)
class Gramian:
    """The controllability Gramian of the linearised system along a plan, of the end state by the free controls.

    `singular_values` are the roots of its eigenvalues, largest first, in the coordinates of the target; `rank` counts
    those above 1e-8 of the largest, `dimension` is that of the set of Gaussians of the rank in question. `held` is the
    part of the misses, between 0 and 1, that lies in directions in which the end state cannot be moved.
    """

    singular_values: tuple[float, ...]
    rank: int
    dimension: int
    held: float

    @property
    def lacking(self) -> int:
        """The number of directions in which the linearised system cannot move the end state."""
        return self.dimension - self.rank

    @property
    def explains(self) -> bool:
        """Whether that is why the target is missed: directions are lacking, and most of the misses lie in them."""
        return self.lacking > 0 and self.held > 0.5

    @property
    def text(self) -> str:
        """What it says, in words."""
        k = self.lacking
        if not k:
            smallest = self.singular_values[-1] / self.singular_values[0]
            return (
                f"the linearised system can move the end state in all {self.dimension} directions (smallest singular "
                f"value {smallest:.1e} of the largest): it does not explain the miss"
            )
        verdict = "explains" if self.explains else "does not explain"
        return (
            f"the linearised system cannot move the end state in {k} of {self.dimension} directions, in which "
            f"{self.held:.0%} of the misses lie: that {verdict} the miss"
        )


def gramian(shooting: Shooting, x: Float[np.ndarray, " p"]) -> Gramian | None:
    """The Gramian along the plan with the unknowns `x`, to which `shooting` belongs; None where the flow is not finite.

    Controls that depend on depth are free on 32 stretches here, however few the plan has; the size of a control is
    (int |u|^2 dt)^{1/2}.

    Source: this package, docs/theory/constrained-steering.md, The controllability Gramian.
    """
    problem = shooting.problem
    stretches = problem.choice.stretches
    fine, values = problem, x
    if 1 < stretches < STRETCHES:
        per = STRETCHES // stretches
        fine = problem.refined(stretches * per)
        coarse = problem.controls(x)
        values = fine.vector(Controls(*(np.repeat(getattr(coarse, name), per, axis=0) for name in NAMES)))
    closer = Shooting(fine, shooting.clock, steps=max(shooting.steps, fine.choice.stretches))
    missed, slope = closer.linearised(values, fine.goal)
    if not np.all(np.isfinite(slope)):
        return None
    left, sizes, _ = np.linalg.svd(slope * np.sqrt(fine.choice.stretches))
    rank = int(np.count_nonzero(sizes > RANK_RULE * sizes.max(initial=0.0)))
    length = float(np.linalg.norm(missed)) or 1.0
    held = float(np.linalg.norm(left[:, rank:].T @ missed)) / length
    return Gramian(tuple(float(size) for size in sizes), rank, problem.orbit, held)
