"""Where the systems of Table 1 end, seen in integrations alone: no theorem is asked.

Source: :cite:alcalde2026, Table 1.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.integrate

from ...doors.ensemble import ensemble
from ...doors.simulate import simulate
from ...flow.outcome import Status
from ...measures.gaussian import Gaussian
from ...transformer.block import Transformer
from ...transformer.feedforward import Affine
from ...transformer.softmax import SoftmaxAttention

WINDOW = np.linspace(0.5, 1.0, 81)
"""What is looked at: the second half of the time; it is compared with itself in two halves."""

SETTLED = 1e-6
"""Largest change over the last quarter of the time, relative to the size, of what has a limit."""

VANISHED, ROUNDING = 1e-6, 1e-13
"""An eigenvalue below this share of the largest one has vanished if it is still falling, or is rounding."""

FARTHEST = 64
"""How many times its first horizon a flow is followed until it has settled."""


class Ends(enum.StrEnum):
    """What a covariance does."""

    ZERO = "zero"
    SINGULAR = "rank-deficient limit"
    DEFINITE = "positive definite limit"
    MOVES = "bounded, no limit"
    GROWS = "unbounded"
    BLOW_UP = "finite-time blow-up"
    OPEN = "not settled"


class MeanEnds(enum.StrEnum):
    """What a mean does."""

    LIMIT = "limit"
    DIVERGES = "divergence"
    MOVES = "bounded, no limit"
    FINITE = "finite at the blow-up"
    OPEN = "not settled"


@dataclass(frozen=True)
class Problem:
    """A system with its start: `A`, `V`, `B` (d, d), `bias` and `mean` (d,), `factor` (d, r), and a `horizon`."""

    A: np.ndarray
    V: np.ndarray
    B: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    factor: np.ndarray
    horizon: float = 100.0

    @property
    def cov(self) -> np.ndarray:
        """The covariance of the start (d, d)."""
        return np.asarray(self.factor @ self.factor.T)

    @property
    def eta(self) -> float | None:
        """The number of which V is a multiple of the identity, else None."""
        eta = float(self.V[0, 0])
        return eta if np.array_equal(self.V, eta * np.eye(len(self.V))) else None

    def model(self) -> Transformer:
        """The layer; V as a number where it is one, for the closed form."""
        head = SoftmaxAttention(B=self.B, V=self.V if self.eta is None else self.eta)
        return Transformer(head, Affine(A=self.A, b=self.bias))

    def start(self) -> Gaussian:
        """The Gaussian at time 0."""
        return Gaussian.from_factor(self.mean, self.factor)


@dataclass(frozen=True)
class Flow:
    """What was seen: how the covariance `ends`, its `last` value (d, d), and the largest trace in the second half."""

    ends: Ends
    last: np.ndarray
    highest: float
    blow_up: float | None = None
    mean_ends: MeanEnds | None = None
    mean: np.ndarray | None = None


def scalar_flow(problem: Problem) -> Flow:
    """V = eta I: covariance by the closed form, mean by integration, at the times of the window."""
    run = simulate(problem.model(), problem.start(), problem.horizon * WINDOW, rtol=1e-9)
    if run.status is Status.BLOW_UP:
        assert run.blow_up is not None
        return Flow(Ends.BLOW_UP, problem.cov, np.inf, run.blow_up.estimate)
    trace = np.trace(run.cov, axis1=1, axis2=2)
    ends = _ends(run.cov, float(np.trace(problem.cov)))
    return Flow(ends, run.cov[-1], float(trace.max()), None, _mean_ends(run.mean), run.mean[-1])


def matrix_flows(problems: Sequence[Problem]) -> list[Flow]:
    """Problems of one dimension and rank by `attnflow.ensemble`, followed until they settle."""
    found: dict[int, Flow] = {}
    for factor in (1, 4, 16, FARTHEST):
        left = [i for i in range(len(problems)) if i not in found]
        for horizon in sorted({problems[i].horizon for i in left}):
            now = [i for i in left if problems[i].horizon == horizon]
            starts = [Gaussian.from_factor(problems[i].mean * 0.0, problems[i].factor) for i in now]
            models = [_still(problems[i]) for i in now]
            run = ensemble(models, starts, factor * horizon * WINDOW, rtol=1e-8, max_steps=100_000)
            for place, i in enumerate(now):
                flow = _seen(problems[i], run.status[place], run.cov[place], run.reached[place])
                if flow.ends not in (Ends.OPEN, Ends.GROWS) or factor == FARTHEST:  # growth may be that of a transient
                    found[i] = flow
    return [found[i] for i in range(len(problems))]


def mean_flow(problem: Problem, horizon: float) -> tuple[MeanEnds, np.ndarray]:
    """What the mean does, by SciPy on factor and mean to `horizon`, and its last value."""
    _, means = _plain(problem, horizon * WINDOW, rtol=1e-9)
    return _mean_ends(means), means[-1]


def blowing_flow(problem: Problem, ceiling: float = 1e8) -> Flow:
    """By SciPy on factor and mean in the time s, dt = ds / (1 + trace), until the trace passes `ceiling` or vanishes.

    The mean diverges when it grows with a power of the trace over its last four decades.
    """
    d, r = problem.factor.shape
    V, B = problem.V, problem.B

    def rate(s: float, y: np.ndarray) -> np.ndarray:
        L, mean = y[: d * r].reshape(d, r), y[d * r : -1]
        cov = L @ L.T
        M = problem.A + V @ cov @ B
        moved = np.concatenate([(M @ L).ravel(), (M + V) @ mean + problem.bias, [1.0]])
        return np.asarray(moved / (1.0 + np.trace(cov)))

    def size(y: np.ndarray) -> float:
        return float(np.sum(y[: d * r] ** 2))

    def high(s: float, y: np.ndarray) -> float:
        return float(np.log(size(y) / ceiling))

    def low(s: float, y: np.ndarray) -> float:
        return float(np.log(size(y) / (1e-9 * size(start))))

    high.terminal = low.terminal = True  # type: ignore[attr-defined]
    start = np.concatenate([problem.factor.ravel(), problem.mean, [0.0]])
    run = scipy.integrate.solve_ivp(rate, (0.0, 1e4), start, "DOP853", rtol=1e-10, atol=1e-14, events=(high, low))
    traces = np.array([size(y) for y in run.y.T])
    last = run.y[: d * r, -1].reshape(d, r)
    if len(run.t_events[1]):
        return Flow(Ends.ZERO, last @ last.T, float(traces[len(traces) // 2 :].max()))
    if not len(run.t_events[0]):
        return Flow(Ends.OPEN, last @ last.T, float(traces.max()))
    early = int(np.searchsorted(traces, 1e-4 * ceiling))
    before, after = (float(np.linalg.norm(run.y[d * r : -1, i])) for i in (early, -1))
    power = np.log(max(after, 1e-300) / max(before, 1e-300)) / np.log(traces[-1] / traces[early])
    cov = last @ last.T
    half = problem.A @ cov + V @ cov @ B @ cov
    end = float(run.y[-1, -1] + np.trace(cov) / (2.0 * np.trace(half)))
    mean_ends = MeanEnds.DIVERGES if power > 0.1 else MeanEnds.FINITE
    return Flow(Ends.BLOW_UP, cov, np.inf, end, mean_ends, run.y[d * r : -1, -1])


def _still(problem: Problem) -> Transformer:
    """The same covariance with a mean at rest."""
    return Transformer(SoftmaxAttention(B=problem.B, V=problem.V), Affine(A=problem.A))


def _seen(problem: Problem, status: Status, covs: np.ndarray, reached: np.ndarray) -> Flow:
    if status is Status.BLOW_UP:
        return Flow(Ends.BLOW_UP, covs[0], np.inf)
    if not reached.all():
        return Flow(Ends.OPEN, covs[-1], np.inf)
    trace = np.trace(covs, axis1=1, axis2=2)
    return Flow(_ends(covs, float(np.trace(problem.cov))), covs[-1], float(trace.max()))


def _ends(covs: np.ndarray, begin: float) -> Ends:
    """What covariances (t, d, d) at the times of the window do; `begin` is the trace at time 0."""
    trace = np.trace(covs, axis1=1, axis2=2)
    power = float(np.log2(max(trace[-1], 1e-300) / max(trace[0], 1e-300)))
    if trace[-1] < 1e-8 * begin or (abs(power + 1.0) < 0.1 and trace[-1] < 0.05 * begin):
        return Ends.ZERO
    if power > 0.5 and bool((np.diff(trace) > 0.0).all()):
        return Ends.GROWS
    size, half = float(trace.max()), len(covs) // 2
    first, second = (float(np.ptp(part, axis=0).max()) / size for part in (covs[:half], covs[half:]))
    if second < SETTLED:
        return _limit(covs[half:])
    return Ends.MOVES if second > 1e-3 and abs(second - first) < 0.05 * first else Ends.OPEN


def _limit(covs: np.ndarray) -> Ends:
    values = np.linalg.eigvalsh(covs)[:, [0, -1]]
    lowest = values[:, 0] / values[:, 1]
    falling = lowest[-1] < 0.9 * lowest[0]
    if lowest[-1] < ROUNDING or (lowest[-1] < VANISHED and falling):
        return Ends.SINGULAR
    return Ends.DEFINITE if abs(lowest[-1] / lowest[0] - 1.0) < 1e-3 else Ends.OPEN


def _mean_ends(means: np.ndarray) -> MeanEnds:
    size, half = np.linalg.norm(means, axis=1), len(means) // 2
    if size[-1] > 100.0 * (1.0 + size[0]):
        return MeanEnds.DIVERGES
    first, second = (float(np.ptp(part, axis=0).max()) / (1.0 + size.max()) for part in (means[:half], means[half:]))
    if second < SETTLED:
        return MeanEnds.LIMIT
    return MeanEnds.MOVES if second > 1e-3 and abs(second - first) < 0.05 * first else MeanEnds.OPEN


def replayed(problem: Problem, t: float) -> float:
    """The relative distance of the covariance by the engine used here at `t`, a short time, to SciPy's.

    The times are as many as elsewhere, so that nothing is compiled again.
    """
    (cov,), _ = _plain(problem, np.array([t]), rtol=1e-11)
    if problem.eta is None:
        at_rest = Gaussian.from_factor(0.0 * problem.mean, problem.factor)
        found = ensemble([_still(problem)], [at_rest], t * WINDOW, rtol=1e-8, max_steps=100_000).cov[0, -1]
    else:
        found = simulate(problem.model(), problem.start(), t * WINDOW, rtol=1e-9).cov[-1]
    return float(np.linalg.norm(found - cov) / np.linalg.norm(cov))


def _plain(problem: Problem, ts: np.ndarray, rtol: float) -> tuple[np.ndarray, np.ndarray]:
    """Covariances (t, d, d) and means (t, d) by SciPy's DOP853 on L' = M L and mean' = (M + V) mean + b."""
    d, r = problem.factor.shape

    def rate(_: float, y: np.ndarray) -> np.ndarray:
        L, mean = y[: d * r].reshape(d, r), y[d * r :]
        M = problem.A + problem.V @ L @ L.T @ problem.B
        return np.concatenate([(M @ L).ravel(), (M + problem.V) @ mean + problem.bias])

    start = np.concatenate([problem.factor.ravel(), problem.mean])
    y = scipy.integrate.solve_ivp(rate, (0.0, ts[-1]), start, "DOP853", t_eval=ts, rtol=rtol, atol=1e-13).y.T
    L = y[:, : d * r].reshape(-1, d, r)
    return L @ L.transpose(0, 2, 1), y[:, d * r :]
