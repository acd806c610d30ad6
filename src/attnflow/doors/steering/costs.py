"""What a plan costs beside the exact constructions: which of them is best at what."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ...reachability.constructions import ConstantControls, Construction, McCann, PaperConstruction, Rotation

if TYPE_CHECKING:
    from .plan import Plan

CONSTRUCTIONS: tuple[Construction, ...] = (Rotation(), ConstantControls(), McCann(), PaperConstruction())

REMARKS = {
    "Rotation": "the default: evenly conditioned at every depth, whatever the ranges",
    "ConstantControls": "parameters that do not change with depth",
    "McCann": "the least kinetic energy that is possible, W_2^2 / T",
    "PaperConstruction": "the construction of the paper's proof; its B, a pseudo-inverse, costs accuracy",
}

WORDS = {
    "kinetic": "least kinetic energy",
    "control": "least control energy",
    "feedforward": "least feed-forward energy",
    "conditioning": "best conditioning",
    "largest_control": "smallest peak of |V|",
}

CLOSE = 1e-6
"""Costs that differ by less than this, relatively, are called equal."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one plan costs.

    `method` names it and `chosen` marks the plan that was asked. `kinetic`, `control` and `feedforward` are its
    energies, `conditioning` the largest condition number of its flow map, `largest_control` the largest |V|_F, `error`
    the largest of the relative errors by which its status is decided. `best` lists the costs in which none of the
    others is lower (named as the fields), `remark` says what the construction is for.
    """

    method: str
    chosen: bool
    kinetic: float
    control: float
    feedforward: float
    conditioning: float
    largest_control: float
    error: float
    best: tuple[str, ...] = ()
    remark: str = ""


def comparison(plan: Plan) -> tuple[Cost, ...]:
    """The costs of `plan` and of the four exact constructions for the same start, target and time."""
    from .plan import Plan as _Plan
    from .steer import exact_plan

    def built(construction: Construction) -> _Plan:
        return exact_plan(plan.start, plan.target, plan.time, construction, plan.reachability, tolerance=plan.tolerance)

    others = [c for c in CONSTRUCTIONS if type(c).__name__ != plan.method]
    costs = [_cost(plan, chosen=True), *(_cost(built(c), chosen=False) for c in others)]
    return tuple(dataclasses.replace(cost, best=_best(cost, costs)) for cost in costs)


def explanation(costs: tuple[Cost, ...]) -> str:
    """One sentence on the chosen plan: what it is for, what it is best at, and who does better elsewhere.

    `costs` are those of `comparison`.
    """
    chosen = next(cost for cost in costs if cost.chosen)
    leaders: dict[str, list[str]] = {}
    for name in (name for name in WORDS if name not in chosen.best):
        leader = next(cost.method for cost in costs if name in cost.best)
        leaders.setdefault(leader, []).append(WORDS[name])
    parts = [f"{chosen.method}: {chosen.remark}" if chosen.remark else chosen.method]
    if chosen.best:
        parts.append("here " + ", ".join(WORDS[name] for name in chosen.best))
    parts += [f"{method} has the " + ", ".join(names) for method, names in leaders.items()]
    return "; ".join(parts)


def _cost(plan: Plan, *, chosen: bool) -> Cost:
    energy = plan.energy
    return Cost(
        method=plan.method,
        chosen=chosen,
        kinetic=energy.kinetic,
        control=energy.control,
        feedforward=energy.feedforward,
        conditioning=plan.conditioning,
        largest_control=plan.largest_control,
        error=plan.error,
        remark=REMARKS.get(plan.method, ""),
    )


def _best(cost: Cost, costs: list[Cost]) -> tuple[str, ...]:
    return tuple(
        name for name in WORDS if getattr(cost, name) <= (1.0 + CLOSE) * min(getattr(other, name) for other in costs)
    )
