"""The referee: a long integration of L' = (A + sum_h V_h L L^T B_h) L and of the mean, by SciPy, and nothing else.

No code of the library is used, nothing is re-orthonormalised. DOP853 first; where its steps are held down by
stability, Radau. The mean is carried as a pair (mean s, s) with s' = 0, which is scaled down when it grows: its
equation is affine.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.integrate import DOP853, OdeSolver, Radau

from .cases import Case

RTOL = 1e-10
#: Beyond this multiple of ||A|| the quadratic part, if still invisible in the growth rate, is lost in rounding.
LOST = 1e12
BLOWN = 1e10
FAR = 600.0
DOWN = 1e4
#: The mean is given up, as diverged, when log |mean| is beyond this; it then reads as `DIVERGED`.
GIVEN_UP, DIVERGED = 120.0, 1e3


@dataclasses.dataclass
class Path:
    """What the referee saw at its steps: `t`, `covs`, log trace, growth rate of the trace, means and log |mean|.

    `end` is one of horizon, blow-up, large (too far for floats), gone (below all scales), budget, failed; `blow_up` is
    the time where the trace becomes infinite.
    """

    t: np.ndarray
    covs: np.ndarray
    logs: np.ndarray
    growth: np.ndarray
    means: np.ndarray
    mean_logs: np.ndarray
    end: str
    blow_up: float | None = None

    def at(self, time: float) -> int:
        """The last step at or before `time`."""
        return max(int(np.searchsorted(self.t, time, side="right")) - 1, 0)


class _Field:
    """The right-hand side on [L | mean s, s], with its number of evaluations."""

    def __init__(self, case: Case, *, mean: bool) -> None:
        self.case, self.mean, self.count = case, mean, 0
        self.shape = case.factor.shape
        self.size = case.factor.size
        self.heads = list(zip(case.matrices.V, case.matrices.B, case.tilts, strict=True))

    def __call__(self, _: float, y: np.ndarray) -> np.ndarray:
        self.count += 1
        d, r = self.shape
        A, L = self.case.matrices.A, y[: d * r].reshape(d, r)
        out = A @ L
        for V, B, _tilt in self.heads:
            out += V @ (L @ ((L.T @ B) @ L))
        if not self.mean:
            return out.ravel()
        m, s = y[d * r : -1], y[-1]
        moved = A @ m + s * self.case.bias
        for V, B, tilt in self.heads:
            moved += V @ (m + L @ (L.T @ (B @ m + s * tilt)))
        return np.concatenate([out.ravel(), moved, [0.0]])


def follow(case: Case, horizon: float, *, mean: bool, evaluations: int = 16_000, rtol: float = RTOL) -> Path:
    """The path of `case` until `horizon` or until its end, within a budget of `evaluations` (half of it for Radau)."""
    field = _Field(case, mean=mean)
    d, r = case.factor.shape
    start = case.factor.ravel()
    if mean:
        start = np.concatenate([start, case.mean, [1.0]])
    floor = np.full(len(start), 1e-13 * np.linalg.norm(case.factor))
    floor[d * r :] = 1e-9 * max(1.0, float(np.linalg.norm(case.mean)))
    run = _Run(case, field, start, floor, rtol, horizon)
    end = run.go(DOP853, evaluations)
    if end in ("budget", "failed") and not run.blowing():
        end = run.go(Radau, field.count + evaluations // 2)
    return run.path(end)


class _Run:
    def __init__(
        self, case: Case, field: _Field, start: np.ndarray, floor: np.ndarray, rtol: float, horizon: float
    ) -> None:
        self.case, self.field, self.floor, self.rtol, self.horizon = case, field, floor, rtol, horizon
        self.y, self.t = start, 0.0
        self.rows: list[tuple[float, np.ndarray, float, float]] = []
        self.means: list[tuple[np.ndarray, float]] = []
        self.speed, self.bend, self.scaled = case.speed, case.curvature, 0
        self.note()

    def go(self, engine: type[OdeSolver], budget: int) -> str:
        solver = self.open(engine)
        while (end := self.ended()) is None:
            if self.field.count > budget:
                return "budget"
            with np.errstate(all="ignore"):
                try:
                    solver.step()
                except ValueError:
                    return "failed"
            if solver.status == "failed" or not np.isfinite(solver.y).all():
                return "failed"
            self.t, self.y = float(solver.t), solver.y
            self.note()
            if self.field.mean and np.abs(self.y[self.field.size :]).max() > DOWN:
                self.scale_down()
                solver = self.open(engine)
        return end

    def scale_down(self) -> None:
        size = self.field.size
        self.y = np.concatenate([self.y[:size], self.y[size:] / DOWN])
        self.scaled += 1
        if self.means[-1][1] > GIVEN_UP:
            self.field.mean, self.y, self.floor = False, self.y[:size], self.floor[:size]

    def open(self, engine: type[OdeSolver]) -> OdeSolver:
        rtol = self.rtol if engine is DOP853 else 1e2 * self.rtol
        with np.errstate(all="ignore"):
            return engine(self.field, self.t, self.y, self.horizon, rtol=rtol, atol=self.floor)

    def note(self) -> None:
        d, r = self.field.shape
        L = self.y[: d * r].reshape(d, r)
        cov = L @ L.T
        size = float(np.trace(cov))
        moved = self.field(0.0, self.y)[: d * r].reshape(d, r)
        self.field.count -= 1
        growth = 2.0 * float(np.sum(moved * L)) / size if size > 0 else 0.0
        self.rows.append((self.t, cov, size, growth))
        if self.field.mean:
            m, s = self.y[d * r : -1], self.y[-1]
            with np.errstate(all="ignore"):
                log = float(np.log(max(np.linalg.norm(m), 1e-300)) + self.scaled * np.log(DOWN))
                self.means.append((m / s, log))
        elif self.means:
            self.means.append((self.means[-1][0], DIVERGED))

    def blowing(self) -> bool:
        return self.rows[-1][3] > 1e2 * self.speed

    def ended(self) -> str | None:
        t, _, size, growth = self.rows[-1]
        if t >= self.horizon:
            return "horizon"
        if growth > BLOWN / max(t, 1e-300) and growth > 1e3 * self.speed:
            return "blow-up"
        if self.bend * size > LOST * self.speed and growth < 10 * self.speed:
            return "large"
        if np.log(max(size, 1e-300) / self.rows[0][2]) > FAR:
            return "large"
        return "gone" if size < 1e-26 * self.rows[0][2] else None

    def path(self, end: str) -> Path:
        t, covs, sizes, growth = (np.array(x) for x in zip(*self.rows, strict=True))
        logs = np.log(np.maximum(sizes, 1e-300))
        if self.means:
            means, mean_logs = (np.array(x) for x in zip(*self.means, strict=True))
        else:
            means, mean_logs = np.zeros((0, self.case.dim)), np.zeros(0)
        found = Path(t, covs, logs, growth, means, mean_logs, end)
        if end == "blow-up" or (end in ("failed", "budget") and self.blowing() and _squared(found)):
            found.end, found.blow_up = "blow-up", float(t[-1] + 1.0 / growth[-1])
        return found


def _squared(path: Path) -> bool:
    """Whether the growth rate has become proportional to the trace."""
    i = int(np.searchsorted(path.logs, path.logs[-1] - np.log(100.0)))
    if i >= len(path.t) - 2 or path.growth[i] <= 0:
        return False
    return abs(np.log(path.growth[-1] / path.growth[i]) / (path.logs[-1] - path.logs[i]) - 1.0) < 0.05
