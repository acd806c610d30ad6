"""The end of the flow under controls that are constant on stretches, and its derivative: fixed steps, compiled once.

The step is that of DOP853 without error control: an optimiser needs a smooth function more than an error bound, and
whatever it finds is checked by an independent replay. The compiled functions depend on shapes only.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...flow.tableau import STAGES, WEIGHTS
from ..law import Controls
from .goal import Goal, residual

STAGE_COUNT = 12
MATRIX = np.array([[row.get(j, 0.0) for j in range(STAGE_COUNT)] for row in STAGES[:STAGE_COUNT]])
FINAL = np.array([WEIGHTS.get(j, 0.0) for j in range(STAGE_COUNT)])


def rate(controls: Controls, state: Float[jax.Array, "d m"]) -> Float[jax.Array, "d m"]:
    """The rate of `state` [mean, factor] (d, r + 1) under the `controls` of one depth.

    Source: :cite:alcalde2026, eq. (2.6).
    """
    A, B, V, b = (jnp.asarray(part) for part in controls)
    factor = state[:, 1:]
    attended = factor @ (factor.T @ (B @ state))
    moved = A @ state + V @ attended.at[:, 0].add(state[:, 0])
    return moved.at[:, 0].add(b)


def step(controls: Controls, state: Float[jax.Array, "d m"], h: float | jax.Array) -> Float[jax.Array, "d m"]:
    """One step of length `h` of order 8 from `state` (d, m) under constant `controls`.

    Source: :cite:hairer1993, Sect. II.5.
    """
    rates = jnp.zeros((STAGE_COUNT, *state.shape), state.dtype)

    def stage(known: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        weights, place = row
        return known.at[place].set(rate(controls, state + h * jnp.tensordot(weights, known, 1))), None

    rates, _ = jax.lax.scan(stage, rates, (jnp.asarray(MATRIX, state.dtype), jnp.arange(STAGE_COUNT)))
    return state + h * jnp.tensordot(jnp.asarray(FINAL, state.dtype), rates, 1)


def path(controls: Controls, state: Float[jax.Array, "d m"], steps: int) -> Float[jax.Array, "n d m"]:
    """The states (n, d, m) at the ends of n equal stretches of [0, 1], with `steps` steps on each, from `state` (d, m).

    Every part of the `controls` has a first axis of length n.
    """
    h = 1.0 / (controls.b.shape[0] * steps)

    def stretch(now: jax.Array, here: Controls) -> tuple[jax.Array, jax.Array]:
        end, _ = jax.lax.scan(lambda x, _: (step(here, x, h), None), now, length=steps)
        return end, end

    _, ends = jax.lax.scan(stretch, state, Controls(*(jnp.asarray(part) for part in controls)))
    return ends


@functools.partial(jax.jit, static_argnames=("steps",))
def end_state(controls: Controls, state: Float[jax.Array, "d m"], *, steps: int) -> Float[jax.Array, "d m"]:
    """The last of `path` with `controls` from `state` (d, m) in `steps` steps a stretch."""
    return path(controls, state, steps)[-1]


@functools.partial(jax.jit, static_argnames=("steps",))
def misses(controls: Controls, state: Float[jax.Array, "d m"], goal: Goal, *, steps: int) -> Float[jax.Array, " q"]:
    """By how much the `controls` miss the `goal` from `state` (d, m), in the coordinates of the target.

    `steps` is the number of steps on each stretch.
    """
    return residual(goal, path(controls, state, steps)[-1])


@functools.partial(jax.jit, static_argnames=("steps", "free"))
def slopes(
    controls: Controls, state: Float[jax.Array, "d m"], goal: Goal, *, steps: int, free: tuple[str, ...]
) -> tuple[Float[jax.Array, " q"], dict[str, jax.Array]]:
    """`misses` with its derivatives by the `free` parts of the `controls`, each (q, n, ...).

    From `state` (d, m) towards `goal` with `steps` steps on each stretch.
    """

    def missed(parts: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        found = residual(goal, path(controls._replace(**parts), state, steps)[-1])
        return found, found

    derivative, value = jax.jacrev(missed, has_aux=True)({name: jnp.asarray(getattr(controls, name)) for name in free})
    return value, derivative
