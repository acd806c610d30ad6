"""The reference motion of a plan: mean and factor at every depth, as its construction says or as SciPy follows it."""

from __future__ import annotations

import abc
import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.integrate import DOP853, OdeSolution
from typing_extensions import override

from .law import AbstractLaw, Controls
from .paths import AbstractPath

TOLERANCE = 1e-12
SMALLEST_RTOL = 3e-14
NOISE = 1e-14
"""An absolute tolerance below the rounding errors of the field would make the steps collapse."""

EVALUATIONS = 100_000


class Motion(abc.ABC):
    """Mean and factor over [0, T]."""

    @abc.abstractmethod
    def mean(self, t: float) -> Float[np.ndarray, " d"]:
        """The mean at `t`."""

    @abc.abstractmethod
    def factor(self, t: float) -> Float[np.ndarray, "d r"]:
        """The factor at `t`."""


@dataclasses.dataclass(frozen=True)
class AlongPath(Motion):
    """A `path` of factors in `time`, and a straight line from `origin` with `velocity` (d,) for the mean."""

    path: AbstractPath
    time: float
    origin: Float[np.ndarray, " d"]
    velocity: Float[np.ndarray, " d"]

    @override
    def mean(self, t: float) -> Float[np.ndarray, " d"]:
        return self.origin + t * self.velocity

    @override
    def factor(self, t: float) -> Float[np.ndarray, "d r"]:
        return np.asarray(self.path.factor(t / self.time))


@dataclasses.dataclass(frozen=True)
class Followed(Motion):
    """What SciPy's DOP853 found from the start: its dense output on each stretch between jumps of the controls.

    `ends` (n,) are the ends of the stretches, `pieces` their dense outputs of [mean, factor] with `shape` (d, r + 1).
    """

    ends: tuple[float, ...]
    pieces: tuple[OdeSolution, ...]
    shape: tuple[int, int]

    @override
    def mean(self, t: float) -> Float[np.ndarray, " d"]:
        return self._state(t)[:, 0]

    @override
    def factor(self, t: float) -> Float[np.ndarray, "d r"]:
        return self._state(t)[:, 1:]

    def _state(self, t: float) -> np.ndarray:
        piece = min(int(np.searchsorted(self.ends, t)), len(self.ends) - 1)
        return np.asarray(self.pieces[piece](t)).reshape(self.shape)


@dataclasses.dataclass(frozen=True)
class Replayed:
    """How a replay went: `motion` up to `time`, `complete` when that is the end, `evaluations` of the field."""

    motion: Followed | None
    time: float
    complete: bool
    evaluations: int


def follow(
    law: AbstractLaw, mean: Float[np.ndarray, " d"], factor: Float[np.ndarray, "d r"], time: float, *,
    rtol: float = TOLERANCE, evaluations: int = EVALUATIONS,
) -> Replayed:  # fmt: skip
    """Integrate mean' = V (mean + cov B mean) + A mean + b and L' = A L + V L (L^T B L) under `law` up to `time`.

    From `mean` (d,) and `factor` (d, r), by SciPy's DOP853 in plain NumPy to `rtol`, with nothing of this package's
    solvers or layers. Stops where the state leaves float64 or after `evaluations` of the field.

    Source: :cite:alcalde2026, eq. (2.6).
    """
    state, shape = np.concatenate([mean[:, None], factor], axis=1), (len(mean), factor.shape[1] + 1)
    used, now = 0, 0.0
    ends, pieces = [], []
    for stop in (*law.jumps, time):
        field = _Field(law, shape, now, stop, evaluations - used)
        try:
            with np.errstate(all="ignore"):
                found = _stretch(field, now, stop, state, max(rtol, SMALLEST_RTOL))
        except _Stopped:
            found = None
        used += field.count
        if found is None:
            return Replayed(None, now, complete=False, evaluations=used)
        piece, state = found
        ends.append(float(stop))
        pieces.append(piece)
        now = float(stop)
    return Replayed(Followed(tuple(ends), tuple(pieces), shape), now, complete=True, evaluations=used)


def _stretch(
    field: _Field, begin: float, stop: float, state: np.ndarray, rtol: float
) -> tuple[OdeSolution, np.ndarray] | None:
    """The dense output of one stretch and the `state` at its end, or None where it leaves float64.

    The absolute tolerance follows the sizes of mean and factor: either may shrink by orders on the way.
    """
    travel = (stop - begin) * float(np.abs(field(begin, state.ravel())).max())
    solver = DOP853(field, begin, state.ravel(), stop, rtol=rtol, atol=_atol(state, rtol, travel))
    times, pieces = [begin], []
    while solver.status == "running":
        solver.step()
        if solver.status == "failed" or not np.all(np.isfinite(solver.y)):
            return None
        pieces.append(solver.dense_output())
        times.append(solver.t)
        solver.atol = _atol(solver.y.reshape(field.shape), rtol, travel)
    return OdeSolution(times, pieces), solver.y.reshape(field.shape)


def _atol(state: np.ndarray, rtol: float, travel: float) -> np.ndarray:
    """`NOISE`, or a thousandth of `rtol`, times the size of the factor, or of all; of `travel` where that is zero."""
    factor = float(np.abs(state[:, 1:]).max(initial=0.0))
    whole = float(np.abs(state).max())
    scales = np.full(state.shape, factor or whole or travel or 1.0)
    scales[:, 0] = whole or travel or 1.0
    return np.asarray(max(1e-3 * rtol, NOISE) * scales).ravel()


class _Stopped(Exception):
    pass


class _Field:
    """The right-hand side on one stretch; the parameters are those inside it, also at its ends."""

    def __init__(self, law: AbstractLaw, shape: tuple[int, int], begin: float, stop: float, budget: int) -> None:
        self.law, self.shape, self.budget, self.count = law, shape, budget, 0
        self.last = np.nextafter(stop, begin)

    def __call__(self, t: float, flat: np.ndarray) -> np.ndarray:
        self.count += 1
        if self.count > self.budget:
            raise _Stopped
        state = flat.reshape(self.shape)
        return velocity(self.law.controls(min(t, self.last)), state).ravel()


def velocity(controls: Controls, state: Float[np.ndarray, "d m"]) -> Float[np.ndarray, "d m"]:
    """The rate of `state` [mean, factor] (d, r + 1) under the `controls` of one depth.

    Source: :cite:alcalde2026, eq. (2.6).
    """
    A, B, V, b = (np.asarray(part) for part in controls)
    factor = state[:, 1:]
    attended = factor @ (factor.T @ (B @ state))
    attended[:, 0] += state[:, 0]
    rate = A @ state + V @ attended
    rate[:, 0] += b
    return np.asarray(rate)
