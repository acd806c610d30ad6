"""The factor form by an implicit method, for the stretches on which an explicit one is held back by stability alone.

A covariance that grows in one direction makes the flow across it contract at rates as large as the covariance; an
explicit method must resolve them, an implicit one need not.
"""

from __future__ import annotations

from typing import Any, cast

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..transformer.depth import Depth, Model
from .dop853 import BLOW_UP_GROWTH, BLOW_UP_REMAINING, Code
from .forms import plain_factor_field, watch_factor
from .leg import Leg, Options, Point
from .outcome import Basis, BlowUp

LARGEST_SYSTEM = 400
STIFF_PRODUCT = 2.0
FLOOR = 1e-3


def held_back(model: Model, point: Point, step: float) -> bool:
    """Whether `step` sits at the stability limit of the explicit method: step times the spectral radius of its rate."""
    state = jnp.asarray(np.concatenate([point.factor, point.mean[:, None]], axis=1))
    if state.size > LARGEST_SYSTEM:
        return False
    jacobian = _jacobian(jnp.asarray(point.t), state, model)
    return bool(step * np.abs(np.linalg.eigvals(np.asarray(jacobian))).max() > STIFF_PRODUCT)


def integrate_implicitly(
    model: Model, leg: Leg, end: float, ts: np.ndarray | None, options: Options, start_trace: float
) -> tuple[Code, BlowUp | None]:
    """Carry `leg` to `end` with diffrax's Kvaerno5, and append the points at `ts` (its steps if None).

    Returns why it stopped and, for a blow-up, its estimate.
    """
    wanted = None if ts is None else jnp.asarray(ts[ts > leg.end.t])
    state = jnp.asarray(np.concatenate([leg.end.factor, leg.end.mean[:, None]], axis=1))
    room = max(1, min(10_000, options.max_steps - leg.accepted - leg.rejected))
    numbers = [jnp.asarray(x) for x in (options.rtol, options.atol, leg.end.t, end, start_trace)]
    solution = _solve(model, state, numbers, wanted, room)
    times, states = cast(list[jax.Array], solution.ts), cast(list[jax.Array], solution.ys)
    at, steps = np.asarray(times[0]), np.asarray(states[0])
    reached = np.isfinite(at)
    leg.points += [_point(t, y) for t, y in zip(at[reached], steps[reached], strict=True)]
    final, last = float(times[1][0]), np.asarray(states[1][0])
    leg.end = _point(final, last)
    leg.accepted += int(solution.stats["num_accepted_steps"])
    leg.rejected += int(solution.stats["num_rejected_steps"])
    if solution.result == diffrax.RESULTS.event_occurred:
        slope = plain_factor_field(jnp.asarray(final), jnp.asarray(last), model)
        seen = watch_factor(jnp.asarray(last), slope, jnp.zeros((0, 0)), model)
        estimate = final + float(seen.trace / seen.trace_rate)
        return Code.BLOW_UP, BlowUp(final, estimate, estimate, Basis.NUMERICAL, "")
    if solution.result == diffrax.RESULTS.successful:
        return Code.END, None
    return (Code.OVERFLOW if np.abs(last).max(initial=0.0) > 1e90 else Code.BUDGET), None


def _point(t: float, state: np.ndarray) -> Point:
    return Point(float(t), np.array(state[:, -1]), np.array(state[:, :-1]))


@eqx.filter_jit
def _jacobian(t: jax.Array, state: jax.Array, model: Model) -> Float[jax.Array, "m m"]:
    flat = jax.jacfwd(lambda x: plain_factor_field(t, x.reshape(state.shape), model).ravel())
    return jnp.asarray(flat(state.ravel()))


@eqx.filter_jit
def _solve(
    model: Model, state: jax.Array, numbers: list[jax.Array], wanted: jax.Array | None, room: int
) -> diffrax.Solution:
    rtol, atol, begin, end, start_trace = numbers
    controller = diffrax.PIDController(rtol=rtol, atol=atol + FLOOR * rtol * jnp.max(jnp.abs(state)))
    if isinstance(model, Depth) and model.jumps.size:
        controller = diffrax.ClipStepSizeController(controller, jump_ts=jnp.asarray(model.jumps))

    def blown(t: jax.Array, y: jax.Array, args: Model, **kwargs: object) -> jax.Array:
        del kwargs
        seen = watch_factor(y, plain_factor_field(t, y, args), jnp.zeros((0, 0)), args)
        soon = (seen.trace_rate > 0) & (seen.trace < BLOW_UP_REMAINING * t * seen.trace_rate)
        return soon & (seen.trace > BLOW_UP_GROWTH * start_trace)

    inner = diffrax.SubSaveAt(steps=True) if wanted is None else diffrax.SubSaveAt(ts=wanted)
    solution: diffrax.Solution = diffrax.diffeqsolve(
        diffrax.ODETerm(cast(Any, plain_factor_field)),
        diffrax.Kvaerno5(),
        t0=begin,
        t1=end,
        dt0=None,
        y0=state,
        args=model,
        saveat=diffrax.SaveAt(subs=[inner, diffrax.SubSaveAt(t1=True)]),
        stepsize_controller=controller,
        event=diffrax.Event(blown),
        max_steps=room,
        throw=False,
    )
    return solution
