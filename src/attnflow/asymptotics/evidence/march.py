"""Moving a covariance far, step by step, in coordinates in which its small directions stay visible."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.integrate import DOP853, OdeSolver, Radau
from scipy.linalg import qr
from scipy.linalg.blas import dtrsm

#: Growth of the trace, as its logarithm, beyond which nothing is looked at any more.
FAR = 150.0
#: Where the fall of the logarithm s of a direction below the largest one slows down, and where it ends: the direction
#: stays there until it rises again.
DEEP, DEEPEST = 200.0, 600.0
#: The most by which their tolerance is larger than that of the largest direction.
SLACK = 1e4
#: The coarsest tolerance that a stiff balance may force.
COARSEST = 1e-5
#: Evaluations in one step of Radau after which it is given up.
CALLS = 3000
#: Steps after which a chart is made afresh.
LIFE = 40
#: How far the pivots may fall out of order, and the triangle outgrow 1, before the chart is made afresh.
OUT_OF_ORDER, OUTGROWN = 1.0, 4.0


class Chart:
    """Covariances P N D^2 N^T P^T, N (d, r) unit lower triangular, D = exp(diag(s)), P an order of the rows.

    With pivoting the entries of N start below 1 and s falls. With M N = N_top Y in the leading r rows, the flow of a
    factor under M, turned on the right to stay triangular, is
    s_j' = Y_jj,  N' = M N - N (diag Y + upper Y - lower G),  G_ij = exp(2 (s_i - s_j)) Y_ji for i > j.
    A direction that collapses moves s alone, evenly: nothing is lost in it, and the rank is kept.
    """

    def __init__(
        self, factor: Float[np.ndarray, "d r"], generator: Callable[[np.ndarray], np.ndarray], rtol: float
    ) -> None:
        dim, rank = factor.shape
        triangle, order = qr(factor.T, mode="r", pivoting=True)
        lower = triangle[:rank].T
        pivots = np.diag(lower)
        least = np.exp(-DEEPEST) * np.abs(pivots[0])
        seen = np.abs(pivots) > least
        N = np.where(seen, lower / np.where(seen, pivots, 1.0), np.eye(dim, rank))
        self._generator, self._shape = generator, (dim, rank)
        self._below = np.tril_indices(dim, k=-1, m=rank)
        self._order, self._back = order, np.argsort(order)
        self._lower = np.tri(rank, k=-1)
        self._upper = self._lower.T
        self.start = np.concatenate([N[self._below], np.log(np.maximum(np.abs(pivots), least))])
        rows = np.linalg.norm(lower, axis=1)
        scale = np.clip(rows / rows.max(initial=0.0), 1e-6, 1.0)[self._below[0]]
        logs = self.start[-rank:]
        depth = np.minimum(np.exp(logs[0] - logs), SLACK)  # small directions matter only should they come back
        self.floor = rtol * np.concatenate([scale * depth[self._below[1]], depth])

    def parts(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """N, its rows in their own order, and s."""
        N, logs = self._triangle(flat)
        return N[self._back], logs

    def velocity(self, _: float, flat: np.ndarray) -> np.ndarray:
        """The velocity of the entries of N below the diagonal and of s."""
        N, logs = self._triangle(flat)
        rank = len(logs)
        turned = N[self._back]
        moved = (self._generator(turned * np.exp(logs)) @ turned)[self._order]
        # trtrs would wake all threads even for the smallest matrix
        Y = dtrsm(1.0, N[:rank], moved[:rank], lower=1, diag=1)
        G = self._lower * np.exp(np.minimum(2.0 * (logs[:, None] - logs), 20.0)) * Y.T
        drift = moved - N @ (Y * (1.0 - self._lower) - G)
        rates = np.diagonal(Y)
        room = 1.0 / (1.0 + np.exp(np.clip((logs[0] - logs - DEEP) / 8.0, -50.0, 100.0)))
        held = np.where(rates < rates[0], rates[0] + room * (rates - rates[0]), rates)
        return np.concatenate([drift[self._below], held])

    def worn(self, flat: np.ndarray) -> bool:
        """Whether the order of the pivots no longer fits."""
        rank = self._shape[1]
        logs = flat[-rank:]
        disorder = (logs - np.minimum.accumulate(logs)).max() if rank > 1 else 0.0
        return bool(disorder > OUT_OF_ORDER or np.abs(flat[:-rank]).max(initial=0.0) > OUTGROWN)

    def _triangle(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rank = self._shape[1]
        N = np.eye(*self._shape)
        N[self._below] = flat[:-rank]
        return N, flat[-rank:]


@dataclasses.dataclass
class March:
    """A covariance on its way from L L^T, L the `factor` (d, r), with `generator`(L) = M.

    It notes the time, the logarithm of the trace, its growth rate and the factor (`path`) at every step. `stalled` is
    set when the solver cannot go on; `turn_stiff` switches from DOP853 to Radau.
    """

    generator: Callable[[np.ndarray], np.ndarray]
    factor: Float[np.ndarray, "d r"]
    rtol: float
    t: float = 0.0
    steps: int = 0
    stiff: bool = False
    stalled: bool = False
    times: list[float] = dataclasses.field(default_factory=list)
    logs: list[float] = dataclasses.field(default_factory=list)
    growths: list[float] = dataclasses.field(default_factory=list)
    path: list[np.ndarray] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self._open(None)
        self._note(*self._chart.parts(self._chart.start))

    @property
    def cov(self) -> Float[np.ndarray, "d d"]:
        """L L^T."""
        return np.asarray(self.factor @ self.factor.T)

    @property
    def hidden_gain(self) -> float:
        """By how much, at most, a smaller direction grows faster than the largest one: positive, it will catch up."""
        rates = self._chart.velocity(self.t, self._solver.y)[-self.factor.shape[1] :]
        return float(rates.max() - rates[0])

    def turn_stiff(self) -> None:
        """Go on with Radau, from the last point."""
        self.stiff, self.stalled = True, False
        try:
            self._open(None)
        except (ValueError, FloatingPointError):
            self.stalled = True

    def advance(self, count: int) -> None:
        """Take `count` accepted steps, or fewer where the solver cannot go on."""
        for _ in range(count):
            if not self._step():
                self.stalled = True
                return
            if abs(self.logs[-1] - self.logs[0]) > FAR:
                return

    def _step(self) -> bool:
        with np.errstate(all="ignore"):
            self._calls = 0
            try:
                self._solver.step()
            except (ValueError, FloatingPointError):  # Radau's matrices overflow
                return False
        flat = self._solver.y
        if self._solver.status != "running" or not np.isfinite(flat).all():
            return False
        self.t = float(self._solver.t)
        self.steps += 1
        self._note(*self._chart.parts(flat))
        self._age += 1
        if self._age >= LIFE or self._chart.worn(flat):
            try:
                self._open(float(self._solver.step_size))
            except (ValueError, FloatingPointError):
                return False
        return True

    def _open(self, first: float | None) -> None:
        """A fresh chart at the present factor."""
        self._age = self._calls = 0
        self._chart = Chart(self.factor, self.generator, self._tolerance())
        engine: type[OdeSolver] = Radau if self.stiff else DOP853
        with np.errstate(all="ignore"):
            self._solver = engine(
                self._finite_velocity if self.stiff else self._chart.velocity,
                self.t,
                self._chart.start,
                np.inf,
                rtol=1e-13,  # the floor says it all: s is a logarithm, N is of size 1
                atol=self._chart.floor,
                first_step=first,
            )

    def _finite_velocity(self, t: float, flat: np.ndarray) -> np.ndarray:
        """For Radau, which never ends on numbers that are not finite."""
        out = self._chart.velocity(t, flat)
        self._calls += 1
        if self._calls > CALLS or not np.isfinite(out).all():
            raise FloatingPointError
        return out

    def _tolerance(self) -> float:
        """`rtol`; under a stiff balance more: the rounding in M N, eps ||M||, over a step of the slow motion."""
        if not self.stiff:
            return self.rtol
        slow = abs(self.growths[-1]) + 1e-9
        noise = 100.0 * float(np.finfo(float).eps * np.linalg.norm(self.generator(self.factor))) / slow
        return float(np.clip(noise, self.rtol, COARSEST))

    def _note(self, N: np.ndarray, logs: np.ndarray) -> None:
        top = float(logs.max())
        shape = N * np.exp(logs - top)
        with np.errstate(all="ignore"):
            self.factor = shape * np.exp(top)
            total = float(np.sum(shape * shape))
            self.growths.append(2.0 * float(np.sum(shape * (self.generator(self.factor) @ shape))) / total)
        self.times.append(self.t)
        self.logs.append(2.0 * top + float(np.log(total)))
        self.path.append(self.factor)
