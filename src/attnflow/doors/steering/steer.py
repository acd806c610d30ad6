"""`steer`: controls that take one Gaussian to another in finite time, exactly or under constraints."""

from __future__ import annotations

import numpy as np

from ..._check import BadInput, positive
from ...flow.leg import Progress
from ...flow.outcome import Basis
from ...measures.gaussian import Gaussian
from ...reachability.constrained.constraints import Constraint
from ...reachability.constructions import Construction, Rotation, still
from ...reachability.motion import AlongPath
from ...reachability.obstruction import Reachability, reachable, visible_factor
from ...reachability.paths import AbstractPath
from .notes import lost_to_rounding, sharpness, stiffness
from .plan import Plan


def steer(
    start: Gaussian,
    target: Gaussian,
    *,
    time: float = 1.0,
    method: Construction | None = None,
    constrain: Constraint | None = None,
    rtol: float | None = None,
    tolerance: float = 1e-6,
    budget: float = 60.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Plan:
    """Controls on [0, `time`] that take the Gaussian `start` to `target`, of the same dimension and rank.

    `method`: `Rotation()` (default: evenly conditioned), `ConstantControls()` (parameters that do not change with
    depth), `McCann()` (least kinetic energy) or `PaperConstruction()`. `rtol` is the relative tolerance of the rank,
    d eps if None; a plan whose end lies further than `tolerance` (relative) from the target has the status "missed".

    `constrain`, in place of `method`: `AttentionOnly(A=...)`, `TimeInvariant(...)`, `LeastEnergy()` or
    `RunningCost(cost)`. The plan is then found by optimisation in at most about `budget` seconds, from beginnings drawn
    with `seed`; its status is what an independent replay says, and `details` tell how it ended and what explains a
    miss. `progress` is called with the seconds used; by default a bar appears on a terminal after two seconds. An
    interrupt keeps the best plan so far.

    Raises BadInput when the dimensions differ, `time` is not positive, the ranks differ (with the reason), `method` or
    `constrain` is something else, both are given, or a constraint leaves nothing to choose.

    Source: :cite:alcalde2026, Thm. 3.2.
    """
    horizon, within = positive("time", time), positive("tolerance", tolerance)
    if constrain is not None:
        if method is not None:
            raise BadInput("`method` and `constrain` exclude each other: both were given; leave one out.")
        from .constrained import constrained_plan

        seconds = positive("budget", budget)
        return constrained_plan(
            start, target, horizon, constrain, require_reachable(start, target, rtol), tolerance=within,
            budget=seconds, seed=seed, progress=progress,
        )  # fmt: skip
    chosen = Rotation() if method is None else method
    if not isinstance(chosen, Construction):
        raise BadInput(
            f"`method` must be Rotation(), ConstantControls(), McCann() or PaperConstruction(): {method!r} was found."
        )
    verdict = require_reachable(start, target, rtol)
    return exact_plan(start, target, horizon, chosen, verdict, tolerance=within)


def require_reachable(start: Gaussian, target: Gaussian, rtol: float | None) -> Reachability:
    """Why `target` can be reached from `start`; raises BadInput with the reason when it cannot."""
    verdict = reachable(start, target, rtol=rtol)
    if not verdict:
        raise BadInput(f"`target` cannot be reached: {verdict.reason}; give a target of rank {verdict.ranks[0]}.")
    return verdict


def exact_plan(
    start: Gaussian, target: Gaussian, time: float, method: Construction, verdict: Reachability, *, tolerance: float
) -> Plan:
    """The plan of one construction: `method` between the factors of `start` and `target` that count by `verdict`."""
    one, two = (visible_factor(gaussian, verdict.tolerance) for gaussian in (start, target))
    origin = np.asarray(start.mean, dtype=np.float64)
    velocity = (np.asarray(target.mean, dtype=np.float64) - origin) / time
    path = method.path(one, two) if one.shape[1] else still(one)
    missing = leftover(path, start, one, target)
    law, motion = method.law(path, time, velocity), AlongPath(path, time, origin, velocity)
    return Plan(
        start=start,
        target=target,
        time=time,
        method=type(method).__name__,
        law=law,
        motion=motion,
        basis=Basis.THEOREM,
        tolerance=tolerance,
        reachability=verdict,
        notes=tuple(note for note in (verdict.warning, stiffness(law, time), sharpness(law, motion, time)) if note),
        leftover=missing,
        rounding=lost_to_rounding(law, motion, time),
    )


def leftover(path: AbstractPath, start: Gaussian, visible: np.ndarray, target: Gaussian) -> float:
    """What `path` makes of the variance of `start` outside its `visible` factor, relative to that of the `target`."""
    factor = np.asarray(start.factor, dtype=np.float64)
    if visible.shape == factor.shape:
        return 0.0
    basis = np.linalg.qr(visible)[0]
    moved = np.asarray(path.between(0.0, 1.0)) @ (factor - basis @ (basis.T @ factor))
    return float(np.linalg.norm(moved) ** 2 / (np.linalg.norm(np.asarray(target.cov)) or 1.0))
