"""One step of DOP853 on the packed state [X | mean], its error, and its interpolant.

Source: :cite:hairer1993, Sect. II.4 to II.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .tableau import DENSE, ERROR_3, ERROR_5, NODES, STAGES, WEIGHTS

# the embedded estimates (orders 5 and 3) overstate the error of the solution of order 8 by at least this factor
CAUTION = 2.0


class Watch(NamedTuple):
    """What a form of the flow says of a state.

    The trace of the covariance and its rate, whether the form is still well conditioned, the speed of the moments
    relative to their size, and the gauge (a skew matrix, zero where it does not pay) for the steps to come.
    """

    trace: jax.Array
    trace_rate: jax.Array
    good: jax.Array
    speed: jax.Array
    gauge: jax.Array


class Form(NamedTuple):
    """A form of the flow: its right-hand side and its watch, module-level functions so that jit caches them.

    `is_factor` says whether X is a factor, `gauged` whether it may be turned by a gauge. `field(t, state, gauge, args)`
    and `watch(state, slope, gauge, args)` get the gauge of the present step, of shape (0, 0) where there is none.
    """

    field: Callable[[jax.Array, jax.Array, jax.Array, Any], jax.Array]
    watch: Callable[[jax.Array, jax.Array, jax.Array, Any], Watch]
    is_factor: bool
    gauged: bool


class Controls(NamedTuple):
    """Numbers that steer the loop; arrays, so that changing them does not recompile.

    `floor` holds the sizes of X and of the mean below which the tolerance stays absolute.
    """

    rtol: jax.Array
    atol: jax.Array
    floor: jax.Array
    rest: jax.Array
    start_trace: jax.Array
    max_steps: jax.Array


class Trial(NamedTuple):
    """A step that was tried: from the loop's state to `state` at `t` with step `h`."""

    t: jax.Array
    h: jax.Array
    state: jax.Array
    slope: jax.Array
    stages: list[jax.Array]
    field: Callable[[jax.Array, jax.Array], jax.Array]


def try_step(
    field: Callable[[jax.Array, jax.Array], jax.Array],
    t: jax.Array,
    t_new: jax.Array,
    h: jax.Array,
    state: jax.Array,
    slope: jax.Array,
) -> Trial:
    """The step of length `h` from `state` at `t`, whose slope is known, to `t_new`."""
    stages = [slope]
    for i in range(1, 12):
        stages.append(field(t + NODES[i] * h, state + h * _weighted(stages, STAGES[i])))
    new = state + h * _weighted(stages, WEIGHTS)
    return Trial(t_new, h, new, field(t_new, new), stages, field)


def error_of(old: jax.Array, trial: Trial, controls: Controls) -> jax.Array:
    """The larger of the errors of X and of the mean relative to their tolerances; at most 1 for a good step."""

    def block(part: slice, floor: jax.Array) -> jax.Array:
        if old[:, part].size == 0:
            return jnp.zeros((), old.dtype)
        stages = [stage[:, part] for stage in trial.stages]
        size = jnp.maximum(jnp.max(jnp.abs(old[:, part])), jnp.max(jnp.abs(trial.state[:, part])))
        shrink = 1.0 / jnp.maximum(size, jnp.finfo(old.dtype).tiny)  # squares of scaled errors cannot overflow
        high = jnp.mean(jnp.square(shrink * _weighted(stages, ERROR_5)))
        bottom = jnp.sqrt(high + 0.01 * jnp.mean(jnp.square(shrink * _weighted(stages, ERROR_3))))
        quotient = jnp.where(bottom > 0, high / jnp.where(bottom > 0, bottom, 1.0), bottom)
        return trial.h * (quotient / (shrink * _tolerance(size, floor, controls))) / CAUTION

    return jnp.maximum(block(slice(None, -1), controls.floor[0]), block(slice(-1, None), controls.floor[1]))


def _tolerance(size: jax.Array, floor: jax.Array, controls: Controls) -> jax.Array:
    return jnp.maximum(controls.atol + controls.rtol * jnp.maximum(size, floor), jnp.finfo(size.dtype).tiny)


def _weighted(stages: Sequence[jax.Array], weights: dict[int, float]) -> jax.Array:
    return sum((w * stages[i] for i, w in weights.items()), start=jnp.zeros((), stages[0].dtype))


def short_step(
    field: Callable[[jax.Array, jax.Array], jax.Array], t: jax.Array, h: jax.Array, state: jax.Array, slope: jax.Array
) -> jax.Array:
    """The state after a step of length `h`, as accurate as the ends of the steps; a loop, so cheap to compile."""
    rows = np.zeros((13, 12))
    for i, row in enumerate((*STAGES[:12], WEIGHTS)):
        rows[i, list(row)] = list(row.values())
    table, nodes = jnp.asarray(rows, state.dtype), jnp.asarray(NODES, state.dtype)

    def body(i: jax.Array, stages: jax.Array) -> jax.Array:
        return stages.at[i].set(field(t + nodes[i] * h, state + h * jnp.tensordot(table[i], stages, 1)))

    first = jnp.zeros((12, *state.shape), state.dtype).at[0].set(slope)
    return state + h * jnp.tensordot(table[12], lax.fori_loop(1, 12, body, first), 1)


def interpolant(t: jax.Array, old: jax.Array, trial: Trial) -> list[jax.Array]:
    """The coefficients of the interpolant of order 7 in the alternating basis of `evaluate`."""
    stages, h = [*trial.stages, trial.slope], trial.h
    for i in range(13, 16):
        stages.append(trial.field(t + NODES[i] * h, old + h * _weighted(stages, STAGES[i])))
    change = trial.state - old
    second = h * stages[0] - change
    third = 2 * change - h * (trial.slope + stages[0])
    return [change, second, third, *(h * _weighted(stages, row) for row in DENSE)]


def evaluate(old: jax.Array, polynomial: list[jax.Array], x: jax.Array) -> jax.Array:
    """The interpolant at the share `x` of the step, 0 to 1."""
    value = jnp.zeros_like(old)
    for i, coefficient in enumerate(reversed(polynomial)):
        value = (value + coefficient) * (x if i % 2 == 0 else 1 - x)
    return old + value


def first_step(
    form: Form, args: Any, t: jax.Array, state: jax.Array, slope: jax.Array, gauge: jax.Array, controls: Controls
) -> jax.Array:
    """The starting step of Hairer, Norsett and Wanner, from the sizes of both blocks."""

    def relative(block: jax.Array) -> jax.Array:
        sizes = [
            jnp.sqrt(jnp.mean(jnp.square(block[:, part])))
            / _tolerance(jnp.max(jnp.abs(state[:, part])), floor, controls)
            for part, floor in ((slice(None, -1), controls.floor[0]), (slice(-1, None), controls.floor[1]))
            if block[:, part].size
        ]
        return jnp.max(jnp.stack(sizes))

    size, speed = relative(state), relative(slope)
    guess = jnp.where((size < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * size / jnp.maximum(speed, 1e-30))
    ahead = form.field(t + guess, state + guess * slope, gauge, args)
    steepest = jnp.maximum(speed, relative(ahead - slope) / guess)
    order = (0.01 / jnp.maximum(steepest, 1e-30)) ** 0.125
    return jnp.minimum(100 * guess, jnp.where(steepest <= 1e-15, jnp.maximum(1e-6, guess * 1e-3), order))
