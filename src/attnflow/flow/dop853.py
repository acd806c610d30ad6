"""An adaptive DOP853 loop in JAX for the small dense systems of a Gaussian flow.

It exists because it is faster than the general solvers at equal accuracy (`benchmarks/`), and because it stops at the
events of these flows: blow-up, overflow, rest, and a covariance that becomes ill conditioned. The state is one array
[X | mean] (d, c + 1) where X is a covariance (c = d) or a factor (c = r); the errors of X and of the mean are measured
apart, each relative to its own size.

Source: :cite:hairer1993, Sect. II.5 and II.6.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .tableau import DENSE, ERROR_3, ERROR_5, NODES, STAGES, WEIGHTS

SAFETY, SHRINK, GROW = 0.9, 0.2, 8.0
# the embedded estimates (orders 5 and 3) overstate the error of the solution of order 8 by at least this factor
CAUTION = 2.0
BLOW_UP_REMAINING = 1e-9
BLOW_UP_GROWTH = 1e6


class Code(enum.IntEnum):
    """Why the loop stopped."""

    RUNNING = 0
    END = 1
    BLOW_UP = 2
    OVERFLOW = 3
    ILL_CONDITIONED = 4
    AT_REST = 5
    BUDGET = 6
    STALLED = 7


class Watch(NamedTuple):
    """What a form of the flow says of a state.

    The trace of the covariance and its rate, whether the form is still well conditioned, the speed of the moments
    relative to their size, and whether the gauge pays.
    """

    trace: jax.Array
    trace_rate: jax.Array
    good: jax.Array
    speed: jax.Array
    gauge: jax.Array


class Form(NamedTuple):
    """A form of the flow: its right-hand side and its watch, module-level functions so that jit caches them.

    `gauged` says whether the right-hand side heeds the gauge flag.
    """

    field: Callable[[jax.Array, jax.Array, jax.Array, Any], jax.Array]
    watch: Callable[[jax.Array, jax.Array, Any], Watch]
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


class Span(NamedTuple):
    """Where to go: the last time, the times to write, and the times at which the parameters jump."""

    end: jax.Array
    ts: jax.Array
    jumps: jax.Array


class Loop(NamedTuple):
    """The carry of the loop; it can be passed back in to go on."""

    t: jax.Array
    step: jax.Array
    state: jax.Array
    slope: jax.Array
    gauge: jax.Array
    written: jax.Array
    times: jax.Array
    out: jax.Array
    accepted: jax.Array
    rejected: jax.Array
    trace: jax.Array
    trace_rate: jax.Array
    code: jax.Array


class _Trial(NamedTuple):
    """A step that was tried: from the loop's state to `state` at `t` with step `h`."""

    t: jax.Array
    h: jax.Array
    state: jax.Array
    slope: jax.Array
    stages: list[jax.Array]
    field: Callable[[jax.Array, jax.Array], jax.Array]


def begin(form: Form, args: Any, state: jax.Array, t: jax.Array, span: Span, controls: Controls) -> Loop:
    """The loop at time `t`, with an initial step and room for the outputs; a requested time equal to `t` is written."""
    off = jnp.asarray(False)
    slope = form.field(t, state, off, args)
    seen = form.watch(state, slope, args)
    step = jnp.minimum(_first_step(form, args, t, state, slope, controls), span.end - t)
    code = jnp.where(t >= span.end, Code.END, Code.RUNNING)
    zero = jnp.zeros((), jnp.int32)
    return Loop(
        t=t,
        step=step,
        state=state,
        slope=slope,
        gauge=off,
        written=_reached(span, t),
        times=span.ts,
        out=jnp.broadcast_to(state, (span.ts.shape[0], *state.shape)),
        accepted=zero,
        rejected=zero,
        trace=seen.trace,
        trace_rate=seen.trace_rate,
        code=jnp.where(seen.good, code, Code.ILL_CONDITIONED).astype(jnp.int32),
    )


def advance(form: Form, args: Any, loop: Loop, span: Span, controls: Controls, *, record: bool) -> Loop:
    """Go on until the end of the span, an event, or the budget.

    With `record` every accepted step is written instead of the times `span.ts`, whose length is then the room for
    steps; the loop stops with the code BUDGET when it is full.
    """

    def going(loop: Loop) -> jax.Array:
        return (loop.code == Code.RUNNING) & (loop.accepted + loop.rejected < controls.max_steps)

    def body(loop: Loop) -> Loop:
        return _attempt(form, args, loop, span, controls, record=record)

    loop = lax.while_loop(going, body, loop)
    return loop._replace(code=jnp.where(loop.code == Code.RUNNING, Code.BUDGET, loop.code).astype(jnp.int32))


def _attempt(form: Form, args: Any, loop: Loop, span: Span, controls: Controls, *, record: bool) -> Loop:
    trial, hits = _try_step(form, args, loop, span)
    error = _error(loop.state, trial, controls)
    good = error <= 1.0
    scale = jnp.clip(SAFETY * jnp.maximum(error, 1e-12) ** -0.125, SHRINK, GROW)
    scale = jnp.where(good, scale, jnp.where(jnp.isfinite(error), jnp.minimum(scale, 1.0), SHRINK))
    step = trial.h * scale
    accepted = _accept(form, args, loop, trial, good, span, controls, record=record)
    accepted = accepted._replace(step=jnp.where(hits, jnp.maximum(loop.step, step), step))
    rejected = loop._replace(step=step, rejected=loop.rejected + 1, code=_stalled(loop, step))
    # the buffers of outputs are written under `good` already, so that no copy of them is made here
    chosen = jax.tree.map(
        lambda a, b: jnp.where(good, a, b),
        accepted._replace(out=loop.t, times=loop.t),
        rejected._replace(out=loop.t, times=loop.t),
    )
    return chosen._replace(out=accepted.out, times=accepted.times)


def _try_step(form: Form, args: Any, loop: Loop, span: Span) -> tuple[_Trial, jax.Array]:
    target, clamp = _target(loop.t, span)
    hits = loop.t + 1.01 * loop.step >= target
    h = jnp.where(hits, target - loop.t, loop.step)
    t_new = jnp.where(hits, target, loop.t + h)

    def field(t: jax.Array, state: jax.Array) -> jax.Array:
        return form.field(jnp.minimum(t, clamp), state, loop.gauge, args)

    stages = [loop.slope]
    for i in range(1, 12):
        stages.append(field(loop.t + NODES[i] * h, loop.state + h * _weighted(stages, STAGES[i])))
    new = loop.state + h * _weighted(stages, WEIGHTS)
    return _Trial(t_new, h, new, field(t_new, new), stages, field), hits


def _accept(
    form: Form, args: Any, loop: Loop, trial: _Trial, good: jax.Array, span: Span, controls: Controls, *, record: bool
) -> Loop:
    seen = form.watch(trial.state, trial.slope, args)
    slope = trial.slope
    if form.gauged or span.jumps.shape[0]:
        # the next step starts under another gauge or behind a jump of the parameters: its first slope is another one
        restart = (seen.gauge != loop.gauge) | (trial.t > _target(loop.t, span)[1])
        slope = lax.cond(restart & good, lambda: form.field(trial.t, trial.state, seen.gauge, args), lambda: slope)
    accepted = loop.accepted + 1
    code = _event(trial.t, seen, span, accepted, controls)
    keep = code != Code.ILL_CONDITIONED
    times, out, written = (_record if record else _write)(loop, trial, good & keep, span)
    full = (written >= span.ts.shape[0]) & (code == Code.RUNNING) & record
    moved = Loop(
        t=trial.t,
        step=loop.step,
        state=trial.state,
        slope=slope,
        gauge=seen.gauge,
        written=written,
        times=loop.t,
        out=loop.t,
        accepted=accepted,
        rejected=loop.rejected,
        trace=seen.trace,
        trace_rate=seen.trace_rate,
        code=jnp.where(full, Code.BUDGET, code).astype(jnp.int32),
    )
    stay = loop._replace(code=code, times=loop.t, out=loop.t)
    chosen = jax.tree.map(lambda a, b: jnp.where(keep, a, b), moved, stay)
    return chosen._replace(times=times, out=out)


def _event(t: jax.Array, seen: Watch, span: Span, accepted: jax.Array, controls: Controls) -> jax.Array:
    soon = (seen.trace_rate > 0) & (seen.trace < BLOW_UP_REMAINING * t * seen.trace_rate)
    blown = soon & (seen.trace > BLOW_UP_GROWTH * controls.start_trace)
    huge = ~(seen.trace < jnp.finfo(seen.trace.dtype).max ** 0.95)
    code = jnp.where(accepted >= controls.max_steps, Code.BUDGET, Code.RUNNING)
    code = jnp.where(t >= span.end, Code.END, code)
    code = jnp.where(seen.speed <= controls.rest, Code.AT_REST, code)
    code = jnp.where(~seen.good, Code.ILL_CONDITIONED, code)
    code = jnp.where(huge, Code.OVERFLOW, code)
    return jnp.where(blown, Code.BLOW_UP, code).astype(jnp.int32)


def _stalled(loop: Loop, step: jax.Array) -> jax.Array:
    """A step below the spacing of floats: the range of floats has ended if the state is huge, else it is too stiff."""
    info = jnp.finfo(loop.t.dtype)
    alive = step > 4 * info.eps * loop.t
    huge = loop.trace > info.max**0.3
    return jnp.where(alive, loop.code, jnp.where(huge, Code.OVERFLOW, Code.STALLED)).astype(jnp.int32)


def _target(t: jax.Array, span: Span) -> tuple[jax.Array, jax.Array]:
    """The next time that a step must not pass, and the last time at which its parameters may be read."""
    if span.jumps.shape[0] == 0:
        return span.end, span.end
    following = jnp.min(jnp.where(span.jumps > t, span.jumps, jnp.inf))
    inside = jnp.nextafter(following, -jnp.inf)
    return jnp.minimum(span.end, following), jnp.minimum(span.end, inside)


def _weighted(stages: Sequence[jax.Array], weights: dict[int, float]) -> jax.Array:
    return sum((w * stages[i] for i, w in weights.items()), start=jnp.zeros((), stages[0].dtype))


def _error(old: jax.Array, trial: _Trial, controls: Controls) -> jax.Array:
    """The larger of the errors of X and of the mean relative to their tolerances; at most 1 for a good step."""
    fifth = jnp.square(_weighted(trial.stages, ERROR_5))
    third = jnp.square(_weighted(trial.stages, ERROR_3))
    size = jnp.maximum(jnp.abs(old), jnp.abs(trial.state))

    def block(part: slice, floor: jax.Array) -> jax.Array:
        if old[:, part].size == 0:
            return jnp.zeros((), old.dtype)
        high = jnp.mean(fifth[:, part])
        bottom = jnp.sqrt(high + 0.01 * jnp.mean(third[:, part]))
        quotient = jnp.where(bottom > 0, high / jnp.where(bottom > 0, bottom, 1.0), bottom)
        return trial.h * quotient / CAUTION / _tolerance(jnp.max(size[:, part]), floor, controls)

    return jnp.maximum(block(slice(None, -1), controls.floor[0]), block(slice(-1, None), controls.floor[1]))


def _tolerance(size: jax.Array, floor: jax.Array, controls: Controls) -> jax.Array:
    return jnp.maximum(controls.atol + controls.rtol * jnp.maximum(size, floor), jnp.finfo(size.dtype).tiny)


def _write(loop: Loop, trial: _Trial, keep: jax.Array, span: Span) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Fill the outputs in (t, t_new]: the end of the step as it is, times inside it by the interpolant."""
    last = jnp.where(keep, _reached(span, trial.t), loop.written)
    ends = (last > loop.written) & (span.ts[jnp.maximum(last - 1, 0)] == trial.t)
    inside = last - ends

    def interpolate() -> jax.Array:
        polynomial = _interpolant(loop, trial)

        def one(i: jax.Array, out: jax.Array) -> jax.Array:
            return out.at[i].set(_evaluate(loop.state, polynomial, (span.ts[i] - loop.t) / trial.h))

        return lax.fori_loop(loop.written, inside, one, loop.out)

    out = lax.cond(inside > loop.written, interpolate, lambda: loop.out)
    place = jnp.maximum(last - 1, 0)
    out = out.at[place].set(jnp.where(ends, trial.state, out[place]))
    return loop.times, out, last


def _reached(span: Span, t: jax.Array) -> jax.Array:
    return jnp.sum(span.ts <= t).astype(jnp.int32)


def _record(loop: Loop, trial: _Trial, keep: jax.Array, span: Span) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Append the accepted step."""
    del span
    place = loop.written
    out = loop.out.at[place].set(jnp.where(keep, trial.state, loop.out[place]))
    times = loop.times.at[place].set(jnp.where(keep, trial.t, loop.times[place]))
    return times, out, place + keep


def _interpolant(loop: Loop, trial: _Trial) -> list[jax.Array]:
    """The coefficients of the interpolant of order 7 in the alternating basis of `_evaluate`."""
    stages, h = [*trial.stages, trial.slope], trial.h
    for i in range(13, 16):
        stages.append(trial.field(loop.t + NODES[i] * h, loop.state + h * _weighted(stages, STAGES[i])))
    change = trial.state - loop.state
    second = h * stages[0] - change
    third = 2 * change - h * (trial.slope + stages[0])
    return [change, second, third, *(h * _weighted(stages, row) for row in DENSE)]


def _evaluate(old: jax.Array, polynomial: list[jax.Array], x: jax.Array) -> jax.Array:
    value = jnp.zeros_like(old)
    for i, coefficient in enumerate(reversed(polynomial)):
        value = (value + coefficient) * (x if i % 2 == 0 else 1 - x)
    return old + value


def _first_step(
    form: Form, args: Any, t: jax.Array, state: jax.Array, slope: jax.Array, controls: Controls
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
    ahead = form.field(t + guess, state + guess * slope, jnp.asarray(False), args)
    steepest = jnp.maximum(speed, relative(ahead - slope) / guess)
    order = (0.01 / jnp.maximum(steepest, 1e-30)) ** 0.125
    return jnp.minimum(100 * guess, jnp.where(steepest <= 1e-15, jnp.maximum(1e-6, guess * 1e-3), order))
