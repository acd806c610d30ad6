"""Optimal transport on the line between a sample and a mixture of normal laws."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from .line import SQRT_TWO_PI
from .sliced import unit_directions

REACH, TABLE, STEPS = 9.0, 4096, 4
SHARPEST = 1e-9
"""Projections narrower than this share of the whole count as that wide."""


def sliced_to_mixture(
    points: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " k"],
    means: Float[np.ndarray, "k d"],
    factors: Float[np.ndarray, "k d r"],
    *,
    directions: int = 128,
    seed: int = 0,
) -> float:
    """The sliced 2-Wasserstein distance of the uniform measure on `points` to a mixture of Gaussians.

    `weights`, `means` and `factors` are those of its components. It is the root of the mean, over `directions` random
    unit vectors drawn with `seed`, of the squared distances of the projections; the mixture is not sampled.

    Source: this package, docs/theory/mixtures.md, section 5.
    """
    axes = np.asarray(unit_directions(points.shape[1], directions, seed))
    rows = np.sort(axes @ points.T, axis=1)
    centers = axes @ means.T
    spreads = np.linalg.norm(np.einsum("ld,kdr->lkr", axes, factors), axis=2)
    squares = [mixture_square(row, weights, m, s) for row, m, s in zip(rows, centers, spreads, strict=True)]
    return float(np.sqrt(np.mean(squares)))


def mixture_square(
    row: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " k"],
    means: Float[np.ndarray, " k"],
    sigmas: Float[np.ndarray, " k"],
) -> float:
    """The squared 2-Wasserstein distance of a sorted `row` to the sum of `weights` N(`means`, `sigmas`^2).

    With the means c_i of the mixture over its n cells of equal mass it is mean (x_i - c_i)^2 plus the variance within
    the cells. The c_i are closed forms of the edges, which Newton's method finds.

    Source: this package, docs/theory/mixtures.md, section 5.
    """
    mean = float(weights @ means)
    second = float(weights @ (np.square(means - mean) + np.square(sigmas)))
    widths = np.maximum(sigmas, SHARPEST * max(np.sqrt(second), 1e-300))
    shifted, n = means - mean, row.size
    edges = _quantiles(np.arange(1, n) / n, weights, shifted, widths)
    z = (edges[:, None] - shifted) / widths
    heights = np.exp(-0.5 * np.square(z)) / SQRT_TWO_PI
    below = (shifted * ndtr(z) - widths * heights) @ weights
    cells = n * np.diff(np.concatenate([[0.0], below, [0.0]]))
    return float(np.mean(np.square(row - mean - cells)) + max(0.0, second - float(np.mean(np.square(cells)))))


def _quantiles(
    levels: np.ndarray, weights: np.ndarray, means: np.ndarray, sigmas: np.ndarray
) -> Float[np.ndarray, " n"]:
    """The quantiles of a mixture at `levels`: a table, then Newton's method between its neighbouring entries."""
    places = np.linspace(-REACH, REACH, TABLE // means.size)
    table = np.unique((means + sigmas * places[:, None]).ravel())
    heights = np.maximum.accumulate(ndtr((table[:, None] - means) / sigmas) @ weights)
    right = np.clip(np.searchsorted(heights, levels), 1, table.size - 1)
    low, high = table[right - 1], table[right]
    at = 0.5 * (low + high)
    for _ in range(STEPS):
        z = (at[:, None] - means) / sigmas
        gap = ndtr(z) @ weights - levels
        low, high = np.where(gap < 0, at, low), np.where(gap < 0, high, at)
        slope = np.exp(-0.5 * np.square(z)) @ (weights / sigmas) / SQRT_TWO_PI
        with np.errstate(divide="ignore", invalid="ignore"):
            step = at - gap / slope
        at = np.where((step >= low) & (step <= high), step, 0.5 * (low + high))
    return at
