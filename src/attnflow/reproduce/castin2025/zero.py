"""Convergence to zero: K^T Q negative definite and V positive definite, for four kinds of attention.

Every covariance vanishes like C / t, with one matrix C for all starts. The published program stops where the rate is
below 1e-5; the sizes that it reports there are those of this tail, not of the limit.

Source: :cite:castin2025, numerical experiments on Gaussian measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from ...doors.ensemble import Ensemble
from ...report.cone_trajectories import ConePanel, cone_panels
from ..check import Check, Reproduction, close, same
from . import kinds, plain, record, starts, weights
from .references import quadratic
from .runs import flows
from .weights import Weights

NAME: Final = "castin2025/zero"
FILES: Final = record.files("zero")
TOLERANCE: Final = 1e-5
"""The rate at which the published program stops."""

TITLES: Final = {
    "softmax": "softmax",
    "l2": "L2",
    "two_heads": "two softmax heads",
    "sinkhorn": "Sinkhorn",
}
PUBLISHED: Final = {"softmax": 0.0169, "l2": 0.0120, "two_heads": 0.0198, "sinkhorn": 0.0142}
"""Largest eigenvalue where the published program stops."""

NOTES: Final = (
    "Starts: the 10 x 10 grid of unit trace of the published program, |s11 - s22| and |2 s12| at most 1/2.",
    "Times run to 1e8 instead of to a threshold on the rate; the dots are the exact limits.",
)


def reproduce(folder: Path) -> Reproduction:
    """The four ensembles, their picture, data and checks in `folder`.

    Source: :cite:castin2025, numerical experiments on Gaussian measures.
    """
    drawn, begin = weights.to_zero(), starts.unit_trace(10, 0.5)
    ts = np.concatenate([[0.0], np.geomspace(1e-2, 1e8, 101)])
    runs = {kind: flows(getattr(kinds, kind)(drawn), begin, ts) for kind in TITLES}
    checks = weights.eigenvalue_checks("seed 35", drawn, V=(1.99, 3.37), form=(-0.856, -0.0145))
    for kind, run in runs.items():
        checks += kind_checks(kind, run, drawn)
    limits = np.zeros_like(begin)
    panels = [
        ConePanel(TITLES[kind], list(run.cov), 2 * begin[:, 0, 1], limits, azimuth=-174) for kind, run in runs.items()
    ]
    cone_panels(
        panels,
        title=r"$K^\top Q \prec 0 \prec V$: all covariances vanish, whatever the attention and the start",
        color_label=r"$2\,\Sigma_{12}$ at the start",
        columns=2,
        path=folder / FILES[0],
    )
    datasets = {kind: record.trajectories(run, limits, ["zero"] * len(begin)) for kind, run in runs.items()}
    return record.write(folder, NAME, datasets, checks, NOTES)


def kind_checks(kind: str, run: Ensemble, drawn: Weights) -> list[Check]:
    """All vanish, along one tail C / t that solves C = -quadratic(C); the published sizes lie on it."""
    ts, name = run.ts, TITLES[kind]
    heads = small_covariance_heads(kind, drawn)
    tails = ts[-1] * run.cov[:, -1]
    tail = tails.mean(axis=0)
    spread = np.linalg.norm(tails - tail, axis=(1, 2)).max() / np.linalg.norm(tail)
    largest = np.linalg.eigvalsh(tail)[-1]
    stop = largest * np.sqrt(TOLERANCE / np.linalg.norm(tail))
    early = ts <= 1e3
    return [
        same(f"{name}: starts that reach the last time", int(run.reached[:, -1].sum()), len(run.cov)),
        close(f"{name}: largest covariance at t = 1e8", np.abs(run.cov[:, -1]).max(), 0.0, atol=1e-6),
        close(f"{name}: t cov solves C = -quadratic(C)", -quadratic(tail, heads), tail, rtol=1e-5),
        close(f"{name}: t cov is the same from all starts, relative", spread, 0.0, atol=1e-5),
        close(f"{name}: size on the tail where the rate is 1e-5, as published", stop, PUBLISHED[kind], atol=2e-4),
        *(
            plain.replay(f"{name}, start {i}", plain.RATES[kind](drawn), run.cov[i, early], ts[early])
            for i in np.linspace(0, len(run.cov) - 1, plain.REPLAYED, dtype=int)
        ),
    ]


def small_covariance_heads(kind: str, drawn: Weights) -> list[tuple[np.ndarray, np.ndarray]]:
    """The softmax heads (V, B) that the attention is equal to in the limit of a small covariance."""
    if kind == "two_heads":
        return plain.heads_of(drawn)
    scale = {"softmax": 1.0, "l2": 2.0, "sinkhorn": np.sqrt(drawn.dim)}[kind]
    return [(drawn.V, scale * drawn.scaled_form)]
