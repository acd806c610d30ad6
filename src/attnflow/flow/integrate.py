"""The ODE engines on the host: the DOP853 loop in pieces, so that it can report, hand over and be interrupted."""

from __future__ import annotations

import dataclasses
from typing import cast

import equinox as eqx
import jax
import numpy as np

from .._types import ArrayLike
from ..transformer.depth import Depth, Model
from . import dop853
from .dop853 import Code, Loop, Span
from .forms import CONDITION_LIMIT, COVARIANCE, FACTOR
from .leg import Leg, Options, Point, Progress
from .outcome import Basis, BlowUp, Status, bracket
from .step import Controls, Form

FLOOR_MEAN = 1e-3
BUFFER_NUMBERS = 2**24
TIGHTER = 1e-4
STIFF_STEPS, STIFF_AHEAD = 1000, 20_000
STATEMENT = "numerical: the trace of the covariance followed to 1e-11 of the blow-up time, at two tolerances"
_STATUS = {
    Code.END: Status.REACHED_END,
    Code.BLOW_UP: Status.BLOW_UP,
    Code.OVERFLOW: Status.OVERFLOW,
    Code.AT_REST: Status.AT_REST,
    Code.BUDGET: Status.BUDGET,
    Code.STALLED: Status.BUDGET,
}


def integrate(
    model: Model, start: Point, end: float, ts: np.ndarray | None, options: Options, progress: Progress
) -> Leg:
    """Integrate (2.6) from `start` to `end` and report the times `ts` in (start.t, end], or every step if None.

    The covariance form runs while the covariance has full rank and is well conditioned; it hands over to the factor
    form. A blow-up is bracketed by a second run at a tighter tolerance.

    Source: :cite:alcalde2026, eq. (2.6).
    """
    leg = _run(model, start, end, ts, options, progress)
    if leg.status is Status.BLOW_UP and leg.blow_up is not None:
        tight = dataclasses.replace(options, rtol=max(TIGHTER * options.rtol, 1e-13))
        again = _run(model, start, end, np.zeros(0), tight, progress)
        leg.blow_up = bracket(leg.blow_up, again.blow_up, options.rtol)
    return leg


def well_conditioned(factor: np.ndarray) -> bool:
    """Whether the covariance form may start: full rank, and Cholesky pivots well within the limit."""
    d, r = factor.shape
    if r != d or d == 0:
        return False
    values = np.linalg.svd(factor, compute_uv=False)
    return bool(values[-1] ** 2 * CONDITION_LIMIT > 10 * values[0] ** 2)


def _run(model: Model, start: Point, end: float, ts: np.ndarray | None, options: Options, progress: Progress) -> Leg:
    as_covariance = options.engine != "factor_ode" and well_conditioned(start.factor)
    leg = Leg([], start, Status.REACHED_END, "factor_ode", "integrated", {})
    leg.start_trace = float(np.sum(np.square(start.factor)))
    if as_covariance:
        leg.engine = "covariance_ode"
        code = _drive(COVARIANCE, model, leg, end, ts, options, progress)
        if code is Code.ILL_CONDITIONED:
            leg.notes.append(f"the covariance became ill conditioned at t = {leg.end.t:.6g}: factor form from there")
            leg.engine = "factor_ode"
    if leg.engine == "factor_ode":
        code = _drive(FACTOR, model, leg, end, ts, options, progress)
    leg.status = _STATUS.get(code, Status.INTERRUPTED)
    if code is Code.STALLED:
        leg.notes.append(f"the step fell below the spacing of floats at t = {leg.end.t:.6g}: too stiff for this method")
    leg.statements = {
        "cov": "numerical: DOP853 on the " + ("factor" if leg.engine == "factor_ode" else "covariance"),
        "mean": "numerical: DOP853",
    }
    return leg


def _drive(
    form: Form, model: Model, leg: Leg, end: float, ts: np.ndarray | None, options: Options, progress: Progress
) -> Code:
    """Run one form from `leg.end`, append its points to `leg`, and return why it stopped (RUNNING: interrupted)."""
    state = pack(form, leg.end)
    remaining = None if ts is None else ts[ts > leg.end.t]
    size = _room(state.size, remaining)
    controls, jumps = _controls(state, form, options, leg.start_trace), _jumps(model, leg.end.t, end)
    loop = _blank(form, leg.end.t, state)
    fresh, code = True, Code.BUDGET
    try:
        while code is Code.BUDGET and leg.accepted + leg.rejected < options.max_steps:
            group, goal = _group(remaining, size, end)
            chunk = min(_chunk(state.size), STIFF_STEPS, options.max_steps - leg.accepted - leg.rejected)
            span = Span(*(_host(x) for x in (goal, group, jumps)))
            controls = controls._replace(max_steps=_host(chunk, np.int32))
            loop = _advance(
                form, model, _emptied(loop, group), _host(fresh, np.bool_), span, controls, record=ts is None
            )
            fresh, code = False, _collect(form, leg, loop, end)
            remaining = None if remaining is None else remaining[int(loop.written) :]
            progress(leg.end.t)
            if code is Code.BUDGET and form.is_factor and _held_back(model, leg, loop, end):
                return _go_implicit(model, leg, end, remaining, options, float(controls.start_trace))
    except KeyboardInterrupt:
        return Code.RUNNING
    if code is Code.BLOW_UP:
        estimate = leg.end.t + float(loop.trace) / float(loop.trace_rate)
        leg.blow_up = BlowUp(leg.end.t, estimate, estimate, Basis.NUMERICAL, STATEMENT)
    return code


def _held_back(model: Model, leg: Leg, loop: Loop, end: float) -> bool:
    """Whether many more steps lie ahead and stability alone keeps them small."""
    from .stiff import held_back

    return end - leg.end.t > STIFF_AHEAD * float(loop.step) and held_back(model, leg.end, float(loop.step))


def _go_implicit(
    model: Model, leg: Leg, end: float, ts: np.ndarray | None, options: Options, start_trace: float
) -> Code:
    from .stiff import integrate_implicitly

    leg.notes.append(f"the flow became stiff at t = {leg.end.t:.6g}: implicit steps (Kvaerno5) from there")
    code, estimate = integrate_implicitly(model, leg, end, ts, options, start_trace)
    if estimate is not None:
        leg.blow_up = dataclasses.replace(estimate, statement=STATEMENT)
    return code


@eqx.filter_jit
def _advance(
    form: Form, model: Model, loop: Loop, fresh: jax.Array, span: Span, controls: Controls, *, record: bool
) -> Loop:
    loop = jax.lax.cond(fresh, lambda: dop853.begin(form, model, loop.state, loop.t, span, controls), lambda: loop)
    return dop853.advance(form, model, loop, span, controls, record=record)


def _collect(form: Form, leg: Leg, loop: Loop, end: float) -> Code:
    """Move what the loop wrote into the leg; the code BUDGET means that there is more to do."""
    written = int(loop.written)
    times, out = np.asarray(loop.times)[:written], np.asarray(loop.out)[:written]
    leg.points += [unpack(form, float(t), state) for t, state in zip(times, out, strict=True)]
    leg.accepted, leg.rejected = leg.accepted + int(loop.accepted), leg.rejected + int(loop.rejected)
    leg.end = unpack(form, float(loop.t), np.asarray(loop.state))
    code = Code(int(loop.code))
    return Code.BUDGET if code is Code.END and leg.end.t < end else code


def pack(form: Form, point: Point) -> np.ndarray:
    """[X | mean] of a point in this form."""
    x = point.factor if form.is_factor else point.factor @ point.factor.T
    return np.concatenate([x, point.mean[:, None]], axis=1)


def unpack(form: Form, t: float, state: np.ndarray) -> Point:
    """The point of a state [X | mean] in this form."""
    x, mean = np.array(state[:, :-1]), np.array(state[:, -1])
    return Point(t, mean, x if form.is_factor else np.linalg.cholesky(0.5 * (x + x.T)))


def _controls(state: np.ndarray, form: Form, options: Options, start_trace: float) -> Controls:
    trace = float(np.sum(np.square(state[:, :-1])) if form.is_factor else np.trace(state[:, :-1]))
    spread = max(float(np.abs(state[:, -1]).max(initial=0.0)), np.sqrt(trace)) or 1.0
    floor = [0.0, FLOOR_MEAN * spread]
    rest = options.rtol if options.stop_at_rest else -1.0
    numbers = (options.rtol, options.atol, floor, rest, start_trace)
    return Controls._make([*(_host(x) for x in numbers), _host(0, np.int32)])


def _jumps(model: Model, t: float, end: float) -> np.ndarray:
    if not isinstance(model, Depth):
        return np.zeros(0)
    return model.jumps[(model.jumps > t) & (model.jumps < end)]


def _room(numbers: int, remaining: np.ndarray | None) -> int:
    """How many outputs one call of the loop holds: a power of two, so that few programs are compiled."""
    wanted = 256 if remaining is None else max(remaining.size, 1)
    return int(min(2 ** int(np.ceil(np.log2(wanted))), max(1, BUFFER_NUMBERS // max(numbers, 1))))


def _group(remaining: np.ndarray | None, size: int, end: float) -> tuple[np.ndarray, float]:
    if remaining is None:
        return np.full(size, np.inf), end
    group = np.full(size, np.inf)
    group[: min(size, remaining.size)] = remaining[:size]
    return group, float(remaining[size - 1]) if remaining.size > size else end


def _chunk(numbers: int) -> int:
    """Steps for one call of the loop: about half a second of matrix products."""
    return int(np.clip(2e9 / (12 * 8 * float(numbers) ** 1.5 + 1e5), 4, 20_000))


def _blank(form: Form, t: float, state: np.ndarray) -> Loop:
    """A loop before it has begun, in NumPy: nothing is compiled for it."""
    zero, number, size = _host(0, np.int32), _host(0.0), dop853.gauge_size(form, state.shape)
    return Loop(
        t=_host(t),
        step=number,
        state=_host(state),
        slope=_host(np.zeros_like(state)),
        gauge=_host(np.zeros((size, size))),
        written=zero,
        times=_host(np.zeros(0)),
        out=_host(np.zeros(0)),
        accepted=zero,
        rejected=zero,
        trace=number,
        trace_rate=number,
        code=zero,
    )


def _emptied(loop: Loop, group: np.ndarray) -> Loop:
    """The loop with fresh output buffers and counters."""
    zero = _host(0, np.int32)
    out = _host(np.zeros((group.size, *loop.state.shape)))
    return loop._replace(written=zero, times=_host(group), out=out, accepted=zero, rejected=zero, code=zero)


def _host(value: ArrayLike, dtype: type = np.float64) -> jax.Array:
    """A NumPy array under the type of a JAX one: jit takes it as it is, and nothing is compiled to make it."""
    return cast(jax.Array, np.asarray(value, dtype=dtype))
