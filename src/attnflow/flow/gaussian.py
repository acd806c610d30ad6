"""The flow of a Gaussian: stretch by stretch, each by the engine that suits it.

Source: :cite:alcalde2026, Prop. 2.1 and eq. (2.6).
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import numpy as np

from .._check import BadInput
from ..measures.gaussian import Gaussian
from ..transformer.depth import Depth, Model, Piecewise, layer_at
from .exact import follow, scalar_head
from .integrate import integrate, well_conditioned
from .layers import gaussian_layers
from .leg import Leg, Options, Point, Progress
from .outcome import BlowUp, Status

RANK = "Lemma 3.1: the rank of the covariance is conserved while the flow exists"


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Which engine moved the covariance from `start` to `end`."""

    start: float
    end: float
    engine: str


@dataclasses.dataclass(frozen=True)
class Solution:
    """The points that were reached and how the flow ended; see `attnflow.Run` for the fields."""

    points: list[Point]
    end: Point
    status: Status
    blow_up: BlowUp | None
    engine: str
    mean_engine: str
    exact: bool
    stretches: list[Stretch]
    statements: dict[str, str]
    notes: list[str]
    accepted: int
    rejected: int


def flow_gaussian(
    model: Model, start: Gaussian, end: float, ts: np.ndarray | None, options: Options, progress: Progress,
    *, since: float = 0.0,
) -> Solution:  # fmt: skip
    """The flow of `start` from depth `since` to `end`: at the times `ts`, or at the natural steps if None.

    With `options.layers` it is that many residual layers instead, from depth 0, whatever the times.

    Runs in JAX's x64 mode, which the caller sets. Raises BadInput when `options.engine` cannot do the problem.

    Source: :cite:alcalde2026, eq. (2.6).
    """
    if options.layers is not None:
        leg = gaussian_layers(model, start, options, progress)
        return _summary(model, start, leg.points, leg.end, [leg], since)
    place = Point(since, np.asarray(start.mean, dtype=np.float64), np.asarray(start.factor, dtype=np.float64))
    points = [place] if ts is None or since in ts else []
    legs: list[Leg] = []
    spans = _stretches(model, since, end)
    for i, (layer, stop) in enumerate(spans):
        wanted = None if ts is None else ts[(ts > place.t) & (ts <= stop)]
        legs.append(_leg(layer, place, stop, wanted, options, progress, last=i == len(spans) - 1))
        known = None if wanted is None else set(wanted.tolist())
        points += [p for p in legs[-1].points if known is None or p.t in known]
        place = legs[-1].end
        if legs[-1].status is not Status.REACHED_END:
            break
    return _summary(model, start, points, place, legs, since)


def _leg(
    model: Model, place: Point, stop: float, ts: np.ndarray | None, options: Options, progress: Progress, *, last: bool
) -> Leg:
    if stop <= place.t:
        return Leg([], place, Status.REACHED_END, "closed_form", "closed_form", {"cov": "no time passes"})
    head = None
    if not isinstance(model, Depth) and options.engine in (None, "closed_form"):
        head = scalar_head(model, place.mean.size)
    if options.engine == "closed_form" and head is None:
        raise BadInput(
            "`engine` = 'closed_form' needs constant parameters with V a multiple of the identity in every head: "
            "this model is different; leave `engine` out."
        )
    if options.engine == "covariance_ode" and not well_conditioned(place.factor):
        raise BadInput(
            "`engine` = 'covariance_ode' needs a well-conditioned covariance of full rank: this start is not; "
            "use 'factor_ode' or leave `engine` out."
        )
    if head is not None and not isinstance(model, Depth) and not options.stop_at_rest:
        return follow(model, head, place, stop, ts, options, progress, last=last)
    return integrate(model, place, stop, ts, options, progress)


def _stretches(model: Model, since: float, end: float) -> list[tuple[Model, float]]:
    """The pieces of constant parameters and where each ends; other models are one piece."""
    if not isinstance(model, Piecewise):
        return [(model, end)]
    cuts = [float(t) for t in model.jumps if since < t < end]
    return [(layer_at(model, t), stop) for t, stop in zip([since, *cuts], [*cuts, end], strict=True)]


def _summary(
    model: Model, start: Gaussian, points: list[Point], place: Point, legs: list[Leg], since: float
) -> Solution:
    final = legs[-1]
    times = [since, *(leg.end.t for leg in legs)]
    stretches = [Stretch(a, b, leg.engine) for a, b, leg in zip(times[:-1], times[1:], legs, strict=True)]
    statements = {"rank": RANK, **final.statements}
    if final.blow_up is not None:
        statements["blow_up"] = final.blow_up.statement
    return Solution(
        points=points,
        end=place,
        status=final.status,
        blow_up=final.blow_up,
        engine=final.engine,
        mean_engine=next((leg.mean_engine for leg in legs if leg.mean_engine == "integrated"), final.mean_engine),
        exact=is_exact(model, start, since),
        stretches=stretches,
        statements=statements,
        notes=[note for leg in legs for note in leg.notes],
        accepted=sum(leg.accepted for leg in legs),
        rejected=sum(leg.rejected for leg in legs),
    )


def is_exact(model: Model, start: Gaussian, t: float) -> bool:
    """Whether the velocity at a Gaussian is affine for every layer; a structural fact, found without computing."""
    layers = model.models if isinstance(model, Piecewise) else (layer_at(model, t),)
    return all(eqx.filter_eval_shape(lambda m, g: m.at_gaussian(g), layer, start).exact for layer in layers)
