"""What cannot be reached: the rank of the covariance is conserved, and nothing else is."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from .._check import BadInput
from .._linalg import RankRule
from ..measures.gaussian import Gaussian
from .planes import principal_angles

NARROW = 1e-8
"""Below this ratio of the smallest to the largest visible variance, a plan is possible but expensive."""


@dataclasses.dataclass(frozen=True)
class Reachability:
    """Whether a target can be reached in finite time, and why: true exactly when it can.

    `possible` is that answer and `reason` its reason. `ranks` are those of start and target by the rule `tolerance`
    (relative to the largest variance); `gaps` are, for each, the ratios of the smallest variance that counts and of the
    largest that does not to the largest (None where there is none). `warning` says when a rank is decided by little, or
    the controls must be large. `price` is a lower bound of the integral of |G|_F, G = A + V cov B, over depth, for any
    controls that lead there (None: none do).
    """

    possible: bool
    ranks: tuple[int, int]
    gaps: tuple[tuple[float | None, float | None], tuple[float | None, float | None]]
    tolerance: float
    reason: str
    warning: str = ""
    price: float | None = None

    def __bool__(self) -> bool:
        """Whether the target can be reached."""
        return self.possible


def reachable(start: Gaussian, target: Gaussian, *, rtol: float | None = None) -> Reachability:
    """Whether the Gaussian `target` can be reached from `start` in finite time, by controls that depend on depth.

    It can exactly when the covariances have the same rank. A variance counts when it is above `rtol` times the largest
    one, d eps if None.

    Raises BadInput when `start` or `target` is no Gaussian, the dimensions differ or `rtol` is not in [0, 1).

    Source: :cite:alcalde2026, Lemma 3.1 and Thm. 3.2.
    """
    for name, gaussian in (("start", start), ("target", target)):
        if not isinstance(gaussian, Gaussian):
            raise BadInput(
                f"`{name}` must be a Gaussian: {type(gaussian).__name__} was found; make one with "
                "Gaussian.from_moments, .from_factor or .from_tokens."
            )
    if start.dim != target.dim:
        raise BadInput(f"`start` and `target` must share one dimension d: {start.dim} and {target.dim} were found.")
    tolerance = float(start.dim * RankRule if rtol is None else rtol)
    if not 0.0 <= tolerance < 1.0:
        raise BadInput(f"`rtol` must be at least 0 and below 1: {tolerance:g} was found; leave it out for d eps.")
    counted = [_counted(gaussian, tolerance) for gaussian in (start, target)]
    ranks, gaps = (counted[0][0], counted[1][0]), (counted[0][1], counted[1][1])
    if ranks[0] != ranks[1]:
        reason = (
            f"the rank of the covariance is conserved (Lemma 3.1): the start has rank {ranks[0]}, the target rank "
            f"{ranks[1]}, by the relative tolerance {tolerance:.1e}"
        )
        return Reachability(False, ranks, gaps, tolerance, reason, _warning(gaps, start.dim))
    reason = f"both covariances have rank {ranks[0]} (Theorem 3.2)"
    price = least_control(visible_factor(start, tolerance), visible_factor(target, tolerance))
    return Reachability(True, ranks, gaps, tolerance, reason, _warning(gaps, start.dim, price), price)


def least_control(start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> float:
    """What the integral of |G|_F over depth is at least, for any controls that take one covariance to the other.

    `start` and `target` (d, r) are factors with independent columns. The bound is the root of the sum of the squared
    principal angles of the ranges and of the squared half logarithms of the ratios of the variances, paired by size.

    Source: this package, docs/theory/reachability.md, The least control.
    """
    one, first, _ = np.linalg.svd(start, full_matrices=False)
    two, second, _ = np.linalg.svd(target, full_matrices=False)
    parts = np.concatenate([np.log(second / first), principal_angles(one, two)])
    return float(np.linalg.norm(parts))


def visible_factor(gaussian: Gaussian, tolerance: float) -> np.ndarray:
    """A factor of the covariance of `gaussian` with independent columns: those that count by `tolerance`."""
    factor = np.asarray(gaussian.factor, dtype=np.float64)
    if not factor.size:
        return factor[:, :0]
    left, sizes, _ = np.linalg.svd(factor, full_matrices=False)
    counted = int(np.count_nonzero(np.square(sizes) > tolerance * sizes[0] ** 2))
    return factor if counted == factor.shape[1] else np.asarray(left[:, :counted] * sizes[:counted])


def _counted(gaussian: Gaussian, tolerance: float) -> tuple[int, tuple[float | None, float | None]]:
    sizes = np.square(np.linalg.svd(np.asarray(gaussian.factor, dtype=np.float64), compute_uv=False))
    if not sizes.size or sizes[0] == 0.0:
        return 0, (None, None)
    ratios = sizes / sizes[0]
    rank = int(np.count_nonzero(ratios > tolerance))
    below = float(ratios[rank]) if rank < ratios.size and ratios[rank] > 0 else None
    return rank, (float(ratios[rank - 1]), below)


def _warning(
    gaps: tuple[tuple[float | None, float | None], ...], dim: int, price: float | None = None
) -> str:  # fmt: skip
    noise = (dim * RankRule) ** 2  # columns that depend on each other leave no more than that
    words = []
    for name, (kept, dropped) in zip(("start", "target"), gaps, strict=True):
        if dropped is not None and dropped > noise:
            words.append(f"the {name} has variances down to {dropped:.1e} of the largest that count as zero")
        elif kept is not None and kept < NARROW:
            words.append(f"the {name} is nearly singular ({kept:.1e})")
    if words and price is not None:
        words.append(f"the integral of |A + V cov B| over depth must be at least {price:.3g}")
    return "; ".join(words)
