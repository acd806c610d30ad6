"""`simulate`: the flow of a Gaussian under a model, from checked input to a labelled result."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from .._check import BadInput, positive, times
from .._types import ArrayLike
from ..flow.gaussian import flow_gaussian
from ..flow.leg import Options, Progress
from ..measures.gaussian import Gaussian
from ..transformer.depth import Depth, Model
from ..transformer.layer import AbstractLayer
from .progress import progress_bar
from .run import Run, run_from_solution

ENGINES = ("closed_form", "factor_ode", "covariance_ode")


def simulate(
    model: Model,
    start: Gaussian,
    ts: ArrayLike | None = None,
    *,
    t1: float | None = None,
    rtol: float = 1e-8,
    atol: float = 0.0,
    max_steps: int = 100_000,
    stop_at_rest: bool = False,
    engine: str | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """The flow of the Gaussian `start` under `model`: mean and covariance at the requested times.

    The flow starts at time 0. `ts` (t,) are the requested times, increasing; without them the natural steps up to
    `t1` are returned. Computes in float64 whatever the global JAX setting, and returns NumPy.

    `model`: a layer, a `Transformer`, or a `Depth`; `start`: a `Gaussian` of the same dimension. `rtol` is the
    tolerance relative to the present size of mean and covariance, `atol` an absolute one that is added. `max_steps`
    bounds the steps of the ODE engines (status `budget`). `stop_at_rest` ends the flow once mean and covariance move
    slower than `rtol` times their size per unit of time (status `at_rest`). `engine` forces "closed_form",
    "factor_ode" or "covariance_ode"; left out, the cheapest safe one is chosen: the closed form when the parameters
    are constant and every head is softmax with V a multiple of the identity, else the covariance form while it is
    well conditioned, else the factor form. `seed` is stored with the result; a Gaussian flow draws nothing.
    `progress` is called with the time reached; by default a bar appears on a terminal after two seconds.

    Blow-up, overflow, an exhausted budget and an interrupt are results: see `Run.status`, `Run.reached`,
    `Run.blow_up`. Raises BadInput, before any computation, for everything that breaks a rule above.

    Source: :cite:alcalde2026, Prop. 2.1 and eq. (2.6).
    """
    _check_model(model, start)
    requested, end = _clock(model, ts, t1)
    options = _options(rtol, atol, max_steps, stop_at_rest, engine)
    with jax.enable_x64(True), progress_bar(end, progress) as report:
        solution = flow_gaussian(model, start, end, requested, options, report)
    return run_from_solution(
        solution, model=model, start=start, requested=requested, end=end, options=options, seed=seed
    )


def _check_model(model: Any, start: Any) -> None:
    if not isinstance(model, AbstractLayer | Depth):
        raise BadInput(
            f"`model` must be a layer, a Transformer or a Depth: {type(model).__name__} was found; give for example "
            "Transformer(attention=SoftmaxAttention(B=B, V=V), feedforward=Affine(A=A, b=b))."
        )
    if not isinstance(start, Gaussian):
        raise BadInput(
            f"`start` must be a Gaussian: {type(start).__name__} was found; make one with Gaussian.from_moments, "
            ".from_factor or .from_tokens."
        )
    with jax.enable_x64(True):
        dim = model.dim
    if dim not in (None, start.dim):
        raise BadInput(f"`model` and `start` must share one dimension d: {dim} and {start.dim} were found.")


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
    if not isinstance(value, int | float | np.integer) or not value >= 1 or value % 1 != 0:
        raise BadInput(f"`{name}` must be a positive whole number: {value!r} was found.")
    return int(value)
