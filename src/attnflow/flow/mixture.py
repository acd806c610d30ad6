"""The flow of a mixture of Gaussians, closed component by component.

Every component stays Gaussian and moves by the linearisation, under it, of the velocity that the whole mixture creates;
the weights are conserved. Exact when that velocity is affine, else a moment closure.

Source: this package, docs/theory/mixtures.md, section 2.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import AnyArray
from ..measures.mixture import Mixture
from ..transformer.at_mixture import Components, keeps_mixtures, rates_at_mixture, require_mixture_form
from ..transformer.depth import Depth, Model, Piecewise, layer_at
from ..transformer.layer import AbstractLayer
from ..transformer.mixture_rule import Rule, normal_rule
from .leg import Options, Progress
from .outcome import Basis, BlowUp, Status

if TYPE_CHECKING:
    from scipy.integrate import DOP853

HUGE = 1e120
REMAINING, GROWTH = 1e-6, 1e4
"""A blow-up is followed to this share of its time: beyond, the shares of the components lose their digits."""
STATEMENT = "numerical: the second moment of the components followed to 1e-6 of the blow-up time"


@dataclasses.dataclass
class MixtureSolution:
    """Means (k, d) and factors (k, d, r) of the components at the times that were reached, and how the flow ended."""

    ts: list[float]
    means: list[np.ndarray]
    factors: list[np.ndarray]
    exact: bool
    status: Status = Status.REACHED_END
    blow_up: BlowUp | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    accepted: int = 0
    evaluations: int = 0

    def write(self, t: float, state: np.ndarray) -> None:
        """Keep a `state` (k, d, 1 + r), the mean in front of the factor, as that at time `t`."""
        self.ts.append(t)
        self.means.append(state[:, :, 0].copy())
        self.factors.append(state[:, :, 1:].copy())


@eqx.filter_jit
def mixture_rate(model: Model, t: float | AnyArray, weights: AnyArray, state: AnyArray, rule: Rule) -> jax.Array:
    """The rate of a `state` (k, d, 1 + r), means and factors of the components with `weights` (k,), at depth `t`.

    `model` moves them; `rule` gives the expectations of attention weights.

    Source: this package, docs/theory/mixtures.md, section 2.
    """
    mixture = Components(weights, state[:, :, 0], state[:, :, 1:])
    means, factors = rates_at_mixture(layer_at(model, t), mixture, rule)
    return jnp.concatenate([means[:, :, None], factors], axis=2)


def require_mixture_model(model: Model) -> None:
    """Raise BadInput when the velocity of `model` at a mixture is not known."""
    for layer in _layers(model):
        require_mixture_form(layer)


def flow_mixture(
    model: Model, start: Mixture, ts: np.ndarray, options: Options, progress: Progress
) -> MixtureSolution:  # fmt: skip
    """The components of `start` at the times `ts` (t,) under `model`, by SciPy's DOP853 on the host.

    Runs in JAX's x64 mode, which the caller sets. Of `options` the tolerances and the allowed steps count; `progress`
    is called with the time reached.

    Source: this package, docs/theory/mixtures.md, section 2.
    """
    parts = Components.of(start)
    state = np.concatenate([parts.means[:, :, None], parts.factors], axis=2)
    alone = len(start.components) == 1 and all(_exact_at(layer, start) for layer in _layers(model))
    found = MixtureSolution([], [], [], exact=alone or all(keeps_mixtures(layer) for layer in _layers(model)))
    if ts[0] == 0.0:
        found.write(0.0, state)
    end, rule = float(ts[-1]), normal_rule(int(parts.factors.shape[2]))
    inner = model.jumps if isinstance(model, Depth) else np.zeros(0)
    cuts = [float(t) for t in inner if 0.0 < t < end]
    problem = _Problem(np.asarray(parts.weights), rule, ts, _size(state), options)
    try:
        for a, b in zip([0.0, *cuts], [*cuts, end], strict=True):
            layer = layer_at(model, a) if isinstance(model, Piecewise) else model
            state = _stretch(layer, state, (a, b), problem, progress, found)
            if found.status is not Status.REACHED_END:
                break
    except KeyboardInterrupt:
        found.status = Status.INTERRUPTED
    return found


@dataclasses.dataclass(frozen=True)
class _Problem:
    weights: np.ndarray
    rule: Rule
    ts: np.ndarray
    size: float
    options: Options


def _stretch(
    model: Model, state: np.ndarray, span: tuple[float, float], problem: _Problem, progress: Progress,
    found: MixtureSolution,
) -> np.ndarray:  # fmt: skip
    """Move `state` over a stretch of smooth parameters, and write what was asked for into `found`."""
    from scipy.integrate import DOP853

    (begin, end), shape, options = span, state.shape, problem.options
    if end <= begin:
        return state

    def rate(t: float, flat: np.ndarray) -> np.ndarray:
        found.evaluations += 1
        moved = mixture_rate(model, np.asarray(t), problem.weights, flat.reshape(shape), problem.rule)
        return np.asarray(moved).ravel()

    atol = options.atol + options.rtol * problem.size
    solver = DOP853(rate, begin, state.ravel(), end, rtol=max(options.rtol, 3e-14), atol=atol or 1e-300)
    while solver.status == "running":
        if found.accepted >= options.max_steps:
            found.status = Status.BUDGET
            break
        message = solver.step()
        if solver.status == "failed":
            found.notes.append(f"the step fell below the spacing of floats at t = {solver.t:.6g} ({message})")
            found.status = Status.BUDGET
            break
        found.accepted += 1
        _keep(solver, problem.ts, shape, found)
        progress(float(solver.t))
        if _ended(solver, begin, problem.size, found):
            break
    return np.asarray(solver.y.reshape(shape))


def _keep(solver: DOP853, ts: np.ndarray, shape: tuple[int, ...], found: MixtureSolution) -> None:
    wanted = ts[(ts > solver.t_old) & (ts <= solver.t)]
    dense = solver.dense_output() if wanted.size else None
    for t in wanted:
        value = solver.y if t == solver.t or dense is None else dense(t)
        found.write(float(t), np.asarray(value).reshape(shape))


def _ended(solver: DOP853, begin: float, size: float, found: MixtureSolution) -> bool:
    """Whether overflow or a blow-up ends the flow behind a step; `size` is that of the start."""
    second, rate = float(np.vdot(solver.y, solver.y)) / solver.n, 2 * float(np.vdot(solver.y, solver.f)) / solver.n
    if not second < HUGE**2:
        found.status = Status.OVERFLOW
    elif rate > 0 and second < REMAINING * (solver.t - begin) * rate and second > GROWTH * size**2:
        found.status = Status.BLOW_UP
        last, left = float(solver.t), second / rate
        found.blow_up = BlowUp(last, last + 2 * left, last + left, Basis.NUMERICAL, STATEMENT)
    return found.status is not Status.REACHED_END


def _layers(model: Model) -> tuple[AbstractLayer, ...]:
    return model.models if isinstance(model, Piecewise) else (layer_at(model, 0.0),)


def _exact_at(layer: AbstractLayer, start: Mixture) -> bool:
    return bool(eqx.filter_eval_shape(lambda m, g: m.at_gaussian(g), layer, start.components[0]).exact)


def _size(state: np.ndarray) -> float:
    """The root mean square of all numbers."""
    return float(np.sqrt(np.mean(np.square(state))))
