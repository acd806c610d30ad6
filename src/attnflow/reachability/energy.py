"""What a plan costs: energies, the largest control, how much it squeezes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np
from scipy.integrate import quad_vec

from .law import AbstractLaw
from .motion import Motion, velocity

SAMPLES = 33
SCALES = 5
ACCURACY = 1e-8


@dataclasses.dataclass(frozen=True)
class Energy:
    """The costs of a plan, integrals over [0, T].

    `kinetic`: of E |Gamma|^2 = tr(G cov G^T) + |mean'|^2; `control`: of |V|_F^2; `feedforward`: of |A|_F^2. `error`
    is the estimate of the quadrature's relative error, the largest of the three.
    """

    kinetic: float
    control: float
    feedforward: float
    error: float


def energy(law: AbstractLaw, motion: Motion, time: float) -> Energy:
    """The energies of `law` along its `motion` up to `time`, by adaptive Gauss-Kronrod quadrature between jumps.

    Source: this package, docs/theory/reachability.md, Costs.
    """

    def rate(t: float) -> np.ndarray:
        controls = law.controls(t)
        moved = velocity(controls, np.column_stack([motion.mean(t), motion.factor(t)]))
        return np.array([np.sum(np.square(part)) for part in (moved, controls.V, controls.A)])

    total, error = np.zeros(3), np.zeros(3)
    for begin, stop in itertools.pairwise((0.0, *law.jumps, time)):
        integral, uncertain = _integral(rate, begin, float(np.nextafter(stop, begin)))
        total, error = total + integral, error + uncertain
    relative = error / np.where(total > 0, total, 1.0)
    kinetic, control, feedforward = (float(x) for x in total)
    return Energy(kinetic, control, feedforward, error=float(relative.max()))


def _integral(rate: Callable[[float], np.ndarray], begin: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """The integrals over [`begin`, `stop`] and their errors; each is asked for to the same relative accuracy."""
    sizes = np.max([rate(float(t)) for t in np.linspace(begin, stop, SCALES)], axis=0)
    for _ in range(2):
        sizes = np.where(sizes > 0, sizes, 1.0)
        scaled = functools.partial(_scaled, rate, sizes)
        found, uncertain = quad_vec(scaled, begin, stop, epsrel=1e-10, limit=400, norm="max")
        found, uncertain = sizes * found, sizes * uncertain
        if np.all(uncertain <= ACCURACY * found):
            break
        sizes = found  # a peak in one of them hid the others
    return found, uncertain


def _scaled(rate: Callable[[float], np.ndarray], sizes: np.ndarray, t: float) -> np.ndarray:
    return np.asarray(rate(t) / sizes)


def largest_control(law: AbstractLaw, time: float) -> float:
    """The largest |V|_F of `law` on a grid over [0, `time`]."""
    return max(float(np.linalg.norm(law.controls(float(t)).V)) for t in np.linspace(0.0, time, SAMPLES))


def conditioning(motion: Motion, time: float) -> float:
    """The largest condition number over [0, `time`] of the flow map on the range of the start's covariance.

    With cov(t) = Psi cov(0) Psi^T it says how unevenly Psi stretches: 1 for a rotation, large where directions are
    squeezed against each other on the way. Read off on a grid.
    """
    origin = motion.factor(0.0)
    if not origin.shape[1]:
        return 1.0
    upper = np.asarray(np.linalg.qr(origin, mode="r"))
    worst = 1.0
    for t in np.linspace(0.0, time, SAMPLES)[1:]:
        moved = np.linalg.solve(upper.T, motion.factor(float(t)).T).T
        sizes = np.linalg.svd(moved, compute_uv=False)
        worst = max(worst, float(sizes[0] / max(sizes[-1], np.finfo(np.float64).tiny)))
    return worst
