"""Limits on two lines: K^T Q and V indefinite, softmax and L2 attention.

Every limit has rank one, along one of the two directions u with u^T B u = 0: the same two lines for both attentions.

Source: :cite:castin2025, numerical experiments on Gaussian measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from ...doors.ensemble import Ensemble
from ...report.cone import cone_coordinates
from ...report.cone_trajectories import ConePanel, cone_panels
from ..check import Check, Reproduction, close, same
from . import kinds, plain, record, starts, weights
from .references import isotropic_directions
from .runs import flows
from .weights import Weights

NAME: Final = "castin2025/mixed"
FILES: Final = record.files("mixed")
TITLES: Final = {"softmax": "softmax", "l2": "L2"}
LAST: Final = 1e4

NOTES: Final = (
    "Starts: the 20 x 20 grid of unit trace (276 matrices) that the published program names; its last version runs the "
    "10 x 10 grid (60 matrices) instead.",
    "The published picture for softmax was drawn from the list of the L2 runs, which had replaced it.",
    "The published program gives up after 50000 steps of 0.01, or at a rate below 1e-7; here times run to 1e4.",
)


def reproduce(folder: Path) -> Reproduction:
    """The two ensembles, their picture, data and checks in `folder`.

    Source: :cite:castin2025, numerical experiments on Gaussian measures.
    """
    drawn, begin = weights.mixed(), starts.unit_trace(20, 1.0)
    ts = np.concatenate([[0.0], np.geomspace(1e-2, LAST, 121)])
    runs = {kind: flows(getattr(kinds, kind)(drawn), begin, ts) for kind in TITLES}
    checks = weights.eigenvalue_checks("seeds 36, 32", drawn, V=(-0.92, 0.65), form=(-3.32, 0.74))
    checks.append(same("number of starts", len(begin), 276))
    for kind, run in runs.items():
        checks += kind_checks(kind, run, drawn)
    limits = {kind: on_lines(run.cov[:, -1], drawn) for kind, run in runs.items()}
    cone_panels(
        [_panel(kind, run, limits[kind], drawn) for kind, run in runs.items()],
        title=r"$K^\top Q$ and $V$ indefinite: every limit has rank one, on one of two lines",
        color_label="trace of the limit",
        path=folder / FILES[0],
    )
    datasets = {
        kind: record.trajectories(run, limits[kind], [f"line {i}" for i in line_of(limits[kind], drawn)])
        for kind, run in runs.items()
    }
    return record.write(folder, NAME, datasets, checks, NOTES)


def line_of(covs: np.ndarray, drawn: Weights) -> np.ndarray:
    """For each of `covs` (n, 2, 2), which of the two isotropic directions it is closer to: 0 or 1."""
    return np.asarray(_along(covs, isotropic_directions(drawn.scaled_form)).argmax(axis=1))


def on_lines(covs: np.ndarray, drawn: Weights) -> np.ndarray:
    """The parts of `covs` (n, 2, 2) on the nearer of the two lines: sigma u u^T with sigma = u^T cov u."""
    directions = isotropic_directions(drawn.scaled_form)
    shares = _along(covs, directions)
    nearest = directions[shares.argmax(axis=1)]
    return np.asarray(shares.max(axis=1)[:, None, None] * nearest[:, :, None] * nearest[:, None, :])


def kind_checks(kind: str, run: Ensemble, drawn: Weights) -> list[Check]:
    """Every start ends on one of the lines, at rest, with rank one; some are replayed."""
    name, ts, end = TITLES[kind], run.ts, run.cov[:, -1]
    rate = plain.RATES[kind](drawn)
    size = np.trace(end, axis1=1, axis2=2)
    distance = np.linalg.norm(end - on_lines(end, drawn), axis=(1, 2)) / size
    rest = np.array([np.linalg.norm(rate(cov)) for cov in end]) / size
    early = ts <= 1e2
    return [
        same(f"{name}: starts that reach the last time", int(run.reached[:, -1].sum()), len(end)),
        same(f"{name}: largest rank of a limit", int(run.limit_rank.max()), 1),
        same(f"{name}: smallest rank of a limit", int(run.limit_rank.min()), 1),
        close(f"{name}: relative distance of the limits to the two lines", distance.max(), 0.0, atol=1e-7),
        close(f"{name}: largest relative rate at the end", rest.max(), 0.0, atol=1e-7),
        same(f"{name}: lines that are reached", len(set(line_of(end, drawn))), 2),
        *(
            plain.replay(f"{name}, start {i}", rate, run.cov[i, early], ts[early])
            for i in np.linspace(0, len(end) - 1, plain.REPLAYED, dtype=int)
        ),
    ]


def _along(covs: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """u^T cov u for each covariance (n, 2, 2) and each row u of `directions` (2, 2)."""
    return np.asarray(np.einsum("ji,nik,jk->nj", directions, covs, directions))


def _panel(kind: str, run: Ensemble, limits: np.ndarray, drawn: Weights) -> ConePanel:
    height = np.trace(run.cov, axis1=2, axis2=3).max()
    rays = [np.outer(u, u) * height for u in isotropic_directions(drawn.scaled_form)]
    guides = [cone_coordinates(np.array([0 * ray, ray])) for ray in rays]
    trace = np.trace(limits, axis1=1, axis2=2)
    return ConePanel(TITLES[kind], list(run.cov), trace, limits, guides, r"$u^\top B u = 0$", -88.0, 20.0)
