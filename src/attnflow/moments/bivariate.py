"""Two correlated normal numbers: the probability of a quadrant, and covariances by reflection.

Source: this package, docs/theory/closures.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, owens_t

from .activation import Normal


class Quadrant(NamedTuple):
    """P(Z_1 <= h, Z_2 <= k) and its derivatives by h, by k and by both, for standard normal numbers."""

    both: np.ndarray
    by_first: np.ndarray
    by_second: np.ndarray
    density: np.ndarray


def quadrant(h: np.ndarray, k: np.ndarray, correlation: np.ndarray) -> Quadrant:
    """The probability of the quadrant below (`h`, `k`) by Owen's function; correlations of -1 and 1 are allowed.

    `density` is multiplied by 1 - correlation^2, so that it stays finite.
    """
    rest = np.sqrt((1 - correlation) * (1 + correlation))
    first, second = _excess(k, h, correlation), _excess(h, k, correlation)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_h, slope_k = first / (h * rest), second / (k * rest)
        up, down = first / rest, second / rest
    corner = np.sqrt((1 - correlation) / np.maximum(1 + correlation, np.finfo(float).tiny))
    both_zero = (h == 0) & (k == 0)
    slope_h, slope_k = (np.where(both_zero, corner, np.nan_to_num(a, nan=0.0, posinf=np.inf, neginf=-np.inf))
                        for a in (slope_h, slope_k))  # fmt: skip
    opposite = (h * k < 0) | ((h * k == 0) & (h + k < 0))
    both = 0.5 * (ndtr(h) + ndtr(k)) - owens_t(h, slope_h) - owens_t(k, slope_k) - 0.5 * opposite
    up, down = (np.nan_to_num(a, nan=0.0, posinf=np.inf, neginf=-np.inf) for a in (up, down))
    normal_h, normal_k = (np.exp(-0.5 * np.square(x)) / np.sqrt(2 * np.pi) for x in (h, k))
    joint = rest / np.sqrt(2 * np.pi) * normal_h * np.exp(-0.5 * np.square(up))
    return Quadrant(np.clip(both, 0.0, 1.0), normal_h * ndtr(up), normal_k * ndtr(down), joint)


def _excess(k: np.ndarray, h: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """k - correlation h without cancellation where the correlation is near -1 or 1."""
    return np.asarray(np.where(correlation > 0, (k - h) + h * (1 - correlation), (k + h) - h * (1 + correlation)))


def by_reflection(
    covariance: Callable[[Normal, Normal, np.ndarray], np.ndarray],
    slope: Callable[[Normal], np.ndarray],
    one: Normal,
    two: Normal,
    correlation: np.ndarray,
) -> np.ndarray:
    """Cov(s(z_1), s(z_2)) for an s with s(z) = z + s(-z), from `covariance` for means that are not positive.

    `slope` gives E s'. Where a mean is positive, s(z) is nearly z, and z is split off exactly.
    """
    flips = [x.mean > 0 for x in (one, two)]
    signs = [np.where(flip, -1.0, 1.0) for flip in flips]
    low = [Normal(sign * x.mean, x.deviation) for sign, x in zip(signs, (one, two), strict=True)]
    c = correlation * one.deviation * two.deviation
    found = covariance(low[0], low[1], signs[0] * signs[1] * correlation)
    found = found + np.where(flips[0] & flips[1], c, 0.0)
    found += np.where(flips[0], signs[1] * c * slope(low[1]), 0.0)
    return np.asarray(found + np.where(flips[1], signs[0] * c * slope(low[0]), 0.0))
