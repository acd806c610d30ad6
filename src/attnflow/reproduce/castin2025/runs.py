"""Ensembles from many covariances: how they are run, where they stop, and what is drawn of them."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float

from ...doors.ensemble import Ensemble, ensemble
from ...measures.gaussian import Gaussian
from ...transformer.layer import AbstractLayer

Stack = Float[np.ndarray, "n d d"]

RTOL: Final = 1e-9


def flows(layer: AbstractLayer, starts: Stack, ts: Float[np.ndarray, " t"], rtol: float = RTOL) -> Ensemble:
    """The flows under `layer` of the centred Gaussians with covariances `starts`, at `ts`, with tolerance `rtol`."""
    mean = np.zeros(starts.shape[1])
    begin = [Gaussian.from_factor(mean, root) for root in np.linalg.cholesky(starts)]
    return ensemble(layer, begin, ts, rtol=rtol, max_steps=50_000)


def last_reached(run: Ensemble) -> Stack:
    """The covariance of each start at the last requested time that it reached."""
    last = run.reached.sum(axis=1) - 1
    return np.asarray(run.cov[np.arange(len(run.cov)), last])


def rank_one_directions(covs: Stack) -> Stack:
    """u u^T for the top eigenvector u of each of `covs`: what cov / trace tends to in a blow-up."""
    u = np.linalg.eigh(covs)[1][:, :, -1]
    return np.asarray(u[:, :, None] * u[:, None, :])


def paths_to(run: Ensemble, ends: Stack, every: int = 1) -> list[np.ndarray]:
    """The covariances that each start reached, at every `every`-th time, and its end of `ends`."""
    return [
        np.concatenate([cov[reached][::every], end[None]])
        for cov, reached, end in zip(run.cov, run.reached, ends, strict=True)
    ]


def time_of_trace(
    ts: Float[np.ndarray, " t"], covs: Float[np.ndarray, "n t d d"], trace: float
) -> Float[np.ndarray, " n"]:
    """When the trace of each of `covs` at `ts` first exceeds `trace`, by interpolating its logarithm.

    NaN where it never does.
    """
    logs = np.log(np.trace(covs, axis1=2, axis2=3))
    above = logs > np.log(trace)
    after = np.maximum(above.argmax(axis=1), 1)
    rows = np.arange(len(logs))
    low, high = logs[rows, after - 1], logs[rows, after]
    times = ts[after - 1] + (np.log(trace) - low) / (high - low) * (ts[after] - ts[after - 1])
    return np.where(above.any(axis=1), times, np.nan)
