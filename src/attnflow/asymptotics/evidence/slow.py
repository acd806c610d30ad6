"""Limits that are approached like 1 / t or that form a continuum: the derivative has eigenvalues 0 there."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ..linearisation import smat, svec
from ..regime import Regime
from .dynamics import Dynamics
from .march import March

#: |cov'| / (||M|| |cov|) below which an orbit is at rest, to rounding.
AT_REST = 1e-12
#: The same for an orbit, which is only as still as its integration is accurate.
NEAR_REST = 1e-7
#: Directions that fall like C / t leave less than this part of them when they are extrapolated.
NOT_GONE = 0.2
#: Times the unit of time after which an approach like 1 / t is spoken of.
LATE = 1e5


@dataclasses.dataclass(frozen=True)
class Slow:
    """A limit `cov` (d, d) of this `rank` at which the derivative has eigenvalues 0, and how it was reached (`how`)."""

    regime: Regime
    cov: np.ndarray
    rank: int
    how: str


def slow_limit(dynamics: Dynamics, march: March) -> Slow | None:
    """The limit of an orbit that has come to rest among other equilibria, or that approaches one like 1 / t."""
    if march.factor.shape[1] < dynamics.dim:
        return None
    cov = march.cov
    x = svec(cov)
    size = float(np.linalg.norm(x))
    if size == 0:
        return None
    late = march.times[-1] * dynamics.speed > LATE
    if late and _falls_like_reciprocal(march):
        return Slow(Regime.ZERO, np.zeros_like(cov), 0, "the trace falls like 1 / t")
    rest = float(np.linalg.norm(dynamics.rate(x))) / (dynamics.speed * size)
    return _at_rest(dynamics, march, cov) if rest < NEAR_REST else None


def _falls_like_reciprocal(march: March) -> bool:
    """Whether the trace halves with every doubling of the time, over the last three."""
    knots = march.times[-1] * 0.5 ** np.arange(4)
    powers = -np.diff(np.interp(np.log(knots), np.log(march.times[1:]), march.logs[1:])) / np.log(2.0)
    return bool(np.ptp(powers) < 0.02 and abs(powers[0] + 1.0) < 0.05)


def _at_rest(dynamics: Dynamics, march: March, cov: np.ndarray) -> Slow | None:
    """An orbit that rests where the derivative has eigenvalues 0, semisimple, and all others are negative.

    Where other equilibria of the same range lie nearby it is a continuum, else a single limit of lower rank.
    """
    values, axes = np.linalg.eigh(cov)
    earlier = march.path[int(np.searchsorted(march.times, march.times[-1] / 8.0))]
    falls = values < 0.5 * np.linalg.eigvalsh(earlier @ earlier.T)
    visible = (values > 1e-9 * values[-1]) & ~falls
    rank = int(np.count_nonzero(visible))
    late = march.times[-1] * dynamics.speed > LATE
    if rank == 0 or (falls.any() and not late):
        return None
    if falls.any():
        now = values
        values, axes = np.linalg.eigh(_extrapolated(march, cov))
        visible = np.arange(len(values)) >= len(values) - rank
        if (values[~visible] > np.maximum(NOT_GONE * now[~visible], 1e-6 * now[-1])).any():
            return None  # what falls does not fall like 1 / t to 0: it may come to rest
    limit = _settled(dynamics, (axes[:, visible] * values[visible]) @ axes[:, visible].T)
    if limit is None or not _zero_eigenvalues(dynamics, limit, 1e-6):
        return None
    if _has_neighbours(dynamics, limit, np.linalg.eigh(limit)[1][:, -rank:]):
        return Slow(Regime.CONTINUUM, limit, rank, "rests among other equilibria of the same range")
    if rank == len(values):
        return None
    return Slow(Regime.RANK_DEFICIENT, limit, rank, "comes to rest like 1 / t at an equilibrium of lower rank")


def _extrapolated(march: March, cov: np.ndarray) -> np.ndarray:
    """The limit of cov_* + C / t, from the last point and one at about half its time."""
    i = int(np.searchsorted(march.times, march.times[-1] / 2.0))
    i = min(max(i, 1), len(march.times) - 2)
    t, half = march.times[-1], march.times[i]
    return np.asarray((t * cov - half * march.path[i] @ march.path[i].T) / (t - half))


def _settled(dynamics: Dynamics, cov: np.ndarray) -> np.ndarray | None:
    """The nearest equilibrium to `cov`, by Newton steps of least norm; None if there is none close by."""
    x = svec(cov)
    size = float(np.linalg.norm(x))
    y = x
    for _ in range(6):
        y = y - np.linalg.lstsq(dynamics.derivative(y), dynamics.rate(y), rcond=1e-6)[0]
    still = float(np.linalg.norm(dynamics.rate(y))) < AT_REST * dynamics.speed * size
    return smat(y) if still and float(np.linalg.norm(y - x)) < 1e-4 * size else None


def _has_neighbours(dynamics: Dynamics, cov: np.ndarray, axes: Float[np.ndarray, "d k"]) -> bool:
    """Whether there are equilibria of the same range at some distance: Newton within the range, off to a side."""
    k = axes.shape[1]
    frame = svec(axes @ smat(np.eye(k * (k + 1) // 2)) @ axes.T).T
    x = svec(cov)
    _, sizes, sides = np.linalg.svd(dynamics.derivative(x) @ frame)
    if sizes[-1] > 1e-6 * max(sizes[0], dynamics.speed):
        return False
    away = 0.1 * float(np.linalg.norm(x))
    y = x + away * (frame @ sides[-1])
    for _ in range(8):
        y = y - frame @ np.linalg.lstsq(dynamics.derivative(y) @ frame, dynamics.rate(y), rcond=1e-6)[0]
    still = float(np.linalg.norm(dynamics.rate(y))) < 1e-9 * dynamics.speed * float(np.linalg.norm(x))
    return still and float(np.linalg.norm(y - x)) > 0.3 * away


def _zero_eigenvalues(dynamics: Dynamics, cov: Float[np.ndarray, "d d"], tolerance: float) -> int:
    """How many eigenvalues of the derivative are 0, all others being to the left; 0 when that is not so."""
    J = dynamics.derivative(svec(cov))
    size = max(float(np.linalg.norm(J, 2)), dynamics.speed)
    parts = np.linalg.eigvals(J)
    zero = np.abs(parts) < tolerance * size
    if not (zero | (parts.real < -10.0 * tolerance * size)).all():
        return 0
    count = int(np.count_nonzero(zero))
    kernel = int(np.count_nonzero(np.linalg.svd(J, compute_uv=False) < 10.0 * tolerance * size))
    return count if kernel == count else 0
