"""Convergence or blow-up, depending on the start: K^T Q and V indefinite.

Under softmax attention 57 of the 648 starts blow up in finite time, the others end on a line of rank-one equilibria.
Under L2 attention all 648 converge, some after a trace beyond the 1000 at which the published program gives up. Two
heads converge to zero; the published program calls its multi-head field with a single head, which is softmax again.

Source: :cite:castin2025, numerical experiments on Gaussian measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from ...doors.ensemble import Ensemble
from ...flow.outcome import Status
from ...report.canvas import ACCENT, WARNING
from ...report.disc import DiscPanel, disc_panels
from ...transformer.multihead import MultiHeadAttention
from ..check import Check, Reproduction, close, same
from . import kinds, plain, record, starts, weights
from .references import isotropic_directions
from .runs import flows, last_reached, paths_to, rank_one_directions
from .weights import Weights

NAME: Final = "castin2025/both"
FILES: Final = record.files("both")
TITLES: Final = {"softmax": "softmax", "l2": "L2", "two_heads": "two softmax heads"}
BLOW_UPS: Final = {"softmax": 57, "l2": 0, "two_heads": 0}
PUBLISHED_BOUND: Final = 1e3
"""The trace at which the published program calls a run diverged."""

TIMES: Final = np.concatenate([np.linspace(0.0, 30.0, 300), np.geomspace(31.0, 1e3, 60)])
STORED: Final = 3
"""Every third time is stored."""

NOTES: Final = (
    "Starts: the 30 x 30 grid of unit trace (648 matrices) that the published program names; its last version runs the "
    "10 x 10 grid (60 matrices) instead.",
    "The published multi-head run has one head, hence is the softmax run; here it has two.",
)


def reproduce(folder: Path) -> Reproduction:
    """The three ensembles, their picture, data and checks in `folder`.

    Source: :cite:castin2025, numerical experiments on Gaussian measures.
    """
    drawn, begin = weights.both(), starts.unit_trace(30, 1.0)
    runs = {kind: flows(getattr(kinds, kind)(drawn), begin, TIMES) for kind in TITLES}
    checks = weights.eigenvalue_checks("seeds 36, 35", drawn, V=(-0.046, 1.76))
    checks += [same("number of starts", len(begin), 648), one_head_is_softmax(drawn, begin[::50])]
    for kind, run in runs.items():
        checks += kind_checks(kind, run, drawn)
    disc_panels(
        [_panel(kind, run) for kind, run in runs.items()],
        title="Same weights, other starts: softmax attention blows up from some, L2 attention and two heads from none",
        path=folder / FILES[0],
    )
    datasets = {
        kind: record.trajectories(run, last_reached(run), _outcomes(run), every=STORED) for kind, run in runs.items()
    }
    return record.write(folder, NAME, datasets, checks, NOTES)


def one_head_is_softmax(drawn: Weights, covs: np.ndarray) -> Check:
    """Multi-head attention with a single head and an identity as output projection against softmax attention."""
    one = MultiHeadAttention.from_qkvo(
        drawn.Q[None], drawn.K[None], drawn.V[None], np.eye(drawn.dim)[None], scale=1.0 / np.sqrt(drawn.dim)
    )
    ts = np.array([0.0, 1.0])
    found, wanted = (flows(layer, covs, ts).cov for layer in (one, kinds.softmax(drawn)))
    distance = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    return close("one head is softmax attention, covariances at t = 1", distance, 0.0, atol=1e-7)


def kind_checks(kind: str, run: Ensemble, drawn: Weights) -> list[Check]:
    """How many blow up; the rest are at rest on the lines (softmax, L2) or on their way to zero; some are replayed."""
    name, end = TITLES[kind], last_reached(run)
    blown = np.asarray([status == Status.BLOW_UP for status in run.status])
    rate = plain.RATES[kind](drawn)
    checks = [
        same(f"{name}: starts that blow up", int(blown.sum()), BLOW_UPS[kind]),
        same(f"{name}: starts that reach t = 1000", int(run.reached[:, -1].sum()), len(end) - BLOW_UPS[kind]),
    ]
    if kind == "two_heads":
        size = np.trace(end, axis1=1, axis2=2).max()
        checks.append(close(f"{name}: largest trace at t = 1000", size, 0.0, atol=0.2))
    else:
        checks.append(close(f"{name}: isotropy of the limits", _isotropy(end[~blown], drawn).max(), 0.0, atol=1e-6))
    for i in np.linspace(0, len(end) - 1, plain.REPLAYED, dtype=int):
        early = run.reached[i] & (run.ts <= 30.0)
        checks.append(plain.replay(f"{name}, start {i}", rate, run.cov[i, early], run.ts[early]))
    for i in np.flatnonzero(blown)[:: max(1, int(blown.sum()) // plain.REPLAYED)]:
        wanted = plain.blow_up_time(rate, run.cov[i, 0])
        checks.append(close(f"{name}, start {i}: blow-up time", run.blow_up[i], wanted, rtol=1e-6))
    return checks


def _isotropy(covs: np.ndarray, drawn: Weights) -> np.ndarray:
    """The share of each of `covs` (n, 2, 2) off the nearer of the two isotropic lines."""
    directions = isotropic_directions(drawn.scaled_form)
    shares = np.einsum("ji,nik,jk->nj", directions, covs, directions)
    return np.asarray(1.0 - shares.max(axis=1) / np.trace(covs, axis1=1, axis2=2))


def _outcomes(run: Ensemble) -> list[str]:
    return ["blows up" if status == Status.BLOW_UP else "converges" for status in run.status]


def _panel(kind: str, run: Ensemble) -> DiscPanel:
    blown = np.asarray([status == Status.BLOW_UP for status in run.status])
    end = last_reached(run)
    end[blown] = rank_one_directions(end[blown])
    past = int((np.nanmax(np.trace(run.cov, axis1=2, axis2=3), axis=1) > PUBLISHED_BOUND)[~blown].sum())
    colors = [WARNING if bad else ACCENT for bad in blown]
    legend = {f"{int((~blown).sum())} converge": ACCENT}
    if blown.any():
        legend[f"{int(blown.sum())} blow up in finite time"] = WARNING
    note = f"{past} of them pass the published bound, a trace of 1000" if past else ""
    return DiscPanel(TITLES[kind], paths_to(run, end), end, colors=colors, legend=legend, note=note)
