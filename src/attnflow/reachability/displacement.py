"""A linear map of positive determinant that takes one covariance to another: a rotation after a symmetric stretch.

Source: this package, docs/theory/reachability.md.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from .planes import Planes, direct_rotation, planes_of

SQUEEZED = 1e2
"""So much more than the range of the start, at most, is kept of what lies outside; see `contracted`."""


@dataclasses.dataclass(frozen=True)
class Displacement:
    """M = e^Omega e^K with M cov_0 M^T = cov_1: `planes` hold Omega, K = `axes` diag(`rates`) `axes`^T is symmetric.

    `axes` (d, k) are orthonormal and span the range of cov_0 at least.
    """

    planes: Planes
    axes: Float[np.ndarray, "d k"]
    rates: Float[np.ndarray, " k"]

    @property
    def stretch(self) -> Float[np.ndarray, "d d"]:
        """K (d, d)."""
        return np.asarray((self.axes * self.rates) @ self.axes.T)

    @property
    def cost(self) -> float:
        """|Omega|^2 + |K|^2: what the constant speed of the path e^{s Omega} e^{s K} costs."""
        return self.planes.size**2 + float(np.sum(np.square(self.rates)))

    @property
    def matrix(self) -> Float[np.ndarray, "d d"]:
        """M (d, d)."""
        d, k = self.axes.shape
        stretched = (self.axes * np.exp(self.rates)) @ self.axes.T
        if k < d:
            stretched = stretched + np.eye(d) - self.axes @ self.axes.T
        return np.asarray(self.planes.turn(1.0, stretched))

    @property
    def condition(self) -> float:
        """The condition number of M, the largest one along the path."""
        d, k = self.axes.shape
        return float(np.exp(np.ptp(self.rates if k == d else np.append(self.rates, 0.0))))


def transported(start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> Displacement:
    """The direct rotation between the ranges, after the optimal transport within that of the start.

    `start` and `target` (d, r) are factors with independent columns. With equal ranges there is no rotation and M is
    the optimal transport itself.

    Source: this package, docs/theory/reachability.md, The default plan.
    """
    one, sizes, _ = np.linalg.svd(start, full_matrices=False)
    two = np.linalg.svd(target, full_matrices=False)[0]
    d, r = start.shape
    planes = direct_rotation(one, two) if r < d else nothing(d)
    goal = one.T @ np.asarray(planes.turn(-1.0, target))
    # with S = diag(sizes) and S goal = P s W^T the transport is S^{-1} P s P^T S^{-1}: squares of singular values
    left, singular, _ = np.linalg.svd(sizes[:, None] * goal)
    vectors, roots, _ = np.linalg.svd(left * np.sqrt(singular) / sizes[:, None])
    return contracted(Displacement(planes, one @ vectors, 2.0 * np.log(roots)), start, target)


def aligned(start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> Displacement:
    """The stretch of the principal variances of the start, then the rotation of its principal axes to the target's.

    `start` and `target` (d, r) are factors with independent columns. The axes are paired by size; their signs are
    chosen so that none turns by more than a right angle, where the determinant allows it.

    Source: :cite:alcalde2026, Thm. 3.2, the matrix U_1 D U_0^T of its proof.
    """
    one, first, _ = np.linalg.svd(start)
    two, second, _ = np.linalg.svd(target)
    r = start.shape[1]
    two[:, :r] *= np.where(np.sum(one[:, :r] * two[:, :r], axis=0) < 0, -1.0, 1.0)
    if r < len(start):
        left, _, right = np.linalg.svd(two[:, r:].T @ one[:, r:])
        two[:, r:] = two[:, r:] @ left @ right
    if np.linalg.slogdet(two)[0] * np.linalg.slogdet(one)[0] < 0:
        two[:, int(np.argmin(np.abs(np.sum(two * one, axis=0))))] *= -1.0
    displacement = Displacement(planes_of(two @ one.T), one[:, :r], np.log(second / first))
    return contracted(displacement, start, target)


def contracted(
    displacement: Displacement, start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]
) -> Displacement:
    """`displacement` with a stretch outside the range of `start`, too, where the `target` is a great deal smaller.

    The start has rounding errors outside its range. They must shrink along with it, or they outweigh the target.

    Source: this package, docs/theory/reachability.md, Outside the range.
    """
    d, k = displacement.axes.shape
    rate = outside_rate(start, target)
    if k == d or rate == 0.0:
        return displacement
    rest = np.linalg.qr(displacement.axes, mode="complete")[0][:, k:]
    rates = np.append(displacement.rates, np.full(d - k, rate))
    return Displacement(displacement.planes, np.hstack([displacement.axes, rest]), rates)


def outside_rate(start: Float[np.ndarray, "d r"], target: Float[np.ndarray, "d r"]) -> float:
    """The log of the factor by which directions outside the range of `start` are to shrink on the way to `target`.

    Zero unless the target is more than `SQUEEZED` times smaller.

    Source: this package, docs/theory/reachability.md, Outside the range.
    """
    return min(0.0, float(np.log(SQUEEZED * np.linalg.norm(target) / np.linalg.norm(start))))


def nothing(dim: int) -> Planes:
    """The identity in dimension `dim`, as a rotation."""
    return Planes(np.zeros((dim, 0)), np.zeros((dim, 0)), np.zeros(0))
