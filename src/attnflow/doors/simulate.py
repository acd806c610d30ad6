"""`simulate`: the flow of a Gaussian or of tokens under a model, from checked input to a labelled result."""

from __future__ import annotations

import dataclasses
from typing import Any, overload

import jax
import numpy as np

from .._check import BadInput, positive, times
from .._types import ArrayLike
from ..flow.gaussian import flow_gaussian, is_exact
from ..flow.layers import token_layers
from ..flow.leg import Options, Progress
from ..flow.tokens import flow_tokens, token_velocity_shape
from ..measures.gaussian import Gaussian
from ..measures.tokens import Tokens
from ..transformer.depth import Depth, Model
from ..transformer.layer import AbstractLayer
from .progress import progress_bar
from .run import Run, run_from_solution
from .token_run import TokenRun, run_from_tokens

ENGINES = ("closed_form", "factor_ode", "covariance_ode")


@overload
def simulate(
    model: Model, start: Gaussian, ts: ArrayLike | None = None, *, t1: float | None = None, layers: int | None = None,
    step: float | None = None, rtol: float = 1e-8, atol: float = 0.0, max_steps: int = 100_000,
    stop_at_rest: bool = False, engine: str | None = None, seed: int | None = None, progress: Progress | None = None,
) -> Run: ...  # fmt: skip


@overload
def simulate(
    model: Model, start: Tokens, ts: ArrayLike | None = None, *, t1: float | None = None, layers: int | None = None,
    step: float | None = None, rtol: float = 1e-8, atol: float = 0.0, max_steps: int = 100_000,
    stop_at_rest: bool = False, engine: str | None = None, seed: int | None = None, progress: Progress | None = None,
) -> TokenRun: ...  # fmt: skip


def simulate(
    model: Model,
    start: Gaussian | Tokens,
    ts: ArrayLike | None = None,
    *,
    t1: float | None = None,
    layers: int | None = None,
    step: float | None = None,
    rtol: float = 1e-8,
    atol: float = 0.0,
    max_steps: int = 100_000,
    stop_at_rest: bool = False,
    engine: str | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Run | TokenRun:
    """The flow of `start` under `model`: mean and covariance of a Gaussian, or all tokens, at the requested times.

    The flow starts at time 0. `ts` (t,) are the requested times, increasing; without them the natural steps up to
    `t1` are returned. With `layers` it is not the continuous flow but that many residual layers x + `step` Gamma(x),
    `step` 1 if None, all heads and the feed-forward read at the same x, and the result holds the state behind each of
    them (at the times 0, step, 2 step, ...; layer i has the parameters at depth i step, those of a piecewise depth at
    (i + 1/2) step).
    Computes in float64 whatever the global JAX setting, and returns NumPy.

    `model`: a layer, a `Transformer`, or a `Depth`; `start`: a `Gaussian` (gives a `Run`) or `Tokens` (gives a
    `TokenRun`) of the same dimension. `rtol` is the tolerance relative to the present size of mean and covariance, or
    of the tokens, `atol` an absolute one that is added. `max_steps` bounds the steps of the ODE engines (status
    `budget`). `stop_at_rest` ends the flow once nothing moves faster than `rtol` times its size per unit of time
    (status `at_rest`). `engine`, for a Gaussian, forces "closed_form", "factor_ode" or "covariance_ode"; left out, the
    cheapest safe one is chosen: the closed form when the parameters are constant and every head is softmax with V a
    multiple of the identity, else the covariance form while it is well conditioned, else the factor form. Tokens are
    moved by SciPy's DOP853. `seed` is stored with the result; the flow draws nothing. `progress` is called with the
    time reached; by default a bar appears on a terminal after two seconds.

    Blow-up, overflow, an exhausted budget, Sinkhorn iterations that do not converge and an interrupt are results: see
    `status`, `reached`, `blow_up` of the result. Raises BadInput, before any computation, for everything that breaks a
    rule above, and for a Gaussian under an attention that moves tokens only.

    Source: :cite:alcalde2026, Prop. 2.1 and eq. (2.6); :cite:castin2025, interacting particles.
    """
    _check_model(model, start)
    options = _options(rtol, atol, max_steps, stop_at_rest, engine)
    if layers is None and step is not None:
        raise BadInput("`step` is the step of residual layers: `layers` is missing; give it or remove `step`.")
    if layers is not None:
        options = _layered(options, layers, step, ts, t1)
    requested, end = _clock(model, ts, t1) if layers is None else _layer_times(model, options)
    problem = _Problem(requested=requested, end=end, options=options, seed=seed)
    with jax.enable_x64(True), progress_bar(end, progress) as report:
        if isinstance(start, Tokens):
            return _simulate_tokens(model, start, problem, report)
        return _simulate_gaussian(model, start, problem, report)


@dataclasses.dataclass(frozen=True)
class _Problem:
    """What both doors pass on to their results."""

    requested: np.ndarray | None
    end: float
    options: Options
    seed: int | None


def _simulate_gaussian(model: Model, start: Gaussian, problem: _Problem, report: Progress) -> Run:
    is_exact(model, start, 0.0)  # a layer that cannot act on a Gaussian says so before any work
    solution = flow_gaussian(model, start, problem.end, problem.requested, problem.options, report)
    return run_from_solution(solution, model=model, start=start, **_fields(problem))


def _simulate_tokens(model: Model, start: Tokens, problem: _Problem, report: Progress) -> TokenRun:
    options = problem.options
    if options.engine is not None:
        raise BadInput(f"`engine` is for Gaussians: {options.engine!r} was found with Tokens; leave it out.")
    token_velocity_shape(model, start)  # a mask with other positions says so before any work
    if options.layers is None:
        solution = flow_tokens(model, start.points, problem.end, problem.requested, options, report)
    else:
        solution = token_layers(model, start.points, options, report)
    return run_from_tokens(solution, model=model, start=start, **_fields(problem))


def _fields(problem: _Problem) -> dict[str, Any]:
    return {field.name: getattr(problem, field.name) for field in dataclasses.fields(problem)}


def _check_model(model: Any, start: Any) -> None:
    if not isinstance(model, AbstractLayer | Depth):
        raise BadInput(
            f"`model` must be a layer, a Transformer or a Depth: {type(model).__name__} was found; give for example "
            "Transformer(attention=SoftmaxAttention(B=B, V=V), feedforward=Affine(A=A, b=b))."
        )
    if not isinstance(start, Gaussian | Tokens):
        raise BadInput(
            f"`start` must be a Gaussian or Tokens: {type(start).__name__} was found; make one with "
            "Gaussian.from_moments, .from_factor or .from_tokens, or give Tokens(points)."
        )
    with jax.enable_x64(True):
        dim = model.dim
    if dim not in (None, start.dim):
        raise BadInput(f"`model` and `start` must share one dimension d: {dim} and {start.dim} were found.")


def _layered(options: Options, layers: Any, step: float | None, ts: Any, t1: Any) -> Options:
    if ts is not None or t1 is not None:
        raise BadInput(
            "`layers` replaces `ts` and `t1`: both kinds were given; the depths are 0, step, 2 step, ... by themselves."
        )
    if options.engine is not None or options.stop_at_rest:
        raise BadInput("`layers` excludes `engine` and `stop_at_rest`, which belong to the continuous flow.")
    size = 1.0 if step is None else positive("step", step)
    return dataclasses.replace(options, layers=_whole("layers", layers), step=size)


def _layer_times(model: Model, options: Options) -> tuple[np.ndarray, float]:
    times = options.step * np.arange((options.layers or 0) + 1)
    if isinstance(model, Depth) and times[-2] > model.end:
        raise BadInput(
            f"the parameters are defined up to depth {model.end:g}: the last layer is at {times[-2]:g}; give fewer "
            "`layers` or a shorter `step`."
        )
    return times, float(times[-1])


def _clock(model: Model, ts: ArrayLike | None, t1: float | None) -> tuple[np.ndarray | None, float]:
    if ts is None and t1 is None:
        raise BadInput("`ts` or `t1` is needed: neither was given; give the times you want, or t1 for natural steps.")
    if ts is not None and t1 is not None:
        raise BadInput("`ts` and `t1` exclude each other: both were given; the last entry of `ts` is the end.")
    requested = None if ts is None else times("ts", ts)
    end = positive("t1", t1) if requested is None else float(requested[-1])
    if isinstance(model, Depth) and end > model.end:
        raise BadInput(
            f"the parameters are defined up to depth {model.end:g}: the last time is {end:g}; "
            "stop there or give parameters beyond it."
        )
    return requested, end


def _options(rtol: float, atol: float, max_steps: int, stop_at_rest: bool, engine: str | None) -> Options:
    if engine is not None and engine not in ENGINES:
        raise BadInput(f"`engine` must be one of {', '.join(ENGINES)}: {engine!r} was found; leave it out to choose.")
    tolerance = positive("rtol", rtol)
    if not 1e-14 <= tolerance <= 1e-2:
        raise BadInput(f"`rtol` must lie between 1e-14 and 1e-2: {tolerance:g} was found; 1e-8 is the default.")
    absolute = positive("atol", atol, zero=True)
    return Options(
        rtol=tolerance,
        atol=absolute,
        max_steps=_whole("max_steps", max_steps),
        stop_at_rest=bool(stop_at_rest),
        engine=engine,
    )


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer) or not value >= 1 or value % 1 != 0:
        raise BadInput(f"`{name}` must be a positive whole number: {value!r} was found.")
    return int(value)
