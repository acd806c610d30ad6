"""When the referee's mean agrees with a verdict about the mean, contradicts it, or cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .referee import DIVERGED, Path
from .rules import NEAR, Judged, Says

if TYPE_CHECKING:
    from attnflow.doors.long_run.verdict import Verdict


def mean(verdict: Verdict, path: Path) -> Judged:
    """What the path says of the verdict about the mean."""
    if verdict.mean == "undetermined" or not len(path.means):
        return Judged(Says.UNKNOWN, "no verdict")
    if path.end in ("large", "failed"):
        return Judged(Says.UNKNOWN, f"the referee ended: {path.end}")
    if verdict.covariance == "finite-time blow-up":
        return _before(verdict, path)
    if verdict.mean == "limit":
        return _limit(verdict, path)
    if verdict.mean == "divergence":
        return _divergence(path)
    return _rotation(path)


def _limit(verdict: Verdict, path: Path) -> Judged:
    if verdict.mean_limit is None:
        return Judged(Says.UNKNOWN, "no limit given")
    size = max(float(np.linalg.norm(verdict.mean_limit)), float(np.linalg.norm(path.means[0])))
    with np.errstate(over="ignore"):
        off = np.linalg.norm(path.means - verdict.mean_limit, axis=1) / size
    last, half, quarter = (float(off[path.at(path.t[-1] / k) :].max()) for k in (4 / 3, 2, 4))
    words = f"off by {off[-1]:.2g} at t = {path.t[-1]:.4g}"
    if off[-1] < NEAR or (last < 0.5 and last < 0.8 * half < 0.7 * quarter):
        return Judged(Says.AGREES, words)
    stuck = path.end in ("horizon", "gone") and last > 0.95 * half and half > 0.9 * quarter and off[-1] > 1e-4
    return Judged(Says.CONTRADICTS if stuck else Says.UNKNOWN, words)


def _divergence(path: Path) -> Judged:
    if path.mean_logs[-1] >= DIVERGED:
        return Judged(Says.AGREES, "grows without bound")
    half = path.at(path.t[-1] / 2)
    risen, late = path.mean_logs[-1] - path.mean_logs[0], path.mean_logs[-1] - path.mean_logs[half]
    words = f"log |mean| rises by {risen:.3g}, in the second half by {late:.3g}"
    if risen > 3 and late > 0.3:
        return Judged(Says.AGREES, words)
    stuck = path.end in ("horizon", "gone") and late < 0.01
    return Judged(Says.CONTRADICTS if stuck else Says.UNKNOWN, words)


def _before(verdict: Verdict, path: Path) -> Judged:
    """Up to a blow-up: the mean against the power of the distance to it."""
    if path.blow_up is None:
        return Judged(Says.UNKNOWN, "the referee sees no blow-up")
    gaps = 1.0 - path.t / path.blow_up
    ends = [int(np.searchsorted(-gaps, -(10.0**-k))) for k in (3, 5, 7)]
    if ends[-1] >= len(path.t):
        return Judged(Says.UNKNOWN, "too few steps before the blow-up")
    logs = path.mean_logs[ends]
    words = f"log |mean| {logs[0]:.4g}, {logs[1]:.4g}, {logs[2]:.4g} at gaps 1e-3, 1e-5, 1e-7"
    if verdict.mean == "limit" and verdict.mean_limit is not None:
        size = max(float(np.linalg.norm(verdict.mean_limit)), float(np.linalg.norm(path.means[0])))
        off = float(np.linalg.norm(path.means[ends[-1]] - verdict.mean_limit)) / size
        return Judged(Says.AGREES if off < 1e-2 else Says.CONTRADICTS, f"off by {off:.2g}; {words}")
    grows = logs[2] > logs[1] + 0.02 or logs[2] >= DIVERGED
    return Judged(Says.AGREES if grows else Says.CONTRADICTS, words)


def _rotation(path: Path) -> Judged:
    half, late = (
        path.means[path.at(f * path.t[-1]) : path.at(g * path.t[-1]) + 1] for f, g in ((0.5, 0.75), (0.75, 1.0))
    )
    early, last = (float(np.linalg.norm(x - x[-1], axis=1).max()) for x in (half, late))
    words = f"moves by {early:.3g}, then by {last:.3g}"
    if 0.5 * early < last < 2.0 * early:
        return Judged(Says.AGREES, words)
    return Judged(Says.CONTRADICTS if last > 100 * early or last < 0.01 * early else Says.UNKNOWN, words)
