"""What a plan should say of itself: controls that are hard to integrate, attention that few tokens cannot follow."""

from __future__ import annotations

import numpy as np

from ...reachability.law import AbstractLaw, Following
from ...reachability.motion import Motion

INTEGRATED = 1e-13
"""The relative accuracy to which the best integrators follow a flow in double precision."""
STIFF = 1e6
SHARP, HOPELESS = 4.0, 25.0
DEPTHS = 33


def lost_to_rounding(law: AbstractLaw, motion: Motion, time: float) -> float:
    """About what an integration of `law` over `time` in double precision loses, relative to the smallest variance.

    Only controls with B = cov^+ on the path of `motion` lose more than rounding: under them an error of the covariance
    neither grows nor decays, so that where the covariance shrinks it becomes large beside it.

    Source: this package, docs/theory/reachability.md, Theorem 3.2.
    """
    if not (isinstance(law, Following) and law.attends):
        return 0.0
    sizes = [np.square(np.linalg.svd(motion.factor(float(t)), compute_uv=False)) for t in _depths(time)]
    if not sizes[-1].size:
        return 0.0
    return INTEGRATED * float(max(size[0] for size in sizes) / sizes[-1][-1])


def stiffness(law: AbstractLaw, time: float) -> str:
    """A note where the controls of `law` become so large within `time` that an integrator may not get through."""
    worst = max(float(np.linalg.norm(law.controls(t).V)) for t in (0.0, 0.5 * time, time)) * time
    if worst <= STIFF:
        return ""
    return (
        f"the controls grow to |V| = {worst / time:.1e}: an integrator may not get through, and a replay then says so"
    )


def sharpness(law: AbstractLaw, motion: Motion, time: float) -> str:
    """A note where the logits of `law` vary so much along `motion` that tokens follow only in very large numbers.

    Source: this package, docs/theory/finite-n.md, section 5.
    """
    worst = 0.0
    for t in _depths(time):
        B, mean, factor = np.asarray(law.controls(float(t)).B), motion.mean(float(t)), motion.factor(float(t))
        if B.any():
            seen = factor.T @ B
            worst = max(worst, float(np.sum(np.square(seen @ factor)) + np.sum(np.square(seen @ mean))))
    if worst <= SHARP:
        return ""
    enough = f"only where their number is far above e^{worst:.3g}" if worst <= HOPELESS else "in no practical number"
    return f"its logits have a mean variance of up to {worst:.3g}: tokens follow the Gaussian {enough}"


def _depths(time: float) -> np.ndarray:
    return np.linspace(0.0, time, DEPTHS)
