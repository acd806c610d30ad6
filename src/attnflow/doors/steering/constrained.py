"""Plans under constraints, for `steer`: what the search found, confirmed by a replay, and what explains a miss."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..._check import BadInput, positive
from ...flow.leg import Progress
from ...flow.outcome import Basis
from ...measures.distances import bures_wasserstein
from ...measures.gaussian import Gaussian
from ...reachability.constrained.constraints import Choice, Constraint, RunningCost, choice_of
from ...reachability.constrained.gramian import gramian
from ...reachability.constrained.least_energy import least_path
from ...reachability.constrained.limits import lasts, obstructions
from ...reachability.constrained.problem import problem_of
from ...reachability.constrained.running_cost import cheapened, require_running_cost, total_cost
from ...reachability.constrained.search import ATTEMPTS, Candidate, Ending, Search
from ...reachability.constrained.shooting import Clock, Shooting
from ...reachability.constructions import still
from ...reachability.law import Following
from ...reachability.motion import AlongPath
from ...reachability.obstruction import Reachability, visible_factor
from ..progress import progress_bar
from .notes import sharpness
from .plan import Plan

BUDGET = 60.0
EXPLAINING = 30.0
"""Seconds for what is reported after the budget: the linearised system around the best plan."""


def constrained_plan(
    start: Gaussian,
    target: Gaussian,
    time: float,
    constraint: Constraint,
    verdict: Reachability,
    *,
    tolerance: float,
    budget: float = BUDGET,
    seed: int = 0,
    progress: Progress | None = None,
) -> Plan:
    """A plan from `start` to `target` in `time` under `constraint`, or the best one found in `budget` seconds.

    `verdict` says why the target can be reached without the constraint. The plan is `reached` when an independent
    replay ends within the relative `tolerance`. `seed` draws beginnings of the search; `progress` is called with the
    seconds used. An interrupt keeps the best plan so far.

    `details` of the plan: `ending` ("reached", "exhausted", "budget", "interrupted"), `attempts`, `iterations`,
    `evaluations`, `seconds`, `distance` (Bures-Wasserstein, from the target), `obstructions` (proved reasons why the
    target cannot be reached), and after a miss `gramian`. With `LeastEnergy`: `energy`, `proved_least`, `local_minima`,
    `exact`. With `RunningCost`: `cost`, `cost_before`, `stationary`.

    Raises BadInput when nothing is left to choose, for wrong shapes, for a cost that is no number, for a `budget` that
    is not positive, a `seed` that is no whole number, and when what is given lets the covariance blow up before `time`
    in any case.

    Source: this package, docs/theory/constrained-steering.md.
    """
    choice = choice_of(constraint, start.dim)
    if isinstance(seed, bool) or int(seed) != seed or seed < 0:
        raise BadInput(f"`seed` must be a whole number, at least 0: {seed!r} was found.")
    budget = positive("budget", budget)
    with jax.enable_x64(True), progress_bar(budget, progress, words="steer") as report:
        clock = Clock(budget, report)
        if choice is None:
            return _least_energy(start, target, time, verdict, clock, tolerance=tolerance, seed=seed)
        return _searched(start, target, time, constraint, choice, verdict, clock, tolerance=tolerance, seed=seed)


def _searched(
    start: Gaussian, target: Gaussian, time: float, constraint: Constraint, choice: Choice, verdict: Reachability,
    clock: Clock, *, tolerance: float, seed: int,
) -> Plan:  # fmt: skip
    one, two = _state(start, verdict), _state(target, verdict)
    problem = problem_of(choice, one, two, time)
    if not lasts(problem):
        raise BadInput(
            f"`constrain` must let the flow last until T = {time:g}: with these A, B and V the covariance blows up "
            "before that, whatever b is; leave one of them out or take a shorter `time`."
        )
    proved = obstructions(problem)
    search = Search(Shooting(problem, clock), start, target, tolerance, verdict.tolerance)
    search.prefer_exact = isinstance(constraint, RunningCost)
    if isinstance(constraint, RunningCost):
        require_running_cost(constraint.cost, problem.law(search.calm()), one[:, 0], one[:, 1:] @ one[:, 1:].T)
    ending = search.run(seed=seed, attempts=1 if proved else ATTEMPTS)
    search.consider_calm()
    best = search.best
    if best is None:
        raise BadInput(
            f"`constrain` must let the flow last until T = {time:g}: no choice was found that does; take a shorter "
            "`time` or leave more to choose."
        )
    extra: dict[str, Any] = {}
    if isinstance(constraint, RunningCost) and ending is Ending.REACHED:
        best, extra = _cheaper(search, best, constraint, time)
    details = _details(search, best, ending, proved, target, time) | extra
    return Plan(
        start=start,
        target=target,
        time=time,
        method=type(constraint).__name__,
        law=best.law,
        motion=best.motion,
        basis=Basis.NUMERICAL,
        tolerance=tolerance,
        reachability=verdict,
        notes=(*_notes(verdict, details), *filter(None, [sharpness(best.law, best.motion, time)])),
        details=details,
    )


def _cheaper(
    search: Search, best: Candidate, constraint: RunningCost, time: float
) -> tuple[Candidate, dict[str, float]]:
    """The `best` candidate with its cost lowered, and the costs by quadrature along the replays."""
    before = total_cost(constraint.cost, best.law, best.motion, time)
    found = cheapened(search.shooting, best.x, constraint.cost)
    candidate = search.confirmed(found.x, best.missed)
    chosen, now = best, before
    if candidate is not None and candidate.error <= search.tolerance:
        after = total_cost(constraint.cost, candidate.law, candidate.motion, time)
        chosen, now = (candidate, after) if after < before else (best, before)
    return chosen, {"cost": now, "cost_before": before, "stationary": found.stationary}


def _details(
    search: Search, best: Candidate, ending: Ending, proved: tuple[str, ...], target: Gaussian, time: float
) -> dict[str, Any]:
    end = Gaussian(best.motion.mean(time), best.motion.factor(time))
    details: dict[str, Any] = {
        "ending": ending.value,
        "attempts": search.attempts,
        "iterations": search.shooting.iterations,
        "evaluations": search.shooting.evaluations,
        "seconds": search.shooting.clock.seconds,
        "stretches": search.shooting.problem.choice.stretches,
        "distance": float(bures_wasserstein(end, target)),
        "obstructions": list(proved),
    }
    if ending is Ending.REACHED:
        return details
    found = gramian(search.shooting.given(EXPLAINING), best.x)
    if found is not None:
        details["gramian"] = {
            "singular_values": list(found.singular_values),
            "rank": found.rank,
            "dimension": found.dimension,
            "held": found.held,
            "explains": found.explains,
            "text": found.text,
        }
    return details


def _notes(verdict: Reachability, details: dict[str, Any]) -> tuple[str, ...]:
    notes = [verdict.warning] if verdict.warning else []
    notes += [f"proved: {reason}" for reason in details["obstructions"]]
    if "gramian" in details:
        notes.append(details["gramian"]["text"])
    if details["ending"] in (Ending.BUDGET, Ending.INTERRUPTED):
        notes.append(f"the search ended early: {details['ending']} after {details['seconds']:.3g} s")
    return tuple(notes)


def _least_energy(
    start: Gaussian, target: Gaussian, time: float, verdict: Reachability, clock: Clock, *, tolerance: float, seed: int
) -> Plan:
    one, two = _state(start, verdict), _state(target, verdict)
    velocity = (two[:, 0] - one[:, 0]) / time
    details: dict[str, Any] = {"energy": 0.0, "proved_least": 0.0, "local_minima": 1, "exact": "", "interrupted": False}
    if one.shape[1] == 1:
        path = still(one[:, 1:])
    else:
        found = least_path(one[:, 1:], two[:, 1:], clock=clock, seed=seed)
        path = found.path
        details = {
            "energy": found.energy / time,
            "proved_least": found.proved_least / time,
            "local_minima": found.local_minima,
            "exact": found.exact,
            "interrupted": found.interrupted,
        }
    details["seconds"] = clock.seconds
    return Plan(
        start=start,
        target=target,
        time=time,
        method="LeastEnergy",
        law=Following(path, time, velocity, attends=False),
        motion=AlongPath(path, time, one[:, 0], velocity),
        basis=Basis.NUMERICAL,
        tolerance=tolerance,
        reachability=verdict,
        notes=(verdict.warning,) if verdict.warning else (),
        details=details,
    )


def _state(gaussian: Gaussian, verdict: Reachability) -> np.ndarray:
    """[mean, factor] (d, r + 1) with the columns that count."""
    mean = np.asarray(gaussian.mean, dtype=np.float64)
    return np.hstack([mean[:, None], visible_factor(gaussian, verdict.tolerance)])
