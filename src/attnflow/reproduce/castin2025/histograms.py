"""Ranks of the limits in dimension 3, 4 and 5: softmax and L2 attention, V = I and V random, K = -Q with d // 2 rows.

N^T cov^{-1} N is conserved for N the kernel of Q, so the limit has rank d - d // 2 exactly, in every panel. The
published histograms also show smaller ranks. One of them is made again by the published algorithm beside it: the small
ranks come from projections after steps that overshoot, from counting only eigenvalues above 0.1, and from a selection,
since starts whose run "diverges" are replaced by others although no such run has a blow-up.

Source: :cite:castin2025, rank histograms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import xarray as xr

from ...doors.ensemble import ensemble
from ...flow.outcome import Status
from ...measures.gaussian import Gaussian
from ...report.rank_bars import PublishedRun, RankPanel, rank_bars
from ...transformer.layer import AbstractLayer
from ..check import Check, Reproduction, close, same
from . import kinds, record, references, starts
from .kernel_basis import in_kernel_basis
from .published_histogram import CUT, published_histogram
from .runs import RTOL
from .weights import RANK_DIMENSIONS, RANK_SAMPLES, Weights, for_ranks

Kind: TypeAlias = Callable[[Weights], AbstractLayer]

NAME: Final = "castin2025/histograms"
FILES: Final = record.files("histograms")

PANELS: Final[dict[str, tuple[Kind, int | None]]] = {
    "softmax, V = I": (kinds.softmax, None),
    "softmax, V random": (kinds.softmax, 26),
    "L2, V = I": (kinds.l2, None),
    "L2, V random": (kinds.l2, 27),
}
"""The attention and the seed of V of each row."""

HORIZONS: Final = (1e8, 1e10, 1e12)
"""Last times: later ones only for the samples whose limit is not yet clear at the earlier ones."""

FALL: Final = 10.0
"""What Q sees of the covariance must have fallen by this factor in the last two decades of time."""

SHOWN: Final = ("softmax, V random", 4)
SHOWN_SAMPLES: Final = 20
PUBLISHED_COUNTS: Final = [6, 11, 3, 0, 0]
"""Ranks 0 to 4 of the first 20 samples of that panel, by the published program."""

NOTES: Final = (
    "Sample i has the i-th weights and the i-th start of the published streams (100 for each dimension); nothing is "
    "redrawn, so that a start may differ from that of a published sample after the first redraw.",
    "The published algorithm runs on the first 20 weights of its panel, with its redraws.",
)


@dataclass(frozen=True)
class Limits:
    """What became of n samples: `rank` and `undecided` (n,), `status` (n,) at the last time.

    `start`, `earlier` and `end` (n, d, d) are factors of the covariance at time 0, at a hundredth of the last time and
    at the last time, in the basis of `in_kernel_basis`.
    """

    rank: np.ndarray
    undecided: np.ndarray
    status: np.ndarray
    start: np.ndarray
    earlier: np.ndarray
    end: np.ndarray

    @property
    def eigenvalues(self) -> np.ndarray:
        """Of the covariance at the last time, (n, d), ascending."""
        return np.asarray(np.linalg.svd(self.end, compute_uv=False)[:, ::-1] ** 2)

    @property
    def fall(self) -> np.ndarray:
        """By which factor the part of the covariance that Q sees has fallen since the earlier time, (n,)."""
        seen = self.end.shape[1] // 2
        sizes = [np.linalg.norm(factor[:, :seen], axis=(1, 2)) ** 2 for factor in (self.earlier, self.end)]
        return np.asarray(sizes[0] / sizes[1])


def reproduce(folder: Path) -> Reproduction:
    """The twelve ensembles and the re-enacted panel: their picture, data and checks in `folder`.

    Source: :cite:castin2025, rank histograms.
    """
    checks: list[Check] = []
    rows: dict[str, list[RankPanel]] = {row: [] for row in PANELS}
    datasets: dict[str, xr.Dataset] = {}
    for row, (kind, seed) in PANELS.items():
        for d in RANK_DIMENSIONS:
            place = f"{row}, d = {d}"
            turned = [*map(in_kernel_basis, for_ranks(d, seed), starts.wishart(d, RANK_SAMPLES))]
            found = limits_of(kind, turned)
            checks += rank_checks(place, found, [sample for sample, _ in turned])
            above = np.count_nonzero(found.eigenvalues > CUT, axis=1)
            rows[row].append(RankPanel(f"d = {d}", d, found.rank, above))
            datasets[place] = _dataset(found)
    published, more = published_beside_exact()
    rank_bars(
        rows,
        published,
        title=r"Every limit has rank $d - \lfloor d/2 \rfloor$; the smaller published ranks are artefacts",
        path=folder / FILES[0],
    )
    return record.write(folder, NAME, datasets, [*checks, *more], NOTES)


def limits_of(kind: Kind, turned: list[tuple[Weights, np.ndarray]]) -> Limits:
    """One system for each of the `turned` weights and factors; those that are undecided go on to a later time."""
    found = _until(HORIZONS[0], kind, turned)
    for horizon in HORIZONS[1:]:
        open_ = np.flatnonzero(found.undecided | (found.fall < FALL))
        if open_.size:
            later = _until(horizon, kind, [turned[i] for i in open_])
            for name in ("rank", "undecided", "status", "earlier", "end"):
                getattr(found, name)[open_] = getattr(later, name)
    return found


def _until(horizon: float, kind: Kind, turned: list[tuple[Weights, np.ndarray]]) -> Limits:
    d = turned[0][0].dim
    ts = np.array([0.0, horizon / 100.0, horizon])
    begin = [Gaussian.from_factor(np.zeros(d), factor) for _, factor in turned]
    run = ensemble([kind(sample) for sample, _ in turned], begin, ts, rtol=RTOL)
    first, earlier, last = (np.array(run.factor[:, i]) for i in range(3))
    return Limits(np.array(run.limit_rank), np.array(run.undecided), np.array(run.status), first, earlier, last)


def rank_checks(place: str, found: Limits, samples: list[Weights]) -> list[Check]:
    """Every sample is decided and has rank d - d // 2, and for V = I the exact limit.

    N^T cov^{-1} N is kept, which bounds the rank from below; Q cov Q^T vanishes, which bounds it from above.
    """
    d, rows = samples[0].dim, len(samples[0].Q)
    wanted, kernel = d - d // 2, np.eye(d)[:, rows:]
    before, after = (_kept(factors, kernel) for factors in (found.start, found.end))
    drift = np.linalg.norm(after - before, axis=(1, 2)) / np.linalg.norm(before, axis=(1, 2))
    checks = [
        same(f"{place}: undecided samples", int(found.undecided.sum()), 0),
        same(f"{place}: samples of rank {wanted}", int((found.rank == wanted).sum()), len(samples)),
        close(f"{place}: largest drift of N^T cov^-1 N", drift.max(), 0.0, atol=1e-8),
        same(f"{place}: samples with Q cov Q^T on its way to zero", int((found.fall > FALL).sum()), len(samples)),
    ]
    if all(np.array_equal(sample.V, np.eye(d)) for sample in samples):
        ends = found.end @ np.swapaxes(found.end, 1, 2)
        exact = references.kernel_limit(found.start @ np.swapaxes(found.start, 1, 2), kernel)
        error = np.linalg.norm(ends - exact, axis=(1, 2)) / np.linalg.norm(exact, axis=(1, 2))
        checks.append(close(f"{place}: limits against the closed form", error.max(), 0.0, atol=1e-5))
    return checks


def _kept(factors: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """N^T cov^{-1} N for factors (n, d, d) of the covariances."""
    columns = np.linalg.solve(factors, np.broadcast_to(kernel, (len(factors), *kernel.shape)))
    return np.asarray(np.swapaxes(columns, 1, 2) @ columns)


def published_beside_exact() -> tuple[PublishedRun, list[Check]]:
    """The published algorithm on its panel, and the exact flow from the very starts that it accepts and throws away."""
    (row, d), (kind, seed) = SHOWN, PANELS[SHOWN[0]]
    samples = for_ranks(d, seed, SHOWN_SAMPLES)
    made = published_histogram(samples)
    chosen = samples + [samples[i] for i in made.rejected_by]
    turned = [*map(in_kernel_basis, chosen, np.concatenate([made.starts, made.rejected_starts]))]
    found, wanted = limits_of(kind, turned), d - d // 2
    name = f"published algorithm, {row}, d = {d}"
    counts = np.bincount(made.ranks, minlength=d + 1).tolist()
    blown = sum(status == Status.BLOW_UP for status in found.status)
    checks = [
        close(f"{name}: counts of the ranks 0 to {d}", counts, PUBLISHED_COUNTS, atol=0.5),
        same(f"{name}: true blow-ups among the starts, kept or thrown away", int(blown), 0),
        same(
            f"{name}: starts of true rank {wanted}, kept or thrown away", int((found.rank == wanted).sum()), len(chosen)
        ),
    ]
    kept = slice(0, SHOWN_SAMPLES)
    published = PublishedRun(
        title=f"{row}, d = {d}: the published algorithm (projected Euler steps of 0.06) beside the exact flow",
        ranks=made.ranks,
        true_ranks=found.rank[kept],
        eigenvalues=np.linalg.eigvalsh(made.ends),
        true_eigenvalues=found.eigenvalues[kept],
        cut=CUT,
        redrawn=len(made.rejected_by),
    )
    return published, checks


def _dataset(found: Limits) -> xr.Dataset:
    """Ranks and limit eigenvalues, ascending; in smaller dimensions the first are NaN."""
    widest = max(RANK_DIMENSIONS)
    values = found.eigenvalues
    padded = np.full((len(values), widest), np.nan)
    padded[:, widest - values.shape[1] :] = values
    return xr.Dataset({"rank": ("sample", found.rank), "eigenvalues": (("sample", "index"), padded)})
