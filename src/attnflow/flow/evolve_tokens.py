"""The functional core of the token flow: a pure JAX function for jit, vmap and grad."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from .._check import BadInput
from .._types import ArrayLike, Points
from ..transformer.depth import Depth, Model, layer_at
from .evolve import with_own_arrays


class TokenTrajectory(eqx.Module):
    """Tokens along a flow: `ts` (t,), `tokens` (t, n, d), and which times were `reached` (t,).

    Rows at times that were not reached repeat the tokens of the start.
    """

    ts: Float[jax.Array, " t"]
    tokens: Float[jax.Array, "t n d"]
    reached: Bool[jax.Array, " t"]


def evolve_tokens(
    model: Model,
    start: Points,
    ts: ArrayLike,
    *,
    rtol: float = 1e-8,
    atol: float | None = None,
    max_steps: int = 4096,
    solver: diffrax.AbstractSolver[Any] | None = None,
) -> TokenTrajectory:
    """The flow of the tokens `start` (n, d) under `model` from time 0, at the increasing times `ts` (t,).

    jit, vmap and grad (reverse mode) pass through it; the dtype follows the input. `rtol` and `atol` are those of
    diffrax (`atol` None: `rtol` times the root mean square of the start), `solver` a diffrax solver (None: Dopri8),
    `max_steps` its budget.

    Raises BadInput when the dimensions of `model` and `start` differ.

    Source: :cite:castin2025, interacting particles; :cite:kidger2021, Ch. 5.
    """
    points = jnp.asarray(start)
    if model.dim not in (None, points.shape[1]):
        raise BadInput(f"`model` and `start` must share one dimension d: {model.dim} and {points.shape[1]} were found.")
    model = with_own_arrays(model, points.dtype)
    times = jnp.atleast_1d(jnp.asarray(ts, points.dtype))
    floor = rtol * jnp.sqrt(jnp.mean(jnp.square(points))) if atol is None else jnp.asarray(atol, points.dtype)
    controller: diffrax.AbstractStepSizeController[Any, Any] = diffrax.PIDController(rtol=rtol, atol=floor)
    if isinstance(model, Depth) and model.jumps.size:
        controller = diffrax.ClipStepSizeController(controller, jump_ts=jnp.asarray(model.jumps, points.dtype))
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_velocity),
        diffrax.Dopri8() if solver is None else solver,
        jnp.zeros((), points.dtype),
        times[-1],
        None,
        points,
        model,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=controller,
        max_steps=max_steps,
        throw=False,
    )
    reached = jnp.isfinite(solution.ts) & jnp.all(jnp.isfinite(solution.ys), axis=(1, 2))
    return TokenTrajectory(times, jnp.where(reached[:, None, None], solution.ys, points), reached)


def _velocity(t: Any, points: jax.Array, model: Model) -> jax.Array:
    return jnp.asarray(layer_at(model, t).velocity(points, points))
