"""The closed-form engine: covariance by its exact flow map, mean in closed form or by an ODE."""

from __future__ import annotations

import dataclasses

import numpy as np

from .._linalg import dense
from .._types import AnyArray
from ..transformer.block import Transformer, single_terms
from ..transformer.feedforward import Affine
from ..transformer.layer import AbstractLayer
from ..transformer.softmax import SoftmaxAttention
from .closed_form import STATEMENT, March, Propagator, blow_up_beyond, march, march_naturally
from .integrate import integrate
from .leg import Leg, Options, Point, Progress
from .mean import ScalarHead, closed_mean
from .outcome import Status
from .riccati import STEP_RADIUS, effective_head
from .shifted import Shifted, shifted_flow, top_factor

COVARIANCE = "Theorem B: closed form of the covariance for V = eta I (docs/theory/closed-form.md)"
LONG = "Theorem B with the shift of its long-time form (docs/theory/closed-form.md)"
MANY_STEPS = 64
SMALL = 64


def scalar_head(layer: AbstractLayer, dim: int) -> ScalarHead | None:
    """The layer as one head with V = eta I, when all its heads have scalar V (a matrix equal to eta I counts).

    Returns None for every other layer.
    """
    terms = single_terms(layer)
    rewritten = Transformer([_with_scalar_value(t) for t in terms])
    found = effective_head(rewritten)
    if found is None:
        return None
    linear, bilinear = found
    heads = [t for t in rewritten.attention if isinstance(t, SoftmaxAttention)]
    zero = np.zeros(dim)
    tilts = [np.asarray(h.V) * np.asarray(h.query_bias) for h in heads if h.query_bias is not None]
    biases = [np.asarray(h.value_bias) for h in heads if h.value_bias is not None]
    biases += [np.asarray(t.b) for t in terms if isinstance(t, Affine) and t.b is not None]
    A = np.zeros((dim, dim)) if linear is None else np.asarray(dense(linear, dim), dtype=np.float64)
    B = np.asarray(dense(bilinear, dim), dtype=np.float64)
    eta = sum((float(dense(h.V, 1).item()) for h in heads), 0.0)
    return ScalarHead(A, B, eta, sum(tilts, zero), sum(biases, zero))


def follow(
    layer: AbstractLayer, head: ScalarHead, start: Point, end: float, ts: np.ndarray | None, options: Options,
    progress: Progress, *, last: bool,
) -> Leg:  # fmt: skip
    """The leg from `start` to `end` by closed form; `last` asks for a blow-up that lies beyond `end` as well.

    Source: this package, docs/theory/closed-form.md.
    """
    leg = Leg([], start, Status.REACHED_END, "closed_form", "closed_form", {"cov": COVARIANCE})
    factors = _covariances(head, start, end, ts, leg, progress, last=last)
    if leg.status is Status.INTERRUPTED and not factors:
        return leg
    _add_means(layer, head, start, factors, leg, options, progress)
    return leg


def _covariances(
    head: ScalarHead, start: Point, end: float, ts: np.ndarray | None, leg: Leg, progress: Progress, *, last: bool
) -> list[tuple[float, np.ndarray]]:
    """The times reached, always with `end` itself, and the factors there."""
    found: list[tuple[float, np.ndarray]] = []
    propagator = Propagator(head.A, head.S)
    stops = np.array([end]) if ts is None else np.union1d(ts, end)
    shifted: Shifted | None = None
    place = March.start(start.factor)
    try:
        for time in stops.tolist():
            stop = time - start.t
            far = (stop - place.t) * propagator.norm > MANY_STEPS * STEP_RADIUS
            if far and shifted is None and ts is not None:
                shifted = shifted_flow(head.A, head.S, start.factor @ start.factor.T)
            cov = shifted.cov(stop) if far and shifted is not None else None
            if cov is not None:
                leg.statements["cov"] = LONG
                place = March(stop, top_factor(cov, start.factor.shape[1]), place.shrink, start.factor)
                found.append((time, place.factor))
                continue
            if ts is None:
                place = march_naturally(propagator, place, stop, lambda t, f: found.append((t + start.t, f)))
            else:
                place = march(propagator, place, stop, lambda t, f: None)
            if place.blow_up is not None or place.overflow:
                break
            if ts is not None:
                found.append((time, place.factor))
            progress(time)
        else:
            if last and place.blow_up is None:
                place.blow_up = blow_up_beyond(propagator, place)
                leg.blow_up = None if place.blow_up is None else place.blow_up.later(start.t)
            return found
    except KeyboardInterrupt:
        leg.status = Status.INTERRUPTED
        return found
    leg.status = Status.OVERFLOW if place.overflow else Status.BLOW_UP
    leg.blow_up = None if place.blow_up is None else place.blow_up.later(start.t)
    leg.statements["blow_up"] = STATEMENT if place.blow_up is None else place.blow_up.statement
    return found


def _add_means(
    layer: AbstractLayer, head: ScalarHead, start: Point, factors: list[tuple[float, np.ndarray]], leg: Leg,
    options: Options, progress: Progress,
) -> None:  # fmt: skip
    """Join the means to the factors; an integrated mean that stops earlier cuts the leg there."""
    exact = closed_mean(head, start.mean, start.factor)
    if exact is not None:
        mean_at, leg.statements["mean"] = exact
        with np.errstate(over="ignore", invalid="ignore"):  # growth beyond float64 is the status `overflow`
            points = [Point(t, mean_at(t - start.t), factor) for t, factor in factors]
        points = [p for p in points if np.all(np.isfinite(p.mean))]
        if len(points) < len(factors):
            leg.status = Status.OVERFLOW
    elif factors:
        # one program for small problems: the covariance form could hand over to the factor form and compile both
        small = start.mean.size <= SMALL
        chosen = dataclasses.replace(options, engine="factor_ode" if small else None)
        other = integrate(layer, start, factors[-1][0], np.array([t for t, _ in factors]), chosen, progress)
        leg.mean_engine, leg.statements["mean"] = "integrated", other.statements["mean"]
        leg.accepted, leg.rejected = other.accepted, other.rejected
        points = [Point(p.t, p.mean, factor) for p, (_, factor) in zip(other.points, factors, strict=False)]
        if len(points) < len(factors):
            leg.status = other.status
            leg.notes.append(f"the mean was integrated to t = {other.end.t:.6g} only")
    else:
        leg.mean_engine, points = "integrated", []
    leg.points = points
    leg.end = points[-1] if points else start


def _with_scalar_value(term: AbstractLayer) -> AbstractLayer:
    if not isinstance(term, SoftmaxAttention) or not isinstance(term.V, AnyArray) or term.V.ndim == 0:
        return term
    value = np.asarray(term.V)
    if not np.array_equal(value, value[0, 0] * np.eye(value.shape[0])):
        return term
    return SoftmaxAttention(term.B, value[0, 0], query_bias=term.query_bias, value_bias=term.value_bias)
