"""The published algorithm, re-enacted: explicit Euler steps of the covariance, each followed by a projection.

It is here to be compared with, not to be used. What it does to a flow that loses rank only in the limit: a step that
overshoots makes an eigenvalue negative, the projection sets it to 1e-14, and that direction is lost for good, whatever
the true limit; the test for convergence is absolute, while the true flow rests only like 1/t; and a flow that reaches
a trace of 1000, or steps over a finite blow-up time, counts as diverged.

Source: :cite:castin2025, numerical experiments on Gaussian measures.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from .plain import Matrix, Rate

PROJECTED = 1e-14
"""What the published projection puts in the place of a negative eigenvalue."""


class Outcome(enum.StrEnum):
    """How the published algorithm ends: `converged`, `diverged` or `out_of_steps`."""

    CONVERGED = "converged"
    DIVERGED = "diverged"
    OUT_OF_STEPS = "out_of_steps"


@dataclass(frozen=True)
class End:
    """Where it stopped: the last `state` (d, d) that it keeps, the number of `steps` to it, the `outcome`.

    `projections` counts the steps after which an eigenvalue was negative.
    """

    state: Matrix
    steps: int
    outcome: Outcome
    projections: int


def projected_euler(
    rhs: Rate,
    start: Matrix,
    *,
    step: float,
    tol: float,
    trace_bound: float = 1e3,
    max_steps: int = 50_000,
) -> End:
    """Euler steps of length `step` of cov' = `rhs`(cov) from `start` (d, d), projected after each.

    It ends when the Frobenius norm of `rhs` is below `tol`, when the trace exceeds `trace_bound`, or after
    `max_steps`. `start` is left as it is.

    Source: :cite:castin2025, numerical experiments on Gaussian measures.
    """
    state, projections = np.array(start, dtype=np.float64), 0
    for done in range(max_steps):
        rate = rhs(state)
        following, cut = _project(state + step * rate)
        projections += cut
        if np.linalg.norm(rate) < tol:
            return End(state, done, Outcome.CONVERGED, projections)
        if np.trace(following) > trace_bound:
            return End(state, done, Outcome.DIVERGED, projections)
        state = following
    return End(state, max_steps, Outcome.OUT_OF_STEPS, projections)


def _project(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """The matrix with its negative eigenvalues replaced, and whether there was one."""
    values, vectors = np.linalg.eigh(matrix)
    negative = values < 0.0
    values[negative] = PROJECTED
    return np.asarray((vectors * values) @ vectors.T), bool(negative.any())
