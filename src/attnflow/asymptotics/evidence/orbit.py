"""One orbit followed until it is at rest, on a cycle, growing or out of budget."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..linearisation import svec
from .capture import Ball, Root, root_near, zero_root
from .dynamics import Dynamics
from .growth import Growth, growth_of
from .march import March
from .outcome import Budget
from .slow import Slow, slow_limit
from .stratum import settled_on_stratum

if TYPE_CHECKING:
    from .cycle import Cycle

#: Steps before a cycle is first looked for; how many equilibria are collected; growth of log trace that excludes rest.
FIRST_CYCLE, LAST_ROOTS, FAR_OUT = 240, 40, 30.0


@dataclasses.dataclass
class Orbit:
    """The orbit of a factor (d, r) under `dynamics`, and the equilibria met so far.

    `follow` runs it; then exactly one of `captured`, `stratum_root`, `growth`, `cycle`, `slow` is set, or none when
    the budget ran out.
    """

    dynamics: Dynamics
    march: March
    budget: Budget
    roots: list[Root]
    captured: tuple[Root, Ball] | None = None
    stratum_root: Root | None = None
    growth: Growth | None = None
    cycle: Cycle | None = None
    slow: Slow | None = None
    next_cycle: int = FIRST_CYCLE

    @property
    def decided(self) -> bool:
        """Whether something was found."""
        found = (self.captured, self.stratum_root, self.growth, self.cycle, self.slow)
        return any(x is not None for x in found)

    def follow(self) -> None:
        """Step on, and look at the orbit after every few steps."""
        deadline = time.process_time() + self.budget.seconds
        count = 8
        while not self.decided and self.march.steps < self.budget.steps and time.process_time() < deadline:
            self._look_for_equilibria()
            if self.captured is not None:
                return
            self.march.advance(count)
            self.growth = growth_of(self.march, self.dynamics)
            if self.growth is not None or not self._looks_on():
                return
            count = min(count + 2, 24)

    def _looks_on(self) -> bool:
        """The rarer verdicts; False when the solver cannot go on."""
        march = self.march
        if march.stalled:
            if march.stiff:
                return False
            march.turn_stiff()
            return True
        if not march.stiff and march.steps > 200 and self._is_stiff():
            march.turn_stiff()
        self.slow = slow_limit(self.dynamics, march)
        if self.slow is None and march.steps >= self.next_cycle and self.dynamics.dim > 1:
            self.next_cycle = int(1.4 * march.steps) + 60
            self._look_for_cycle()
        return True

    def _look_for_equilibria(self) -> None:
        cov = self.march.cov
        self._capture(cov)
        if self.captured is not None:
            return
        if self.march.logs[-1] < self.march.logs[0] + FAR_OUT and len(self.roots) < LAST_ROOTS:
            root = root_near(self.dynamics, cov)
            if root is not None and not any(_same(root, other) for other in self.roots):
                self.roots.append(root)
                self._capture(cov)
        if self.march.factor.shape[1] < self.dynamics.dim:
            self.stratum_root = settled_on_stratum(self.roots, self.march)

    def _capture(self, cov: Float[np.ndarray, "d d"]) -> None:
        for root in self.roots:
            ball = root.captures(cov)
            if ball is not None:
                self.captured = (root, ball)
                return

    def _is_stiff(self) -> bool:
        """Whether the explicit step is held down by stability although the orbit itself moves slowly."""
        march = self.march
        fastest = float(np.abs(np.linalg.eigvals(self.dynamics.derivative(svec(march.cov)))).max())
        window = march.times[-1] - march.times[max(len(march.times) - 40, 0)]
        per_step = window / min(len(march.times), 40)
        return per_step * fastest > 2.5

    def _look_for_cycle(self) -> None:
        from .cycle import cycle_near, recurrences

        march = self.march
        recent = slice(-500, None)
        points = np.stack([svec(L @ L.T) for L in march.path[recent]])
        velocity = self.dynamics.rate(points[-1])
        for period in recurrences(np.asarray(march.times[recent]), points, velocity):
            cycle = cycle_near(self.dynamics, march.cov, period, rank=march.factor.shape[1])
            if cycle is None or not (cycle.stable or cycle.neutral):
                continue
            if float(np.linalg.norm(svec(cycle.point) - points[-1])) < 2e-3 * cycle.diameter:
                self.cycle = cycle
                return
            self.next_cycle = march.steps + 60
            return


def orbit_of(dynamics: Dynamics, factor: Float[np.ndarray, "d r"], budget: Budget, roots: list[Root]) -> Orbit:
    """The orbit of `factor`, not yet followed; `roots` are those known from other orbits, and grows."""
    if not roots:
        roots.append(zero_root(dynamics))
    return Orbit(dynamics, March(dynamics.generator, factor, budget.rtol), budget, roots)


def _same(one: Root, other: Root) -> bool:
    size = float(np.linalg.norm(one.cov))
    return float(np.linalg.norm(one.cov - other.cov)) <= 1e-8 * size + one.error + other.error
