"""An independent replay of a plan: its controls, SciPy's DOP853 and NumPy, and nothing else of this package."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.integrate import DOP853

from .._linalg import RankRule
from ..measures.distances import bures_wasserstein
from ..measures.gaussian import Gaussian
from .law import AbstractLaw, Controls
from .motion import SMALLEST_RTOL, follow

TOKEN_EVALUATIONS = 3_000


@dataclasses.dataclass(frozen=True)
class TokenReplay:
    """`n` tokens drawn from the start with `seed`, moved as tokens, against the moments of the target.

    `mean_error` is relative to the larger of the target's mean and its standard deviation, `cov_error` to the target's
    covariance (Frobenius). `mean_floor` and `cov_floor` are what drawing n tokens from the target itself gives in the
    mean square.
    """

    n: int
    seed: int
    mean_error: float
    cov_error: float
    mean_floor: float
    cov_floor: float


@dataclasses.dataclass(frozen=True)
class Replay:
    """Where the controls of a plan lead.

    `mean_error` is relative to the larger of the target's mean, the distance travelled and its standard deviation;
    `cov_error` is relative to the target's covariance (Frobenius); `worst_direction` is the largest relative error of a
    variance of the target in any direction of its range; `bures_wasserstein` is the 2-Wasserstein distance of the two
    Gaussians. All are None when the replay ended at `time` before T, which `complete` says. `end` is the Gaussian found
    at T, `tokens` what sampled tokens do, `rtol` the tolerance, `evaluations` those of the field.
    """

    mean_error: float | None
    cov_error: float | None
    worst_direction: float | None
    bures_wasserstein: float | None
    end: Gaussian | None
    tokens: TokenReplay | None
    time: float
    complete: bool
    rtol: float
    evaluations: int
    method: str = "SciPy DOP853 on the factor form"


def replay(
    law: AbstractLaw, start: Gaussian, target: Gaussian, time: float, *, rtol: float, tokens: int, seed: int
) -> Replay:
    """Integrate from `start` under `law` for `time` to `rtol`, and move `tokens` tokens drawn with `seed` (0: none)."""
    mean, factor = np.asarray(start.mean, dtype=np.float64), np.asarray(start.factor, dtype=np.float64)
    found = follow(law, mean, factor, time, rtol=rtol)
    if found.motion is None:
        return Replay(None, None, None, None, None, None, found.time, False, rtol, found.evaluations)
    end = Gaussian(found.motion.mean(time), found.motion.factor(time))
    moved = _tokens(law, start, target, time, tokens, seed) if tokens else None
    return Replay(
        mean_error=mean_error(end, start, target),
        cov_error=cov_error(np.asarray(end.cov), np.asarray(target.cov)),
        worst_direction=worst_direction(end, target),
        bures_wasserstein=float(bures_wasserstein(end, _double(target))),
        end=end,
        tokens=moved,
        time=time,
        complete=True,
        rtol=rtol,
        evaluations=found.evaluations,
    )


def _double(gaussian: Gaussian) -> Gaussian:
    return Gaussian(*(np.asarray(part, dtype=np.float64) for part in (gaussian.mean, gaussian.factor)))


def mean_error(end: Gaussian, start: Gaussian, target: Gaussian) -> float:
    """|mean of `end` - mean of `target`| over the largest of |mean|, the way from `start`, and sqrt(trace cov)."""
    goal = np.asarray(target.mean)
    scales = (goal, goal - np.asarray(start.mean), np.asarray(target.factor).ravel())
    scale = max(float(np.linalg.norm(part)) for part in scales)
    return float(np.linalg.norm(np.asarray(end.mean) - goal)) / (scale or 1.0)


def cov_error(found: Float[np.ndarray, "d d"], wanted: Float[np.ndarray, "d d"]) -> float:
    """|`found` - `wanted`|_F over |`wanted`|_F, absolute when that is zero."""
    return float(np.linalg.norm(found - wanted)) / (float(np.linalg.norm(wanted)) or 1.0)


def worst_direction(end: Gaussian, target: Gaussian, *, rtol: float | None = None) -> float:
    """The largest |v^T (cov of `end` - cov of `target`) v| over v^T (cov of `target`) v for v in the range of it.

    The range is that of the variances above `rtol` times the largest one, d eps if None.
    """
    left, sizes, _ = np.linalg.svd(np.asarray(target.factor, dtype=np.float64), full_matrices=False)
    least = len(left) * RankRule if rtol is None else rtol
    kept = np.square(sizes) > least * np.square(sizes).max(initial=0.0)
    if not kept.any():
        return 0.0
    whitened = (left[:, kept] / sizes[kept]).T @ np.asarray(end.factor)
    return float(np.linalg.norm(whitened @ whitened.T - np.eye(int(kept.sum())), 2))


def _tokens(law: AbstractLaw, start: Gaussian, target: Gaussian, time: float, n: int, seed: int) -> TokenReplay | None:
    noise = np.random.default_rng(seed).normal(size=(n, start.rank))
    points = _moved(law, np.asarray(start.mean) + noise @ np.asarray(start.factor).T, time)
    if points is None:
        return None
    cov, wanted = np.cov(points.T, bias=True).reshape(start.dim, start.dim), np.asarray(target.cov)
    goal, trace = np.asarray(target.mean), float(np.trace(wanted))
    scale = max(float(np.linalg.norm(goal)), np.sqrt(trace)) or 1.0
    size = float(np.linalg.norm(wanted)) or 1.0
    return TokenReplay(
        n=n,
        seed=seed,
        mean_error=float(np.linalg.norm(points.mean(axis=0) - goal)) / scale,
        cov_error=cov_error(cov, wanted),
        mean_floor=float(np.sqrt(trace / n)) / scale,
        cov_floor=float(np.sqrt((trace**2 + size**2) / n)) / size,
    )


def _moved(law: AbstractLaw, points: np.ndarray, time: float) -> np.ndarray | None:
    """The tokens at `time`, None where they leave float64 or take more than TOKEN_EVALUATIONS of their velocity.

    The tolerance is relative to their distances from each other, which may be far smaller than those from the origin.
    """
    now, used, shape = 0.0, 0, points.shape
    for stop in (*law.jumps, time):
        last = np.nextafter(stop, now)

        def rate(t: float, flat: np.ndarray, last: float = last) -> np.ndarray:
            return token_velocity(law.controls(min(t, last)), flat.reshape(shape)).ravel()

        solver = DOP853(rate, now, points.ravel(), stop, rtol=SMALLEST_RTOL, atol=_spread(points))
        with np.errstate(all="ignore"):
            while solver.status == "running":
                solver.step()
                if (
                    solver.status == "failed"
                    or used + solver.nfev > TOKEN_EVALUATIONS
                    or not np.isfinite(solver.y).all()
                ):
                    return None
                solver.atol = _spread(solver.y.reshape(shape))
        points, now, used = solver.y.reshape(shape), stop, used + solver.nfev
    return points


def _spread(points: np.ndarray) -> float:
    return 1e-8 * (float(points.std(axis=0).max(initial=0.0)) or float(np.abs(points).max(initial=0.0)) or 1.0)


def token_velocity(controls: Controls, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """The velocity of `points` (n, d) under softmax attention and the affine feed-forward of `controls`.

    Source: :cite:alcalde2026, eq. (2.3) and (2.4).
    """
    A, B, V, b = (np.asarray(part) for part in controls)
    if not B.any():
        attended = np.broadcast_to(points.mean(axis=0), points.shape)
    else:
        logits = points @ B.T @ points.T
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        attended = (weights @ points) / weights.sum(axis=1, keepdims=True)
    return np.asarray(attended @ V.T + points @ A.T + b)
