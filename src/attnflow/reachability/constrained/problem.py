"""A steering problem in its own units: time from 0 to 1, lengths of order 1, unknowns as one vector."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ..law import AbstractLaw, Constant, Controls, Steps
from .constraints import Choice
from .goal import Goal, dimension, goal_of

NAMES = ("A", "B", "V", "b")


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """From `state` [mean, factor] (d, r + 1) to `target` (d, r + 1) in time 1, under `choice`.

    One unit of length is `length`, one unit of depth `time` in the units of the user. Every free parameter has `size`
    about 1 in these units, and the unknowns x (p,) are the free parameters over depth, one after the other.
    """

    choice: Choice
    state: Float[np.ndarray, "d m"]
    target: Float[np.ndarray, "d m"]
    length: float
    time: float

    @property
    def dim(self) -> int:
        """d."""
        return len(self.state)

    @property
    def rank(self) -> int:
        """r."""
        return int(self.state.shape[1]) - 1

    @property
    def orbit(self) -> int:
        """The number of equations that a plan must meet."""
        return dimension(self.dim, self.rank)

    @property
    def spread(self) -> float:
        """The size against which an error of the mean counts: of the target, and of the way there."""
        mean = self.target[:, 0]
        return max(float(np.linalg.norm(part)) for part in (self.target, mean - self.state[:, 0]))

    @property
    def goal(self) -> Goal:
        """The target as equations."""
        return goal_of(self.target[:, 0], self.target[:, 1:])

    @property
    def unknowns(self) -> int:
        """p, the length of x."""
        return sum(int(np.prod(self.shape(name))) for name in self.choice.free)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the parameter `name` over depth."""
        n, d = self.choice.stretches, self.dim
        return (n, d) if name == "b" else (n, d, d)

    def controls(self, x: Float[np.ndarray, " p"]) -> Controls:
        """The parameters over depth, in units of the problem, for the unknowns `x`."""
        parts, used = {}, 0
        for name in NAMES:
            shape = self.shape(name)
            given = self.choice.given[name]
            if given is None:
                size = int(np.prod(shape))
                parts[name] = np.asarray(x[used : used + size]).reshape(shape)
                used += size
            else:
                parts[name] = np.broadcast_to(given * self.unit(name), shape)
        return Controls(**parts)

    def vector(self, controls: Controls) -> Float[np.ndarray, " p"]:
        """The unknowns x (p,) of `controls` over depth, in units of the problem."""
        parts = [np.broadcast_to(getattr(controls, name), self.shape(name)).ravel() for name in self.choice.free]
        return np.concatenate(parts) if parts else np.zeros(0)

    def law(self, x: Float[np.ndarray, " p"]) -> AbstractLaw:
        """The control law for the unknowns `x`, in the units of the user."""
        found = self.controls(x)
        parts = [np.array(getattr(found, name)) / self.unit(name) for name in NAMES]
        for i, name in enumerate(NAMES):
            given = self.choice.given[name]
            if given is not None:  # to the last bit
                parts[i] = np.array(np.broadcast_to(given, self.shape(name)))
        n = self.choice.stretches
        if n == 1:
            return Constant(Controls(*(part[0] for part in parts)))
        return Steps(np.linspace(0.0, self.time, n + 1), Controls(*parts))

    def refined(self, stretches: int) -> Problem:
        """The same problem with `stretches` of depth told apart."""
        return dataclasses.replace(self, choice=dataclasses.replace(self.choice, stretches=stretches))

    def unit(self, name: str) -> float:
        """What the parameter `name` in the units of the user is multiplied with."""
        return {"A": self.time, "V": self.time, "B": self.length**2, "b": self.time / self.length}[name]


def problem_of(
    choice: Choice, start: Float[np.ndarray, "d m"], target: Float[np.ndarray, "d m"], time: float
) -> Problem:
    """The problem from `start` to `target`, both [mean, factor] (d, r + 1), over `time`, under `choice`."""
    factors = [np.sqrt(np.square(state[:, 1:]).sum() / max(state.shape[1] - 1, 1)) for state in (start, target)]
    means = [float(np.linalg.norm(state[:, 0])) for state in (start, target)]
    length = float(np.sqrt(factors[0] * factors[1])) or max(means) or 1.0
    return Problem(choice, start / length, target / length, length, time)
