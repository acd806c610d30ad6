"""The end state of a problem as a function of its unknowns, in NumPy, with counts and a clock."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from jaxtyping import Float

from . import endpoint
from .goal import Goal
from .problem import Problem

STEPS = 32
"""Steps of order 8 over the whole depth: to begin with."""


class OutOfTime(Exception):
    """The budget is used up; the best found so far stands."""


@dataclasses.dataclass(eq=False)
class Clock:
    """A `budget` in seconds from now; `report` is called with the seconds used."""

    budget: float
    report: Callable[[float], None]
    begun: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """The seconds used."""
        return time.monotonic() - self.begun

    def check(self) -> None:
        """Raise OutOfTime when the budget is used up."""
        used = self.seconds
        self.report(min(used, self.budget))
        if used > self.budget:
            raise OutOfTime


class Aim(Protocol):
    """What is fitted: an end state that depends on unknowns."""

    @property
    def target(self) -> Float[np.ndarray, "d m"]:
        """Where the end state is to be: [mean, factor]."""
        ...

    @property
    def goal(self) -> Goal:
        """The target as equations."""
        ...

    def end(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, "d m"]:
        """The end state for the unknowns `x`; not finite where the flow blew up."""
        ...

    def missed(self, x: Float[np.ndarray, " p"], goal: Goal) -> Float[np.ndarray, " q"]:
        """By how much the unknowns `x` miss the `goal`; not finite where the flow blew up."""
        ...

    def linearised(
        self, x: Float[np.ndarray, " p"], goal: Goal
    ) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "q p"]]:
        """`missed` at `x` for `goal`, and its derivative."""
        ...


@dataclasses.dataclass(eq=False)
class Shooting:
    """`problem` shot at with `steps` steps of order 8 over its depth, watched by `clock`; counts its own work."""

    problem: Problem
    clock: Clock
    steps: int = STEPS
    evaluations: int = 0
    iterations: int = 0

    @property
    def target(self) -> Float[np.ndarray, "d m"]:
        """The target [mean, factor] of the problem."""
        return self.problem.target

    @property
    def goal(self) -> Goal:
        """The target as equations."""
        return self.problem.goal

    @property
    def per_stretch(self) -> int:
        """The steps on each stretch."""
        return max(1, -(-self.steps // self.problem.choice.stretches))

    def given(self, seconds: float) -> Shooting:
        """The same with a new clock of `seconds`."""
        return dataclasses.replace(self, clock=Clock(seconds, lambda done: None))

    def end(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, "d m"]:
        """The end state for the unknowns `x`; not finite where the flow blew up."""
        self._count()
        controls = self.problem.controls(x)
        return np.asarray(endpoint.end_state(controls, self.problem.state, steps=self.per_stretch))

    def missed(self, x: Float[np.ndarray, " p"], goal: Goal) -> Float[np.ndarray, " q"]:
        """By how much the unknowns `x` miss the `goal`; not finite where the flow blew up."""
        self._count()
        return np.asarray(endpoint.misses(self.problem.controls(x), self.problem.state, goal, steps=self.per_stretch))

    def linearised(
        self, x: Float[np.ndarray, " p"], goal: Goal
    ) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "q p"]]:
        """`missed` at `x` for `goal`, and its derivative."""
        self._count()
        self.iterations += 1
        free = self.problem.choice.free
        value, parts = endpoint.slopes(
            self.problem.controls(x), self.problem.state, goal, steps=self.per_stretch, free=free
        )
        q = value.shape[0]
        return np.asarray(value), np.hstack([np.asarray(parts[name]).reshape(q, -1) for name in free])

    def _count(self) -> None:
        self.clock.check()
        self.evaluations += 1
