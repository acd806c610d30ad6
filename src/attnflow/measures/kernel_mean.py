"""Means of the Gaussian kernel over all pairs of two sets of points, in blocks that stay in the cache."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .._types import AnyArray

BLOCK = 512
SINGLE_REACH = 1e3
"""The largest half squared distance from the origin, in bandwidths, at which float32 exponents keep 1e-4."""


def kernel_mean(one: Float[AnyArray, "n d"], two: Float[AnyArray, "m d"] | None = None) -> np.float64:
    """The mean of exp(-|x - y|^2 / 2) over the points x of `one` (n, d) and y of `two` (m, d); `one` itself if None.

    Points in float32 are multiplied and exponentiated in float32, with sums in float64, as long as they lie near
    enough to the origin for that; all else is float64. At most BLOCK^2 values are held beside two copies of the points.

    Source: this package, docs/theory/mmd.md, section 4.
    """
    first, second = np.asarray(one), np.asarray(one if two is None else two)
    left = _extended(first)
    right = left.copy() if two is None else _extended(second)
    single = left.dtype == right.dtype == np.float32 and max(_reach(left), _reach(right)) <= SINGLE_REACH
    if not single:
        left, right = (_extended(x.astype(np.float64)) for x in (first, second))
    # a row of `left` is (x, -|x|^2 / 2, 1), of `right` (y, 1, -|y|^2 / 2): their product is the whole exponent
    right[:, [-2, -1]] = right[:, [-1, -2]]
    if two is None:
        return np.float64(_symmetric_total(left, right) / left.shape[0] ** 2)
    total = np.float64(0)
    for i in range(0, left.shape[0], BLOCK):
        for j in range(0, right.shape[0], BLOCK):
            total += _block_total(left[i : i + BLOCK], right[j : j + BLOCK])
    return np.float64(total / (left.shape[0] * right.shape[0]))


def _extended(points: np.ndarray) -> np.ndarray:
    half = -0.5 * np.einsum("ij,ij->i", points, points)
    return np.column_stack([points, half, np.ones_like(half)])


def _reach(extended: np.ndarray) -> float:
    return -float(extended[:, -2].min(initial=0.0))


def _symmetric_total(left: np.ndarray, right: np.ndarray) -> np.float64:
    """The sum over all pairs of one set, whose diagonal is exactly 1."""
    n = left.shape[0]
    total = np.float64(n)
    for i in range(0, n, BLOCK):
        own = np.exp(left[i : i + BLOCK] @ right[i : i + BLOCK].T)
        total += _sum(own) - np.trace(own, dtype=np.float64)
        for j in range(i + BLOCK, n, BLOCK):
            total += 2 * _block_total(left[i : i + BLOCK], right[j : j + BLOCK])
    return total


def _block_total(left: np.ndarray, right: np.ndarray) -> np.float64:
    exponents = left @ right.T
    np.exp(exponents, out=exponents)
    return _sum(exponents)


def _sum(block: np.ndarray) -> np.float64:
    """Short rows keep their digits in pairwise sums of their own dtype; what adds them up must be float64."""
    return np.float64(block.sum(axis=1).sum(dtype=np.float64))
