"""Many small systems on a few lanes: each lane carries one system with its own step and its own clock.

The device makes a handful of attempts on all lanes at once and hands back the states that hit a requested time. The
host then takes the finished systems off their lanes and puts waiting ones there, so that nobody waits for the slowest.

Observed: tests/flow/test_ensemble.py.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from ..dop853 import BLOW_UP_GROWTH, BLOW_UP_REMAINING, GROW, SAFETY, SHRINK, Code
from .fields import Field, Shape
from .rosenbrock import ORDER, rosenbrock_step

# the estimate is that of the embedded method of order 4: it overstates the error of a step by more than this factor
CAUTION = 8.0
ATTEMPTS = 8
FIRST_SHARE = 0.01

Either: TypeAlias = Any
"""An array: NumPy on the host, JAX on the device."""


class Lanes(NamedTuple):
    """The systems on n lanes.

    `t` is the clock, `h` the next step (0: to be chosen), `state` (m, n), `goal` the index of the next requested time,
    `code` how it ended (RUNNING: not yet), `steps` the attempts.

    `floor` is the size of the mean below which its tolerance stays absolute, `start_trace` the trace of the first
    covariance. `left` is the estimated time to a blow-up, which has a meaning together with its code only.
    """

    t: Either
    h: Either
    state: Either
    goal: Either
    code: Either
    steps: Either
    floor: Either
    start_trace: Either
    left: Either


class Hits(NamedTuple):
    """For each of k attempts and each lane whether it hit a requested time (k, n), and the state after it (k, m, n)."""

    hit: Either
    state: Either


class Limits(NamedTuple):
    """The relative tolerance, the number of attempts that a system has, and how many of the times are meant."""

    rtol: Either
    max_steps: Either
    count: Either


@functools.partial(jax.jit, static_argnums=(0, 1))
def advance(
    field: Field, shape: Shape, model: Any, lanes: Lanes, ts: Float[jax.Array, " t"], limits: Limits
) -> tuple[Lanes, Hits]:
    """A few attempts on all lanes that run, towards the times `ts`."""
    slope = field.rate(shape, model, lanes.state)
    first = _first_step(shape, lanes, slope, ts[limits.count - 1])
    started = lanes._replace(h=jnp.where(lanes.h > 0, lanes.h, first))

    def attempt(lanes: Lanes, _: None) -> tuple[Lanes, Hits]:
        return _attempt(field, shape, model, lanes, ts, limits)

    return lax.scan(attempt, started, None, length=ATTEMPTS)


@functools.partial(jax.jit, static_argnums=(0, 1))
def slopes(field: Field, shape: Shape, model: Any, states: Float[jax.Array, "m n"]) -> Float[jax.Array, "m n"]:
    """The rates of the states."""
    return field.rate(shape, model, states)


def _attempt(field: Field, shape: Shape, model: Any, lanes: Lanes, ts: jax.Array, limits: Limits) -> tuple[Lanes, Hits]:
    slope = field.rate(shape, model, lanes.state)
    lanes = _noticed(shape, lanes, slope)
    running = lanes.code == Code.RUNNING
    target = ts[jnp.minimum(lanes.goal, ts.shape[0] - 1)]
    aims = lanes.t + 1.01 * lanes.h >= target
    h = jnp.where(aims, target - lanes.t, lanes.h)
    jacobian = field.jacobian(shape, model, lanes.state)
    after = rosenbrock_step(lambda y: field.rate(shape, model, y), jacobian, lanes.state, slope, h)
    error = _error(shape, lanes, after.state, after.error, limits.rtol)
    good = error <= 1.0
    scale = jnp.clip(SAFETY * jnp.maximum(error, 1e-12) ** (-1.0 / ORDER), SHRINK, GROW)
    scale = jnp.where(good, scale, jnp.where(jnp.isfinite(error), jnp.minimum(scale, 1.0), SHRINK))
    step = jnp.where(aims & good, jnp.maximum(lanes.h, h * scale), h * scale)
    moved, hit = running & good, running & good & aims
    reached, steps = lanes.goal + hit, lanes.steps + running
    code = jnp.where(steps >= limits.max_steps, Code.BUDGET, Code.RUNNING)
    code = jnp.where(~good & (step <= 4 * jnp.finfo(step.dtype).eps * lanes.t), _stalled(lanes), code)
    code = jnp.where(reached >= limits.count, Code.END, code)
    state = jnp.where(moved, after.state, lanes.state)
    lanes = lanes._replace(
        t=jnp.where(moved, jnp.where(aims, target, lanes.t + h), lanes.t),
        h=jnp.where(running, step, lanes.h),
        state=state,
        goal=reached,
        code=jnp.where(running, code, lanes.code).astype(jnp.int32),
        steps=steps,
    )
    return lanes, Hits(hit, state)


def _noticed(shape: Shape, lanes: Lanes, slope: jax.Array) -> Lanes:
    """The lanes with a blow-up or an overflow of their present state in the code."""
    count = shape.dim * shape.rank
    factor, rate = lanes.state[:count], slope[:count]
    trace, trace_rate = jnp.sum(jnp.square(factor), axis=0), 2 * jnp.sum(factor * rate, axis=0)
    soon = (trace_rate > 0) & (trace < BLOW_UP_REMAINING * lanes.t * trace_rate)
    blown = soon & (trace > BLOW_UP_GROWTH * lanes.start_trace)
    bound = jnp.finfo(trace.dtype).max ** 0.95
    huge = ~(trace < bound) | ~(jnp.max(jnp.abs(lanes.state), axis=0) < bound)
    code = jnp.where(blown, Code.BLOW_UP, jnp.where(huge, Code.OVERFLOW, Code.RUNNING))
    left = jnp.where(blown, trace / jnp.where(blown, trace_rate, 1.0), lanes.left)
    return lanes._replace(code=jnp.where(lanes.code == Code.RUNNING, code, lanes.code).astype(jnp.int32), left=left)


def _stalled(lanes: Lanes) -> jax.Array:
    """A step below the spacing of floats: the range of floats has ended if the state is huge, else it is too stiff."""
    huge = jnp.max(jnp.abs(lanes.state), axis=0) > jnp.finfo(lanes.state.dtype).max ** 0.3
    return jnp.where(huge, Code.OVERFLOW, Code.STALLED)


def _error(shape: Shape, lanes: Lanes, new: jax.Array, error: jax.Array, rtol: Either) -> jax.Array:
    """The larger of the errors of factor and mean relative to their tolerances; at most 1 for a good step."""
    count, tiny = shape.dim * shape.rank, jnp.finfo(new.dtype).tiny

    def block(part: slice, floor: Either) -> jax.Array:
        size = jnp.maximum(jnp.max(jnp.abs(lanes.state[part]), axis=0), jnp.max(jnp.abs(new[part]), axis=0))
        shrink = 1.0 / jnp.maximum(size, tiny)  # squares of scaled errors cannot overflow
        mean_square = jnp.mean(jnp.square(error[part] * shrink), axis=0)
        share = CAUTION * rtol * shrink * jnp.maximum(jnp.maximum(size, floor), tiny)
        return jnp.asarray(jnp.sqrt(mean_square) / share)

    found = block(slice(0, count), 0.0) if shape.rank else jnp.zeros(new.shape[-1], new.dtype)
    return jnp.maximum(found, block(slice(count, None), lanes.floor)) if shape.with_mean else found


def _first_step(shape: Shape, lanes: Lanes, slope: jax.Array, end: jax.Array) -> jax.Array:
    """A hundredth of the time in which the factor or the mean would change by their size."""
    count, tiny = shape.dim * shape.rank, jnp.finfo(slope.dtype).tiny
    step = jnp.full(slope.shape[-1], end)
    if shape.rank:
        sizes = [jnp.max(jnp.abs(x[:count]), axis=0) for x in (lanes.state, slope)]
        step = jnp.minimum(step, FIRST_SHARE * sizes[0] / jnp.maximum(sizes[1], tiny))
    if shape.with_mean:
        sizes = [jnp.max(jnp.abs(x[count:]), axis=0) for x in (lanes.state, slope)]
        step = jnp.minimum(step, FIRST_SHARE * jnp.maximum(sizes[0], lanes.floor) / jnp.maximum(sizes[1], tiny))
    # a factor of zeros has no speed either
    return jnp.where(step > 0, step, end)
