"""Limit cycles of the covariance: found by recurrence, then Newton on the return map with the variational equation."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from jaxtyping import Complex, Float
from scipy.integrate import solve_ivp

from ..linearisation import smat, svec
from ..system import System
from .dynamics import Dynamics, SystemDynamics
from .stratum import tangent

#: Over one period at one tolerance; beyond that the flow is too stiff for this search.
EVALUATIONS = 20_000


@dataclasses.dataclass(frozen=True)
class Cycle:
    """A periodic orbit: its smallest `period`, a `point` (d, d) on it, and its Floquet `multipliers`.

    The multipliers are those of the return map on symmetric matrices, the one that equals 1 along the orbit left out,
    largest modulus first; all of them inside the unit circle: the cycle is isolated and attracts its neighbourhood.
    `residual` is |cov(period) - cov(0)| relative to the cycle's diameter `diameter`.

    Source: this package, docs/theory/long-run.md.
    """

    period: float
    point: Float[np.ndarray, "d d"]
    multipliers: Complex[np.ndarray, " n"]
    residual: float
    diameter: float

    @property
    def stable(self) -> bool:
        """Whether all multipliers lie inside the unit circle, with room for rounding."""
        return bool((np.abs(self.multipliers) < 1.0 - 1e-6).all())

    @property
    def neutral(self) -> bool:
        """Whether no multiplier lies outside the unit circle but some on it: one of a family of periodic orbits."""
        return not self.stable and bool((np.abs(self.multipliers) < 1.0 + 1e-6).all())


def limit_cycle(system: System, cov: Float[np.ndarray, "d d"], period: float) -> Cycle | None:
    """The periodic orbit of a `system` near the point `cov` with about this `period`, or None if Newton finds none.

    Source: this package, docs/theory/long-run.md.
    """
    return cycle_near(SystemDynamics(system), cov, period)


def cycle_near(
    dynamics: Dynamics, cov: Float[np.ndarray, "d d"], period: float, *, rank: int | None = None
) -> Cycle | None:
    """The periodic orbit of `dynamics` near `cov` with about this `period`: Newton on the section through `cov`.

    With a `rank` below d the multipliers are those among the covariances of that rank, which the flow conserves.
    """
    x, T, last = svec(cov), period, np.inf
    for i in range(12):
        tight = last < 1e-4
        found = _around(dynamics, x, T, rtol=1e-12 if tight else 1e-8)
        if found is None:
            return None
        orbit, transition = found
        normal, gap = dynamics.rate(x), orbit[:, -1] - x
        size = float(np.linalg.norm(np.ptp(orbit, axis=1)))
        matrix = np.block([[transition - np.eye(len(x)), dynamics.rate(orbit[:, -1])[:, None]], [normal, np.zeros(1)]])
        move = np.linalg.lstsq(matrix, np.append(-gap, 0.0), rcond=1e-7)[0]
        change = float(np.linalg.norm(move[:-1])) / size if size > 0 else np.inf
        if tight and (change < 1e-11 or (change < 1e-8 and change > 0.25 * last)):
            return _described(dynamics, x, T, orbit, transition, rank)
        if change > 0.5 or abs(move[-1]) > 0.3 * T or (i > 3 and change > 0.5 * last):
            return None
        x, T, last = x + move[:-1], T + float(move[-1]), max(change, abs(float(move[-1])) / T)
    return None


def recurrences(times: np.ndarray, points: np.ndarray, velocity: np.ndarray) -> list[float]:
    """Periods after which an orbit may have come back to its last point, the most likely first.

    `points` (n, m) at `times`, and the `velocity` (m,) at the last one: its section is crossed in the same direction.
    """
    offsets = points - points[-1]
    heights = offsets @ velocity
    rises = np.flatnonzero((heights[:-1] < 0) & (heights[1:] >= 0))
    rises = rises[rises < len(points) - 2]
    if not rises.size:
        return []
    share = heights[rises] / (heights[rises] - heights[rises + 1])
    crossings = offsets[rises] + share[:, None] * (offsets[rises + 1] - offsets[rises])
    far = np.linalg.norm(crossings, axis=1)
    when = times[rises] + share * (times[rises + 1] - times[rises])
    size = float(np.linalg.norm(np.ptp(points, axis=0)))
    near = np.flatnonzero(far < max(0.25 * size, 1.5 * far.min()))[::-1]  # the latest crossing, the shortest period
    return [float(times[-1] - when[i]) for i in near[:3]]


def _around(dynamics: Dynamics, x: np.ndarray, T: float, *, rtol: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Points along the orbit from `x` over `T` (m, n), and the transition matrix (m, m)."""
    size = len(x)
    count = itertools.count()

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        if next(count) > EVALUATIONS or not np.isfinite(state).all():
            raise FloatingPointError
        here = state[:size]
        turned = dynamics.derivative(here) @ state[size:].reshape(size, size)
        return np.concatenate([dynamics.rate(here), turned.ravel()])

    start = np.concatenate([x, np.eye(size).ravel()])
    floor = np.concatenate([np.full(size, rtol * np.linalg.norm(x)), np.full(size * size, rtol)])
    try:
        run = solve_ivp(velocity, (0.0, T), start, "DOP853", t_eval=np.linspace(0.0, T, 25), rtol=rtol, atol=floor)
    except FloatingPointError:
        return None
    if not run.success or not np.isfinite(run.y).all():
        return None
    return run.y[:size], run.y[size:, -1].reshape(size, size)


def _described(
    dynamics: Dynamics, x: np.ndarray, T: float, orbit: np.ndarray, transition: np.ndarray, rank: int | None
) -> Cycle | None:
    """The cycle with its smallest period; None where the orbit is a point."""
    diameter = float(np.linalg.norm(np.ptp(orbit, axis=1)))
    if diameter < 1e-7 * float(np.linalg.norm(x)):
        return None
    for parts in (12, 8, 6, 4, 3, 2):  # of the 24 stretches
        if np.linalg.norm(orbit[:, 24 // parts] - x) < 1e-8 * diameter:
            return cycle_near(dynamics, smat(x), T / parts, rank=rank)
    if rank is not None and rank < dynamics.dim:
        frame = tangent(smat(x), rank)
        transition = frame.T @ transition @ frame
    multipliers = np.linalg.eigvals(transition).astype(np.complex128)
    others = np.delete(multipliers, int(np.argmin(np.abs(multipliers - 1.0))))
    order = np.argsort(-np.abs(others))
    residual = float(np.linalg.norm(orbit[:, -1] - x)) / diameter
    return Cycle(T, smat(x), others[order], residual, diameter)
