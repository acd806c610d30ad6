"""Blow-up and divergence: K^T Q with positive definite symmetric part, V = I.

Under softmax attention, with one head or two, every covariance blows up in finite time, and covariance / trace
tends to rank one. Under L2 and Sinkhorn attention it only grows exponentially: the published test, a trace beyond a
bound, cannot tell the two apart.

Source: :cite:castin2025, numerical experiments on Gaussian measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from ...doors.ensemble import Ensemble
from ...flow.outcome import Status
from ...report.disc import DiscPanel, disc_panels
from ..check import Check, Reproduction, close, same
from . import kinds, plain, record, references, starts, weights
from .runs import flows, last_reached, paths_to, rank_one_directions, time_of_trace
from .weights import Weights

NAME: Final = "castin2025/divergence"
FILES: Final = record.files("divergence")
TITLES: Final = {
    "softmax": "softmax: finite-time blow-up",
    "two_heads": "two softmax heads: finite-time blow-up",
    "l2": "L2: exponential growth",
    "sinkhorn": "Sinkhorn: exponential growth",
}
TIMES: Final = {
    "softmax": np.concatenate([[0.0], np.geomspace(2e-2, 20.0, 160)]),
    "two_heads": np.concatenate([[0.0], np.geomspace(2e-2, 20.0, 160)]),
    "l2": np.linspace(0.0, 35.0, 161),
    "sinkhorn": np.linspace(0.0, 10.5, 161),
}
RTOL: Final = {"softmax": 1e-9, "two_heads": 1e-9, "l2": 1e-7, "sinkhorn": 1e-7}
STORED: Final = 2
"""Every second time is stored."""

BLOWING: Final = ("softmax", "two_heads")
BOUND: Final = 1e4
"""The trace at which the published program calls an L2 or Sinkhorn run diverged."""

NOTES: Final = (
    "Starts: the 40 x 40 grid of unit trace (1184 matrices) of the published program.",
    "The published Euler steps reach the trace 1000 at 1.10 (at most 1.13) times the exact blow-up time.",
)


def reproduce(folder: Path) -> Reproduction:
    """The four ensembles, their picture, data and checks in `folder`.

    Source: :cite:castin2025, numerical experiments on Gaussian measures.
    """
    drawn, begin = weights.expanding(), starts.unit_trace(40, 1.0)
    runs = {kind: flows(getattr(kinds, kind)(drawn), begin, TIMES[kind], RTOL[kind]) for kind in TITLES}
    checks = weights.eigenvalue_checks("seed 33", drawn, form=(0.16, 4.03))
    checks.append(same("number of starts", len(begin), 1184))
    for kind, run in runs.items():
        checks += blow_up_checks(kind, run, drawn) if kind in BLOWING else growth_checks(kind, run, drawn)
    limits = {kind: normalised_ends(kind, run, drawn) for kind, run in runs.items()}
    disc_panels(
        [_panel(kind, run, limits[kind]) for kind, run in runs.items()],
        title=r"sym$(K^\top Q) \succ 0$, $V = I$: every covariance becomes infinite, most of it in one direction",
        columns=2,
        path=folder / FILES[0],
    )
    datasets = {
        kind: record.trajectories(run, limits[kind], [str(status) for status in run.status], every=STORED)
        for kind, run in runs.items()
    }
    return record.write(folder, NAME, datasets, checks, NOTES)


def normalised_ends(kind: str, run: Ensemble, drawn: Weights) -> np.ndarray:
    """The limits of cov / trace, exact for softmax attention.

    For two heads: the direction of the largest eigenvector at the last time reached; without blow-up: cov / trace
    itself at the last time.
    """
    last = last_reached(run)
    if kind == "softmax":
        return references.blow_up(run.cov[:, 0], drawn.scaled_form)[1]
    if kind == "two_heads":
        return rank_one_directions(last)
    return np.asarray(last / np.trace(last, axis1=1, axis2=2)[:, None, None])


def blow_up_checks(kind: str, run: Ensemble, drawn: Weights) -> list[Check]:
    """All blow up; the times against the closed form (softmax) and against another solver; some runs are replayed."""
    name, rate = kind.replace("_", " "), plain.RATES[kind](drawn)
    blown = sum(status == Status.BLOW_UP for status in run.status)
    checks = [same(f"{name}: starts that blow up", int(blown), len(run.cov))]
    if kind == "softmax":
        exact, _ = references.blow_up(run.cov[:, 0], drawn.scaled_form)
        error = np.abs(run.blow_up / exact - 1.0).max()
        checks.append(close(f"{name}: blow-up times against the closed form, relative", error, 0.0, atol=1e-9))
    for i in np.linspace(0, len(run.cov) - 1, plain.REPLAYED, dtype=int):
        wanted = plain.blow_up_time(rate, run.cov[i, 0])
        checks.append(close(f"{name}, start {i}: blow-up time", run.blow_up[i], wanted, rtol=1e-6))
        early = run.reached[i] & (run.ts < 0.9 * wanted)
        checks.append(plain.replay(f"{name}, start {i}", rate, run.cov[i, early], run.ts[early]))
    return checks


def growth_checks(kind: str, run: Ensemble, drawn: Weights) -> list[Check]:
    """None blows up: the growth rate of the trace is below its bound and tends to that of large covariances."""
    rate = plain.RATES[kind](drawn)
    trace = np.trace(run.cov, axis1=2, axis2=3)
    speed = np.diff(np.log(trace), axis=1) / np.diff(run.ts)
    bound, final = growth_rates(kind, drawn)
    checks = [
        same(f"{kind}: starts that reach the last time", int(run.reached[:, -1].sum()), len(run.cov)),
        same(f"{kind}: the trace never grows faster than its bound", bool(speed.max() <= bound * (1.0 + 1e-5)), True),
        close(f"{kind}: median of the final growth rate", np.median(speed[:, -1]), final, rtol=2e-2),
        same(
            f"{kind}: all pass the published bound",
            int(np.isfinite(time_of_trace(run.ts, run.cov, BOUND)).sum()),
            len(trace),
        ),
    ]
    early = run.ts <= 5.0
    checks += [
        plain.replay(f"{kind}, start {i}", rate, run.cov[i, early], run.ts[early])
        for i in np.linspace(0, len(run.cov) - 1, plain.REPLAYED, dtype=int)
    ]
    return checks


def growth_rates(kind: str, drawn: Weights) -> tuple[float, float]:
    """A bound of the growth rate of the trace, and its value for large covariances.

    L2: the linear part is at most |(K^T K)^{-1}| |K^T Q| / sqrt(d), and tends to K^{-1} Q / sqrt(d) when all
    eigenvalues are large. Sinkhorn: the linear part is a contraction, and an isometry in the limit.
    """
    if kind == "sinkhorn":
        return 2.0, 2.0
    K, Q, scale = drawn.K, drawn.Q, np.sqrt(drawn.dim)
    bound = np.linalg.norm(np.linalg.inv(K.T @ K), 2) * np.linalg.norm(K.T @ Q, 2) / scale
    return 2.0 * float(bound), 2.0 * float(np.linalg.eigvals(np.linalg.solve(K, Q)).real.max() / scale)


def _panel(kind: str, run: Ensemble, limits: np.ndarray) -> DiscPanel:
    paths = paths_to(run, limits)
    if kind in BLOWING:
        return DiscPanel(TITLES[kind], paths, limits, run.blow_up, "blow-up time")
    reached = time_of_trace(run.ts, run.cov, BOUND)
    return DiscPanel(TITLES[kind], paths, limits, reached, "time at which the trace is 10000")
