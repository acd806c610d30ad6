"""The search for a plan under constraints: attempts from several beginnings until one is confirmed by a replay."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ...measures.gaussian import Gaussian
from ..constructions import McCann, Rotation
from ..errors import cov_error, mean_error, worst_direction
from ..law import AbstractLaw
from ..motion import Followed, follow
from .fitting import EXACT, Fit, continued, finish, fit
from .shooting import OutOfTime, Shooting
from .warm import along, drawn, idle

POLISHED = 1e-9
"""The relative error of a replay at which the search is content."""
PROMISING = 1e-6
FINEST = 512
ATTEMPTS = 200
EVALUATIONS = 60_000


class Ending(enum.StrEnum):
    """Why a search ended: the target is `reached`, all attempts were `exhausted`, `budget`, or `interrupted`."""

    REACHED = "reached"
    EXHAUSTED = "exhausted"
    BUDGET = "budget"
    INTERRUPTED = "interrupted"


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """Unknowns `x` (p,) with their `law`, its `motion` as replayed, and the larger relative `error` at its end.

    `missed` is the norm of what the target's equations miss, by which candidates are compared.
    """

    x: Float[np.ndarray, " p"]
    law: AbstractLaw
    motion: Followed
    error: float
    missed: float


@dataclasses.dataclass(eq=False)
class Search:
    """A search for a plan from `start` to `target` with `shooting`, content below the relative error `tolerance`.

    Variances of the target below `visible`, relative to the largest, count as zero.

    With `prefer_exact` it begins at an exact plan even if the feed-forward layer is given. `best` is the best candidate
    so far, `attempts` counts the beginnings tried.
    """

    shooting: Shooting
    start: Gaussian
    target: Gaussian
    tolerance: float
    visible: float
    prefer_exact: bool = False
    best: Candidate | None = None
    attempts: int = 0

    def run(self, *, seed: int, attempts: int = ATTEMPTS) -> Ending:
        """Try at most `attempts` beginnings, those drawn with `seed`; why that ended."""
        try:
            for found in self._attempts(np.random.default_rng(seed)):
                if self._consider(found) or self.attempts >= attempts:
                    break
        except OutOfTime:
            return self._ended(Ending.BUDGET)
        except KeyboardInterrupt:
            return self._ended(Ending.INTERRUPTED)
        return self._ended(Ending.EXHAUSTED)

    def calm(self) -> Float[np.ndarray, " p"]:
        """The unknowns that add nothing to what is given."""
        return idle(self.shooting.problem)

    def consider_calm(self) -> None:
        """Take the first calm law that lasts to the end as the best so far, if there is none."""
        problem = self.shooting.problem
        x = idle(problem)
        for damping in (0.0, 1.0, 4.0, 16.0, 64.0):
            parts = problem.controls(x)
            damped = parts._replace(A=parts.A - damping * np.eye(problem.dim))
            for B in (damped.B, np.zeros_like(damped.B)):
                if self.best is None:
                    self.best = self.confirmed(problem.vector(damped._replace(B=B)), np.inf)

    def confirmed(self, x: Float[np.ndarray, " p"], missed: float) -> Candidate | None:
        """The unknowns `x`, which miss by `missed`, with an independent replay; None when that does not last."""
        problem = self.shooting.problem
        law = problem.law(x)
        state = problem.state * problem.length
        found = follow(law, state[:, 0], state[:, 1:], problem.time, evaluations=EVALUATIONS)
        if found.motion is None:
            return None
        end = Gaussian(found.motion.mean(problem.time), found.motion.factor(problem.time))
        error = max(
            mean_error(end, self.start, self.target),
            cov_error(np.asarray(end.cov), np.asarray(self.target.cov)),
            worst_direction(end, self.target, rtol=self.visible),
        )
        return Candidate(x, law, found.motion, error, missed)

    def _ended(self, otherwise: Ending) -> Ending:
        return Ending.REACHED if self.best is not None and self.best.error <= self.tolerance else otherwise

    def _attempts(self, rng: np.random.Generator) -> Iterator[Fit]:
        """What each beginning leads to: fitted where it stands, then with the target moved away from its own end."""
        for x in self._beginnings(rng):
            self.attempts += 1
            here = fit(self.shooting, x, self.shooting.goal)
            yield here
            if here.error > PROMISING:
                moved = continued(self.shooting, x, straight=self.attempts % 2 == 0)
                yield fit(self.shooting, moved.x, self.shooting.goal)

    def _beginnings(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        problem = self.shooting.problem
        exact = [along(problem, construction) for construction in (Rotation(), McCann())]
        # where the feed-forward layer is free it can do the work, as in an exact plan
        exact_first = self.prefer_exact or "A" in problem.choice.free
        yield from [*exact, idle(problem)] if exact_first else [idle(problem), *exact]
        while True:
            yield drawn(problem, rng)

    def _consider(self, found: Fit) -> bool:
        """Keep what was `found` if it is the best so far; whether the search can end."""
        if not np.isfinite(found.error) or (self.best is not None and found.error >= 0.99 * self.best.missed):
            return False
        candidate = self.confirmed(found.x, found.error)
        while found.error <= PROMISING and (candidate is None or candidate.error > POLISHED):
            if self.shooting.steps >= FINEST:
                break
            self._keep(candidate)
            self.shooting.steps *= 2
            found = finish(self.shooting, found.x, self.shooting.goal, to=EXACT)
            candidate = self.confirmed(found.x, found.error)
        self._keep(candidate)
        return self.best is not None and self.best.error <= self.tolerance and found.error <= PROMISING

    def _keep(self, candidate: Candidate | None) -> None:
        if candidate is not None and (self.best is None or candidate.error < self.best.error):
            self.best = candidate
