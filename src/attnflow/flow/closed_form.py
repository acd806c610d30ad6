"""V = eta I on the host: the exact covariance at any time, and the exact blow-up time.

Each step is certified free of blow-up. With S+ the positive part of S, a step of length h from the factor L is safe
when lambda_max(L^T N+_h L) < 1, because N_s <= N+_s <= N+_h for all s <= h. Near a tangency this is far from sharp;
with Q+ the positive part of A^T S + S A and N^Q_h its integral along the flow, N_s <= s (S + N^Q_h) for all s <= h, so
that lambda_max(h L^T (S + N^Q_h) L) < 1 is another certificate. Where both fail, the first crossing of
lambda_max(L^T N_s L) = 1 is the blow-up time; a change of sign of the determinant would miss even multiplicities.

Source: this package, docs/theory/closed-form.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.linalg import blas, solve_continuous_lyapunov
from scipy.optimize import brentq

from .outcome import Basis, BlowUp
from .riccati import (
    STEP_RADIUS,
    TAYLOR_RADIUS,
    block_radius,
    block_values,
    doubled,
    power_growth,
    spectral_norm,
    taylor_block,
    taylor_pair,
)

STATEMENT = "Theorem B: the first time at which lambda_max(L0^T N(t) L0) = 1 (docs/theory/closed-form.md)"
ROUNDED = "numerical: a crossing that a rounding error of the start moves by more than its hundredth part"
LARGEST_BLUR = 0.01
CONDITION_LIMIT = 1e4
LARGEST_FACTOR = 1e150
EPS = float(np.finfo(np.float64).eps)


class Propagator:
    """e^{Ah} L, L^T N_h L and a bound of the latter for any factor L and step h; the pairs of recent steps are kept."""

    def __init__(self, A: np.ndarray, S: np.ndarray) -> None:
        eigenvalues = np.linalg.eigvalsh(S)
        top = np.abs(eigenvalues).max(initial=0.0)
        self.A, self.S = A, S
        self.rising = bool(eigenvalues.max(initial=0.0) > A.shape[0] * EPS * top)
        self.falling = bool(eigenvalues.min(initial=0.0) < -A.shape[0] * EPS * top)
        self._bounds = (_positive_part(S), _positive_part(A.T @ S + S @ A)) if self.rising and self.falling else ()
        self.norm = float(spectral_norm(A))
        square = A @ A
        self._powers = (square, square @ A, square @ square)
        self._growth = float(power_growth(self._powers))
        self._pairs: dict[float, tuple[np.ndarray, ...]] = {}

    def step(self, factor: np.ndarray, h: float, slack: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(e^{Ah} L, L^T N_h L, a matrix above L^T N_s L for all s in [0, h]).

        A kept pair whose step differs by at most `slack` is used again.
        """
        if 0 < 4 * factor.shape[1] <= factor.shape[0] and h * self.norm <= STEP_RADIUS:
            moved, gain, *bounds = self._block_step(factor, h)
        else:
            exponential, *gramians = self._pair(h, slack)
            moved = exponential @ factor
            gain, *bounds = (factor.T @ (gramian @ factor) for gramian in gramians)
        if not bounds:
            return moved, gain, gain
        bent = h * (factor.T @ (self.S @ factor) + bounds[1])
        return moved, gain, min(bounds[0], bent, key=_top)

    def gramian(self, h: float) -> np.ndarray:
        """N(h) (d, d)."""
        return self._pair(h, 0.0)[1]

    def _block_step(self, factor: np.ndarray, h: float) -> tuple[np.ndarray, ...]:
        scale = max(self.norm, 1e-150)
        blocks = taylor_block(self.A, factor, scale)
        if h * scale > float(block_radius(blocks)):
            half, *gains = self._block_step(factor, 0.5 * h)
            end, *more = self._block_step(half, 0.5 * h)
            return end, *(one + two for one, two in zip(gains, more, strict=True))
        moved, gain = block_values(blocks, self.S, h * scale, scale)
        bounds = (block_values(blocks, bound, h * scale, scale)[1] for bound in self._bounds)
        return np.asarray(moved), *(np.asarray(x) for x in (gain, *bounds))

    def _pair(self, h: float, slack: float) -> tuple[np.ndarray, ...]:
        for kept, pair in self._pairs.items():
            if abs(kept - h) <= slack:
                return pair
        count = max(0, int(np.ceil(np.log2(max(h * self._growth / TAYLOR_RADIUS, 1.0)))))
        pair = self._series(self.S, h, count)
        pair = (*pair, *(self._series(bound, h, count)[1] for bound in self._bounds))
        if len(self._pairs) >= 8:
            self._pairs.pop(next(iter(self._pairs)))
        self._pairs[h] = pair
        return pair

    def _series(self, S: np.ndarray, h: float, count: int) -> tuple[np.ndarray, ...]:
        pair = taylor_pair(self.A, S, h * 2.0**-count, self._powers)
        for _ in range(count):
            pair = doubled(*pair)
        return np.asarray(pair[0]), np.asarray(pair[1])


@dataclasses.dataclass
class March:
    """A factor on its way: where it is, and why it stopped.

    `shrink` is the product C_1 C_2 ... of the Cholesky factors of all steps so far: I - L0^T N(t) L0 = shrink shrink^T
    with the factor L0 = `origin` at time 0.
    """

    t: float
    factor: np.ndarray
    shrink: np.ndarray
    origin: np.ndarray
    blow_up: BlowUp | None = None
    overflow: bool = False

    @staticmethod
    def start(factor: np.ndarray, t: float = 0.0) -> March:
        """The march at time `t` from a factor (d, r)."""
        return March(t, factor, np.eye(factor.shape[1]), factor)


def march(propagator: Propagator, start: March, end: float, visit: Callable[[float, np.ndarray], None]) -> March:
    """Carry the factor to the time `end` in certified steps; `visit(t, L)` is called at the end of each.

    Stops earlier at a blow-up (bracketed) or when the factor leaves the range of float64.
    """
    place = start
    count = max(1, int(np.ceil((end - place.t) * propagator.norm / STEP_RADIUS)))
    h, origin, slack = (end - place.t) / count, place.t, 4 * EPS * end
    for i in range(1, count + 1):
        place = _certified_step(propagator, place, h, slack)
        if place.blow_up is not None or place.overflow:
            return place
        place.t = end if i == count else origin + i * h
        visit(place.t, place.factor)
    return place


def march_naturally(
    propagator: Propagator, place: March, end: float, visit: Callable[[float, np.ndarray], None]
) -> March:
    """March to `end` in steps that resolve the flow: half of 1 / (||A|| + ||L^T S L||), rounded to a power of 2."""
    while place.t < end and place.blow_up is None and not place.overflow:
        pull = place.factor.T @ (propagator.S @ place.factor)
        rate = propagator.norm + float(np.linalg.norm(pull))
        h = 2.0 ** np.floor(np.log2(0.5 / rate)) if rate > 0 else end - place.t
        near = place.t + 1.5 * h >= end or h <= 1e-9 * place.t
        place = march(propagator, place, end if near else place.t + h, visit)
    return place


def _certified_step(propagator: Propagator, place: March, h: float, slack: float) -> March:
    moved, gain, above = propagator.step(place.factor, h, slack)
    if propagator.rising and _top(above) >= 1.0:
        return _cross(propagator, place, h, slack)
    root = _root(gain)
    coarse = h * propagator.norm > 1.0
    if root is None or (coarse and _spread(root) > CONDITION_LIMIT):
        half = _certified_step(propagator, place, 0.5 * h, slack)
        return half if half.blow_up or half.overflow else _certified_step(propagator, half, 0.5 * h, slack)
    factor = solve_right(root, moved)
    if not np.abs(factor).max(initial=0.0) < LARGEST_FACTOR:
        return dataclasses.replace(place, overflow=True)
    with np.errstate(over="ignore", invalid="ignore"):
        return March(place.t + h, factor, place.shrink @ root, place.origin)


def _cross(propagator: Propagator, place: March, h: float, slack: float) -> March:
    """Find the first crossing within a step that is not certified, or show that there is none."""
    end = place.t + h
    for _ in range(200):
        left = end - place.t
        if left <= 4 * EPS * end:
            return dataclasses.replace(place, t=end)

        def gap(s: float, which: int, factor: np.ndarray = place.factor) -> float:
            return _top(propagator.step(factor, s, 0.0)[which]) - 1.0

        if gap(left, 2) < 0:
            return _certified_step(propagator, place, left, slack)
        safe = brentq(gap, 0.0, left, args=(2,), xtol=1e-300, rtol=4 * EPS) if gap(0.0, 2) < 0 else 0.0
        crossing = None
        for ahead in (min(2 * safe, left), left):  # a value may pass 1 and be below it again at the end of the step
            if crossing is None and ahead > safe and gap(ahead, 1) >= 0:
                crossing = brentq(gap, safe, ahead, args=(1,), xtol=1e-300, rtol=4 * EPS) if gap(safe, 1) < 0 else safe
        if crossing is not None and crossing - safe <= 1e-13 * (place.t + crossing):
            return dataclasses.replace(place, blow_up=_bracket(propagator, place, safe, crossing))
        if safe <= 4 * EPS * end:
            upper = place.t + (left if crossing is None else crossing)
            return dataclasses.replace(place, blow_up=BlowUp(place.t, upper, place.t + safe, Basis.THEOREM, STATEMENT))
        place = _certified_step(propagator, place, 0.99 * safe, 0.0)
        if place.blow_up or place.overflow:
            return place
    return dataclasses.replace(place, blow_up=BlowUp(place.t, end, place.t, Basis.NUMERICAL, STATEMENT))


def _bracket(propagator: Propagator, place: March, safe: float, crossing: float) -> BlowUp:
    """The bracket widened by what rounding can move the crossing.

    At the crossing, v^T (I - L0^T N L0) v = 0 for a unit v, and a relative error e of the start moves the time by at
    most e / (v^T L0^T e^{A^T t} S e^{At} L0 v): the slope of the local problem times |w|^2 / |v|^2 for the local vector
    w = shrink^T v. An error in a direction that the start does not have counts with N itself, which may have grown far
    beyond L0^T N L0; where it can move the time by much, rounding decides whether there is a blow-up at all.
    """
    moved, gain, _ = propagator.step(place.factor, crossing, 0.0)
    w = np.linalg.eigh(0.5 * (gain + gain.T))[1][:, -1]
    slope = float((moved @ w) @ (propagator.S @ (moved @ w)))
    known = bool(np.all(np.isfinite(place.shrink)) and np.all(place.shrink.diagonal()))
    stretch = float(np.sum(np.square(np.linalg.solve(place.shrink.T, w)))) if known else np.inf
    end = place.t + crossing
    error = 4 * EPS * (4 + place.factor.shape[1] + propagator.norm * end)
    moved_by = (4 * error + (_new_directions(propagator, place, w, end, error) if known else 0.0)) * stretch
    blur = moved_by / slope if slope > 0 else np.inf
    decided = blur <= LARGEST_BLUR * end
    blur = min(blur, end) + 8 * EPS * end
    basis, statement = (Basis.THEOREM, STATEMENT) if decided else (Basis.NUMERICAL, ROUNDED)
    return BlowUp(max(place.t + safe - blur, 0.0), end + blur, end, basis, statement)


def _new_directions(propagator: Propagator, place: March, w: np.ndarray, end: float, error: float) -> float:
    """What a relative `error` of the start in any direction changes v^T L0^T N L0 v by, for the unit v along w."""
    with np.errstate(all="ignore"):
        v = np.linalg.solve(place.shrink.T, w)
        gramian, size = propagator.gramian(end), error * float(np.linalg.norm(place.origin))
        grown = gramian @ (place.origin @ (v / np.linalg.norm(v)))
        change = size * float(np.linalg.norm(grown)) + size**2 * float(np.linalg.norm(gramian))
    return change if np.isfinite(change) else np.inf


def blow_up_beyond(propagator: Propagator, place: March, *, limit: int = 400) -> BlowUp | None:
    """The blow-up time after `place` where it is cheap to know: S semidefinite with positive part, so N is monotone.

    None when there is no blow-up or it lies too far ahead.
    """
    if not propagator.rising or propagator.falling or place.factor.shape[1] == 0:
        return None
    if _never(propagator, place.factor):
        return None
    rate = _top(place.factor.T @ (propagator.S @ place.factor))
    if rate <= 0 and propagator.norm == 0:
        return None
    h = 1.0 / max(rate, propagator.norm, 1e-300)
    for _ in range(limit):
        h = min(2 * h, STEP_RADIUS / propagator.norm) if propagator.norm > 0 else 2 * h
        place = _certified_step(propagator, place, h, 0.0)
        if place.blow_up is not None or place.overflow:
            return place.blow_up
    return None


def _never(propagator: Propagator, factor: np.ndarray) -> bool:
    """Whether a Hurwitz A and lambda_max(L^T N_infinity L) < 1 exclude blow-up (Theorem B)."""
    if np.linalg.eigvals(propagator.A).real.max() >= 0:
        return False
    limit = solve_continuous_lyapunov(propagator.A.T, -propagator.S)
    return _top(factor.T @ (limit @ factor)) < 1.0


def _positive_part(symmetric: np.ndarray) -> np.ndarray:
    eigenvalues, vectors = np.linalg.eigh(symmetric)
    return np.asarray((vectors * np.maximum(eigenvalues, 0.0)) @ vectors.T)


def solve_right(root: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """`moved` C^{-T} for a lower triangular C."""
    if root.shape[0] == 0:
        return moved
    # trtrs, which SciPy's solve_triangular calls, wakes all threads even for the smallest matrix
    return np.ascontiguousarray(blas.dtrsm(1.0, root, moved, side=1, lower=1, trans_a=1))


def _root(gain: np.ndarray) -> np.ndarray | None:
    try:
        return np.linalg.cholesky(np.eye(gain.shape[0]) - 0.5 * (gain + gain.T))
    except np.linalg.LinAlgError:
        return None


def _spread(root: np.ndarray) -> float:
    """A lower bound of the condition number of C C^T, from the pivots."""
    pivots = np.square(root.diagonal())
    return float(pivots.max(initial=1.0) / pivots.min(initial=1.0))


def _top(gain: np.ndarray) -> float:
    if gain.size == 0:
        return -np.inf
    return float(np.linalg.eigvalsh(0.5 * (gain + gain.T))[-1])
