"""An adaptive DOP853 loop in JAX for the small dense systems of a Gaussian flow.

It exists because it is faster than the general solvers at equal accuracy (`benchmarks/`), and because it stops at the
events of these flows: blow-up, overflow, rest, and a covariance that becomes ill conditioned. The state is one array
[X | mean] (d, c + 1) where X is a covariance (c = d) or a factor (c = r); the errors of X and of the mean are measured
apart, each relative to its own size.

Source: :cite:hairer1993, Sect. II.5 and II.6.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .step import Controls, Form, Trial, Watch, error_of, evaluate, first_step, interpolant, short_step, try_step

SAFETY, SHRINK, GROW = 0.9, 0.2, 8.0
BLOW_UP_REMAINING = 1e-11
BLOW_UP_GROWTH = 1e6


# states of at most so many numbers get their outputs inside a step by a step of their own
SHORT_STEPS = 1024
# a gauge pays for factors of few columns
GAUGE_COLUMNS = 64


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


def gauge_size(form: Form, shape: tuple[int, ...]) -> int:
    """The size of the gauge matrix for a state of this shape: 0 where no gauge is used."""
    columns = shape[1] - 1
    return columns if form.gauged and 2 <= columns <= GAUGE_COLUMNS else 0


def begin(form: Form, args: Any, state: jax.Array, t: jax.Array, span: Span, controls: Controls) -> Loop:
    """The loop at time `t`, with an initial step and room for the outputs; a requested time equal to `t` is written."""
    size = gauge_size(form, state.shape)
    none = jnp.zeros((size, size), state.dtype)
    slope = form.field(t, state, none, args)
    seen = form.watch(state, slope, none, args)
    step = jnp.minimum(first_step(form, args, t, state, slope, none, controls), span.end - t)
    code = jnp.where(t >= span.end, Code.END, Code.RUNNING)
    zero = jnp.zeros((), jnp.int32)
    return Loop(
        t=t,
        step=step,
        state=state,
        slope=slope,
        gauge=none,
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
    error = error_of(loop.state, trial, controls)
    good = error <= 1.0
    scale = jnp.clip(SAFETY * jnp.maximum(error, 1e-12) ** -0.125, SHRINK, GROW)
    scale = jnp.where(good, scale, jnp.where(jnp.isfinite(error), jnp.minimum(scale, 1.0), SHRINK))
    step = trial.h * scale
    moved, kept = _accept(form, args, loop, trial, good, span, controls, record=record)
    moved = moved._replace(step=jnp.where(hits, jnp.maximum(loop.step, step), step))
    stay = loop._replace(
        step=step,
        rejected=loop.rejected + ~good,
        code=jnp.where(good, moved.code, _stalled(loop, step)).astype(jnp.int32),
        out=moved.out,  # the buffers of outputs are written under `good` already, so that no copy of them is made here
        times=moved.times,
    )
    chosen: Loop = jax.tree.map(lambda a, b: a if a is b else jnp.where(good & kept, a, b), moved, stay)
    return chosen


def _try_step(form: Form, args: Any, loop: Loop, span: Span) -> tuple[Trial, jax.Array]:
    target, clamp = _target(loop.t, span)
    hits = loop.t + 1.01 * loop.step >= target
    h = jnp.where(hits, target - loop.t, loop.step)
    t_new = jnp.where(hits, target, loop.t + h)

    def field(t: jax.Array, state: jax.Array) -> jax.Array:
        return form.field(jnp.minimum(t, clamp), state, loop.gauge, args)

    return try_step(field, loop.t, t_new, h, loop.state, loop.slope), hits


def _accept(
    form: Form, args: Any, loop: Loop, trial: Trial, good: jax.Array, span: Span, controls: Controls, *, record: bool
) -> tuple[Loop, jax.Array]:
    """The loop behind an accepted step, and whether the step may be kept."""
    seen = form.watch(trial.state, trial.slope, loop.gauge, args)
    slope = trial.slope
    if loop.gauge.shape[0]:
        turned = trial.state[:, :-1] @ (seen.gauge - loop.gauge)
        slope = slope + jnp.pad(turned, ((0, 0), (0, 1)))
    if span.jumps.shape[0]:
        # the next step starts behind a jump of the parameters: its first slope is another one
        restart = good & (trial.t > _target(loop.t, span)[1])
        slope = lax.cond(restart, lambda: form.field(trial.t, trial.state, seen.gauge, args), lambda: slope)
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
        times=times,
        out=out,
        accepted=accepted,
        rejected=loop.rejected,
        trace=seen.trace,
        trace_rate=seen.trace_rate,
        code=jnp.where(full, Code.BUDGET, code).astype(jnp.int32),
    )
    return moved, keep


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
    huge = jnp.max(jnp.abs(loop.state), initial=0.0) > info.max**0.3
    return jnp.where(alive, loop.code, jnp.where(huge, Code.OVERFLOW, Code.STALLED)).astype(jnp.int32)


def _target(t: jax.Array, span: Span) -> tuple[jax.Array, jax.Array]:
    """The next time that a step must not pass, and the last time at which its parameters may be read."""
    if span.jumps.shape[0] == 0:
        return span.end, span.end
    following = jnp.min(jnp.where(span.jumps > t, span.jumps, jnp.inf))
    inside = jnp.nextafter(following, -jnp.inf)
    return jnp.minimum(span.end, following), jnp.minimum(span.end, inside)


def _write(loop: Loop, trial: Trial, keep: jax.Array, span: Span) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Fill the outputs in (t, t_new]: the end of the step as it is, times inside it by a shorter step.

    Large states take the interpolant instead, which is cheaper and, where stability limits the steps, less accurate.
    """
    last = jnp.where(keep, _reached(span, trial.t), loop.written)
    ends = (last > loop.written) & (span.ts[jnp.maximum(last - 1, 0)] == trial.t)
    inside = last - ends

    def fill() -> jax.Array:
        if loop.state.size <= SHORT_STEPS:

            def value(t: jax.Array) -> jax.Array:
                return short_step(trial.field, loop.t, t - loop.t, loop.state, loop.slope)
        else:
            polynomial = interpolant(loop.t, loop.state, trial)

            def value(t: jax.Array) -> jax.Array:
                return evaluate(loop.state, polynomial, (t - loop.t) / trial.h)

        return jnp.asarray(
            lax.fori_loop(loop.written, inside, lambda i, out: out.at[i].set(value(span.ts[i])), loop.out)
        )

    out = lax.cond(inside > loop.written, fill, lambda: loop.out)
    place = jnp.maximum(last - 1, 0)
    out = out.at[place].set(jnp.where(ends, trial.state, out[place]))
    return loop.times, out, last


def _reached(span: Span, t: jax.Array) -> jax.Array:
    return jnp.sum(span.ts <= t).astype(jnp.int32)


def _record(loop: Loop, trial: Trial, keep: jax.Array, span: Span) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Append the accepted step."""
    del span
    place = loop.written
    out = loop.out.at[place].set(jnp.where(keep, trial.state, loop.out[place]))
    times = loop.times.at[place].set(jnp.where(keep, trial.t, loop.times[place]))
    return times, out, place + keep
