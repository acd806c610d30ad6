"""Convergence to a line, and to a plane: Q a unit row q, K = -Q, V = I.

Softmax and L2 attention cut the inverse covariance down to the kernel of Q: every limit lies on the ray of N N^T. With
two heads of width one, the second is left without queries, and the limits fill a part of the plane e1^T cov q = 0.

Source: :cite:castin2025, numerical experiments on Gaussian measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import scipy.linalg

from ...doors.ensemble import Ensemble
from ...report.cone import cone_coordinates
from ...report.cone_trajectories import ConePanel, cone_panels
from ..check import Check, Reproduction, close, same
from . import kinds, plain, record, references, starts, weights
from .runs import flows
from .weights import Weights

NAME: Final = "castin2025/line"
FILES: Final = record.files("line")

LAST: Final = {"softmax": 1e8, "l2": 1e8, "two_heads": 1e4}
"""Last times: 1/t tails for softmax and L2 attention, exponential convergence for two heads."""

TITLES: Final = {
    "softmax": "softmax: limits on a line",
    "l2": "L2: limits on the same line",
    "two_heads": "two heads: limits in a plane",
}
NOTES: Final = (
    "Starts: the 10 x 10 grid of unit trace of the published program, |s11 - s22| and |2 s12| at most 1/2.",
    "Two heads of width one from a Q with one row: the published slice of the second head is empty, hence B_2 = 0.",
    "The dots are the limits in closed form; the published distance of the softmax end states to them is 0.009.",
)


def reproduce(folder: Path) -> Reproduction:
    """The three ensembles, their picture, data and checks in `folder`.

    Source: :cite:castin2025, numerical experiments on Gaussian measures.
    """
    drawn, begin = weights.to_a_line(), starts.unit_trace(10, 0.5)
    times = {kind: np.concatenate([[0.0], np.geomspace(1e-2, last, 101)]) for kind, last in LAST.items()}
    runs = {kind: flows(getattr(kinds, kind)(drawn), begin, ts) for kind, ts in times.items()}
    limits = {kind: exact_limits(kind, drawn, begin) for kind in runs}
    checks: list[Check] = []
    for kind, run in runs.items():
        checks += kind_checks(kind, run, drawn, limits[kind])
    cone_panels(
        [_panel(kind, run, limits[kind], drawn) for kind, run in runs.items()],
        title=r"$K = -Q = -q$, $V = I$: the covariance keeps what attention cannot see",
        color_label="trace of the limit",
        path=folder / FILES[0],
    )
    datasets = {kind: record.trajectories(run, limits[kind], ["limit"] * len(begin)) for kind, run in runs.items()}
    return record.write(folder, NAME, datasets, checks, NOTES)


def exact_limits(kind: str, drawn: Weights, begin: np.ndarray) -> np.ndarray:
    """The limits (n, 2, 2) in closed form."""
    if kind == "two_heads":
        return references.plane_limit(begin, drawn.Q[0])
    return references.kernel_limit(begin, scipy.linalg.null_space(drawn.Q))


def kind_checks(kind: str, run: Ensemble, drawn: Weights, limits: np.ndarray) -> list[Check]:
    """The last states against the closed form, what is conserved, and a replay."""
    name, ts, q = kind.replace("_", " "), run.ts, drawn.Q[0]
    end = run.cov[:, -1]
    checks = [
        same(f"{name}: starts that reach the last time", int(run.reached[:, -1].sum()), len(run.cov)),
        close(f"{name}: last state against the exact limit", np.abs(end - limits).max(), 0.0, atol=1e-7),
    ]
    if kind == "two_heads":
        checks += [
            close(f"{name}: e1^T cov q at the end", np.abs((end @ q)[:, 0]).max(), 0.0, atol=1e-7),
            close(f"{name}: relative drift of s22", _drift(run.cov[:, :, 1, 1]), 0.0, atol=1e-8),
            same(f"{name}: rank of the limits", int(np.linalg.matrix_rank(limits).min()), 2),
        ]
    else:
        kernel = scipy.linalg.null_space(drawn.Q)
        kept = references.conserved(run.cov, kernel)[:, :, 0, 0]
        checks.append(close(f"{name}: relative drift of N^T cov^-1 N", _drift(kept), 0.0, atol=1e-8))
        checks.append(same(f"{name}: rank of the limits", int(run.limit_rank.max()), 1))
    early = ts <= 1e2
    rate = plain.RATES[kind](drawn)
    for i in np.linspace(0, len(run.cov) - 1, plain.REPLAYED, dtype=int):
        checks.append(plain.replay(f"{name}, start {i}", rate, run.cov[i, early], ts[early]))
    return checks


def _drift(values: np.ndarray) -> float:
    """The largest relative distance of `values` (n, t) to those at the first time."""
    return float(np.abs(values / values[:, :1] - 1.0).max())


def _panel(kind: str, run: Ensemble, limits: np.ndarray, drawn: Weights) -> ConePanel:
    """The ray N N^T; for two heads also that of e2 e2^T, and the segment between them: the plane inside the cone."""
    kernel = scipy.linalg.null_space(drawn.Q)[:, 0]
    height = np.trace(run.cov[:, 0], axis1=1, axis2=2).max()
    ray, other = (np.outer(u, u) * height for u in (kernel, np.array([0.0, 1.0])))
    corners = np.array([ray, 0 * ray, other, ray] if kind == "two_heads" else [0 * ray, ray])
    label = r"plane $e_1^\top\Sigma\, q = 0$" if kind == "two_heads" else r"kernel of $Q$: ray of $NN^\top$"
    azimuth = {"softmax": -86.0, "l2": -76.0, "two_heads": -45.0}[kind]
    trace = np.trace(limits, axis1=1, axis2=2)
    return ConePanel(TITLES[kind], list(run.cov), trace, limits, (cone_coordinates(corners),), label, azimuth, 20.0)
