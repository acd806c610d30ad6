"""An independent replay of a plan: its controls, SciPy's DOP853 and NumPy, and nothing else of this package."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.integrate import DOP853

from ..measures.distances import bures_wasserstein
from ..measures.gaussian import Gaussian
from .errors import cov_error, mean_error, worst_direction
from .law import AbstractLaw
from .motion import SMALLEST_RTOL, follow
from .tokens import TokenReplay, sampled_errors, token_velocity

TOKEN_EVALUATIONS = 3_000


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
    law: AbstractLaw, start: Gaussian, target: Gaussian, time: float, *, rtol: float, tokens: int, seed: int,
    visible: float | None = None,
) -> Replay:  # fmt: skip
    """Integrate from `start` under `law` for `time` to `rtol`, and move `tokens` tokens drawn with `seed` (0: none).

    Variances of the `target` below `visible`, relative to the largest, count as zero (d eps if None).
    """
    mean, factor = np.asarray(start.mean, dtype=np.float64), np.asarray(start.factor, dtype=np.float64)
    found = follow(law, mean, factor, time, rtol=rtol)
    if found.motion is None:
        return Replay(None, None, None, None, None, None, found.time, False, rtol, found.evaluations)
    end = Gaussian(found.motion.mean(time), found.motion.factor(time))
    moved = _tokens(law, start, target, time, tokens, seed) if tokens else None
    return Replay(
        mean_error=mean_error(end, start, target),
        cov_error=cov_error(np.asarray(end.cov), np.asarray(target.cov)),
        worst_direction=worst_direction(end, target, rtol=visible),
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


def _tokens(law: AbstractLaw, start: Gaussian, target: Gaussian, time: float, n: int, seed: int) -> TokenReplay | None:
    noise = np.random.default_rng(seed).normal(size=(n, start.rank))
    points = _moved(law, np.asarray(start.mean) + noise @ np.asarray(start.factor).T, time)
    if points is None:
        return None
    return sampled_errors(points, target, seed=seed)


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
