"""When the referee's path agrees with a verdict, contradicts it, or cannot tell."""

from __future__ import annotations

import dataclasses
import enum
import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .cases import Case
from .referee import Path, follow

if TYPE_CHECKING:
    from attnflow.doors.long_run.verdict import Verdict

FAR, NEAR, TINY = 1e-2, 1e-6, 1e-9
COARSE = 1e-3  # a limit among other equilibria is neutrally stable: both integrations drift along the family
BY_THE_START = (
    "zero in a basin, blow-up outside",
    "several attractors: zero, rank-deficient, positive definite or blow-up, by the start",
)


class Says(enum.StrEnum):
    AGREES = "agrees"
    CONTRADICTS = "contradicts"
    UNKNOWN = "cannot tell"


class Judged(NamedTuple):
    says: Says
    why: str = ""


def horizon(case: Case, verdict: Verdict) -> float:
    """How long to integrate: long for the slowest rate of A, the rate that the verdict claims, and its cycle."""
    speed = case.speed
    parts = np.abs(np.linalg.eigvals(case.matrices.A).real)
    slow = parts[parts > 1e-3 * speed].min(initial=speed)
    wanted = [40.0 / slow, 100.0 / speed]
    if verdict.rate is not None and verdict.rate > 0:
        wanted.append(40.0 / verdict.rate)
    if verdict.period is not None:
        wanted.append(40.0 * verdict.period)
    if verdict.rate is None:
        wanted.append((1e3 if verdict.covariance == "rotation" else 3e5) / speed)
    if not case.matrices.A.any():
        return 1e9 / speed  # everything falls like a power of t: long times are cheap
    return float(min(max(wanted), 1e6 / speed))


def covariance(case: Case, verdict: Verdict, path: Path) -> Judged:
    """What the path says of the verdict about the covariance."""
    if not verdict.determined:
        return Judged(Says.UNKNOWN, "no verdict")
    if verdict.covariance == "finite-time blow-up":
        return _blow_up(case, verdict, path)
    if verdict.covariance in BY_THE_START:
        return _by_the_start(case, verdict, path)
    if path.blow_up is not None:
        return Judged(Says.CONTRADICTS, f"blows up at t = {path.blow_up:.8g}")
    if verdict.covariance in ("exponential growth", "polynomial growth"):
        return _growth(case, verdict, path)
    return _bounded(case, verdict, path)


def confirmed(case: Case, verdict: Verdict, judged: Judged) -> Judged:
    """A contradiction stands if it does not depend on the referee's tolerance or on the last digits of the start."""
    for scale, rtol in ((1.0, 1e-12), (1.0 + 1e-9, 1e-10), (1.0 - 1e-9, 1e-10)):
        other = dataclasses.replace(case, factor=scale * case.factor)
        path = follow(other, horizon(case, verdict), mean=False, rtol=rtol, evaluations=40_000)
        again = covariance(other, verdict, path)
        if again.says is not Says.CONTRADICTS and verdict.covariance != "finite-time blow-up":
            return Judged(Says.UNKNOWN, f"near a threshold: {judged.why}; {again.why}")
        if path.blow_up is None and verdict.covariance == "finite-time blow-up" and again.says is Says.UNKNOWN:
            return Judged(Says.UNKNOWN, f"near a threshold: {judged.why}; {again.why}")
    return judged


def _by_the_start(case: Case, verdict: Verdict, path: Path) -> Judged:
    if verdict.covariance == "zero in a basin, blow-up outside" and path.blow_up is None:
        return _limit(case, verdict, path, np.zeros((case.dim, case.dim)))
    return Judged(Says.CONTRADICTS if path.end == "large" else Says.AGREES, path.end)


def _bounded(case: Case, verdict: Verdict, path: Path) -> Judged:
    if path.end == "large":
        return Judged(Says.CONTRADICTS, "grows without bound")
    if verdict.covariance == "rotation":
        return _rotation(path)
    if verdict.covariance == "limit cycle":
        return _cycle(case, verdict, path)
    if verdict.covariance_limit is None:
        return _settles(path)
    return _ranked(verdict, path, _limit(case, verdict, path, verdict.covariance_limit))


def _distances(path: Path, limit: np.ndarray) -> np.ndarray:
    size = float(np.linalg.norm(limit)) or float(np.trace(path.covs[0]))
    return np.asarray(np.linalg.norm(path.covs - limit, axis=(1, 2)) / size)


def _limit(case: Case, verdict: Verdict, path: Path, limit: np.ndarray) -> Judged:
    off = _distances(path, limit)
    words = f"off by {off[-1]:.2g} at t = {path.t[-1]:.4g}, at least {off.min():.2g}"
    if path.end == "gone" and not limit.any():
        return Judged(Says.AGREES, words)
    if off[-1] < NEAR:
        return Judged(Says.AGREES, words)
    if off.min() < TINY and off[-1] > FAR:
        # a singular start inside an invariant subspace is pushed out of it by the referee's rounding
        says = Says.UNKNOWN if case.rank < case.dim else Says.CONTRADICTS
        return Judged(says, f"leaves again: {words}")
    return _shrinking(case, verdict, path, off, words)


def _shrinking(case: Case, verdict: Verdict, path: Path, off: np.ndarray, words: str) -> Judged:
    last, half, quarter = (float(off[path.at(path.t[-1] / k) :].max()) for k in (4 / 3, 2, 4))
    rate = verdict.rate
    passed = path.t[-1] * (rate or 0.01 * case.speed)
    if rate is None and verdict.covariance == "continuum of limits" and off[-1] < COARSE:
        return Judged(Says.AGREES, f"to the accuracy of such limits: {words}")
    if rate is None and last < 0.5 and last < 0.8 * half < 0.7 * quarter:
        return Judged(Says.AGREES, f"falls like a power: {words}")
    if rate is not None and off[-1] < FAR and off[-1] < half * np.exp(-0.2 * rate * path.t[-1]):
        return Judged(Says.AGREES, f"falls exponentially: {words}")
    if passed > 8 and last > 0.9 * half and half > 0.9 * quarter and off[-1] > 1e-4:
        return Judged(Says.CONTRADICTS, f"does not come nearer: {words}")
    if path.end == "horizon" and passed > 30 and rate is not None and off[-1] > 1e-3 and last > 0.5 * quarter:
        return Judged(Says.CONTRADICTS, f"comes no nearer: {words}")
    return Judged(Says.UNKNOWN, words)


def _ranked(verdict: Verdict, path: Path, judged: Judged) -> Judged:
    """The rank claimed must be that of the limit; and the path must not keep what the limit has not."""
    if judged.says is not Says.AGREES or verdict.covariance_limit is None or verdict.rank is None:
        return judged
    values = np.linalg.eigvalsh(verdict.covariance_limit)[::-1]
    if not values[0] > 0:
        return judged if verdict.rank == 0 else Judged(Says.CONTRADICTS, "a zero limit with a positive rank")
    count = int(np.count_nonzero(values > 1e-11 * values[0]))
    if count < verdict.rank or (verdict.rank < len(values) and values[verdict.rank] > 1e-7 * values[0]):
        return Judged(
            Says.CONTRADICTS, f"rank {verdict.rank} claimed, eigenvalues {np.array2string(values, precision=2)}"
        )
    if verdict.rank == len(values):
        return judged
    last, before = (np.linalg.eigvalsh(path.covs[i])[::-1][verdict.rank] for i in (-1, path.at(path.t[-1] / 2)))
    if last > 1e-10 * values[0] and last > 0.9 * before:
        # without a rate a small one falls like 1 / (1 / start + c t), for long by hardly anything
        falls = verdict.rate is None and last < before * (1 - 1e-9)
        says = Says.UNKNOWN if falls else Says.CONTRADICTS
        return Judged(says, f"an eigenvalue stays at {last:.3g} beyond the rank {verdict.rank}")
    return judged


def _blow_up(case: Case, verdict: Verdict, path: Path) -> Judged:
    known = verdict.blow_up
    if path.blow_up is None:
        if known is None or known.estimate is None:
            return Judged(Says.CONTRADICTS if path.end in ("gone", "horizon") else Says.UNKNOWN, f"none: {path.end}")
        late = path.t[-1] > known.estimate * (1 + 1e-6) and path.end != "failed"
        return Judged(Says.CONTRADICTS if late else Says.UNKNOWN, f"none until {path.t[-1]:.6g} ({path.end})")
    if known is None or known.estimate is None or known.lower is None or known.upper is None:
        return Judged(Says.AGREES)
    off = abs(path.blow_up - known.estimate)
    room = 1e-6 * known.estimate
    words = f"T_f off by {off / known.estimate:.2g}: {path.blow_up:.12g}, [{known.lower:.12g}, {known.upper:.12g}]"
    if off < room and known.lower - room <= path.blow_up <= known.upper + room:
        return Judged(Says.AGREES, words)
    again = follow(case, 2.0 * path.blow_up, mean=False, rtol=1e-12).blow_up
    if again is None or abs(again - path.blow_up) > 1e-2 * off:
        return Judged(Says.UNKNOWN, f"near a threshold the referee moves by itself; {words}")
    return Judged(Says.CONTRADICTS, words)


def _growth(case: Case, verdict: Verdict, path: Path) -> Judged:
    risen = path.logs[-1] - path.logs.min()
    half = path.at(path.t[-1] / 2)
    if verdict.covariance == "exponential growth":  # the second half of the rise: what came before may have been slow
        below = np.flatnonzero(path.logs < path.logs[-1] - 0.4 * risen)
        half = int(below[-1]) if len(below) else 0
    slope = (path.logs[-1] - path.logs[half]) / (path.t[-1] - path.t[half])
    power = (path.logs[-1] - path.logs[half]) / np.log(path.t[-1] / max(path.t[half], 1e-300))
    words = f"slope {slope:.4g}, power {power:.3g} over {risen / np.log(10):.1f} decades, claimed {verdict.rate}"
    if path.end == "gone" or (path.end == "horizon" and path.logs[-1] < path.logs[half] - 0.1):
        return Judged(Says.CONTRADICTS, words)
    if verdict.covariance == "exponential growth":
        if risen < 8:
            return Judged(Says.UNKNOWN, words)
        rate = verdict.rate
        near = rate is None or abs(slope - rate) < 0.15 * rate + 4.0 / path.t[-1]
        return Judged(Says.AGREES if near else Says.CONTRADICTS, words)
    if path.t[-1] * case.speed < 100:
        return Judged(Says.UNKNOWN, words)
    third = path.at(path.t[-1] / 4)
    before = (path.logs[half] - path.logs[third]) / np.log(2.0)
    if power > 0.3 and power < 12 and slope * path.t[half] < 13:
        return Judged(Says.AGREES, words)
    return Judged(Says.CONTRADICTS if power < 0.1 and before < 0.1 else Says.UNKNOWN, words)


def _swing(path: Path, low: float, high: float) -> float:
    """How far the covariance moves between two parts of the time, relative to its size."""
    covs = path.covs[path.at(low * path.t[-1]) : path.at(high * path.t[-1]) + 1]
    size = float(np.linalg.norm(covs[-1]))
    return float(np.linalg.norm(covs - covs[-1], axis=(1, 2)).max()) / size if size > 0 else 0.0


def _rotation(path: Path) -> Judged:
    early, late = _swing(path, 0.5, 0.75), _swing(path, 0.75, 1.0)
    words = f"moves by {early:.3g}, then by {late:.3g}"
    if path.end == "gone":
        return Judged(Says.CONTRADICTS, "collapses")
    if late > 0.8 * early and late > TINY:
        return Judged(Says.AGREES, words)
    return Judged(Says.CONTRADICTS if late < 0.1 * early or late < 1e-12 else Says.UNKNOWN, words)


def _settles(path: Path) -> Judged:
    """The covariance converges: what it moves by falls from one doubling of the time to the next."""
    ends = [path.covs[path.at(path.t[-1] / k)] for k in (1, 2, 4)]
    size = float(np.linalg.norm(ends[0])) or 1.0
    late, early = (float(np.linalg.norm(x - y)) / size for x, y in itertools.pairwise(ends))
    words = f"moves by {early:.3g}, then by {late:.3g}"
    if late < NEAR or late < 0.8 * early:
        return Judged(Says.AGREES, words)
    return Judged(Says.CONTRADICTS if late > 0.95 * early and late > 1e-3 else Says.UNKNOWN, words)


def _cycle(case: Case, verdict: Verdict, path: Path) -> Judged:
    """The last period lies on the cycle, which the referee draws itself from the point that the verdict gives."""
    cycle = verdict.cycle
    if cycle is None:
        return Judged(Says.UNKNOWN, "no cycle given")
    values, axes = np.linalg.eigh(cycle.point)
    keep = values > 1e-13 * values[-1]
    ring = follow(dataclasses.replace(case, factor=axes[:, keep] * np.sqrt(values[keep])), cycle.period, mean=False)
    back = float(np.linalg.norm(ring.covs[-1] - cycle.point)) / cycle.diameter
    gaps = np.linalg.norm(ring.covs - path.covs[-1], axis=(1, 2)) / cycle.diameter
    spacing = float(np.linalg.norm(np.diff(ring.covs, axis=0), axis=(1, 2)).max()) / cycle.diameter
    words = f"returns to {back:.2g}, last point {gaps.min():.2g} from the cycle drawn at spacing {spacing:.2g}"
    if back < 1e-5 and gaps.min() < spacing:
        return Judged(Says.AGREES, words)
    return Judged(Says.CONTRADICTS if back > 1e-3 or path.end == "horizon" else Says.UNKNOWN, words)
