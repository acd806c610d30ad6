"""One rank histogram as the published program makes it: draws, steps, thresholds and redraws.

Source: :cite:castin2025, rank histograms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from numpy.random import RandomState

from . import plain
from .projected_euler import End, Outcome, projected_euler
from .weights import Weights

CUT: Final = 0.1
"""Eigenvalues above it count as nonzero."""

STEP: Final = 0.06
TOLERANCE: Final = 5e-5
MAX_STEPS: Final = 90_000
"""Of the panel that is re-enacted: softmax attention, V random, d = 4."""


@dataclass(frozen=True)
class Histogram:
    """What the published program accepts: `starts`, `ends` and `ranks` of the samples, one for each of the weights.

    `rejected_starts` (m, d, d) with `rejected_by` (m,), the index of their weights: those that it throws away because
    the run did not converge, whose place another start takes.
    """

    starts: Float[np.ndarray, "n d d"]
    ends: Float[np.ndarray, "n d d"]
    ranks: Int[np.ndarray, " n"]
    rejected_starts: Float[np.ndarray, "m d d"]
    rejected_by: Int[np.ndarray, " m"]


def published_histogram(samples: list[Weights]) -> Histogram:
    """Softmax runs for each of `samples` from starts G G^T, G normal from seed 41, drawn anew until one converges.

    The published program also leaves out ranks above (d + 1) // 2; none occurs here.

    Source: :cite:castin2025, rank histograms.
    """
    d = samples[0].dim
    draw = RandomState(41)
    accepted: list[tuple[np.ndarray, End]] = []
    rejected: list[tuple[np.ndarray, int]] = []
    while len(accepted) < len(samples):
        root = draw.randn(d, d)
        start, index = root @ root.T, len(accepted)
        rate = plain.softmax(samples[index])
        end = projected_euler(rate, start, step=STEP, tol=TOLERANCE, max_steps=MAX_STEPS)
        if end.outcome is Outcome.CONVERGED:
            accepted.append((start, end))
        else:
            rejected.append((start, index))
    ends = np.array([end.state for _, end in accepted])
    return Histogram(
        starts=np.array([start for start, _ in accepted]),
        ends=ends,
        ranks=np.count_nonzero(np.linalg.eigvalsh(ends) > CUT, axis=1),
        rejected_starts=np.array([start for start, _ in rejected]).reshape(-1, d, d),
        rejected_by=np.array([index for _, index in rejected], dtype=int),
    )
