"""Newton-like methods with steps of least norm, and continuation in the target.

Source: this package, docs/theory/constrained-steering.md, How a plan is found.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ..constructions import McCann, Rotation
from .goal import Goal, goal_of
from .shooting import Aim

EXACT = 1e-12
"""Below this norm of the misses, in the coordinates of the target, only rounding is left."""
CLOSE = 1e-3
NEAR = 1.0
LONGEST = 2.0
SHORTEST = 1.0 / 512
NEGLIGIBLE = 1e-11
PATIENCE = 5
HUGE = 1e50
TRIALS = 12


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """The unknowns `x` (p,) and the norm `error` of what they miss."""

    x: Float[np.ndarray, " p"]
    error: float


def fit(aim: Aim, x: Float[np.ndarray, " p"], goal: Goal, *, to: float = EXACT, rounds: int = 4) -> Fit:
    """Unknowns near `x` that meet the `goal` to the norm `to`, or the best after `rounds` of approaching and finishing.

    `aim` evaluates. Far away the misses must fall, and damping keeps the steps short; close by, where the equations
    that are hard to meet make the misses fall slowly, the remaining correction must fall.
    """
    best = Fit(x, _norm(aim.missed(x, goal)))
    for _ in range(rounds):
        begun = best.error
        for method in (approach, finish):
            found = method(aim, best.x, goal, to=to)
            best = found if found.error < best.error else best
            if best.error <= to or not np.isfinite(best.error):
                return best
        if best.error > 0.9 * begun:
            break
    return best


def approach(aim: Aim, x: Float[np.ndarray, " p"], goal: Goal, *, to: float, limit: int = 60) -> Fit:
    """Levenberg-Marquardt from `x` until `aim` meets the `goal` to the norm `to`, at most `limit` derivatives.

    A step is the least one that solves the damped linearised equations. It ends early where little falls any more.
    """
    damping, history = 0.1, list[float]()
    missed = aim.missed(x, goal)
    error = _norm(missed)
    while error > to and len(history) < limit:
        if len(history) > PATIENCE and error > (0.3 if error < NEAR else 0.9) * history[-PATIENCE]:
            break
        history.append(error)
        slope = _Slope.at(aim, x, goal)
        if slope is None:
            break
        for _ in range(TRIALS):
            step = slope.step(missed, damping)
            trial = aim.missed(x + step, goal)
            now, hoped = _norm(trial), _norm(missed + slope.matrix @ step)
            if now < error - 0.05 * (error - hoped):
                break
            damping *= 10.0
        else:
            break
        damping = max(damping * (0.03 if now < error - 0.7 * (error - hoped) else 0.3), 1e-16)
        x, missed, error = x + step, trial, now
    return Fit(x, error)


def finish(aim: Aim, x: Float[np.ndarray, " p"], goal: Goal, *, to: float, limit: int = 30) -> Fit:
    """Newton's method from `x` with the least steps, shortened until the next correction would be smaller.

    `aim` evaluates until the `goal` is met to the norm `to`, with at most `limit` derivatives. The test does not
    depend on how the equations are weighed against each other.

    Source: this package, docs/theory/constrained-steering.md, How a plan is found.
    """
    fraction, missed = 1.0, aim.missed(x, goal)
    for _ in range(limit):
        slope = _Slope.at(aim, x, goal) if _norm(missed) > to else None
        if slope is None:
            break
        step = slope.step(missed, 0.0)
        length = _norm(step)
        fraction = min(1.0, 4.0 * fraction, LONGEST / length) if length else 1.0
        while fraction > SHORTEST:
            trial = aim.missed(x + fraction * step, goal)
            if np.all(np.isfinite(trial)) and _norm(slope.step(trial, 0.0)) <= (1.0 - 0.25 * fraction) * length:
                break
            fraction *= 0.5
        else:
            break
        x, missed = x + fraction * step, trial
    return Fit(x, _norm(missed))


@dataclasses.dataclass(frozen=True, eq=False)
class _Slope:
    """A derivative `matrix` (q, p) and its singular values and vectors."""

    matrix: Float[np.ndarray, "q p"]
    left: Float[np.ndarray, "q k"]
    sizes: Float[np.ndarray, " k"]
    right: Float[np.ndarray, "k p"]

    @staticmethod
    def at(aim: Aim, x: Float[np.ndarray, " p"], goal: Goal) -> _Slope | None:
        """The derivative at `x`; None where it is not finite or zero."""
        matrix = aim.linearised(x, goal)[1]
        if not np.all(np.isfinite(matrix)) or not matrix.any():
            return None
        return _Slope(matrix, *np.linalg.svd(matrix, full_matrices=False))

    def step(self, missed: Float[np.ndarray, " q"], damping: float) -> Float[np.ndarray, " p"]:
        """The least step that takes `missed` away, as far as `damping` lets it."""
        counted = self.sizes > NEGLIGIBLE * self.sizes[0]
        sizes = np.where(counted, self.sizes, 1.0)
        shrunk = np.where(counted, sizes / (np.square(sizes) + damping * self.sizes[0] ** 2), 0.0)
        return np.asarray(-self.right.T @ (shrunk * (self.left.T @ missed)))


@dataclasses.dataclass(frozen=True, eq=False)
class Route:
    """Gaussians of one rank from `start` to `target`, both [mean, factor] (d, r + 1), for a continuation.

    Covariances turn and stretch evenly, or go along the Wasserstein geodesic (`straight`); means go on a line.
    """

    start: Float[np.ndarray, "d m"]
    target: Float[np.ndarray, "d m"]
    straight: bool

    def goal(self, s: float) -> Goal:
        """The goal at `s` in [0, 1]."""
        mean = (1.0 - s) * self.start[:, 0] + s * self.target[:, 0]
        one, two = self.start[:, 1:], self.target[:, 1:]
        if s == 1.0 or not one.shape[1]:
            return goal_of(mean, two)
        construction = McCann() if self.straight else Rotation()
        return goal_of(mean, np.asarray(construction.path(one, two).factor(s)))


def continued(aim: Aim, x: Float[np.ndarray, " p"], *, straight: bool) -> Fit:
    """Unknowns found by moving the target from the end state of `x` (p,) to where it is, as far as that goes.

    `straight` is for `Route`; `aim` evaluates.
    """
    end = aim.end(x)
    target, last = aim.target, aim.goal
    if not np.all(np.isfinite(end)) or not _independent(end[:, 1:]):
        return Fit(x, np.inf)
    route, s, step = Route(end, target, straight), 0.0, 0.5
    while s < 1.0:
        trial = min(1.0, s + step)
        found = finish(aim, x, route.goal(trial), to=CLOSE, limit=8)
        if found.error <= CLOSE:
            x, s, step = found.x, trial, 2.0 * step
            continue
        step *= 0.5
        if step < 1.0 / 64:
            break
    return Fit(x, _norm(aim.missed(x, last)))


def _independent(factor: np.ndarray) -> bool:
    sizes = np.linalg.svd(factor, compute_uv=False)
    return not sizes.size or bool(sizes[-1] > 1e-10 * sizes[0])


def _norm(values: np.ndarray) -> float:
    """|values|, infinite where one is not finite or huge."""
    return float(np.linalg.norm(values)) if np.all(np.abs(values) < HUGE) else np.inf
