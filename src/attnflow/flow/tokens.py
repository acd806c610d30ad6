"""The flow of interacting tokens: x_i' = Gamma[mu](x_i) with mu the uniform measure on the tokens themselves.

SciPy's DOP853 steps on the host; every evaluation of the velocity is one compiled call whose memory stays linear in the
number of tokens, so a long run can report its progress and be interrupted.

Source: :cite:castin2025, interacting particles.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import AnyArray, Points
from ..measures.tokens import Tokens
from ..transformer.depth import Depth, Model, Piecewise, layer_at
from ..transformer.sinkhorn import SinkhornAttention, sinkhorn_layers
from .dop853 import BLOW_UP_GROWTH, BLOW_UP_REMAINING
from .leg import Options, Progress
from .outcome import Basis, BlowUp, Status, bracket

if TYPE_CHECKING:
    from scipy.integrate import DOP853

STATEMENT = "numerical: the second moment of the tokens followed to 1e-11 of the blow-up time, at two tolerances"
TIGHTER = 1e-4
HUGE = 1e120


@dataclasses.dataclass
class TokenSolution:
    """Tokens (n, d) at the times that were reached, how the flow ended, and what it cost."""

    ts: list[float]
    tokens: list[np.ndarray]
    end: float
    status: Status
    blow_up: BlowUp | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    accepted: int = 0
    evaluations: int = 0


@eqx.filter_jit
def token_velocity(model: Model, t: float | AnyArray, points: AnyArray) -> jax.Array:
    """The velocity of each of the tokens `points` (n, d) under `model` at depth `t`."""
    return jnp.asarray(layer_at(model, t).velocity(points, points))


def token_velocity_shape(model: Model, start: Tokens) -> tuple[int, ...]:
    """The shape of the velocity at depth 0, found without computing.

    Raises BadInput when a layer cannot act on these tokens.
    """
    layers = model.models if isinstance(model, Piecewise) else (layer_at(model, 0.0),)
    shapes = [eqx.filter_eval_shape(lambda m, x: m.velocity(x, x), layer, start.points).shape for layer in layers]
    return tuple(shapes[0])


def flow_tokens(
    model: Model, start: Points, end: float, ts: np.ndarray | None, options: Options, progress: Progress,
    *, since: float = 0.0,
) -> TokenSolution:  # fmt: skip
    """The flow of the tokens `start` (n, d) from depth `since` to `end`: at the times `ts`, or its steps if None.

    Runs in JAX's x64 mode, which the caller sets. A blow-up (only unnormalised attention has one) is bracketed by a
    second run at a tighter tolerance.

    Source: :cite:castin2025, interacting particles.
    """
    points = np.asarray(start, dtype=np.float64)
    found = _run(model, points, end, ts, options, progress, since)
    if found.status is Status.BLOW_UP and found.blow_up is not None:
        tight = dataclasses.replace(options, rtol=max(TIGHTER * options.rtol, 1e-13))
        again = _run(model, points, end, np.zeros(0), tight, progress, since)
        found.blow_up = bracket(found.blow_up, again.blow_up, options.rtol)
    return found


def _run(
    model: Model, points: np.ndarray, end: float, ts: np.ndarray | None, options: Options, progress: Progress,
    since: float,
) -> TokenSolution:  # fmt: skip
    found = TokenSolution([], [], since, Status.REACHED_END)
    if ts is None or since in ts:
        found.ts.append(since)
        found.tokens.append(points)
    inner = model.jumps if isinstance(model, Depth) else np.zeros(0)
    cuts = [float(t) for t in inner if since < t < end]
    size = _size(points)
    try:
        for a, b in zip([since, *cuts], [*cuts, end], strict=True):
            layer = layer_at(model, a) if isinstance(model, Piecewise) else model
            points = _stretch(layer, points, (a, b), ts, size, options, progress, found)
            if found.status is not Status.REACHED_END:
                break
    except KeyboardInterrupt:
        found.status = Status.INTERRUPTED
    return found


def _stretch(
    model: Model, points: np.ndarray, span: tuple[float, float], ts: np.ndarray | None, size: float, options: Options,
    progress: Progress, found: TokenSolution,
) -> np.ndarray:  # fmt: skip
    """Move `points` over a stretch of smooth parameters, and write what was asked for into `found`."""
    from scipy.integrate import DOP853

    (begin, end), shape = span, points.shape
    if end <= begin or not require_convergence(model, begin, points, found):
        return points

    def rate(t: float, flat: np.ndarray) -> np.ndarray:
        found.evaluations += 1
        return np.asarray(token_velocity(model, np.asarray(t), flat.reshape(shape))).ravel()

    atol = options.atol + options.rtol * size
    solver = DOP853(rate, begin, points.ravel(), end, rtol=max(options.rtol, 3e-14), atol=atol or 1e-300)
    while solver.status == "running":
        if found.accepted >= options.max_steps:
            found.status = Status.BUDGET
            break
        message = solver.step()
        if solver.status == "failed":
            found.notes.append(f"the step fell below the spacing of floats at t = {solver.t:.6g} ({message})")
            found.status = Status.OVERFLOW if _size(solver.y) > HUGE else Status.BUDGET
            break
        found.accepted += 1
        now = solver.y.reshape(shape)
        if not require_convergence(model, solver.t, now, found):
            break
        _write(solver, ts, shape, found)
        found.end = float(solver.t)
        progress(found.end)
        if _ended(solver, begin, size, options, found):
            break
    return np.asarray(solver.y.reshape(shape))


def _write(solver: DOP853, ts: np.ndarray | None, shape: tuple[int, ...], found: TokenSolution) -> None:
    if ts is None:
        found.ts.append(float(solver.t))
        found.tokens.append(solver.y.reshape(shape).copy())
        return
    wanted = ts[(ts > solver.t_old) & (ts <= solver.t)]
    dense = solver.dense_output() if wanted.size and (wanted.size > 1 or wanted[0] != solver.t) else None
    for t in wanted:
        value = solver.y if t == solver.t or dense is None else dense(t)
        found.ts.append(float(t))
        found.tokens.append(np.array(value).reshape(shape))


def _ended(solver: DOP853, begin: float, size: float, options: Options, found: TokenSolution) -> bool:
    """Whether an event ends the flow behind a step; `size` is that of the start, `begin` the start of the stretch."""
    second, rate = float(np.vdot(solver.y, solver.y)) / solver.n, 2 * float(np.vdot(solver.y, solver.f)) / solver.n
    if not second < HUGE**2:
        found.status = Status.OVERFLOW
    elif rate > 0 and second < BLOW_UP_REMAINING * (solver.t - begin) * rate and second > BLOW_UP_GROWTH * size**2:
        estimate = float(solver.t) + second / rate
        found.status = Status.BLOW_UP
        found.blow_up = BlowUp(float(solver.t), estimate, estimate, Basis.NUMERICAL, STATEMENT)
    elif options.stop_at_rest and _size(solver.f) <= options.rtol * np.sqrt(second):
        found.status = Status.AT_REST
    return found.status is not Status.REACHED_END


def require_convergence(model: Model, t: float, points: np.ndarray, found: TokenSolution) -> bool:
    """Whether all inner iterations converge at `points`; otherwise the flow ends there."""
    for layer in sinkhorn_layers(layer_at(model, t)):
        if not bool(_converges(layer, points)):
            found.status = Status.NOT_CONVERGED
            found.notes.append(
                f"Sinkhorn's iterations did not reach the tolerance {layer.tolerance:g} within {layer.max_iterations} "
                f"at t = {t:.6g}: raise max_iterations or epsilon"
            )
            return False
    return True


@eqx.filter_jit
def _converges(layer: SinkhornAttention, points: AnyArray) -> jax.Array:
    return jnp.asarray(layer.converged(points))


def _size(points: np.ndarray) -> float:
    """The root mean square of all coordinates."""
    return float(np.sqrt(np.mean(np.square(points)))) if points.size else 0.0
