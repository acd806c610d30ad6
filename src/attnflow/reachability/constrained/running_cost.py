"""The least running cost under the end constraint: an augmented Lagrangian, then Newton's method back to the target.

Source: this package, docs/theory/constrained-steering.md, A running cost.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from ..._check import BadInput
from ..._types import AnyArray
from ..law import AbstractLaw, Controls
from ..motion import Motion
from .constraints import RateOfCost
from .endpoint import step
from .fitting import EXACT, finish
from .goal import Goal, residual
from .problem import NAMES, Problem
from .shooting import OutOfTime, Shooting

BOOLE = np.array([7.0, 32.0, 12.0, 32.0, 7.0]) / 90.0
"""The weights of Boole's rule, exact up to degree 5, on the four steps of a stretch."""
ROUNDS = 8
MOVES = 150
STATIONARY = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Cheaper:
    """Unknowns `x` (p,) that still meet the target, their `cost`, the cost `before`, and how `stationary` they are.

    `stationary` is the part of the gradient, relative to it, that no Lagrange multiplier explains: 0 at a minimum.
    """

    x: Float[np.ndarray, " p"]
    cost: float
    before: float
    stationary: float


@dataclasses.dataclass(frozen=True, eq=False)
class _Fixed:
    """A function that is told apart by identity, so that anything callable can be compiled."""

    function: RateOfCost

    def __call__(self, t: AnyArray, controls: Controls, mean: AnyArray, cov: AnyArray) -> AnyArray:
        return self.function(t, controls, mean, cov)


def require_running_cost(cost: RateOfCost, law: AbstractLaw, mean: Float[np.ndarray, " d"], cov: np.ndarray) -> None:
    """Raise BadInput unless `cost` is a finite number at the start, `mean` (d,) and `cov` (d, d), under `law`."""
    remedy = "write it with jax.numpy and return one number"
    try:
        controls = Controls(*(jnp.asarray(part) for part in law.controls(0.0)))
        value = np.asarray(jax.jit(cost)(jnp.asarray(0.0), controls, jnp.asarray(mean), jnp.asarray(cov)))
    except Exception as error:
        raise BadInput(f"`cost` must be traceable by JAX: {type(error).__name__}: {error}; {remedy}.") from error
    if value.shape != () or not np.isfinite(value):
        raise BadInput(f"`cost` must be one finite number: {value!r} was found at the start; {remedy}.")


def cheapened(shooting: Shooting, x: Float[np.ndarray, " p"], cost: RateOfCost) -> Cheaper:
    """Unknowns near `x`, which meet the target of `shooting`, that meet it at a lower `cost`; `x` itself at worst.

    Source: this package, docs/theory/constrained-steering.md, A running cost.
    """
    cost = _Fixed(cost)
    problem = shooting.problem
    before, _, slope, gradient = _looked_at(shooting, x, cost)
    best = Cheaper(x, before, before, _stationary(slope, gradient))
    multipliers, weight, point = _multipliers(slope, gradient), 10.0 * max(abs(before), 1e-3), x
    scale = max(abs(before), 1e-12)
    try:
        for _ in range(ROUNDS):
            point = _descended(shooting, point, cost, multipliers, weight, scale)
            fitted = finish(shooting, point, problem.goal, to=EXACT)
            now, _, slope, gradient = _looked_at(shooting, fitted.x, cost)
            if fitted.error > 1e-8 or not np.isfinite(now):
                weight *= 10.0
                point = best.x
                continue
            gained = best.cost - now
            if gained > 0:
                best = Cheaper(fitted.x, now, before, _stationary(slope, gradient))
            point, multipliers = best.x, _multipliers(slope, gradient)
            if gained <= 1e-9 * scale or best.stationary < STATIONARY:
                break
    except (OutOfTime, KeyboardInterrupt):
        pass
    return best


def total_cost(cost: RateOfCost, law: AbstractLaw, motion: Motion, time: float) -> float:
    """int_0^T `cost` dt along the replayed `motion` under `law` up to `time`, by Gauss-Legendre between jumps."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    total = 0.0
    for begin, stop in itertools.pairwise((0.0, *law.jumps, time)):
        for node, weight in zip(nodes, weights, strict=True):
            t = begin + 0.5 * (stop - begin) * (1.0 + float(node))
            factor = motion.factor(t)
            controls = Controls(*(jnp.asarray(part) for part in law.controls(t)))
            rate = cost(jnp.asarray(t), controls, jnp.asarray(motion.mean(t)), jnp.asarray(factor @ factor.T))
            total += 0.5 * (stop - begin) * float(weight) * float(rate)
    return total


def _descended(
    shooting: Shooting, x: np.ndarray, cost: RateOfCost, multipliers: np.ndarray, weight: float, scale: float
) -> np.ndarray:
    """A lower point of cost - multipliers . missed + weight |missed|^2 / 2, by L-BFGS from `x`."""
    problem = shooting.problem
    settings = (problem.state, problem.goal, _units(problem), multipliers, weight)

    def value(point: np.ndarray) -> tuple[float, np.ndarray]:
        shooting.clock.check()
        shooting.evaluations += 1
        found, parts = _lagrangian(problem.controls(point), *settings, cost=cost, free=problem.choice.free)
        gradient = np.concatenate([np.asarray(parts[name]).ravel() for name in problem.choice.free])
        if not np.isfinite(found) or not np.all(np.isfinite(gradient)):
            return 1e30, np.zeros_like(point)  # beyond a blow-up: the line search turns back
        return float(found) / scale, gradient / scale

    return np.asarray(minimize(value, x, jac=True, method="L-BFGS-B", options=dict(maxiter=MOVES, maxcor=30)).x)


def _looked_at(shooting: Shooting, x: np.ndarray, cost: RateOfCost) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """The cost at `x`, the misses, their derivative, and the gradient of the cost."""
    problem = shooting.problem
    settings = (problem.state, problem.goal, _units(problem), np.zeros(problem.orbit), 0.0)
    missed, slope = shooting.linearised(x, problem.goal)
    value, parts = _lagrangian(problem.controls(x), *settings, cost=cost, free=problem.choice.free)
    gradient = np.concatenate([np.asarray(parts[name]).ravel() for name in problem.choice.free])
    return float(value), missed, slope, gradient


def _multipliers(slope: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.lstsq(slope.T, gradient, rcond=1e-10)[0])


def _stationary(slope: np.ndarray, gradient: np.ndarray) -> float:
    left = gradient - slope.T @ _multipliers(slope, gradient)
    return float(np.linalg.norm(left)) / (float(np.linalg.norm(gradient)) or 1.0)


def _units(problem: Problem) -> dict[str, float]:
    return {**{name: problem.unit(name) for name in NAMES}, "length": problem.length, "time": problem.time}


def _running(
    controls: Controls, state: jax.Array, units: dict[str, jax.Array], *, cost: RateOfCost
) -> tuple[jax.Array, jax.Array]:
    """The end state and the integral of the cost, four steps and one use of Boole's rule on each stretch."""
    n = controls.b.shape[0]
    h = 1.0 / (4 * n)
    weights = jnp.asarray(BOOLE, state.dtype) / n

    def rate(s: jax.Array, here: Controls, now: jax.Array) -> jax.Array:
        real = Controls(*(getattr(here, name) / units[name] for name in NAMES))
        mean, factor = now[:, 0] * units["length"], now[:, 1:] * units["length"]
        return jnp.asarray(cost(s * units["time"], real, mean, factor @ factor.T)) * units["time"]

    def stretch(now: jax.Array, item: tuple[Controls, jax.Array]) -> tuple[jax.Array, jax.Array]:
        here, begin = item

        def advance(x: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array]:
            return step(here, x, h), rate(begin + k * h, here, x)

        end, rates = jax.lax.scan(advance, now, jnp.arange(4))
        return end, weights[:4] @ rates + weights[4] * rate(begin + 4 * h, here, end)

    end, parts = jax.lax.scan(stretch, state, (controls, jnp.arange(n) / n))
    return end, jnp.sum(parts)


@functools.partial(jax.jit, static_argnames=("cost", "free"))
def _lagrangian(
    controls: Controls, state: jax.Array, goal: Goal, units: dict[str, jax.Array], multipliers: jax.Array,
    weight: float, *, cost: RateOfCost, free: tuple[str, ...],
) -> tuple[jax.Array, dict[str, jax.Array]]:  # fmt: skip
    whole = Controls(*(jnp.asarray(part) for part in controls))

    def value(parts: dict[str, jax.Array]) -> jax.Array:
        end, total = _running(whole._replace(**parts), state, units, cost=cost)
        missed = residual(goal, end)
        return total - multipliers @ missed + 0.5 * weight * missed @ missed

    found, parts = jax.value_and_grad(value)({name: getattr(whole, name) for name in free})
    return found, parts
