"""The picture of a plan: its path, its controls, and what an independent replay finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...measures.distances import bures_wasserstein
from ...measures.gaussian import Gaussian
from ...reachability.errors import cov_error, mean_error
from ...reachability.motion import Motion, follow

if TYPE_CHECKING:
    from ...report.steering import Errors
    from .plan import Plan

FINE, COARSE, LARGE = 129, 13, 48
"""Depths that are drawn up to the dimension LARGE and above it."""

POINTS = 33
"""Of these depths, those at which the replay is drawn; both ends are among them."""


def picture(plan: Plan) -> Any:
    """Start, path and target, the controls over depth, the distance to the target; see `Plan.plot`."""
    from ...report.steering import Target, steering

    ts = _depths(plan)
    mean = np.array([plan.motion.mean(float(t)) for t in ts])
    factors = [plan.motion.factor(float(t)) for t in ts]
    cov = np.array([factor @ factor.T for factor in factors])
    d = plan.start.dim
    return steering(
        ts,
        mean,
        cov,
        Target(np.asarray(plan.target.mean), np.asarray(plan.target.cov)),
        values=np.square(np.linalg.svd(np.array(factors), compute_uv=False)),
        controls=_norms(plan, ts),
        distance=_distances(plan, plan.motion, ts),
        errors=_errors(plan, ts[np.unique(np.linspace(0, len(ts) - 1, POINTS).round().astype(int))]),
        title=(
            f"{plan.method}: target {plan.status.value} ({plan.basis.value}); d = {d}, rank "
            f"{plan.reachability.ranks[0]}, T = {plan.time:g}"
        ),
    )


def _depths(plan: Plan) -> np.ndarray:
    """Depths to draw, with both sides of every jump of the controls."""
    even = np.linspace(0.0, plan.time, FINE if plan.start.dim <= LARGE else COARSE)
    jumps = np.array(plan.law.jumps)
    return np.unique(np.concatenate([even, jumps, np.nextafter(jumps, 0.0)]))


def _norms(plan: Plan, ts: np.ndarray) -> dict[str, np.ndarray]:
    last = np.nextafter(plan.time, 0.0)
    controls = [plan.law.controls(float(min(t, last))) for t in ts]
    return {
        name: np.array([float(np.linalg.norm(np.asarray(getattr(c, name)))) for c in controls])
        for name in ("V", "A", "B", "b")
    }


def _distances(plan: Plan, motion: Motion, ts: np.ndarray) -> np.ndarray:
    return np.array([bures_wasserstein(_at(motion, t), plan.target) for t in ts])


def _at(motion: Motion, t: float) -> Gaussian:
    return Gaussian(motion.mean(float(t)), motion.factor(float(t)))


def _errors(plan: Plan, ts: np.ndarray) -> Errors:
    """A replay from the start itself: its distance to the target and to the reference path, and its end in words."""
    from ...report.steering import Errors

    start, target = plan.start, plan.target
    found = follow(plan.law, np.asarray(start.mean), np.asarray(start.factor), plan.time)
    if found.motion is None:
        nothing = np.zeros(0)
        words = f"the replay stopped at t = {found.time:.3g}"
        return Errors(nothing, nothing, nothing, nothing, words)
    pairs = [(_at(found.motion, t), _at(plan.motion, t)) for t in ts]
    end = _at(found.motion, plan.time)
    return Errors(
        ts=ts,
        distance=_distances(plan, found.motion, ts),
        mean=np.array([mean_error(one, start, two) for one, two in pairs]),
        cov=np.array([cov_error(np.asarray(one.cov), np.asarray(two.cov)) for one, two in pairs]),
        words=(
            f"at the end, against the target:\nmean {mean_error(end, start, target):.1e}, covariance "
            f"{cov_error(np.asarray(end.cov), np.asarray(target.cov)):.1e}"
        ),
    )
