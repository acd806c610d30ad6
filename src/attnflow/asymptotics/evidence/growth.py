"""Growth told apart: finite-time blow-up, exponential and polynomial growth, from the trace along an orbit."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..linearisation import svec
from ..regime import Regime
from .dynamics import Dynamics
from .march import March

DECADE = float(np.log(10.0))
#: Relative to the growth rate of the trace: no smaller direction may grow faster than the largest by more.
HIDDEN = 0.02
#: How many decades the trace must have grown, from its smallest value on, before growth is spoken of; fewer for a
#: blow-up where the solver's steps have shrunk to nothing.
BLOW_UP_DECADES, STALLED_DECADES, EXPONENTIAL_DECADES = 8.0, 6.0, 6.0
#: How far, relative to its velocity, the shape of the covariance may still be from rest at a blow-up.
UNSETTLED = 0.03


@dataclasses.dataclass(frozen=True)
class Growth:
    """Growth of the trace: its `regime`, its exponential `rate`, its `power` of t, or its `end` in finite time."""

    regime: Regime
    rate: float | None = None
    power: float | None = None
    end: float | None = None


def growth_of(march: March, dynamics: Dynamics) -> Growth | None:
    """The growth that the orbit shows beyond doubt, or None."""
    times, logs, growths = (np.asarray(x) for x in (march.times, march.logs, march.growths))
    low = int(np.argmin(logs))
    risen = (logs[-1] - logs[low]) / DECADE
    needed = STALLED_DECADES if march.stalled else BLOW_UP_DECADES
    if risen < needed or march.hidden_gain > HIDDEN * abs(march.growths[-1]):
        return _slow_growth(times, logs, dynamics.speed)
    end = _blow_up(times[low:], logs[low:], growths[low:], dynamics.speed)
    if end is not None and _on_a_profile(march, dynamics):
        return Growth(Regime.BLOW_UP, end=end)
    rate = _exponential(times[low:], logs[low:]) if risen >= EXPONENTIAL_DECADES else None
    if rate is not None and _steady(march, dynamics):
        return Growth(Regime.EXPONENTIAL, rate=rate)
    return _slow_growth(times, logs, dynamics.speed)


def _slow_growth(times: np.ndarray, logs: np.ndarray, speed: float) -> Growth | None:
    power = _polynomial(times, logs, speed)
    return None if power is None else Growth(Regime.POLYNOMIAL, power=power)


def _blow_up(times: np.ndarray, logs: np.ndarray, growths: np.ndarray, speed: float) -> float | None:
    """T_f where the growth rate of the trace is proportional to the trace and dwarfs the linear part of the flow."""
    if not growths[-1] > 1e3 * 2.0 * speed:
        return None
    for decades, least, most in ((2.0, 0.8, 1.3), (4.0, 0.6, 1.4)):
        i = int(np.searchsorted(logs, logs[-1] - decades * DECADE))
        recent = growths[i:]
        if len(recent) < 3 or not (recent > 0).all():
            return None
        slope = np.log(recent[-1] / recent[0]) / (logs[-1] - logs[i])
        if not least < slope < most:
            return None
    return float(times[-1] + 1.0 / growths[-1])


def _on_a_profile(march: March, dynamics: Dynamics) -> bool:
    """Whether the shape cov / tr cov has settled: a blow-up ends on a rest point of the shape under the quadratic part.

    A trace may grow like its square for decades on an unsettled shape, and turn round.
    """
    with np.errstate(all="ignore"):
        cov = march.cov
        total = float(np.trace(cov))
        moved = dynamics.rate(svec(cov)) / total**2
    if not np.isfinite(moved).all():
        return False
    shape, trace = svec(cov / total), svec(np.eye(len(cov)))
    return bool(np.linalg.norm(moved - shape * (trace @ moved)) < UNSETTLED * np.linalg.norm(moved))


def _exponential(times: np.ndarray, logs: np.ndarray) -> float | None:
    """The rate, when log trace is a straight line over the last two thirds of its rise."""
    i = int(np.searchsorted(logs, logs[0] + (logs[-1] - logs[0]) / 3.0))
    if len(times) - i < 8 or not times[-1] > times[i]:
        return None
    knots = np.linspace(times[i], times[-1], 7)
    rises = np.diff(np.interp(knots, times, logs))
    slope = float(rises.mean() / (knots[1] - knots[0]))
    # a real leading eigenvalue gives a straight line; a complex one swings about it, evenly
    halves = np.abs(rises[:3].sum() / rises[3:].sum() - 1.0)
    if not (rises > 0).all() or halves > 0.03 or np.ptp(rises) > 0.5 * rises.mean():
        return None
    return slope if slope > 0 else None


def _steady(march: March, dynamics: Dynamics) -> bool:
    """Whether the nonlinear part of the growth rate stays bounded as the trace grows.

    It is zero to rounding, or balanced by the directions that do not grow. A term that is only small so far would
    grow with the trace.
    """
    logs = np.asarray(march.logs)
    low = int(np.argmin(logs))
    heights = logs[low] + (logs[-1] - logs[low]) * np.array([0.5, 0.625, 0.75, 0.875, 1.0])
    places = [low + int(np.searchsorted(np.maximum.accumulate(logs[low:]), h)) for h in heights]
    parts = [_nonlinear_growth(dynamics, march.path[min(i, len(logs) - 1)]) for i in places]
    shares, noise = np.abs([p for p, _ in parts]), np.array([n for _, n in parts])
    if (shares <= noise).all():
        return True
    half = 0.5 * (logs[-1] - logs[low])
    return bool(np.log((shares[-1] + noise[-1]) / max(shares[:3].max(), noise[0])) < 0.3 * half)


def _nonlinear_growth(dynamics: Dynamics, factor: np.ndarray) -> tuple[float, float]:
    """What M(cov) - M(0) adds to the growth rate of the trace, and the rounding in that."""
    with np.errstate(all="ignore"):
        return _nonlinear_part(dynamics, factor / np.linalg.norm(factor), factor)


def _nonlinear_part(dynamics: Dynamics, shape: np.ndarray, factor: np.ndarray) -> tuple[float, float]:
    added = dynamics.generator(factor) - dynamics.generator(0.0 * factor)
    return 2.0 * float(np.sum(shape * (added @ shape))), 1e-12 * float(np.linalg.norm(added))


def _polynomial(times: np.ndarray, logs: np.ndarray, speed: float) -> float | None:
    """The power of t, when log trace is a straight line in log t over the last four doublings of a long time."""
    if times[-1] * speed < 3e4:
        return None
    knots = times[-1] * 0.5 ** np.arange(5)
    rises = -np.diff(np.interp(knots, times, logs)) / np.log(2.0)
    power = float(rises[0])
    return power if power > 0.4 and np.ptp(rises) < 0.03 * power else None
